"""Pooling over windows, and over everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, size_of
from rnnrt.ops.pool_gradients import GEOMETRY
from rnnrt.ops.reduce import reduce_call
from rnnrt.ops.reduce_gradients import reduce_rule
from rnnrt.ops.shape import INT64
from rnnrt.ops.window import Window, kernel_ints

_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


class _Pool(Operator):
    """Base: X (N, C, *extents) to Y (N, C, *counts)."""

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        if x.shape is None:
            return [TensorSpec(x.dtype, None), TensorSpec(INT64, None)][: len(node.outputs)]
        window = Window.of(node, node.attrs["kernel_shape"])
        if len(x.shape) != 2 + len(window.kernel):
            raise ShapeError(f"{node.label()}: kernel_shape {window.kernel} does not fit an input of shape {x.shape}")
        shape = (*x.shape[:2], *window.output(node, x.shape[2:]))
        return [TensorSpec(x.dtype, shape), TensorSpec(INT64, shape)][: len(node.outputs)]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(outputs[0]) * int(np.prod(node.attrs["kernel_shape"]))


@register
class MaxPool(_Pool):
    """The largest element of each window, and where it lies in the flattened input."""

    name = "MaxPool"
    attributes: ClassVar[Mapping[str, Any]] = GEOMETRY

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        window = Window.of(node, node.attrs["kernel_shape"])
        counts: Any = window.output(node, x.shape[2:])
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        views = window.views(x, counts, lowest)
        rank = len(counts)
        flat = views.reshape(*views.shape[: 2 + rank], -1)
        y = flat.max(-1)
        if len(node.outputs) < 2:
            return [y]
        places = np.arange(x.size, dtype=np.int64).reshape(x.shape)
        where = window.views(places, counts, -1).reshape(flat.shape)
        chosen = np.take_along_axis(where, flat.argmax(-1)[..., None], -1)[..., 0]
        return [y, chosen]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        geometry = kernel_ints(node, present(node, inputs), outputs[0])
        if geometry is None or not node.outputs[0]:
            return None
        return [KernelCall("max_pool", (0,), tuple(range(len(outputs))), geometry)]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return [b.op("MaxPoolGradient", [grads[0], node.inputs[0]], **node.attrs)]


@register
class AveragePool(_Pool):
    """The mean of each window; padding counts only with count_include_pad."""

    name = "AveragePool"
    attributes: ClassVar[Mapping[str, Any]] = {**GEOMETRY, "count_include_pad": 0}

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        window = Window.of(node, node.attrs["kernel_shape"])
        counts: Any = window.output(node, x.shape[2:])
        over = tuple(range(2 + len(counts), 2 + 2 * len(counts)))
        total = window.views(x, counts, 0).sum(over)
        padded = bool(cls.attr(node, "count_include_pad"))
        return [total / window.sizes(x.shape[2:], counts, x.dtype, padded)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        geometry = kernel_ints(node, present(node, inputs), outputs[0])
        padded = int(bool(cls.attr(node, "count_include_pad")))
        return None if geometry is None else [KernelCall("average_pool", (0,), ints=(padded, *geometry))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        extents = b.spec(node.inputs[0]).known_shape[2:]
        return [b.op("AveragePoolGradient", [grads[0]], extents=extents, **node.attrs)]


class _Global(Operator):
    """Base: one value for each row and channel, extents 1."""

    kind: ClassVar[str]

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        shape = None if x.shape is None else (*x.shape[:2], *(1,) * (len(x.shape) - 2))
        return [TensorSpec(x.dtype, shape)]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(present(node, inputs))

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x = present(node, inputs)
        if x.dtype not in _NATIVE or 0 in x.known_shape:
            return None
        return [reduce_call(cls.kind, x.known_shape, range(2, len(x.known_shape)))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        axes = range(2, len(b.spec(node.inputs[0]).known_shape))
        return reduce_rule(f"Reduce{cls.kind}", node, grads[0], b, axes)


@register
class GlobalAveragePool(_Global):
    """The mean over all spatial axes."""

    name = "GlobalAveragePool"
    kind = "Mean"

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        return [x.mean(tuple(range(2, x.ndim)), keepdims=True)]


@register
class GlobalMaxPool(_Global):
    """The maximum over all spatial axes."""

    name = "GlobalMaxPool"
    kind = "Max"

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        return [x.max(tuple(range(2, x.ndim)), keepdims=True)]
