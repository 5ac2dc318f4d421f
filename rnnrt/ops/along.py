"""Running sums, and selection along an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node, Shape
from rnnrt.ops.adjoint import name_at, zeros
from rnnrt.ops.base import Flat, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present, size_of
from rnnrt.ops.elementwise import NATIVE


class ArgReduce(Flat):
    """Index (int64) of the largest or smallest element along `axis`."""

    attributes: ClassVar[Mapping[str, Any]] = {"axis": 0, "keepdims": 1, "select_last_index": 0}
    largest: ClassVar[bool]

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        if x.shape is None:
            return [TensorSpec(np.dtype(np.int64), None)]
        axis = normalise_axis(node, cls.attr(node, "axis"), len(x.shape))
        if x.shape[axis] == 0:
            raise ShapeError(f"{node.label()}: axis {axis} of shape {x.shape} is empty and has no largest or smallest")
        middle: Shape = (1,) if cls.attr(node, "keepdims") else ()
        return [TensorSpec(np.dtype(np.int64), x.shape[:axis] + middle + x.shape[axis + 1 :])]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        axis = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        find = np.argmax if cls.largest else np.argmin
        if cls.attr(node, "select_last_index"):
            index = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis)
        else:
            index = find(x, axis=axis)
        index = np.asarray(index, np.int64)
        return [np.expand_dims(index, axis) if cls.attr(node, "keepdims") else index]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x = present(node, inputs)
        if x.dtype not in NATIVE:
            return None
        axis = normalise_axis(node, cls.attr(node, "axis"), len(x.known_shape))
        last = int(bool(cls.attr(node, "select_last_index")))
        return [KernelCall("arg_extreme", (0,), ints=(axis, int(cls.largest), last))]


@register
class ArgMax(ArgReduce):
    """ONNX ArgMax."""

    name = "ArgMax"
    largest = True


@register
class ArgMin(ArgReduce):
    """ONNX ArgMin."""

    name = "ArgMin"
    largest = False


@register
class CumSum(Operator):
    """ONNX CumSum: x, and a scalar axis."""

    name = "CumSum"
    attributes: ClassVar[Mapping[str, Any]] = {"exclusive": 0, "reverse": 0}
    min_inputs = 2
    max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, axis = present(node, inputs), present(node, inputs, 1)
        if x.shape is not None and axis.value is not None:
            normalise_axis(node, int(np.asarray(axis.value).reshape(())), len(x.shape))
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        axis = normalise_axis(node, int(np.asarray(inputs[1]).reshape(())), x.ndim)
        turned = np.flip(x, axis) if cls.attr(node, "reverse") else x
        out = np.cumsum(turned, axis=axis, dtype=x.dtype)
        if cls.attr(node, "exclusive"):
            shifted = np.zeros_like(out)
            length = x.shape[axis]
            lead = (slice(None),) * axis
            shifted[(*lead, slice(1, None))] = out[(*lead, slice(0, max(length - 1, 0)))]
            out = shifted
        return [np.ascontiguousarray(np.flip(out, axis)) if cls.attr(node, "reverse") else out]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, where = present(node, inputs), present(node, inputs, 1).value
        if x.dtype not in NATIVE or where is None:
            return None
        axis = normalise_axis(node, int(np.asarray(where).reshape(())), len(x.known_shape))
        flags = (int(bool(cls.attr(node, key))) for key in ("exclusive", "reverse"))
        return [KernelCall("cumsum", (0,), ints=(axis, *flags))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        flags = {"exclusive": cls.attr(node, "exclusive"), "reverse": int(not cls.attr(node, "reverse"))}
        return [b.op("CumSum", [grads[0], node.inputs[1]], **flags)]


@register
class TopK(Operator):
    """ONNX TopK: X and k (1) -> values and int64 indices; of equal values the one with the lower index comes first."""

    name = "TopK"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": -1, "largest": 1, "sorted": 1}
    min_inputs = 2
    max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, k = present(node, inputs), present(node, inputs, 1)
        shape: Shape | None = None
        if x.shape is not None:
            axis = normalise_axis(node, cls.attr(node, "axis"), len(x.shape))
            count = None if k.value is None else int(np.asarray(k.value).reshape(()))
            extent = x.shape[axis]
            if count is not None and (count < 0 or (isinstance(extent, int) and count > extent)):
                raise ShapeError(f"{node.label()}: k={count} of axis {axis}, which has {extent} elements")
            shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        return [TensorSpec(x.dtype, shape), TensorSpec(np.dtype(np.int64), shape)][: len(node.outputs)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        axis = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        k = int(np.asarray(inputs[1]).reshape(()))
        if not 0 <= k <= x.shape[axis]:
            raise ShapeError(f"{node.label()}: k={k} of axis {axis}, which has {x.shape[axis]} elements")
        if cls.attr(node, "largest"):
            # a stable descending sort: sort the flipped axis, then undo both flips
            order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        else:
            order = np.argsort(x, axis=axis, kind="stable")
        index = np.take(order, np.arange(k), axis=axis).astype(np.int64)
        return [np.take_along_axis(x, index, axis), index][: len(node.outputs)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x = present(node, inputs)
        if x.dtype not in NATIVE or not node.outputs[0]:
            return None
        axis = normalise_axis(node, cls.attr(node, "axis"), len(x.known_shape))
        ints = (axis, outputs[0].known_shape[axis], int(bool(cls.attr(node, "largest"))))
        return [KernelCall("top_k", (0,), tuple(range(len(outputs))), ints, scratch=8 * size_of(outputs[0]))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        if not grads[0]:
            return []
        x, index = b.spec(node.inputs[0]), name_at(node.outputs, 1)
        if not index:
            index = b.node("TopK", node.inputs, [True, True], **node.attrs)[1]
        nothing = zeros(b, x.known_shape, x.dtype)
        return [b.op("ScatterElements", [nothing, index, grads[0]], axis=cls.attr(node, "axis"), reduction="add")]
