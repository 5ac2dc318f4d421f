"""The gradients of pooling over windows: each window's part goes back to the elements that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.base import REQUIRED, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, same_dtype, size_of
from rnnrt.ops.window import Window, kernel_ints

GEOMETRY: dict[str, Any] = {
    "auto_pad": "NOTSET", "ceil_mode": 0, "dilations": (), "kernel_shape": REQUIRED, "pads": (), "strides": ()
}  # fmt: skip


@register
class MaxPoolGradient(Operator):
    """Inputs: the gradient of MaxPool's result, and X. The first of equal elements has all of a window's part."""

    name = "MaxPoolGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = GEOMETRY
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        g, x = present(node, inputs), present(node, inputs, 1)
        return [TensorSpec(same_dtype(node, [g, x]), x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        g, x = (np.asarray(v) for v in inputs)
        window = Window.of(node, node.attrs["kernel_shape"])
        views = window.views(x, g.shape[2:], -np.inf)
        where = window.views(np.arange(x.size, dtype=np.int64).reshape(x.shape), g.shape[2:], -1)
        best = views.reshape(*g.shape, -1).argmax(-1)[..., None]
        chosen = np.take_along_axis(where.reshape(*g.shape, -1), best, -1)[..., 0]
        inside = chosen >= 0
        out = np.zeros(x.size, x.dtype)
        np.add.at(out, chosen[inside], g[inside])
        return [out.reshape(x.shape)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        geometry = kernel_ints(node, present(node, inputs, 1), present(node, inputs))
        return None if geometry is None else [KernelCall("max_pool_gradient", (0, 1), ints=geometry)]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(present(node, inputs)) * int(np.prod(node.attrs["kernel_shape"]))


@register
class AveragePoolGradient(Operator):
    """Input: the gradient of AveragePool's result; `extents`: those of its input."""

    name = "AveragePoolGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {**GEOMETRY, "count_include_pad": 0, "extents": REQUIRED}

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        g = present(node, inputs)
        return [TensorSpec(g.dtype, None if g.shape is None else (*g.shape[:2], *node.attrs["extents"]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        g = np.asarray(inputs[0])
        extents, counts = tuple(node.attrs["extents"]), g.shape[2:]
        window = Window.of(node, node.attrs["kernel_shape"])
        share = g / window.sizes(extents, counts, g.dtype, bool(cls.attr(node, "count_include_pad")))
        where = window.views(np.arange(np.prod(extents, dtype=np.int64)).reshape(1, 1, *extents), counts, -1)[0, 0]
        out = np.zeros((g.shape[0] * g.shape[1], int(np.prod(extents))), g.dtype)
        rows = share.reshape(out.shape[0], *counts)
        for place in np.ndindex(*window.kernel):
            target = where[(*(slice(None),) * len(counts), *place)]
            inside = target >= 0
            # windows do not meet in an element at the same place of the kernel, so nothing is added twice
            out[:, target[inside]] += rows[:, inside]
        return [out.reshape(*g.shape[:2], *extents)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        geometry = kernel_ints(node, outputs[0], present(node, inputs))
        padded = int(bool(cls.attr(node, "count_include_pad")))
        return None if geometry is None else [KernelCall("average_pool_gradient", (0,), ints=(padded, *geometry))]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(present(node, inputs)) * int(np.prod(node.attrs["kernel_shape"]))
