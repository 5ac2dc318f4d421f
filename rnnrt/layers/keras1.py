"""Layers that Keras 1 had and later versions have not, for files of it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rnnrt.layers import activations
from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.core import Dense, activate
from rnnrt.layers.merge import Dot


class Highway(Dense):
    """t activation(x W + b) + (1 - t) x with t = sigmoid(x W_carry + b_carry); x (B, I), W and W_carry (I, I).

    The arguments are those of `Dense` without `units`; see Srivastava et al., "Highway Networks" (2015).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(1, **options)

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "units"}

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "carry_kernel", "bias", "carry_bias") if self.use_bias else ("kernel", "carry_kernel")

    def initial(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name == "carry_bias":
            return np.ones(shape, self.dtype)
        return super().initial("kernel" if name == "carry_kernel" else name, shape)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if inputs.rank != 2:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs (batch, features)")
        x = b.cast(inputs, self.dtype)
        gate = activations.apply(b, _affine(self, b, x, "carry_kernel", "carry_bias", x.shape[1]), "sigmoid")
        y = activate(b, _affine(self, b, x, "kernel", "bias", x.shape[1]), self.activation)
        rest = b.op("Sub", [b.scalar(1, x.dtype), gate], x.shape)
        return b.op("Add", [b.op("Mul", [y, gate], x.shape), b.op("Mul", [rest, x], x.shape)], x.shape)


class MaxoutDense(Dense):
    """The largest of `nb_feature` products x W + b; x (B, I), W (nb_feature, I, units), b (nb_feature, units).

    See Goodfellow et al., "Maxout Networks" (2013).
    """

    arguments: ClassVar[tuple[str, ...]] = ("nb_feature",)  # type: ignore[assignment]

    def __init__(self, units: int, nb_feature: int = 4, **options: Any) -> None:
        super().__init__(units, **options)
        self.nb_feature = int(nb_feature)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if inputs.rank != 2:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs (batch, features)")
        x = b.cast(inputs, self.dtype)
        many = (self.nb_feature, x.shape[0], self.units)
        kernel = b.variable(self, "kernel", (self.nb_feature, x.shape[1], self.units))
        y = b.op("MatMul", [b.unsqueeze(x, 0), kernel], many)
        if self.use_bias:
            bias = b.variable(self, "bias", (self.nb_feature, self.units))
            y = b.op("Add", [y, b.unsqueeze(bias, 1)], many)
        return activate(b, b.reduce("ReduceMax", y, [0]), self.activation)


class CosineMerge(Dot):
    """The cosine of two inputs (B, I), as (B, 1, 1): Merge with mode "cos"."""

    def __init__(self, axes: Any, **options: Any) -> None:
        super().__init__(axes, normalize=True, **options)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if any(x.rank != 2 for x in inputs):
            raise self.unsupported(
                f"joins inputs of shapes {[x.shape for x in inputs]} by their cosine", "flatten them before"
            )
        return b.unsqueeze(super().emit(b, inputs), 1)


def _affine(layer: Layer, b: GraphBuilder, x: Tensor, kernel: str, bias: str, width: int | None) -> Tensor:
    y = b.op("MatMul", [x, b.variable(layer, kernel, (width, width))], x.shape)
    return b.op("Add", [y, b.variable(layer, bias, (width,))], x.shape) if bias in layer.weight_names() else y


KERAS_1_LAYERS: dict[str, type[Layer]] = {cls.__name__: cls for cls in (CosineMerge, Highway, MaxoutDense)}
"""What files of Keras 1 may name beyond `LAYERS`; Keras 3 has none of these, so none is among those."""
