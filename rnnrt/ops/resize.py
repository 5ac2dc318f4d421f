"""Resampling along axes, by the nearest value or linearly.

Positions are computed in float32, as onnxruntime computes them: a position that falls on a place between two values
decides which one is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present
from rnnrt.ops.shape import given

SUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "mode": ("nearest", "linear"),
    "coordinate_transformation_mode": (
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
        "tf_half_pixel_for_nn",
    ),
    "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
    "antialias": (0,),
}  # fmt: skip
"""Values of attributes that are understood."""

Array = np.ndarray


class Stretch(NamedTuple):
    """An axis of `length` that gets `target` places; `scale` is what positions are divided by."""

    axis: int
    length: int
    target: int
    scale: float


@register
class Resize(Operator):
    """X, roi (not read), scales, sizes: one of the last two says how long the axes in `axes`, or all, become.

    Linear resampling of several axes is one after the other, which is the multilinear one.
    """

    name = "Resize"
    attributes: ClassVar[Mapping[str, Any]] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_floor",
        "axes": (),
        "keep_aspect_ratio_policy": "stretch",
        "antialias": 0,
        "cubic_coeff_a": -0.75,
        "exclude_outside": 0,
        "extrapolation_value": 0.0,
    }
    max_inputs = 4

    @classmethod
    def axes_of(cls, node: Node, rank: int) -> list[int]:
        """The axes that `scales` or `sizes` tell about."""
        axes = [normalise_axis(node, int(a), rank) for a in cls.attr(node, "axes")] or list(range(rank))
        if len(set(axes)) != len(axes):
            raise ShapeError(f"{node.label()}: axes {axes} name an axis twice")
        return axes

    @classmethod
    def stretches(cls, node: Node, shape: Sequence[Dim], scales: Any, sizes: Any) -> list[Stretch | None]:
        """What happens to each axis; None where that is not known.

        Raises
        ------
        ShapeError
            `scales` or `sizes` do not fit the axes, or a length would not be positive.
        """
        axes = cls.axes_of(node, len(shape))
        wanted = [v for v in (scales, sizes) if v is not None and np.size(v)]
        if len(wanted) != 1 or np.size(wanted[0]) != len(axes):
            raise ShapeError(f"{node.label()}: needs scales or sizes, one number for each of the axes {axes}")
        ratios = None if sizes is None or not np.size(sizes) else cls._aspect(node, shape, axes, sizes)
        found: list[Stretch | None] = []
        for axis, length in enumerate(shape):
            number = np.ravel(wanted[0])[axes.index(axis)] if axis in axes else None
            if number is None or not isinstance(length, int):
                found.append(Stretch(axis, length, length, 1.0) if isinstance(length, int) else None)
                continue
            if ratios is None:
                scale = float(np.float32(number))
                target = math.floor(np.float32(length) * np.float32(number)) if scale > 0 else -1
            else:
                scale = ratios or float(np.float32(number) / np.float32(max(length, 1)))
                target = math.floor(ratios * length + 0.5) if ratios else int(number)
            if target < 0 or (target and not length):
                raise ShapeError(f"{node.label()}: axis {axis} of extent {length} cannot become {number} of that")
            found.append(Stretch(axis, length, target, scale))
        return found

    @classmethod
    def _aspect(cls, node: Node, shape: Sequence[Dim], axes: Sequence[int], sizes: Any) -> float:
        """The one scale of all axes; 0 where each has its own."""
        policy = cls.attr(node, "keep_aspect_ratio_policy")
        if policy == "stretch":
            return 0.0
        each = []
        for axis, size in zip(axes, np.ravel(sizes), strict=True):
            length = shape[axis]
            if not isinstance(length, int) or length < 1:
                raise ShapeError(f"{node.label()}: keep_aspect_ratio_policy={policy} needs the extent of axis {axis}")
            each.append(float(np.float32(size) / np.float32(length)))
        return min(each) if policy == "not_larger" else max(each)

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        for key, known in SUPPORTED.items():
            if cls.attr(node, key) not in known:
                raise ShapeError(f"{node.label()}: {key}={cls.attr(node, key)!r} is not one of {known}")
        if cls.attr(node, "mode") == "linear" and x.dtype.kind != "f":
            raise ShapeError(f"{node.label()}: linear resampling needs floats, got {x.dtype}; cast them before")
        if x.shape is None:
            return [TensorSpec(x.dtype, None)]
        specs = [given(inputs, k) for k in (2, 3)]
        if any(s is not None and s.value is None for s in specs):
            axes = cls.axes_of(node, len(x.shape))
            return [TensorSpec(x.dtype, tuple(None if k in axes else d for k, d in enumerate(x.shape)))]
        scales, sizes = (np.zeros(0) if s is None or s.value is None else s.value.ravel() for s in specs)
        free = None in [d if isinstance(d, int) else None for d in x.shape]
        if free and cls.attr(node, "keep_aspect_ratio_policy") != "stretch":
            return [TensorSpec(x.dtype, (None,) * len(x.shape))]
        found = cls.stretches(node, x.shape, scales, sizes)
        axes = cls.axes_of(node, len(x.shape))
        shape: list[Dim] = []
        for axis, stretch in enumerate(found):
            if stretch is not None or axis not in axes:
                shape.append(x.shape[axis] if stretch is None else stretch.target)
            elif sizes.size:
                shape.append(int(sizes[axes.index(axis)]))
            else:
                shape.append(x.shape[axis] if scales[axes.index(axis)] == 1 else None)
        return [TensorSpec(x.dtype, tuple(shape))]

    @classmethod
    def taps(cls, node: Node, stretch: Stretch) -> tuple[Array, Array, Array]:
        """Of each new place the two old ones that it lies between, and how far from the first; all `target` long."""
        position = _positions(cls.attr(node, "coordinate_transformation_mode"), stretch)
        last = stretch.length - 1
        if cls.attr(node, "mode") == "nearest":
            nearest = _rounded(cls.attr(node, "nearest_mode"), position).clip(0, last).astype(np.int64)
            return nearest, nearest, np.zeros(len(nearest), np.float32)
        position = position.clip(0, last)
        low = np.floor(position).astype(np.int64)
        return low, np.minimum(low + 1, last), (position - low).astype(np.float32)

    @classmethod
    def changes(cls, node: Node, shape: Sequence[int], scales: Any, sizes: Any) -> list[Stretch]:
        """The axes that do not stay as they are."""
        found = [s for s in cls.stretches(node, shape, scales, sizes) if s is not None]
        return [s for s in found if s.target != s.length or s.scale != 1.0]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        for stretch in cls.changes(node, x.shape, given(inputs, 2), given(inputs, 3)):
            low, high, part = cls.taps(node, stretch)
            first = x.take(low, stretch.axis)
            if cls.attr(node, "mode") == "linear":
                part = part.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - stretch.axis))
                first = first * (1 - part) + x.take(high, stretch.axis) * part
            x = first
        return [x]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        changes = cls._static(node, inputs)
        if changes is None or len(changes) > 1 or cls.attr(node, "mode") != "nearest":
            return None
        if not changes:
            return [KernelCall("alias", (0,))]
        return [KernelCall("gather", (0, cls.taps(node, changes[0])[0]), ints=(changes[0].axis,))]

    @classmethod
    def _static(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[Stretch] | None:
        x, specs = present(node, inputs), [given(inputs, k) for k in (2, 3)]
        if any(s is not None and s.value is None for s in specs) or not x.is_static:
            return None
        return cls.changes(node, x.known_shape, *(None if s is None else s.value for s in specs))

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        x, gradient = b.spec(node.inputs[0]), grads[0]
        changes = cls._static(node, [b.spec(name) if name else None for name in node.inputs]) or []
        for stretch in reversed(changes):
            low, high, part = cls.taps(node, stretch)
            beside = [1] * (len(x.known_shape) - 1 - stretch.axis)
            ends = [(low, 1 - part), (high, part)] if cls.attr(node, "mode") == "linear" else [(low, None)]
            sums = []
            for places, weights in ends:
                given_back = gradient
                if weights is not None:
                    factor = b.constant(weights.astype(x.dtype).reshape(-1, *beside))
                    given_back = b.op("Mul", [gradient, factor])
                at = {"axis": stretch.axis, "extent": stretch.length}
                sums.append(b.op("GatherGradient", [given_back, b.constant(places)], **at))
            gradient = b.op("Add", sums) if len(sums) > 1 else sums[0]
        return [gradient]


def _positions(mode: str, s: Stretch) -> Array:
    """Where the new places lie among the old ones: ONNX's formulas."""
    half, scale = np.float32(0.5), np.float32(s.scale)
    x = np.arange(s.target, dtype=np.float32)
    if mode == "align_corners":
        return x * np.float32(s.length - 1) / np.float32(s.target - 1) if s.target > 1 else x * 0
    if mode == "asymmetric":
        return x / scale
    if mode == "tf_half_pixel_for_nn":
        return (x + half) / scale
    if mode == "pytorch_half_pixel" and s.target <= 1:
        return x * 0
    offset = np.float32(0)
    if mode == "half_pixel_symmetric":
        exact = np.float32(s.target) / (scale * np.float32(s.length))
        offset = np.float32(s.length) * half * (1 - exact)
    return offset + (x + half) / scale - half


def _rounded(mode: str, x: Array) -> Array:
    low = np.floor(x)
    if mode == "floor":
        return low
    if mode == "ceil":
        return np.ceil(x)
    over = x - low > 0.5 if mode == "round_prefer_floor" else x - low >= 0.5
    return low + over
