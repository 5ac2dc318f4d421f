"""Reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node, Shape
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present, size_of
from rnnrt.ops.reduce_gradients import reduce_rule

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
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        axes = b.spec(node.inputs[1]).value if len(node.inputs) > 1 and node.inputs[1] else None
        return reduce_rule(cls.name, node, grads[0], b, cls.axes(node, axes, len(b.spec(node.inputs[0]).known_shape)))

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
