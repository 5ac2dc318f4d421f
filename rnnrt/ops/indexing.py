"""Operators that pick and pad: slices, rows, triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.base import KernelCall, LowerContext, Operator, TensorSpec, register
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


_MODES = ("reflect", "edge", "wrap")


@register
class Pad(Operator):
    """Inputs: data, pads (all begins, then all ends; negative: cut), value, axes."""

    name = "Pad"
    attributes: ClassVar[Mapping[str, Any]] = {"mode": "constant"}
    min_inputs = 2
    max_inputs = 4

    @classmethod
    def pads(cls, node: Node, rank: int, pads: Sequence[int], axes: Sequence[int] | None) -> list[tuple[int, int]]:
        """(before, after) of each axis."""
        where = list(range(rank)) if axes is None else [normalise_axis(node, a, rank) for a in axes]
        if len(pads) != 2 * len(where):
            raise ShapeError(f"{node.label()}: {len(pads)} pads for {len(where)} axes; two each are needed")
        both = [(0, 0)] * rank
        for k, axis in enumerate(where):
            both[axis] = (pads[k], pads[len(where) + k])
        return both

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, pads, axes = present(node, inputs), constant_ints(inputs, 1), constant_ints(inputs, 3)
        if cls.attr(node, "mode") not in ("constant", "reflect", "edge", "wrap"):
            raise ShapeError(f"{node.label()}: mode {cls.attr(node, 'mode')!r} is not known")
        if x.shape is None or pads is None or (axes is None and given(inputs, 3) is not None):
            return [TensorSpec(x.dtype, None if x.shape is None else (None,) * len(x.shape))]
        both = cls.pads(node, len(x.shape), pads, axes)
        shape = tuple(
            d + a + b if isinstance(d, int) else d if a == b == 0 else None
            for d, (a, b) in zip(x.shape, both, strict=True)
        )
        if any(isinstance(d, int) and d < 0 for d in shape):
            raise ShapeError(f"{node.label()}: pads {both} cut more than {x.shape} has")
        return [TensorSpec(x.dtype, shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, value, axes = np.asarray(inputs[0]), given(inputs, 2), given(inputs, 3)
        both = cls.pads(node, x.ndim, ints(np.asarray(inputs[1])), None if axes is None else ints(axes))
        x = x[tuple(slice(max(-a, 0), d - max(-b, 0)) for d, (a, b) in zip(x.shape, both, strict=True))]
        grow = [(max(a, 0), max(b, 0)) for a, b in both]
        mode = cls.attr(node, "mode")
        if mode == "constant":
            fill = 0 if value is None or np.size(value) == 0 else np.ravel(value)[0]
            return [np.pad(x, grow, constant_values=fill)]
        return [np.pad(x, grow, mode=mode)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, pads, axes = present(node, inputs), constant_ints(inputs, 1), constant_ints(inputs, 3)
        mode = cls.attr(node, "mode")
        if pads is None or (axes is None and given(inputs, 3) is not None):
            return None
        both = cls.pads(node, len(x.shape or ()), pads, axes)
        if not any(a or b for a, b in both):
            return [KernelCall("alias", (0,))]
        if mode != "constant":
            left = [d + min(a, 0) + min(b, 0) for d, (a, b) in zip(x.known_shape, both, strict=True)]
            flat = (*(a for a, _ in both), *(b for _, b in both))
            return [KernelCall("pad_from", (0,), ints=(_MODES.index(mode), *flat))] if min(left) > 0 else None
        filler = given(inputs, 2)
        value = 2 if filler is not None and filler.shape in {(), (1,)} else None
        if value is None and filler is not None and filler.shape != (0,):
            return None
        return [KernelCall("pad", (0, value), ints=tuple(a for a, _ in both))]


@register
class ReverseSequence(Operator):
    """The first sequence_lens[b] steps of each row b backwards, the rest as they are."""

    name = "ReverseSequence"
    attributes: ClassVar[Mapping[str, Any]] = {"batch_axis": 1, "time_axis": 0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
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


@register
class NonZero(Operator):
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
        x = present(node, inputs)
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
