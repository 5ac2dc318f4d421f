"""Lowering of convolutions: which axis of the product fills the vector registers, and weights packed for it.

The kernel is in src_pyx/rnnrt/_kernels/isa/conv_body.h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.ops.base import KernelCall, LowerContext, TensorSpec
from rnnrt.ops.product import NATIVE, pack_columns, pad_row

BLOCK_BYTES = 128 * 1024
"""What the gathered inputs of a block of positions may take of the L2 cache."""

MAX_AXES = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """One spatial axis; `spread`: distance of X's elements, zeros between them (a transposed convolution)."""

    kernel: int
    stride: int
    dilation: int
    pad: int
    spread: int = 1

    def ints(self) -> tuple[int, ...]:
        """In the order of conv.c's enum."""
        return self.kernel, self.stride, self.dilation, self.pad, self.spread


def convolution(
    ctx: LowerContext,
    x: TensorSpec,
    y: TensorSpec,
    source: np.ndarray,
    layout: str,
    weights: np.ndarray,
    bias: np.ndarray | None,
    group: int,
    axes: Sequence[Axis],
) -> list[KernelCall] | None:
    """The kernel call of Y = W X + B, or None for what the kernel does not take.

    Parameters
    ----------
    source, layout
        The constant that the weights were made from, and how: together they name the packed form.
    weights : ndarray (M, C / group, *kernel)
    """
    if x.dtype not in NATIVE or len(axes) > MAX_AXES or 0 in (*x.known_shape, *y.known_shape):
        return None
    lanes = ctx.vector_bytes // x.dtype.itemsize
    channels, depth = weights.shape[0] // group, math.prod(weights.shape[1:])
    positions = math.prod(y.known_shape[2:])
    # Multiply-adds of a register, with channels as its lanes or positions.
    by_channel = -(-channels // lanes) * positions < channels * -(-positions // lanes)
    block = max(1, BLOCK_BYTES // (depth * x.dtype.itemsize * lanes)) * lanes
    block = min(block, -(-positions // lanes) * lanes)
    matrices = weights.reshape(group, channels, depth)
    biases = np.zeros(weights.shape[0], x.dtype) if bias is None else bias
    if by_channel:
        packed = ctx.packed(
            source, f"{layout}{lanes}:{group}", lambda: np.stack([pack_columns(m.T, lanes) for m in matrices])
        )
        row = np.concatenate([pad_row(part, lanes) for part in biases.reshape(group, channels)])
        if positions == group == 1 and _is_product(x, axes):
            return [KernelCall("matmul_packed", (0, packed, row), ints=(channels, depth))]
    else:
        packed, row = ctx.packed(source, f"{layout}:{group}", lambda: matrices), biases
    return [
        KernelCall(
            "conv",
            (0, packed, row),
            ints=(group, int(by_channel), block, *(v for axis in axes for v in axis.ints())),
            scratch=(block + lanes + block * depth) * x.dtype.itemsize,
        )
    ]


def _is_product(x: TensorSpec, axes: Sequence[Axis]) -> bool:
    """Whether the kernel covers the whole input, element by element: then nothing has to be gathered."""
    return all(
        (axis.kernel, axis.pad, axis.spread) == (extent, 0, 1) and (axis.dilation == 1 or axis.kernel == 1)
        for axis, extent in zip(axes, x.known_shape[2:], strict=True)
    )
