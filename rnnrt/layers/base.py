"""What a layer is.

A layer holds its configuration (Keras 3's names and defaults) and its weights (Keras's order and layouts). Building it
adds nodes to a `GraphBuilder` and gives symbolic tensors; a layer built twice shares its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.layers.builder import Extent, GraphBuilder, Tensor, TensorShape, product

__all__ = ["Extent", "GraphBuilder", "Layer", "Tensor", "TensorShape", "product", "snake_case"]

_TRAINING_SUFFIXES = ("_initializer", "_regularizer", "_constraint", "dropout")
_TRAINING_OPTIONS = {
    "seed",
    "noise_shape",
    "rate",
    "stddev",
    "implementation",
    "unit_forget_bias",
    "sparse",
    "ragged",
    "renorm_momentum",
    "renorm_clipping",
}


def _is_training_option(key: str) -> bool:
    return key in _TRAINING_OPTIONS or key.endswith(_TRAINING_SUFFIXES)


class Layer:
    """Base of all layers.

    Class attributes
    ----------------
    arguments : what the class takes beyond its base, each kept in an attribute of the same name.
    supports_masking : whether the mask of the input is that of the output.

    Parameters
    ----------
    name : str, optional
        Names the layer's nodes and, when it is a model's output, the output.
    dtype : str
        What it computes in: "float32" or "float64".
    trainable : bool
        False freezes its weights.
    **options
        Arguments that only training reads: initializers, regularizers, constraints, dropout rates, seeds.

    Attributes
    ----------
    options : dict
        The training-only arguments that were given.
    weights : dict of str to numpy.ndarray
        Arrays in Keras's layouts; the names are those of `weight_names`, in that order.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    supports_masking: ClassVar[bool] = False

    def __init__(
        self, *, name: str | None = None, dtype: str = "float32", trainable: bool = True, **options: Any
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        reasons = [
            f"{self.label()}: argument {key}={value!r} is not known to rnnrt; save the model without it"
            for key, value in options.items()
            if not _is_training_option(key) and value not in (None, False)
        ]
        if reasons:
            raise UnsupportedModelError(f"layer {self.name!r}", reasons)
        self.options = options
        self.dtype = np.dtype(dtype)
        self.trainable = trainable
        self.weights: dict[str, np.ndarray] = {}

    def weight_names(self) -> tuple[str, ...]:
        """Names of the layer's own trainable weights, in Keras's order."""
        return ()

    def state_names(self) -> tuple[str, ...]:
        """Names of weights that training does not touch, such as moving averages; they follow the others."""
        return ()

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        """Layers inside this one, by Keras's attribute names, in the order of their weights."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer."""
        own = [key for cls in type(self).__mro__ for key in vars(cls).get("arguments", ())]
        values = {key: getattr(self, key) for key in own}
        return {"name": self.name, "dtype": self.dtype.name, "trainable": self.trainable, **values, **self.options}

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
        raise NotImplementedError(type(self).__name__)  # abstract

    def apply(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Build within the layer's name scope, with floating point inputs in the layer's dtype."""
        if isinstance(inputs, Tensor) and isinstance(kwargs.get("mask"), Tensor):
            inputs = inputs.with_mask(kwargs["mask"])
        b.scope.append(self.name)
        try:
            outputs = self.emit(b, self.cast_inputs(b, inputs), *args, **kwargs)
        except RnnrtError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            shapes = [x.shape for x in _tensors(inputs)]
            raise ModelFormatError(f"{self.label()}: does not fit inputs of shapes {shapes}: {error}") from error
        finally:
            b.scope.pop()
        if self.supports_masking and isinstance(inputs, Tensor) and isinstance(outputs, Tensor) and not outputs.mask:
            return outputs.with_mask(inputs.mask)
        return outputs

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

    def walk(self) -> Iterator[Layer]:
        """The layer itself and all inside it."""
        yield self
        for child in self.sublayers().values():
            for layer in child if isinstance(child, list) else [child]:
                yield from layer.walk()

    def array(self, name: str, shape: TensorShape) -> np.ndarray:
        """A weight, checked: `shape` is what configuration and inputs ask for, None for anything."""
        if name not in self.weights:
            raise ModelFormatError(f"layer {self.name!r} ({type(self).__name__}): weight {name!r} is missing")
        found = self.weights[name]
        fits = len(found.shape) == len(shape) and all(
            w is None or w == f for w, f in zip(shape, found.shape, strict=True)
        )
        if not fits:
            raise ModelFormatError(
                f"layer {self.name!r} ({type(self).__name__}): weight {name!r} has shape {tuple(found.shape)}, "
                f"its configuration and input need {tuple(shape)}"
            )
        return np.asarray(found).astype(self.dtype, copy=False)

    def unsupported(self, what: str, do: str) -> UnsupportedModelError:
        """The error of a call that cannot be run exactly."""
        return UnsupportedModelError(f"layer {self.name!r}", [f"{self.label()}: {what}; {do}"])

    def label(self) -> str:
        """How messages name this layer."""
        return f"layer {self.name!r} ({type(self).__name__})"


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _tensors(v)]
    return [value] if isinstance(value, Tensor) else []


def snake_case(name: str) -> str:
    """Keras's way from a class name to a group name: SimpleRNN gives simple_rnn, Conv1D conv1d, PReLU p_re_lu."""
    out: list[str] = []
    for k, c in enumerate(name):
        follows_lower = k > 0 and name[k - 1].islower()
        starts_word = k > 0 and k + 1 < len(name) and name[k + 1].islower()
        if c.isupper() and k and (follows_lower or starts_word):
            out.append("_")
        out.append(c.lower())
    return "".join(out)
