"""Joining, cutting and repeating tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.adjoint import constant_list, reshape, sum_over, unbroadcast, zeros
from rnnrt.ops.adjoint import ints as int_list
from rnnrt.ops.base import REQUIRED, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import broadcast_shapes, normalise_axis, present, same_dtype
from rnnrt.ops.shape import constant_ints, given, ints


@register
class Concat(Operator):
    """Inputs one after the other along `axis`."""

    name = "Concat"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": REQUIRED}
    max_inputs = None

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        specs = [present(node, inputs, i) for i in range(len(inputs))]
        dtype = same_dtype(node, specs)
        shapes = [s.shape for s in specs if s.shape is not None]
        if len(shapes) != len(specs):
            return [TensorSpec(dtype, None)]
        if len({len(s) for s in shapes}) != 1:
            raise ShapeError(f"{node.label()}: shapes {shapes} have different ranks")
        at = normalise_axis(node, cls.attr(node, "axis"), len(shapes[0]))
        result: list[Dim] = []
        for i, column in enumerate(zip(*shapes, strict=True)):
            known = {d for d in column if isinstance(d, int)}
            if i == at:
                total = sum(d for d in column if isinstance(d, int))
                result.append(total if len(column) == _count_ints(column) else None)
            elif len(known) > 1:
                raise ShapeError(f"{node.label()}: shapes {shapes} differ along axis {i}; only axis {at} may differ")
            else:
                result.append(known.pop() if known else column[0] if len(set(column)) == 1 else None)
        return [TensorSpec(dtype, tuple(result))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.concatenate([np.asarray(x) for x in inputs], cls.attr(node, "axis"))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        shape: tuple[int, ...] = outputs[0].shape  # type: ignore[assignment]
        at = normalise_axis(node, cls.attr(node, "axis"), len(shape))
        return [KernelCall("concat", tuple(range(len(inputs))), ints=(at,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        at = normalise_axis(node, cls.attr(node, "axis"), len(b.spec(grads[0]).known_shape))
        found: list[str] = []
        start = 0
        for name in node.inputs:
            end = start + b.spec(name).known_shape[at]
            bounds = (int_list(b, [v]) for v in (start, end, at))
            found.append(b.op("Slice", [grads[0], *bounds]) if b.wanted(name) else "")
            start = end
        return found


def _count_ints(dims: Sequence[Dim]) -> int:
    return sum(isinstance(d, int) for d in dims)


@register
class Split(Operator):
    """Pieces along `axis`, of the lengths in input 1 or as equal as they come."""

    name = "Split"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": 0, "num_outputs": 0}
    max_inputs = 2

    @classmethod
    def pieces(cls, node: Node, sizes: Sequence[int] | None, extent: int) -> list[int]:
        """Lengths of the pieces. Raises `ShapeError` unless they make up the extent."""
        count = len(node.outputs)
        if sizes is None:
            each = -(-extent // (cls.attr(node, "num_outputs") or count))
            sizes = [min(each, max(extent - each * k, 0)) for k in range(count)]
        if len(sizes) != count or sum(sizes) != extent or min(sizes, default=0) < 0:
            raise ShapeError(
                f"{node.label()}: pieces {list(sizes)} for {count} outputs do not make up an extent of {extent}"
            )
        return list(sizes)

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, sizes = present(node, inputs), constant_ints(inputs, 1)
        if x.shape is None:
            return [TensorSpec(x.dtype, None)] * len(node.outputs)
        at = normalise_axis(node, cls.attr(node, "axis"), len(x.shape))
        extent = x.shape[at]
        lengths: Sequence[Dim] = [None] * len(node.outputs)
        if sizes is not None and not isinstance(extent, int):
            lengths = sizes
        elif isinstance(extent, int) and (sizes is not None or given(inputs, 1) is None):
            lengths = cls.pieces(node, sizes, extent)
        return [TensorSpec(x.dtype, (*x.shape[:at], n, *x.shape[at + 1 :])) for n in lengths]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, sizes = np.asarray(inputs[0]), given(inputs, 1)
        at = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        lengths = cls.pieces(node, None if sizes is None else ints(sizes), x.shape[at])
        return [np.ascontiguousarray(p) for p in np.split(x, np.cumsum(lengths)[:-1], at)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        at = normalise_axis(node, cls.attr(node, "axis"), len(present(node, inputs).known_shape))
        lengths = (s.known_shape[at] for s in outputs)
        return [KernelCall("split", (0,), tuple(range(len(outputs))), ints=(at, *lengths))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        at = normalise_axis(node, cls.attr(node, "axis"), len(b.spec(node.inputs[0]).known_shape))
        shape, sizes = b.spec(node.inputs[0]).known_shape, constant_list(b, node, 1)
        like = b.spec(next(g for g in grads if g)).dtype
        pieces = []
        for length, gradient in zip(cls.pieces(node, sizes, shape[at]), grads, strict=True):
            whole = (*shape[:at], length, *shape[at + 1 :])
            pieces.append(gradient or zeros(b, whole, like))
        return [b.op("Concat", pieces, axis=at)]


@register
class Expand(Operator):
    """Broadcast to the shape in input 1."""

    name = "Expand"
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, target = present(node, inputs), constant_ints(inputs, 1)
        if target is None:
            return [TensorSpec(x.dtype, None)]
        return [TensorSpec(x.dtype, broadcast_shapes(node, [x.shape, tuple(target)]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, target = np.asarray(inputs[0]), tuple(ints(np.asarray(inputs[1])))
        return [np.broadcast_to(x, np.broadcast_shapes(x.shape, target)).copy()]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        if math.prod(outputs[0].shape or ()) == math.prod(present(node, inputs).shape or ()):  # type: ignore[arg-type]
            return [KernelCall("alias", (0,))]
        return [KernelCall("expand", (0,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return [unbroadcast(b, grads[0], b.spec(node.inputs[0]))]


_TILE_RANK = 4
"""The kernel takes two axes for each of the tensor's, and tensors have eight at most."""


@register
class Tile(Operator):
    """Repeated along each axis as often as input 1 says."""

    name = "Tile"
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, repeats = present(node, inputs), constant_ints(inputs, 1)
        if x.shape is None or repeats is None:
            return [TensorSpec(x.dtype, None if x.shape is None else (None,) * len(x.shape))]
        if len(repeats) != len(x.shape) or min(repeats, default=0) < 0:
            raise ShapeError(f"{node.label()}: repeats {repeats} do not fit shape {x.shape}")
        return [TensorSpec(x.dtype, tuple(d * n if isinstance(d, int) else d if n == 1 else None
                                          for d, n in zip(x.shape, repeats, strict=True)))]  # fmt: skip

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.tile(np.asarray(inputs[0]), ints(np.asarray(inputs[1])))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        return [KernelCall("tile", (0,))] if len(outputs[0].shape or ()) <= _TILE_RANK else None

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        shape, whole = b.spec(node.inputs[0]).known_shape, b.spec(grads[0]).known_shape
        repeats = constant_list(b, node, 1) or []
        split = [(n, d) for n, d in zip(repeats, shape, strict=True) if n != 1 or d != 1]
        if 0 in whole:
            return [zeros(b, shape, b.spec(grads[0]).dtype)]
        apart = reshape(b, grads[0], [v for n, d in split for v in ((n, d) if n != 1 else (d,))])
        axes: list[int] = []
        at = 0
        for n, _ in split:
            axes += [at] if n != 1 else []
            at += 2 if n != 1 else 1
        return [reshape(b, sum_over(b, apart, axes), shape)]
