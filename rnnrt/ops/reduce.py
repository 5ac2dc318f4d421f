"""Reductions, running sums, and selection along an axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node, Shape
from rnnrt.ops.base import KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present, size_of
from rnnrt.ops.elementwise import NATIVE

OPCODES = {name: number for number, name in enumerate("Sum Mean Max Min Prod L1 L2 SumSquare LogSum LogSumExp".split())}
_INT_OPCODES = {
    np.dtype(t): names
    for types, names in (
        ((np.int32, np.int64), {"Sum", "Max", "Min", "Prod", "L1", "SumSquare"}),
        ((np.uint8, np.int8, np.bool_), {"Max", "Min"}),
    )
    for t in types
}
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def reduce_call(name: str, shape: Sequence[int], reduced: Sequence[int]) -> KernelCall:
    """Input 0 of this shape, reduced over these axes.

    Which axes are joined depends on their kinds alone, never on their extents, and so does the order of summation.
    """
    kinds = [axis in reduced for axis in range(len(shape))]
    extents: list[int] = []
    for axis in reversed(range(len(shape))):
        if extents and kinds[axis] == kinds[axis + 1]:
            extents[-1] *= shape[axis]
        else:
            extents.append(shape[axis])
    return KernelCall("reduce", (0,), ints=(OPCODES[name], int(not kinds or kinds[-1]), *(extents or [1])))


class Reduce(Operator):
    """Base: data and an optional axes input."""

    attributes: ClassVar[Mapping[str, Any]] = {"keepdims": 1, "noop_with_empty_axes": 0}
    max_inputs = 2
    function: ClassVar[Callable[..., Any]]

    @classmethod
    def axes(cls, node: Node, axes: np.ndarray | None, rank: int) -> tuple[int, ...]:
        """Reduced axes, sorted; all of them when none are given."""
        if axes is None or axes.size == 0:
            return () if cls.attr(node, "noop_with_empty_axes") else tuple(range(rank))
        found = tuple(sorted(normalise_axis(node, int(a), rank) for a in axes.ravel()))
        if len(set(found)) != len(found):
            raise ShapeError(f"{node.label()}: axes {axes.ravel().tolist()} name an axis twice")
        return found

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        axes = inputs[1] if len(inputs) > 1 else None
        if x.shape is None:
            return [TensorSpec(x.dtype, None)]
        keep = cls.attr(node, "keepdims")
        if axes is not None and axes.value is None and axes.shape != (0,):
            return [TensorSpec(x.dtype, (None,) * len(x.shape) if keep else None)]
        reduced = cls.axes(node, None if axes is None else axes.value, len(x.shape))
        shape: Shape = tuple(1 if i in reduced else d for i, d in enumerate(x.shape) if keep or i not in reduced)
        return [TensorSpec(x.dtype, shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, axes = (*inputs, None)[:2]
        x = np.asarray(x)
        reduced = cls.axes(node, axes, x.ndim)
        if not reduced and x.ndim:
            # with noop_with_empty_axes the elementwise part of L1, SumSquare and so on is left out too
            return [x.copy()]
        out = cls.function(x, axis=reduced, keepdims=bool(cls.attr(node, "keepdims")))
        return [np.asarray(out).astype(x.dtype, copy=False)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, axes = present(node, inputs), inputs[1] if len(inputs) > 1 else None
        if axes is not None and axes.value is None and axes.shape != (0,):
            return None
        shape, name = x.known_shape, cls.name.removeprefix("Reduce")
        reduced = cls.axes(node, None if axes is None else axes.value, len(shape))
        if not reduced and shape:
            return [KernelCall("alias", (0,))]
        if x.dtype not in _FLOATS and name not in _INT_OPCODES.get(x.dtype, ()):
            return None
        return [reduce_call(name, shape, reduced)]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(present(node, inputs))


def _mean(x: np.ndarray, **how: Any) -> Any:
    return np.mean(x, **how) if x.dtype.kind == "f" else np.trunc(np.mean(x, **how))


def _log_sum_exp(x: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> Any:
    if x.size == 0:
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    out = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


def _lowest(x: np.ndarray) -> Any:
    if x.dtype.kind == "f":
        return x.dtype.type(-np.inf)
    return False if x.dtype.kind == "b" else np.iinfo(x.dtype).min


def _highest(x: np.ndarray) -> Any:
    if x.dtype.kind == "f":
        return x.dtype.type(np.inf)
    return True if x.dtype.kind == "b" else np.iinfo(x.dtype).max


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceSum": lambda x, **how: np.sum(x, dtype=x.dtype, **how),
    "ReduceMean": _mean,
    "ReduceMax": lambda x, **how: np.max(x, initial=_lowest(x), **how),
    "ReduceMin": lambda x, **how: np.min(x, initial=_highest(x), **how),
    "ReduceProd": lambda x, **how: np.prod(x, dtype=x.dtype, **how),
    "ReduceL1": lambda x, **how: np.sum(np.abs(x), dtype=x.dtype, **how),
    "ReduceL2": lambda x, **how: np.sqrt(np.sum(x * x, dtype=x.dtype, **how)),
    "ReduceSumSquare": lambda x, **how: np.sum(x * x, dtype=x.dtype, **how),
    "ReduceLogSum": lambda x, **how: np.log(np.sum(x, dtype=x.dtype, **how)),
    "ReduceLogSumExp": _log_sum_exp,
}
for _name, _function in REDUCTIONS.items():
    register(type(_name, (Reduce,), {"__doc__": f"ONNX {_name}.", "name": _name, "function": staticmethod(_function)}))


class ArgReduce(Operator):
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
