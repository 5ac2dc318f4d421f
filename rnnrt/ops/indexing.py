"""Operators that pick: slices, rows, triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.adjoint import constant_list, reshape
from rnnrt.ops.adjoint import ints as int_list
from rnnrt.ops.base import Flat, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present
from rnnrt.ops.shape import INT64, constant_ints, given, ints


def in_range(node: Node, indices: np.ndarray, extent: int) -> np.ndarray:
    """Indices counted from the front. Raises `ShapeError` when one lies outside [-extent, extent)."""
    outside = (indices < -extent) | (indices >= extent)
    if np.any(outside):
        raise ShapeError(
            f"{node.label()}: index {indices[outside].ravel()[0]} is out of range for an extent of {extent}"
        )
    return np.where(indices < 0, indices + extent, indices)


@register
class Slice(Operator):
    """Inputs: data, starts, ends, axes (or all), steps (or 1)."""

    name = "Slice"
    min_inputs = 3
    max_inputs = 5

    @classmethod
    def ranges(
        cls, node: Node, rank: int, starts: Sequence[int], ends: Sequence[int],
        axes: Sequence[int] | None, steps: Sequence[int] | None,
    ) -> dict[int, slice]:  # fmt: skip
        """What to take of each axis that is cut."""
        axes = range(len(starts)) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        if not len(starts) == len(ends) == len(axes) == len(steps):
            raise ShapeError(f"{node.label()}: starts, ends, axes and steps have different lengths")
        if 0 in steps:
            raise ShapeError(f"{node.label()}: a step is 0")
        found: dict[int, slice] = {}
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            found[normalise_axis(node, axis, rank)] = slice(start, end, step)
        return found

    @classmethod
    def _bounds(cls, cut: slice, extent: int) -> tuple[int, int]:
        """First element and number of elements; ONNX clamps as Python does, but a negative end counts once."""
        start, step = cut.start, cut.step
        end = cut.stop
        start = start + extent if start < 0 else start
        end = end + extent if end < 0 else end
        if step > 0:
            start, end = min(max(start, 0), extent), min(max(end, 0), extent)
            return start, max(-(-(end - start) // step), 0)
        start, end = min(max(start, 0), extent - 1), min(max(end, -1), extent - 1)
        return start, max(-((end - start) // -step), 0) if end < start else 0

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        starts, ends, axes, steps = (constant_ints(inputs, i) for i in range(1, 5))
        if x.shape is None:
            return [TensorSpec(x.dtype, None)]
        missing = (axes is None and given(inputs, 3) is not None) or (steps is None and given(inputs, 4) is not None)
        if starts is None or ends is None or missing:
            unknown: list[Dim] = [None] * len(x.shape)
            if axes is not None:
                cut = {normalise_axis(node, a, len(x.shape)) for a in axes}
                unknown = [None if i in cut else d for i, d in enumerate(x.shape)]
            return [TensorSpec(x.dtype, tuple(unknown))]
        shape = list(x.shape)
        for axis, cut_ in cls.ranges(node, len(shape), starts, ends, axes, steps).items():
            extent = shape[axis]
            if isinstance(extent, int):
                shape[axis] = cls._bounds(cut_, extent)[1]
            elif cut_.start == 0 and cut_.stop >= 2**31 - 1 and cut_.step == 1:
                pass  # all of it
            elif (cut_.start == -1 and cut_.step == 1 and cut_.stop >= 2**31 - 1) or (
                cut_.start == 0 and cut_.stop == 1 and cut_.step == 1
            ):
                shape[axis] = 1
            elif cut_.step == -1 and cut_.start == -1 and cut_.stop <= -(2**31) + 1:
                pass
            else:
                shape[axis] = None
        return [TensorSpec(x.dtype, tuple(shape))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        lists = [None if given(inputs, i) is None else ints(given(inputs, i)) for i in range(1, 5)]
        for axis, cut in cls.ranges(node, x.ndim, *lists).items():  # type: ignore[arg-type]
            start, count = cls._bounds(cut, x.shape[axis])
            x = x.take(start + np.arange(count) * cut.step, axis)
        return [x]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        shape: tuple[int, ...] = present(node, inputs).shape  # type: ignore[assignment]
        lists = [constant_ints(inputs, i) for i in range(1, 5)]
        if lists[0] is None or lists[1] is None or any(lists[k] is None and given(inputs, k + 1) for k in (2, 3)):
            return None
        if outputs[0].shape == shape and all(s > 0 for s in lists[3] or (1,)):
            return [KernelCall("alias", (0,))]
        starts, steps = [0] * len(shape), [1] * len(shape)
        for axis, cut in cls.ranges(node, len(shape), *lists).items():  # type: ignore[arg-type]
            starts[axis], steps[axis] = cls._bounds(cut, shape[axis])[0], cut.step
        return [KernelCall("slice", (0,), ints=(*starts, *steps))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        """Backward steps turned round, then gaps of zeros between the elements, then zeros around them."""
        shape, g = b.spec(node.inputs[0]).known_shape, grads[0]
        lists: Any = [constant_list(b, node, i) for i in range(1, 5)]
        before, after = [0] * len(shape), [0] * len(shape)
        for axis, cut in cls.ranges(node, len(shape), *lists).items():
            extents = b.spec(g).known_shape
            start, step, count = cls._bounds(cut, shape[axis])[0], cut.step, extents[axis]
            if step < 0 and count > 1:
                g = b.op("Slice", [g, *(int_list(b, [v]) for v in (-1, -(2**62), axis, -1))])
            start, step = (start + (count - 1) * step, -step) if step < 0 else (start, step)
            if step > 1 and count > 1:
                g = reshape(b, g, (*extents[: axis + 1], 1, *extents[axis + 1 :]))
                pads = [0] * (2 * len(shape) + 2)
                pads[len(shape) + 1 + axis + 1] = step - 1
                g = b.op("Pad", [g, int_list(b, pads)])
                count *= step
                g = reshape(b, g, (*extents[:axis], count, *extents[axis + 1 :]))
            before[axis], after[axis] = (start, shape[axis] - start - count) if count else (0, shape[axis])
        return [b.op("Pad", [g, int_list(b, [*before, *after])]) if any(before) or any(after) else g]


@register
class Gather(Operator):
    """Slices of input 0 along `axis` at the indices of input 1."""

    name = "Gather"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": 0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, indices = present(node, inputs), present(node, inputs, 1)
        if x.shape is None or indices.shape is None:
            return [TensorSpec(x.dtype, None)]
        at = normalise_axis(node, cls.attr(node, "axis"), len(x.shape))
        return [TensorSpec(x.dtype, (*x.shape[:at], *indices.shape, *x.shape[at + 1 :]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, indices = np.asarray(inputs[0]), np.asarray(inputs[1])
        at = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        return [x.take(in_range(node, indices, x.shape[at]), at)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x = present(node, inputs)
        return [KernelCall("gather", (0, 1), ints=(normalise_axis(node, cls.attr(node, "axis"), len(x.shape or ())),))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        shape = b.spec(node.inputs[0]).known_shape
        at = normalise_axis(node, cls.attr(node, "axis"), len(shape))
        return [b.op("GatherGradient", [grads[0], node.inputs[1]], axis=at, extent=shape[at])]


@register
class ReverseSequence(Operator):
    """The first sequence_lens[b] steps of each row b backwards, the rest as they are."""

    name = "ReverseSequence"
    attributes: ClassVar[Mapping[str, Any]] = {"batch_axis": 1, "time_axis": 0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        for key in ("batch_axis", "time_axis") if x.shape is not None else ():
            normalise_axis(node, cls.attr(node, key), len(x.shape))  # type: ignore[arg-type]
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, lengths = np.asarray(inputs[0]), np.asarray(inputs[1])
        time, batch = cls.attr(node, "time_axis") % x.ndim, cls.attr(node, "batch_axis") % x.ndim
        moved = np.moveaxis(x, (time, batch), (0, 1))
        if lengths.shape != (moved.shape[1],) or np.any(lengths < 0) or np.any(lengths > len(moved)):
            raise ShapeError(f"{node.label()}: lengths {lengths.tolist()} do not fit shape {x.shape}")
        step, end = np.arange(len(moved))[:, None], lengths[None, :]
        source = np.where(step < end, end - 1 - step, step)
        out = moved[source, np.arange(moved.shape[1])[None, :]]
        return [np.ascontiguousarray(np.moveaxis(out, (0, 1), (time, batch)))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, lengths = present(node, inputs), present(node, inputs, 1)
        rank = len(x.known_shape)
        time, batch = cls.attr(node, "time_axis") % rank, cls.attr(node, "batch_axis") % rank
        if {time, batch} != {0, 1} or lengths.known_shape != (x.known_shape[batch],):
            return None
        return [KernelCall("reverse_sequence", (0, 1), ints=(int(time == 0),))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return [b.op("ReverseSequence", [grads[0], node.inputs[1]], **node.attrs)]


@register
class NonZero(Flat):
    """Indices of the elements that are not zero, (rank, how many)."""

    name = "NonZero"

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        return [TensorSpec(INT64, (None if x.shape is None else len(x.shape), None))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.array(np.nonzero(np.asarray(inputs[0])), INT64)]


@register
class Trilu(Operator):
    """The upper or lower triangle, from diagonal k (input 1) on."""

    name = "Trilu"
    attributes: ClassVar[Mapping[str, Any]] = {"upper": 1}
    max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, k = present(node, inputs), given(inputs, 1)
        if x.shape is not None and len(x.shape) < 2:
            raise ShapeError(f"{node.label()}: takes matrices, not shape {x.shape}")
        if k is not None and k.shape is not None and any(isinstance(d, int) and d != 1 for d in k.shape):
            raise ShapeError(f"{node.label()}: k must be one value, got shape {k.shape}")
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        k = 0 if given(inputs, 1) is None else int(np.asarray(inputs[1]).ravel()[0])
        return [(np.triu if cls.attr(node, "upper") else np.tril)(np.asarray(inputs[0]), k)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        k = constant_ints(inputs, 1) if given(inputs, 1) is not None else [0]
        if k is None or len(outputs[0].known_shape) < 2:
            return None
        return [KernelCall("triangle", (0,), ints=(int(bool(cls.attr(node, "upper"))), k[0]))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return [b.op("Trilu", [grads[0], *node.inputs[1:]], **node.attrs)]
