"""Numpy broadcasting over shapes that may hold unknown extents, and small checks shared by operator families."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node, Shape
from rnnrt.ops.base import TensorSpec


def broadcast_dims(dims: Sequence[Dim]) -> Dim:
    """The extent that `dims` broadcast to; None when that depends on unknown extents.

    Raises `ValueError` when known extents disagree.
    """
    known = {d for d in dims if isinstance(d, int) and d != 1}
    if len(known) > 1:
        raise ValueError(f"extents {sorted(known)} do not fit together")
    if known:
        return known.pop()
    free = {d for d in dims if not isinstance(d, int)}
    if not free:
        return 1
    return free.pop() if len(free) == 1 else None


def broadcast_shapes(node: Node, shapes: Sequence[Shape | None]) -> Shape | None:
    """The shape that `shapes` broadcast to; None when a rank is unknown.

    Raises `ShapeError` naming `node` when they cannot.
    """
    if any(s is None for s in shapes):
        return None
    known = [s for s in shapes if s is not None]
    rank = max((len(s) for s in known), default=0)
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in known]
    try:
        return tuple(broadcast_dims(column) for column in zip(*padded, strict=True))
    except ValueError:
        text = ", ".join(str(tuple(s)) for s in known)
        raise ShapeError(f"{node.label()}: shapes {text} do not broadcast together") from None


def present(node: Node, inputs: Sequence[TensorSpec | None], index: int = 0) -> TensorSpec:
    """Input `index`, which the operator requires. Raises `ShapeError` when it is absent."""
    spec = inputs[index] if index < len(inputs) else None
    if spec is None:
        raise ShapeError(f"{node.label()}: input {index} is required")
    return spec


def same_dtype(node: Node, specs: Sequence[TensorSpec]) -> np.dtype:
    """The dtype that all of `specs` share. Raises `ShapeError` when they differ."""
    dtypes = {np.dtype(s.dtype) for s in specs}
    if len(dtypes) != 1:
        raise ShapeError(f"{node.label()}: inputs have different dtypes {sorted(map(str, dtypes))}; cast them to one")
    return dtypes.pop()


def normalise_axis(node: Node, axis: int, rank: int) -> int:
    """`axis` counted from the front. Raises `ShapeError` when it lies outside [-rank, rank)."""
    if not -rank <= axis < rank:
        raise ShapeError(f"{node.label()}: axis {axis} is out of range for a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def size_of(spec: TensorSpec) -> int:
    """Number of elements, unknown extents counted as one."""
    return int(np.prod([d if isinstance(d, int) else 1 for d in spec.shape or ()], dtype=np.int64))
