"""Padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.adjoint import constant_list, name_at, reshape, sum_over, wants
from rnnrt.ops.adjoint import ints as int_list
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present
from rnnrt.ops.shape import constant_ints, given, ints

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

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        x, rank = node.inputs[0], len(b.spec(node.inputs[0]).known_shape)
        both = cls.pads(node, rank, constant_list(b, node, 1) or [], constant_list(b, node, 3))
        if cls.attr(node, "mode") == "constant":
            return cls._constant_gradient(node, grads[0], b, both)
        g = grads[0]
        for axis, (before, after) in enumerate(both):
            if before or after:
                # Which element each place was copied from; the axes can be taken one by one.
                extent = b.spec(x).known_shape[axis]
                kept = np.arange(extent)[max(-before, 0) : extent - max(-after, 0)]
                source = np.pad(kept, (max(before, 0), max(after, 0)), mode=cls.attr(node, "mode"))
                g = b.op("GatherGradient", [g, int_list(b, source.tolist())], axis=axis, extent=extent)
        return [g]

    @classmethod
    def _constant_gradient(
        cls, node: Node, g: str, b: GradientContext, both: Sequence[tuple[int, int]]
    ) -> Sequence[str]:
        found = [""] * len(node.inputs)
        if b.wanted(node.inputs[0]):
            back = [-a for a, _ in both] + [-c for _, c in both]
            found[0] = b.op("Pad", [g, int_list(b, back)]) if any(back) else g
        if wants(b, name_at(node.inputs, 2)):
            # The filler has what is around: all but what is inside.
            shape = b.spec(g).known_shape
            mask = np.ones(shape, b.spec(g).dtype)
            mask[tuple(slice(max(a, 0), d - max(c, 0)) for d, (a, c) in zip(shape, both, strict=True))] = 0
            total = sum_over(b, b.op("Mul", [g, b.constant(mask)]), range(len(shape)))
            found[2] = reshape(b, total, b.spec(node.inputs[2]).known_shape)
        return found
