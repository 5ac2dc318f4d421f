"""Lowering of matrix products: constant right sides are packed once, computed ones on each run.

The kernels are in src_pyx/rnnrt/_kernels/isa/matmul_body.h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rnnrt.ops.base import KernelCall, LowerContext, TensorSpec

NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


def pack_columns(matrix: np.ndarray, lanes: int) -> np.ndarray:
    """(K, N) -> (panels, K, lanes), zeros beyond the last column."""
    depth, columns = matrix.shape
    panels = -(-columns // lanes)
    packed = np.zeros((panels, depth, lanes), matrix.dtype)
    whole = columns // lanes
    packed[:whole] = matrix[:, : whole * lanes].reshape(depth, whole, lanes).transpose(1, 0, 2)
    packed[whole:, :, : columns - whole * lanes] = matrix[:, whole * lanes :]
    return packed


def pad_row(row: np.ndarray, lanes: int) -> np.ndarray:
    """(N,) -> whole panels, zeros beyond its end."""
    padded = np.zeros(-(-row.size // lanes) * lanes, row.dtype)
    padded[: row.size] = row
    return padded


def packed_product(
    ctx: LowerContext, source: np.ndarray, layout: str, matrix: np.ndarray, bias: np.ndarray | None
) -> list[KernelCall]:
    """Input 0 (rows, K) times a constant matrix (K, N) plus a bias (N,).

    `source` is the constant that the matrix was made from, and `layout` says how: together they name the packed form.
    """
    lanes = ctx.vector_bytes // matrix.dtype.itemsize
    row = np.zeros(matrix.shape[1], matrix.dtype) if bias is None else bias
    panels = ctx.packed(source, f"columns{lanes}:{layout}", lambda: pack_columns(matrix, lanes))
    return [KernelCall("matmul_packed", (0, panels, pad_row(row, lanes)), ints=(matrix.shape[1], matrix.shape[0]))]


def computed_product(ctx: LowerContext, a: TensorSpec, b: TensorSpec, out: TensorSpec) -> list[KernelCall] | None:
    """Inputs 0 and 1, with numpy's broadcasting of leading axes; None for ranks the kernel does not take."""
    left = a.known_shape if len(a.known_shape) > 1 else (1, *a.known_shape)
    right = b.known_shape if len(b.known_shape) > 1 else (*b.known_shape, 1)
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    lanes = ctx.vector_bytes // a.dtype.itemsize
    depth, columns = right[-2:]
    panels = -(-columns // lanes)
    return [
        KernelCall(
            "matmul",
            (0, 1),
            ints=(
                left[-2], columns, depth, len(batch), *batch,
                *_strides(left[:-2], len(batch)), *_strides(right[:-2], len(batch)),
            ),
            scratch=(panels * lanes * depth + panels * lanes) * a.dtype.itemsize,
        )
    ]  # fmt: skip


def gemm(
    ctx: LowerContext, a: TensorSpec, b: TensorSpec, a_turned: bool, b_turned: bool, has_row: bool
) -> list[KernelCall]:
    """Inputs 0 (..., M, K) and 1 (K, N), either but not both turned, plus with `has_row` input 2, a row (N,)."""
    columns, depth = b.known_shape if b_turned else b.known_shape[::-1]
    rows = a.known_shape[1] if a_turned else math.prod(a.known_shape[:-1])
    lanes = ctx.vector_bytes // a.dtype.itemsize
    padded = -(-columns // lanes) * lanes
    elements = rows * padded if a_turned else padded * (depth + 1)
    return [
        KernelCall(
            "gemm",
            (0, 1, 2 if has_row else None),
            ints=(rows, columns, depth, int(a_turned), int(b_turned)),
            scratch=elements * a.dtype.itemsize,
        )
    ]


def _strides(extents: Sequence[int], rank: int) -> list[int]:
    """Steps of a C-contiguous stack along each of `rank` axes; 0 along broadcast ones."""
    padded = [1] * (rank - len(extents)) + list(extents)
    return [0 if d == 1 else math.prod(padded[i + 1 :]) for i, d in enumerate(padded)]
