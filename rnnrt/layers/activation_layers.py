"""Activation functions that are layers with arguments or weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.layers.activations import binary, clip
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape
from rnnrt.layers.variable import Variable


class ReLU(Layer):
    """x above `threshold` up to `max_value`, negative_slope (x - threshold) below."""

    arguments = ("max_value", "negative_slope", "threshold")
    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope, self.threshold = float(negative_slope or 0.0), float(threshold or 0.0)

    def is_stepwise(self) -> bool:
        return True

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        if self.threshold == 0.0:
            above = b.op("Relu", [x], x.shape) if self.max_value is None else clip(b, x, 0.0, self.max_value)
        else:
            counts = b.op("Greater", [x, b.scalar(self.threshold, x.dtype)], x.shape, np.dtype(bool))
            above = b.op("Where", [counts, x, b.scalar(0.0, x.dtype)], x.shape, x.dtype)
            above = above if self.max_value is None else clip(b, above, 0.0, self.max_value)
        if self.negative_slope == 0.0:
            return above
        below = binary(b, "Sub", x, self.threshold) if self.threshold else x
        return binary(b, "Add", above, binary(b, "Mul", clip(b, below, None, 0.0), self.negative_slope))


class LeakyReLU(Layer):
    """x, or negative_slope x below zero; Keras 2 calls the slope alpha."""

    arguments = ("negative_slope",)
    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, alpha: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.negative_slope = float(negative_slope if alpha is None else alpha)

    def is_stepwise(self) -> bool:
        return True

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        return b.op("LeakyRelu", [x], x.shape, alpha=self.negative_slope)


class ELU(Layer):
    """x, or alpha (exp(x) - 1) below zero."""

    arguments = ("alpha",)
    supports_masking = True

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = float(alpha)

    def is_stepwise(self) -> bool:
        return True

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        return b.op("Elu", [x], x.shape, alpha=self.alpha)


class ThresholdedReLU(Layer):
    """x above theta, zero elsewhere (Keras 2)."""

    arguments = ("theta",)
    supports_masking = True

    def __init__(self, theta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.theta = float(theta)

    def is_stepwise(self) -> bool:
        return True

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        return b.op("ThresholdedRelu", [x], x.shape, alpha=self.theta)


class PReLU(Layer):
    """x, or alpha x below zero with a learnt alpha for each position; `shared_axes` share one.

    Attributes
    ----------
    unsaved : bool
        A file that should hold alpha does not, and alpha begins as its initializer says. Keras neither trains nor saves
        the alpha of a PReLU that is the activation of another layer.
    """

    arguments = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")
    supports_masking = True
    unsaved = False

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else [int(a) for a in axes]
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("alpha",)

    def leave_out(self, owner: Layer) -> None:
        """Begin with what the initializer says, as Keras does when it reads a file without the alpha of `owner`.

        Raises
        ------
        UnsupportedModelError
            The initializer draws random numbers, so that nobody knows what Keras had.
        """
        made = self.setting("alpha", "initializer")
        if type(made).__name__ not in ("Constant", "Ones", "Zeros"):
            what = f"the file holds no alpha of its activation {self.name!r}, which Keras neither trains nor saves"
            raise owner.unsupported(what, "make the PReLU a layer of its own, behind it")
        self.unsaved = True

    def variable(self, name: str, shape: TensorShape, create: bool = False) -> Variable:
        return super().variable(name, shape, create or self.unsaved)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        shape = tuple(1 if k in (self.shared_axes or []) else d for k, d in enumerate(x.shape) if k)
        return b.op("PRelu", [x, b.variable(self, "alpha", shape)], x.shape)


class Softmax(Layer):
    """Softmax along `axis`, one or several; where `mask`, which broadcasts, is False an element counts for nothing."""

    arguments = ("axis",)
    supports_masking = True

    def __init__(self, axis: Any = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def is_stepwise(self) -> bool:
        return self.axis == -1

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = list(self.axis) if isinstance(self.axis, (list, tuple)) else [self.axis]
        mask = mask if isinstance(mask, Tensor) else inputs.mask
        if mask is None:
            return softmax(b, x, axes)
        mask = self._fitting(b, mask, x)
        y = softmax(b, b.op("Where", [mask, x, b.scalar(LOWEST, x.dtype)], x.shape, x.dtype), axes)
        # Keras 3 gives zeros where nothing along the axis counts.
        return y if b.legacy else b.op("Where", [mask, y, b.scalar(0.0, x.dtype)], x.shape, x.dtype)

    def _fitting(self, b: GraphBuilder, mask: Tensor, x: Tensor) -> Tensor:
        ends = zip(reversed(mask.shape), reversed(x.shape), strict=False)
        if mask.rank > x.rank or any(m not in (1, None, d) and d is not None for m, d in ends):
            raise self.unsupported(f"a mask of shape {mask.shape} on {x.shape}", "give a mask that broadcasts to it")
        if mask.dtype.kind == "f":
            return b.op("Greater", [mask, b.scalar(0.5, mask.dtype)], mask.shape, np.dtype(bool))
        return b.cast(mask, np.dtype(bool))


LOWEST = -1e9
"""What stands for masked elements before a softmax."""


def softmax(b: GraphBuilder, x: Tensor, axes: Sequence[int]) -> Tensor:
    """exp(x) divided by its sum over axes."""
    if len(axes) == 1:
        return b.op("Softmax", [x], x.shape, axis=int(axes[0]) % x.rank)
    top = b.reduce("ReduceMax", x, axes, keepdims=True)
    grown = b.op("Exp", [b.op("Sub", [x, top], x.shape)], x.shape)
    return b.op("Div", [grown, b.reduce("ReduceSum", grown, axes, keepdims=True)], x.shape)
