"""Numbers into classes, and classes into rows of ones and zeros. N bins or tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor

_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)
_MODES = ("one_hot", "multi_hot", "count")


def encoded(layer: Layer, b: GraphBuilder, x: Tensor, depth: int, mode: str) -> Tensor:
    """Rows of length `depth`: a one for each number ("one_hot"), or what the last axis holds ("multi_hot", "count").

    Numbers that are no class count for nothing, as in Keras with one backend and an error with others.
    """
    if mode == "one_hot" and x.rank > 1 and x.shape[-1] == 1:
        x = b.squeeze(x, x.rank - 1)
    hot = b.constant(np.array([0, 1], layer.dtype), "hot")
    count = b.constant(np.array(depth, np.int64), "depth")
    rows = b.op("OneHot", [_classes(b, x, depth), count, hot], (*x.shape, depth), layer.dtype, axis=-1)
    if mode == "one_hot":
        return rows
    if rows.rank < 3:
        rows = b.unsqueeze(rows, 1)
    return b.reduce("ReduceMax" if mode == "multi_hot" else "ReduceSum", rows, [rows.rank - 2])


def _classes(b: GraphBuilder, x: Tensor, depth: int) -> Tensor:
    """Numbers from 0 on; ONNX counts negative ones from the end, which are turned to one behind all classes."""
    whole = b.cast(x, _INT64)
    below = b.op("Less", [whole, b.scalar(0, _INT64)], x.shape, np.dtype(bool))
    return b.op("Where", [below, b.scalar(depth, _INT64), whole], x.shape, _INT64)


class Discretization(Layer):
    """The number of the bin that each value falls in, counted by how many of `bin_boundaries` are not above it.

    `output_mode` "int" gives the numbers, "one_hot", "multi_hot" and "count" give rows as `CategoryEncoding` does.
    """

    arguments = ("bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse")

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if bin_boundaries is None:
            raise self.unsupported("has no bin_boundaries", "adapt it in Keras before saving, or give them")
        self.bin_boundaries = [float(v) for v in bin_boundaries]
        self.num_bins, self.epsilon, self.sparse = num_bins, float(epsilon), bool(sparse)
        self.output_mode = str(output_mode)
        if self.output_mode not in ("int", *_MODES) or self.sparse:
            raise self.unsupported(f"output_mode={output_mode!r}, sparse={sparse}", f"use one of {_MODES}, not sparse")

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype).with_mask(None)
        bounds = b.constant(np.asarray(self.bin_boundaries, self.dtype), "bounds")
        wide = (*x.shape, len(self.bin_boundaries))
        reached = b.op("GreaterOrEqual", [b.unsqueeze(x, x.rank), bounds], wide, np.dtype(bool))
        bins = b.reduce("ReduceSum", b.cast(reached, _INT32), [x.rank])
        if self.output_mode == "int":
            return bins
        return encoded(self, b, bins, len(self.bin_boundaries) + 1, self.output_mode)


class CategoryEncoding(Layer):
    """Integers below `num_tokens` as rows of ones and zeros, or of counts.

    "one_hot" gives a row for each integer; "multi_hot" and "count" one row for all along the last axis.
    """

    arguments = ("num_tokens", "output_mode", "sparse")
    call_arguments = ("mask",)

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", sparse: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.output_mode = "multi_hot" if output_mode == "binary" else str(output_mode)
        if num_tokens is None or int(num_tokens) < 1:
            raise self.unsupported(f"num_tokens={num_tokens}", "give a positive integer")
        self.num_tokens, self.sparse = int(num_tokens), bool(sparse)
        if self.output_mode not in _MODES or self.sparse:
            raise self.unsupported(f"output_mode={output_mode!r}, sparse={sparse}", f"use one of {_MODES}, not sparse")

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return encoded(self, b, inputs.with_mask(None), self.num_tokens, self.output_mode)
