"""Padding, cropping, repeating and rescaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.norm import axes_of
from rnnrt.layers.spatial import Spatial, extents, pairs

_INT64 = np.dtype(np.int64)


class ZeroPadding1D(Spatial):
    """Zeros before the first and behind the last place of every axis of space."""

    arguments: ClassVar[tuple[str, ...]] = ("padding", "data_format")

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.check_format(data_format)
        self.around = pairs(self, "padding", padding)
        self.padding = self.around if self.space > 1 else self.around[0]

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self.checked(b, inputs)
        around = _placed(self, self.around, (0, 0))
        pads = b.ints(*(first for first, _ in around), *(last for _, last in around))
        shape = tuple(None if d is None else d + sum(p) for d, p in zip(x.shape, around, strict=True))
        return b.op("Pad", [x, pads], shape, mode="constant")


class ZeroPadding2D(ZeroPadding1D):
    """Zeros around two axes."""

    space = 2


class ZeroPadding3D(ZeroPadding1D):
    """Zeros around three axes."""

    space = 3


class Cropping1D(Spatial):
    """Without the first and the last places of every axis of space."""

    arguments: ClassVar[tuple[str, ...]] = ("cropping",)

    def __init__(self, cropping: Any = (1, 1), **options: Any) -> None:
        super().__init__(**options)
        self.cuts = pairs(self, "cropping", cropping)
        self.cropping: Any = self.cuts if self.space > 1 else self.cuts[0]

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self.checked(b, inputs)
        shape, axes = list(x.shape), range(self.first_axis, self.first_axis + self.space)
        for axis, cut in zip(axes, self.cuts, strict=True):
            extent = shape[axis]
            shape[axis] = None if extent is None else extent - sum(cut)
            if extent is not None and extent <= sum(cut):
                raise self.unsupported(f"cropping={self.cropping} leaves nothing of {x.shape}", "crop less")
        starts = b.ints(*(first for first, _ in self.cuts))
        stops = b.ints(*(-last if last else 2**62 for _, last in self.cuts))
        operands: list[Tensor | str] = [x, starts, stops, b.ints(*axes), b.ints(*[1] * self.space)]
        return b.op("Slice", operands, tuple(shape))


class Cropping2D(Cropping1D):
    """Without the first and the last places of two axes."""

    arguments = ("data_format",)
    space = 2

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **options: Any) -> None:
        super().__init__(cropping, **options)
        self.check_format(data_format)


class Cropping3D(Cropping2D):
    """Without the first and the last places of three axes."""

    space = 3

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(cropping, data_format, **options)


class UpSampling1D(Spatial):
    """Every place `size` times along every axis of space."""

    arguments: ClassVar[tuple[str, ...]] = ("size",)

    def __init__(self, size: Any = 2, **options: Any) -> None:
        super().__init__(**options)
        self.sizes = extents(self, "size", size)
        self.size: Any = self.sizes if self.space > 1 else self.sizes[0]

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self.checked(b, inputs)
        times = _placed(self, self.sizes, 1)
        shape = tuple(None if d is None else d * n for d, n in zip(x.shape, times, strict=True))
        dims = b.dims_of(x)
        inner = [1 if n > 1 else None for n in times]
        apart = [v for d, n in zip(dims, inner, strict=True) for v in ([d] if n is None else [d, n])]
        known = [v for d, n in zip(x.shape, inner, strict=True) for v in ([d] if n is None else [d, n])]
        repeats = [v for n in times for v in ([1] if n == 1 else [1, n])]
        wide = b.reshape(x, apart, tuple(known))
        full = tuple(None if d is None else d * n for d, n in zip(known, repeats, strict=True))
        wide = b.op("Expand", [wide, b.ints(*repeats)], full)
        after = [b.op("Mul", [d, b.ints(n)], (1,), _INT64).name if isinstance(d, str) and n > 1 else
                 d if isinstance(d, str) else d * n for d, n in zip(dims, times, strict=True)]  # fmt: skip
        return b.reshape(wide, after, shape)


class UpSampling2D(UpSampling1D):
    """Every place as often as `size` says along both axes: the nearest neighbour."""

    arguments = ("data_format", "interpolation")
    space = 2

    def __init__(
        self, size: Any = 2, data_format: str | None = None, interpolation: str = "nearest", **options: Any
    ) -> None:
        super().__init__(size, **options)
        self.check_format(data_format)
        self.interpolation = str(interpolation).lower()
        if self.interpolation != "nearest":
            raise self.unsupported(f"interpolation={interpolation!r}", "use 'nearest'")


class UpSampling3D(UpSampling1D):
    """Every place as often as `size` says along all three axes."""

    arguments = ("data_format",)
    space = 3

    def __init__(self, size: Any = 2, data_format: str | None = None, **options: Any) -> None:
        super().__init__(size, **options)
        self.check_format(data_format)


def _placed(layer: Spatial, values: Sequence[Any], rest: Any) -> list[Any]:
    """An entry for each axis of space among those of all axes, `rest` for batch and channels."""
    placed: list[Any] = [rest] * (layer.space + 2)
    placed[layer.first_axis : layer.first_axis + layer.space] = values
    return placed


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
