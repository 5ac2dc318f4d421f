"""The gradient of picking rows: an addition to the rows that were picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.base import REQUIRED, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, size_of
from rnnrt.ops.indexing import in_range


@register
class GatherGradient(Operator):
    """Slices of input 0 added up at their indices (input 1) along an axis of extent `extent`, in the indices' order."""

    name = "GatherGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {"axis": REQUIRED, "extent": REQUIRED}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        g, indices = present(node, inputs), present(node, inputs, 1)
        if g.shape is None or indices.shape is None:
            return [TensorSpec(g.dtype, None)]
        at = node.attrs["axis"]
        return [TensorSpec(g.dtype, (*g.shape[:at], node.attrs["extent"], *g.shape[at + len(indices.shape) :]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        g, indices = np.asarray(inputs[0]), np.asarray(inputs[1])
        at, extent = node.attrs["axis"], node.attrs["extent"]
        places = in_range(node, indices, extent).ravel()
        rows = g.reshape(*g.shape[:at], indices.size, *g.shape[at + indices.ndim :])
        out = np.zeros((extent, *np.delete(rows.shape, at)), g.dtype)
        np.add.at(out, places, np.moveaxis(rows, at, 0))
        return [np.ascontiguousarray(np.moveaxis(out, 0, at))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        if outputs[0].dtype not in (np.float32, np.float64) or present(node, inputs, 1).dtype.itemsize < 4:
            return None
        return [KernelCall("gather_gradient", (0, 1), ints=(node.attrs["axis"],))]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(present(node, inputs))
