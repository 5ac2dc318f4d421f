"""Operators that make tensors from shapes and scalars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.adjoint import ints as int_list
from rnnrt.ops.adjoint import sum_over, unbroadcast, wants
from rnnrt.ops.base import Flat, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present
from rnnrt.ops.cast import CAST_TARGETS, cast_target
from rnnrt.ops.shape import INT64, constant_ints, ints


@register
class Constant(Flat):
    """The tensor in `value`."""

    name = "Constant"
    attributes: ClassVar[Mapping[str, Any]] = {"value": np.zeros(0, np.float32)}
    min_inputs = max_inputs = 0

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        value = np.asarray(cls.attr(node, "value"))
        return [TensorSpec(value.dtype, value.shape, value)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.asarray(cls.attr(node, "value"))]


@register
class ShapeOf(Flat):
    """The extents from axis `start` to `end`."""

    name = "Shape"
    attributes: ClassVar[Mapping[str, Any]] = {"start": 0, "end": None}

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        if x.shape is None:
            return [TensorSpec(INT64, (None,))]
        part = x.shape[cls.attr(node, "start") : cls.attr(node, "end")]
        known = all(isinstance(d, int) for d in part)
        return [TensorSpec(INT64, (len(part),), np.array(part, INT64) if known else None)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.array(np.asarray(inputs[0]).shape[cls.attr(node, "start") : cls.attr(node, "end")], INT64)]


@register
class Size(Flat):
    """The number of elements."""

    name = "Size"

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        return [TensorSpec(INT64, (), np.array(math.prod(x.shape), INT64) if x.is_static else None)]  # type: ignore[arg-type]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.array(np.asarray(inputs[0]).size, INT64)]


@register
class ConstantOfShape(Flat):
    """The one element of `value`, zero by default, in the shape that input 0 holds."""

    name = "ConstantOfShape"
    attributes: ClassVar[Mapping[str, Any]] = {"value": np.zeros(1, np.float32)}

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        dtype, target = np.asarray(cls.attr(node, "value")).dtype, constant_ints(inputs, 0)
        if target is not None:
            if min(target, default=0) < 0:
                raise ShapeError(f"{node.label()}: {target} is not a shape")
            return [TensorSpec(dtype, tuple(target))]
        rank = present(node, inputs).shape
        known = rank is not None and len(rank) == 1 and isinstance(rank[0], int)
        return [TensorSpec(dtype, (None,) * rank[0] if known else None)]  # type: ignore[index,operator]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        value = np.asarray(cls.attr(node, "value"))
        return [np.full(ints(np.asarray(inputs[0])), value.ravel()[0], value.dtype)]


@register
class Range(Flat):
    """From input 0 up to, but not including, input 1, in steps of input 2."""

    name = "Range"
    min_inputs = max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        values = [present(node, inputs, i).value for i in range(3)]
        dtype = present(node, inputs).dtype
        if any(v is None for v in values):
            return [TensorSpec(dtype, (None,))]
        return [TensorSpec(dtype, (cls._count(node, *(np.ravel(v)[0] for v in values)),))]  # type: ignore[arg-type]

    @classmethod
    def _count(cls, node: Node, start: Any, limit: Any, delta: Any) -> int:
        if delta == 0:
            raise ShapeError(f"{node.label()}: the step is 0")
        return max(math.ceil((limit - start) / delta), 0)

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        start, limit, delta = (np.ravel(np.asarray(x))[0] for x in inputs)
        count = cls._count(node, start, limit, delta)
        return [(start + np.arange(count) * delta).astype(np.asarray(inputs[0]).dtype)]


@register
class EyeLike(Flat):
    """Ones on diagonal `k` of a matrix shaped as the input."""

    name = "EyeLike"
    attributes: ClassVar[Mapping[str, Any]] = {"dtype": None, "k": 0}

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, code = present(node, inputs), cls.attr(node, "dtype")
        if x.shape is not None and len(x.shape) != 2:
            raise ShapeError(f"{node.label()}: takes a matrix, not shape {x.shape}")
        return [TensorSpec(x.dtype if code is None else cast_target(node, "dtype", code), x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, code = np.asarray(inputs[0]), cls.attr(node, "dtype")
        rows, columns = x.shape
        return [np.eye(rows, columns, k=cls.attr(node, "k"), dtype=x.dtype if code is None else CAST_TARGETS[code])]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        rows, columns = outputs[0].known_shape
        return [KernelCall("identity", (np.eye(rows, columns, k=cls.attr(node, "k"), dtype=outputs[0].dtype),))]


@register
class OneHot(Operator):
    """Input 2's [off, on] values; on at the indices of input 0 along a new axis of the depth in input 1."""

    name = "OneHot"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": -1}
    min_inputs = max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, depth = present(node, inputs), constant_ints(inputs, 1)
        dtype = present(node, inputs, 2).dtype
        if depth and depth[0] < 0:
            raise ShapeError(f"{node.label()}: the depth is {depth[0]}, which is negative")
        if x.shape is None:
            return [TensorSpec(dtype, None)]
        at = cls.attr(node, "axis") % (len(x.shape) + 1)
        return [TensorSpec(dtype, (*x.shape[:at], depth[0] if depth else None, *x.shape[at:]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        indices, depth, values = (np.asarray(x) for x in inputs)
        count = int(depth.ravel()[0])
        if count < 0:
            raise ShapeError(f"{node.label()}: the depth is {count}, which is negative")
        wanted = np.where(indices < 0, indices + count, indices)[..., None] == np.arange(count)
        return [np.moveaxis(np.where(wanted, values[1], values[0]), -1, cls.attr(node, "axis"))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        indices, values = present(node, inputs), present(node, inputs, 2)
        axis = cls.attr(node, "axis") % len(outputs[0].known_shape)
        if indices.dtype not in (np.int32, np.int64) or values.known_shape != (2,):
            return None
        return [KernelCall("one_hot", (0, 2), ints=(axis,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        values = node.inputs[2]
        if not wants(b, values):
            return []
        dtype = b.spec(values).dtype
        flags = b.constant(np.array([0, 1], dtype))
        on = b.op("OneHot", [*node.inputs[:2], flags], axis=cls.attr(node, "axis"))
        off = b.op("Sub", [b.constant(np.ones((), dtype)), on])
        every = range(len(b.spec(grads[0]).known_shape))
        both = [sum_over(b, b.op("Mul", [grads[0], which]), every) for which in (off, on)]
        row = b.op("Concat", [b.op("Reshape", [x, int_list(b, [1])]) for x in both], axis=0)
        return ["", "", unbroadcast(b, row, b.spec(values))]
