"""Operators that pick and put single elements, and slices by tuples of indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError, UnsupportedModelError
from rnnrt.ir import Node
from rnnrt.ops.adjoint import expand, zeros
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present
from rnnrt.ops.elementwise import NATIVE
from rnnrt.ops.indexing import in_range


def element_axis(node: Node, axis: int, x: TensorSpec, indices: TensorSpec) -> int | None:
    """The axis of GatherElements and ScatterElements; None unless every index has a place in x."""
    at, have, want = normalise_axis(node, axis, len(x.known_shape)), x.known_shape, indices.known_shape
    fits = len(have) == len(want) and all(w <= h for i, (w, h) in enumerate(zip(want, have, strict=True)) if i != at)
    return at if fits else None


@register
class GatherElements(Operator):
    """For each index, the element of input 0 at its place, but at the index along `axis`."""

    name = "GatherElements"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": 0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        return [TensorSpec(present(node, inputs).dtype, present(node, inputs, 1).shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, indices = np.asarray(inputs[0]), np.asarray(inputs[1])
        at = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        places = list(np.ix_(*map(np.arange, indices.shape)))
        places[at] = in_range(node, indices, x.shape[at])
        return [x[tuple(places)]]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        at = element_axis(node, cls.attr(node, "axis"), present(node, inputs), present(node, inputs, 1))
        return None if at is None else [KernelCall("gather_elements", (0, 1), ints=(at,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        x = b.spec(node.inputs[0])
        operands = [zeros(b, x.known_shape, x.dtype), node.inputs[1], grads[0]]
        return [b.op("ScatterElements", operands, axis=cls.attr(node, "axis"), reduction="add")]


@register
class GatherND(Operator):
    """Slices of input 0 at the index tuples along the last axis of input 1, for each of `batch_dims` first axes."""

    name = "GatherND"
    attributes: ClassVar[Mapping[str, Any]] = {"batch_dims": 0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, indices = present(node, inputs), present(node, inputs, 1)
        if x.shape is None or not indices.shape or not isinstance(indices.shape[-1], int):
            return [TensorSpec(x.dtype, None)]
        batch = cls.attr(node, "batch_dims")
        if not 0 <= batch < min(len(x.shape), len(indices.shape)):
            raise ShapeError(f"{node.label()}: batch_dims {batch} does not fit shapes {x.shape} and {indices.shape}")
        depth = batch + indices.shape[-1]
        if depth > len(x.shape):
            raise ShapeError(f"{node.label()}: index tuples of {indices.shape[-1]} do not fit shape {x.shape}")
        return [TensorSpec(x.dtype, (*indices.shape[:-1], *x.shape[depth:]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, indices = np.asarray(inputs[0]), np.asarray(inputs[1])
        batch = cls.attr(node, "batch_dims")
        places: list[np.ndarray] = []
        for i in range(batch):
            places.append(np.arange(x.shape[i]).reshape((-1,) + (1,) * (indices.ndim - 2 - i)))
        for k in range(indices.shape[-1]):
            places.append(in_range(node, indices[..., k], x.shape[batch + k]))
        return [x[tuple(places)]]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        have, want = present(node, inputs).known_shape, present(node, inputs, 1).known_shape
        batch = cls.attr(node, "batch_dims")
        if not 0 <= batch < len(want) or have[:batch] != want[:batch] or not want[-1]:
            return None
        return [KernelCall("gather_nd", (0, 1), ints=(batch,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        x, places = b.spec(node.inputs[0]), node.inputs[1]
        batch, shape = cls.attr(node, "batch_dims"), b.spec(places).known_shape
        if batch:
            # ScatterND knows no batch: the tuples get the place in the batch in front
            rows = np.stack(np.meshgrid(*map(np.arange, shape[:batch]), indexing="ij"), -1)
            rows = rows.reshape(*shape[:batch], *(1,) * (len(shape) - batch - 1), batch)
            front = expand(b, b.constant(rows.astype(b.spec(places).dtype)), (*shape[:-1], batch))
            places = b.op("Concat", [front, places], axis=len(shape) - 1)
        return [b.op("ScatterND", [zeros(b, x.known_shape, x.dtype), places, grads[0]], reduction="add")]


_REDUCE = {"none": None, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


class _Scatter(Operator):
    """Base: a copy of input 0 with updates (input 2) at the indices (input 1)."""

    min_inputs = max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        if cls.attr(node, "reduction") not in _REDUCE:
            raise ShapeError(f"{node.label()}: reduction {cls.attr(node, 'reduction')!r} is none of {list(_REDUCE)}")
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        """With reduction "none" each place is named once, as ONNX demands: its old element has no influence."""
        x, indices, updates = node.inputs
        reduction, attrs = cls.attr(node, "reduction"), {k: v for k, v in node.attrs.items() if k == "axis"}
        if reduction not in ("none", "add"):
            reason = f"{node.label()}: reduction {reduction!r} has no gradient; only 'none' and 'add' have"
            raise UnsupportedModelError("graph", [reason])
        dx = dupdates = ""
        if b.wanted(x):
            dx = grads[0]
            if reduction == "none":
                nothing = zeros(b, b.spec(updates).known_shape, b.spec(x).dtype)
                dx = b.op(cls.name, [grads[0], indices, nothing], **attrs)
        if b.wanted(updates):
            gather = {"ScatterElements": "GatherElements", "ScatterND": "GatherND"}[cls.name]
            dupdates = b.op(gather, [grads[0], indices], **attrs)
        return [dx, "", dupdates]

    @classmethod
    def put(cls, node: Node, x: np.ndarray, places: tuple[np.ndarray, ...], updates: np.ndarray) -> list[np.ndarray]:
        """Write or combine, in order."""
        out, combine = x.copy(), _REDUCE[cls.attr(node, "reduction")]
        if combine is None:
            out[places] = updates
        else:
            combine.at(out, places, updates)
        return [out]

    @classmethod
    def opcode(cls, node: Node, x: TensorSpec, updates: TensorSpec) -> int | None:
        """The kernels' number of the reduction; None where they do not take the dtypes."""
        number = list(_REDUCE).index(cls.attr(node, "reduction"))
        return number if x.dtype == updates.dtype and (number == 0 or x.dtype in NATIVE) else None


