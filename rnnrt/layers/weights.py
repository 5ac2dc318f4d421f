"""What a layer's weights are: named variables, made from initializers when a layer is built first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError
from rnnrt.layers.builder import TensorShape
from rnnrt.layers.variable import Changes, Variable


class Weights:
    """The weights of a layer and of the layers inside it, with Keras's names for them.

    Class attributes
    ----------------
    weight_dtypes : dtypes of weights that do not have the layer's.
    stems : what a weight's initializer, regularizer and constraint are named after, where not after the weight.
    """

    name: str
    dtype: np.dtype
    weight_dtypes: ClassVar[dict[str, str]] = {}
    stems: ClassVar[dict[str, str]] = {}

    def __init__(self, trainable: bool = True) -> None:
        self._trainable = bool(trainable)
        self._own: dict[str, Variable] = {}

    def weight_names(self) -> tuple[str, ...]:
        """Names of the layer's own trainable weights, in Keras's order."""
        return ()

    def state_names(self) -> tuple[str, ...]:
        """Names of weights that training does not touch, such as moving averages; they follow the others."""
        return ()

    def stored(self) -> list[tuple[Any, str]]:
        """What a .keras file keeps as the layer's own weights, in order: the layer that has each, and its name."""
        return [(self, name) for name in (*self.weight_names(), *self.state_names())]

    def walk(self) -> Iterator[Weights]:
        """The layer itself and all inside it."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def children(self) -> list[Weights]:
        """The layers directly inside this one."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def label(self) -> str:
        """How messages name this layer."""
        return f"layer {self.name!r} ({type(self).__name__})"

    @property
    def own_variables(self) -> dict[str, Variable]:
        """The layer's own variables by name, in Keras's order; without those that are not made yet."""
        return {name: self._own[name] for name in (*self.weight_names(), *self.state_names()) if name in self._own}

    @property
    def weights(self) -> list[Variable]:
        """All variables of the layer and of those inside it, each once."""
        found = {id(v): v for layer in self.walk() for v in layer.own_variables.values()}
        return list(found.values())

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those of `weights` that training moves."""
        moved = self._moved()
        return [v for v in self.weights if id(v) in moved]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those of `weights` that training leaves alone."""
        moved = self._moved()
        return [v for v in self.weights if id(v) not in moved]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    def _moved(self) -> set[int]:
        if not self._trainable:
            return set()
        own = {id(self._own[name]) for name in self.weight_names() if name in self._own}
        return own.union(*(child._moved() for child in self.children()))

    @property
    def trainable(self) -> bool:
        """Whether training moves the weights; to set it sets it for all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        Changes.structure += 1
        for layer in self.walk():
            layer._trainable = bool(value)
            for name in layer.weight_names():
                if name in layer._own:
                    layer._own[name].trainable = bool(value)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all arrays, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign all arrays, in the order of `weights`.

        Raises
        ------
        ShapeError
            There are more or fewer, or one has another shape; then nothing is changed.
        """
        variables, arrays = self.weights, [np.asarray(w) for w in weights]
        if len(variables) != len(arrays):
            raise ShapeError(f"{self.label()} has {len(variables)} weights, got {len(arrays)}; build it before")
        for v, a in zip(variables, arrays, strict=True):
            if v.shape != a.shape:
                raise ShapeError(f"{self.label()}: {v.path or v.name} has shape {v.shape}, got {a.shape}")
        for v, a in zip(variables, arrays, strict=True):
            v.assign(a)

    def count_params(self) -> int:
        """How many numbers `weights` hold."""
        return sum(v.value.size for v in self.weights)

    def setting(self, name: str, kind: str) -> Any:
        """The initializer, regularizer or constraint of a weight, None where there is none.

        Raises
        ------
        RnnrtError
            rnnrt knows nothing of that name.
        """
        stem = self.stems.get(name, name.removesuffix("_kernel"))
        identifier = getattr(self, f"{stem}_{kind}", None)
        return None if identifier is None else resolve(kind, identifier, self.label())

    def put_array(self, name: str, array: np.ndarray) -> None:
        """Give one of the layer's own weights its first value, or another one of any shape."""
        trainable = self._trainable and name in self.weight_names()
        if array.dtype.kind == "f":
            array = array.astype(self.dtype, copy=False)
        if name in self._own and self._own[name].shape == array.shape:
            self._own[name].assign(array)
        else:
            path = self._own[name].path if name in self._own else ""
            self._own[name] = Variable(array, name, trainable, path, self)
            Changes.structure += 1

    def variable(self, name: str, shape: TensorShape, create: bool = False) -> Variable:
        """One of the layer's own weights, checked: `shape` is what configuration and inputs ask for, None for any.

        With `create`, a missing one is made by its initializer.

        Raises
        ------
        ModelFormatError
            It is missing, or has another shape.
        """
        if name not in self._own:
            if not create:
                raise ModelFormatError(f"{self.label()}: weight {name!r} is missing")
            if None in shape:
                raise ModelFormatError(
                    f"{self.label()}: weight {name!r} would have the shape {shape}; declare the extents of its input"
                )
            self.put_array(name, self.initial(name, tuple(d for d in shape if d is not None)))
        found = self._own[name]
        fits = len(found.shape) == len(shape) and all(
            w is None or w == f for w, f in zip(shape, found.shape, strict=True)
        )
        if not fits:
            raise ModelFormatError(
                f"{self.label()}: weight {name!r} has shape {tuple(found.shape)}, "
                f"its configuration and input need {tuple(shape)}"
            )
        return found

    def initial(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The first value of a weight."""
        make = self.setting(name, "initializer")
        if make is None:
            raise RnnrtError(f"{self.label()}: weight {name!r} has no initializer; give one")
        dtype = self.weight_dtypes.get(name, self.dtype.name)
        array = np.asarray(make(shape, dtype=dtype))
        if array.shape != shape:
            raise ShapeError(f"{self.label()}: its initializer gave {array.shape} for {name!r}, asked for {shape}")
        return array.astype(dtype, copy=False)

    def array(self, name: str, shape: TensorShape) -> np.ndarray:
        """The value of a weight, checked as `variable` does, in the layer's dtype."""
        return self.variable(name, shape).snapshot().astype(self.dtype, copy=False)


def resolve(kind: str, identifier: Any, label: str) -> Any:
    """The initializer, regularizer or constraint that a name, a configuration or an object stands for.

    Raises
    ------
    RnnrtError
        There is none of that name.
    """
    from importlib import import_module

    try:
        return import_module(f"rnnrt.{kind}s").get(identifier)
    except ModuleNotFoundError as error:
        raise RnnrtError(f"{label}: {kind} {identifier!r}: rnnrt has no {kind}s; leave it out") from error
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise RnnrtError(f"{label}: {kind} {identifier!r:.200}: {error}") from error
