"""What a layer is.

A layer holds its configuration (Keras 3's names and defaults) and its weights (Keras's order and layouts). Called with
symbolic tensors it records the call, as in Keras; `apply` adds its nodes to a `GraphBuilder` and gives symbolic
tensors of that graph. A layer called twice shares its weights.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.layers import serial
from rnnrt.layers.builder import Extent, GraphBuilder, Tensor, TensorShape, product
from rnnrt.layers.symbolic import History, call_layer
from rnnrt.layers.weights import Weights
from rnnrt.registry import auto_name, snake_case

__all__ = ["Extent", "GraphBuilder", "Layer", "Tensor", "TensorShape", "product", "snake_case"]

_OLD_OPTIONS = {"implementation", "ragged", "renorm_clipping", "renorm_momentum", "seed", "sparse", "use_cudnn"}
"""Arguments of older layers, and of other processors, that change no result."""


class Layer(Weights, History):
    """Base of all layers.

    Class attributes
    ----------------
    arguments : what the class takes beyond its base, each kept in an attribute of the same name.
    call_arguments : what a call takes beside the inputs.
    supports_masking : whether the mask of the input is that of the output.

    Attributes
    ----------
    stands_for : str
        The custom class of a file that the user gave this layer for, while its weights are read.

    Parameters
    ----------
    activity_regularizer : str, dict or object, optional
        What adds to the loss in training for the size of the output.
    trainable : bool
        False freezes its weights.
    dtype : str
        What it computes in: "float32" or "float64".
    autocast : bool
        Taken for Keras's sake; floating point inputs are always cast to `dtype`.
    name : str, optional
        Names the layer's nodes and, when it is a model's output, the output. By default the class's name and a number.
    input_shape : tuple, optional
        In the first layer of a Sequential: the shape of an input without the batch; None for free extents.
    batch_input_shape, batch_shape : tuple, optional
        The same with the batch first.
    input_dim, input_length : int, optional
        The same for (input_dim,), and for (input_length, input_dim) where `input_length` is given.
    input_dtype : str, optional
        The dtype of that input.

    Examples
    --------
    A layer of one's own is made from others, and its `call` says how:

    >>> class Gated(Layer):
    ...     def __init__(self, units, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.value, self.gate = Dense(units), Dense(units, activation="sigmoid")
    ...     def call(self, x):
    ...         return Multiply()([self.value(x), self.gate(x)])
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    call_arguments: ClassVar[tuple[str, ...]] = ("initial_state", "mask")
    supports_masking: ClassVar[bool] = False
    stands_for: str = ""
    activity_regularizer: Any = None

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: str | None = None,
        autocast: bool = True,
        name: str | None = None,
        input_shape: Any = None,
        batch_input_shape: Any = None,
        batch_shape: Any = None,
        input_dim: int | None = None,
        input_length: int | None = None,
        input_dtype: str | None = None,
        **options: Any,
    ) -> None:
        Weights.__init__(self, trainable)
        self.name = str(name) if name is not None else auto_name(type(self).__name__)
        self.dtype = self._checked_dtype(dtype)
        reasons = [
            f"{self.label()}: argument {key}={value!r} is not known to rnnrt; leave it out"
            for key, value in options.items()
            if key not in _OLD_OPTIONS
        ]
        if reasons:
            raise UnsupportedModelError(f"layer {self.name!r}", reasons)
        self.activity_regularizer = activity_regularizer
        History.__init__(self)
        self.declared_shape = declared(input_shape, batch_input_shape or batch_shape, input_dim, input_length)
        self.declared_dtype = input_dtype

    def _checked_dtype(self, dtype: Any) -> np.dtype:
        name = "float32" if dtype is None else dtype
        if isinstance(name, Mapping) and isinstance(name.get("config"), Mapping):
            name = name["config"].get("name")
        if isinstance(name, np.dtype):
            name = name.name
        if name not in ("float32", "float64"):
            raise self.unsupported(f"dtype {name!r}", "layers compute in 'float32' or 'float64'")
        return np.dtype(name)

    @classmethod
    def parameters(cls) -> set[str]:
        """Names of all arguments that the constructor takes."""
        makers = [vars(c)["__init__"] for c in cls.__mro__[:-1] if "__init__" in vars(c)]
        own = {key for make in makers for key in inspect.signature(make).parameters}
        return (own | _OLD_OPTIONS) - {"self", "args", "kwargs", "options"}

    def keep(self, scope: Mapping[str, Any]) -> None:
        """Keep the constructor's arguments that the class names in `arguments` and has not kept yet, as they are."""
        own = [key for cls in type(self).__mro__ for key in vars(cls).get("arguments", ())]
        for key in own:
            if key in scope and key not in vars(self):
                setattr(self, key, scope[key])

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        """Layers inside this one, by Keras's attribute names, in the order of their weights."""
        if type(self).emit is not Layer.emit:
            return {}
        from rnnrt.layers.called import layers_among

        found = {key: layers_among({key: value}) for key, value in vars(self).items() if key != "calls_recorded"}
        return {key: inside if len(inside) > 1 else inside[0] for key, inside in found.items() if inside}

    def children(self) -> list[Weights]:
        return [c for child in self.sublayers().values() for c in (child if isinstance(child, list) else [child])]

    def walk(self) -> Iterator[Layer]:
        yield self
        for child in self.sublayers().values():
            for layer in child if isinstance(child, list) else [child]:
                yield from layer.walk()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer, in plain types that JSON takes."""
        own = [key for cls in type(self).__mro__ for key in vars(cls).get("arguments", ())]
        values = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype.name}
        values.update({key: serial.plain(getattr(self, key), key) for key in own})
        if self.activity_regularizer is not None:
            values["activity_regularizer"] = serial.plain(self.activity_regularizer, "activity_regularizer")
        return values

    def as_spec(self) -> dict[str, Any]:
        """Keras 3's form of the layer: its class and its configuration."""
        return serial.spec_of(type(self).__name__, "keras.layers", self.get_config())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """An equal layer, with weights of its own."""
        return cls(**{key: serial.revived(value) for key, value in config.items()})

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the layer's nodes.

        Parameters
        ----------
        b : GraphBuilder
        inputs : Tensor or list of Tensor
        *args, **kwargs
            The call's other arguments in Keras's order and by its names, such as `initial_state` or `mask`.

        Returns
        -------
        Tensor or list of Tensor

        Raises
        ------
        UnsupportedModelError
            The layer cannot be run exactly on such inputs.
        ModelFormatError
            A weight is missing or has another shape than configuration and inputs need.
        """
        call = getattr(self, "call", None)
        if call is None:
            raise NotImplementedError(f"{type(self).__name__} has neither emit nor call")
        from rnnrt.layers.called import emit_call

        return emit_call(self, call, b, (inputs, *args), kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer as in Keras.

        With symbolic tensors the call is recorded and gives symbolic tensors; with arrays it runs, which needs
        `rnnrt.models` to be imported.
        """
        return call_layer(self, args, kwargs)

    def apply(self, b: GraphBuilder, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Build within the layer's name scope, with floating point inputs in the layer's dtype."""
        if training and not b.training and not b.create:
            raise self.unsupported("is called with training=True", "rnnrt calls layers so in fit alone")
        if isinstance(inputs, Tensor) and isinstance(kwargs.get("mask"), Tensor):
            inputs = inputs.with_mask(kwargs["mask"])
        mode = b.training
        b.training = mode if training is None else bool(training) and mode
        try:
            with b.nested(self.name):
                outputs = self.emit(b, self.cast_inputs(b, inputs), *args, **kwargs)
                self.regularize(b, outputs)
        except RnnrtError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            shapes = [x.shape for x in _tensors(inputs)]
            raise ModelFormatError(f"{self.label()}: does not fit inputs of shapes {shapes}: {error}") from error
        finally:
            b.training = mode
        if self.supports_masking and isinstance(inputs, Tensor) and isinstance(outputs, Tensor) and not outputs.mask:
            return outputs.with_mask(inputs.mask)
        return outputs

    def regularize(self, b: GraphBuilder, outputs: Any) -> None:
        """Add to the loss what `activity_regularizer` asks for the outputs."""
        if self.activity_regularizer is None or not b.training:
            return
        made = self.setting("activity", "regularizer")
        factors = {key: float(getattr(made, key, 0.0) or 0.0) for key in ("l1", "l2")}
        if type(made).__name__ not in ("L1", "L2", "L1L2"):
            raise self.unsupported(f"activity_regularizer {made!r}", "use L1, L2 or L1L2")
        for x in _tensors(outputs):
            add_penalty(b, x, factors["l1"], factors["l2"])

    @property
    def built(self) -> bool:
        """Whether all weights are there."""
        return all(set(part.own_variables) == {*part.weight_names(), *part.state_names()} for part in self.walk())

    def build(self, input_shape: Any) -> None:
        """Make the weights that are missing for an input of that shape, the batch first; a list for several inputs."""
        b = GraphBuilder("shapes", variables=True, create=True)
        several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        shapes = input_shape if several else [input_shape]
        given = [b.input(f"input_{k}", (None, *s[1:]), np.dtype(np.float32)) for k, s in enumerate(shapes)]
        self.apply(b, given if several else given[0])

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        """Inputs as the layer computes: Keras casts floating point ones only."""
        if isinstance(inputs, (list, tuple)):
            return [self.cast_inputs(b, x) for x in inputs]
        if isinstance(inputs, Tensor) and inputs.dtype.kind == "f":
            return b.cast(inputs, self.dtype)
        return inputs

    def is_stepwise(self) -> bool:
        """Whether the layer works along the last axis alone, and so treats every step of a sequence alike."""
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def unsupported(self, what: str, do: str) -> UnsupportedModelError:
        """The error of a call that cannot be run exactly."""
        return UnsupportedModelError(f"layer {self.name!r}", [f"{self.label()}: {what}; {do}"])


def declared(input_shape: Any, batch_shape: Any, input_dim: int | None, length: int | None) -> TensorShape | None:
    """The input's shape with the batch first, as the first layer of a Sequential may tell it in several ways."""
    if batch_shape is not None:
        return (None, *batch_shape[1:])
    if input_shape is not None:
        return (None, *((input_shape,) if isinstance(input_shape, int) else input_shape))
    if input_dim is not None:
        return (None, int(input_dim)) if length is None else (None, length, int(input_dim))
    return None if length is None else (None, length)


def add_penalty(b: GraphBuilder, x: Tensor, l1: float, l2: float) -> None:
    """Add l1 times the sum of |x| and l2 times that of x^2, both divided by the rows of the batch, to the loss."""
    for factor, op, operands in ((l1, "Abs", [x]), (l2, "Mul", [x, x])):
        if factor:
            total = b.reduce("ReduceSum", b.op(op, operands, x.shape), range(x.rank))
            batch = b.cast(Tensor(b.extent(x, 0), (1,), np.dtype(np.int64)), x.dtype)
            scaled = b.op("Div", [b.op("Mul", [total, b.scalar(factor, x.dtype)], ()), batch], (1,))
            b.add_loss(b.squeeze(scaled, 0))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _tensors(v)]
    return [value] if isinstance(value, Tensor) else []