@register
class ScatterElements(_Scatter):
    """Each update at its place, but at the index along `axis`."""

    name = "ScatterElements"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": 0, "reduction": "none"}

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, indices, updates = (np.asarray(v) for v in inputs)
        at = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        places = list(np.broadcast_arrays(*np.ix_(*map(np.arange, indices.shape))))
        places[at] = in_range(node, indices, x.shape[at])
        return cls.put(node, x, tuple(places), updates)

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, indices, updates = (present(node, inputs, k) for k in range(3))
        at, opcode = element_axis(node, cls.attr(node, "axis"), x, indices), cls.opcode(node, x, updates)
        if at is None or opcode is None or indices.known_shape != updates.known_shape:
            return None
        return [KernelCall("scatter_elements", (0, 1, 2), ints=(at, opcode))]


@register
class ScatterND(_Scatter):
    """Slices at the index tuples along the last axis of input 1."""

    name = "ScatterND"
    attributes: ClassVar[Mapping[str, Any]] = {"reduction": "none"}

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, indices, updates = (np.asarray(v) for v in inputs)
        places = tuple(in_range(node, indices[..., k], x.shape[k]) for k in range(indices.shape[-1]))
        return cls.put(node, x, places, updates)

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, indices, updates = (present(node, inputs, k) for k in range(3))
        opcode, have, want = cls.opcode(node, x, updates), x.known_shape, indices.known_shape
        if opcode is None or not want or not 0 < want[-1] <= len(have):
            return None
        if updates.known_shape != (*want[:-1], *have[want[-1] :]):
            return None
        if indices.value is not None and cls.attr(node, "reduction") == "none" and 0 not in (*have, *want):
            runs = _runs(indices.value, have)
            if runs is not None:
                return [KernelCall("scatter_runs", (0, runs[0], 2), ints=(runs[1],))]
        return [KernelCall("scatter_nd", (0, 1, 2), ints=(opcode,))]


def _runs(indices: np.ndarray, extents: tuple[int, ...]) -> tuple[np.ndarray, int] | None:
    """First elements of the contiguous runs of equal length that constant index tuples name, and that length.

    None where an index is out of range. Exporters write an assignment to a slice as one tuple for each element.
    """
    depth = indices.shape[-1]
    named, inside = extents[:depth], int(np.prod(extents[depth:], dtype=np.int64))
    tuples = indices.reshape(-1, depth).astype(np.int64)
    tuples = np.where(tuples < 0, tuples + named, tuples)
    if np.any(tuples < 0) or np.any(tuples >= named):
        return None
    starts = np.asarray(np.ravel_multi_index(tuple(tuples.T), named)) * inside
    breaks = np.flatnonzero(np.diff(starts) != inside) + 1
    lengths = np.diff(np.concatenate([[0], breaks, [starts.size]]))
    count = int(np.gcd.reduce(lengths))
    return np.ascontiguousarray(starts[::count]), count * inside
