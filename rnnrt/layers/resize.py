"""Padding, cropping, repeating and rescaling. B batch, T steps, C channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers.base import Extent, GraphBuilder, Layer, Tensor
from rnnrt.layers.norm import axes_of


def ends(value: Any) -> tuple[int, int]:
    """Steps at the front and at the back: one number for both, or two."""
    first, last = value if isinstance(value, (list, tuple)) else (value, value)
    return int(first), int(last)


class _AlongTime(Layer):
    def _checked(self, inputs: Any) -> Tensor:
        if inputs.rank != 3:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs (batch, time, features)")
        return inputs.with_mask(None)


class ZeroPadding1D(_AlongTime):
    """Zeros before the first and behind the last step."""

    arguments = ("padding",)

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.padding = ends(padding)
        if data_format == "channels_first":
            raise self.unsupported("data_format='channels_first'", "use channels_last")

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._checked(inputs)
        first, last = self.padding
        steps: Extent = None if x.shape[1] is None else x.shape[1] + first + last
        pads = b.ints(0, first, 0, 0, last, 0)
        return b.op("Pad", [x, pads], (x.shape[0], steps, x.shape[2]), mode="constant")


class Cropping1D(_AlongTime):
    """Without the first and the last steps."""

    arguments = ("cropping",)

    def __init__(self, cropping: Any = (1, 1), **options: Any) -> None:
        super().__init__(**options)
        self.cropping = ends(cropping)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._checked(inputs)
        first, last = self.cropping
        steps: Extent = None if x.shape[1] is None else x.shape[1] - first - last
        if steps is not None and steps < 1:
            raise self.unsupported(f"cropping={self.cropping} leaves nothing of {x.shape}", "crop less")
        operands: list[Tensor | str] = [x, b.ints(first), b.ints(-last if last else 2**62), b.ints(1), b.ints(1)]
        return b.op("Slice", operands, (x.shape[0], steps, x.shape[2]))


class UpSampling1D(_AlongTime):
    """Every step `size` times."""

    arguments = ("size",)

    def __init__(self, size: Any = 2, **options: Any) -> None:
        super().__init__(**options)
        self.size = int(size[0] if isinstance(size, (list, tuple)) else size)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._checked(inputs)
        width = x.shape[2]
        if width is None:
            raise self.unsupported(f"its input has shape {x.shape}", "declare the features")
        wide = b.op("Tile", [x, b.ints(1, 1, self.size)], (x.shape[0], x.shape[1], self.size * width))
        steps: Extent = None if x.shape[1] is None else x.shape[1] * self.size
        batch: int | str = b.extent(x, 0) if steps is None else -1
        return b.reshape(wide, [batch, -1 if steps is None else steps, width], (x.shape[0], steps, width))


class Rescaling(Layer):
    """x scale + offset; Keras 2 drops the mask here."""

    arguments = ("scale", "offset")

    def __init__(self, scale: Any, offset: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = np.asarray(scale, np.float64), np.asarray(offset, np.float64)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        scaled = b.op("Mul", [x, b.constant(self.scale.astype(self.dtype), "scale")], x.shape)
        y = b.op("Add", [scaled, b.constant(self.offset.astype(self.dtype), "offset")], x.shape)
        return y.with_mask(None if b.legacy else inputs.mask)


class UnitNormalization(Layer):
    """x divided by its length along `axis`."""

    arguments = ("axis",)
    supports_masking = True

    def __init__(self, axis: Any = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = axes_of(self, self.axis, x.rank)
        total = b.reduce("ReduceSum", b.op("Mul", [x, x], x.shape), axes, keepdims=True)
        length = b.op("Sqrt", [b.op("Max", [total, b.scalar(1e-12, x.dtype)], total.shape)], total.shape)
        return b.op("Div", [x, length], x.shape)
