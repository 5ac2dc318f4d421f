"""Backward rules of the reductions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.adjoint import cast, expand, reshape, scalar, sum_over
from rnnrt.ops.base import GradientContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, same_dtype

# g and y are the gradient and the result with axes of extent 1 where the reduction was, n is the number of elements
# that one result is made of.
Rule = Callable[[GradientContext, str, str, str, Sequence[int], int], str]


def share_ties(b: GradientContext, x: str, y: str, g: str, axes: Sequence[int]) -> str:
    """The gradient of a largest or smallest element; equal ones share it evenly."""
    mask = cast(b, b.op("Equal", [x, y]), b.spec(x).dtype)
    share = b.op("Div", [g, sum_over(b, mask, axes, keepdims=True)])
    return b.op("Mul", [mask, share])


def _l2(b: GradientContext, x: str, y: str, g: str, axes: Sequence[int], n: int) -> str:
    """The direction x / |x|, and 0 for the vector 0."""
    zero = b.op("Equal", [y, scalar(b, 0, y)])
    length = b.op("Where", [zero, scalar(b, 1, y), y])
    return b.op("Mul", [x, b.op("Div", [g, length])])


def _log_sum(b: GradientContext, x: str, y: str, g: str, axes: Sequence[int], n: int) -> str:
    return expand(b, b.op("Div", [g, sum_over(b, x, axes, keepdims=True)]), b.spec(x).known_shape)


RULES: dict[str, Rule] = {
    "ReduceSum": lambda b, x, y, g, axes, n: expand(b, g, b.spec(x).known_shape),
    "ReduceMean": lambda b, x, y, g, axes, n: expand(
        b, b.op("Mul", [g, scalar(b, 1 / max(n, 1), g)]), b.spec(x).known_shape
    ),
    "ReduceMax": lambda b, x, y, g, axes, n: share_ties(b, x, y, g, axes),
    "ReduceMin": lambda b, x, y, g, axes, n: share_ties(b, x, y, g, axes),
    "ReduceProd": lambda b, x, y, g, axes, n: b.op("ProductGradient", [g, x], axes=tuple(axes)),
    "ReduceL1": lambda b, x, y, g, axes, n: b.op("Mul", [b.op("Sign", [x]), g]),
    "ReduceL2": _l2,
    "ReduceSumSquare": lambda b, x, y, g, axes, n: b.op("Mul", [x, b.op("Add", [g, g])]),
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": lambda b, x, y, g, axes, n: b.op("Mul", [b.op("Exp", [b.op("Sub", [x, y])]), g]),
}


def reduce_rule(kind: str, node: Node, g: str, b: GradientContext, axes: Sequence[int]) -> list[str]:
    """The rule of a reduction of input 0 over these axes; `kind`: its name in the table."""
    x = node.inputs[0]
    shape = b.spec(x).known_shape
    if not axes and shape:
        return [g]  # the operator does nothing then
    kept = [1 if i in axes else d for i, d in enumerate(shape)]
    y, g = (reshape(b, name, kept) for name in (node.outputs[0], g))
    return [RULES[kind](b, x, y, g, axes, math.prod(shape[i] for i in axes))]


@register
class ProductGradient(Operator):
    """Input 0 times the product of the other elements of input 1 along `axes`; right where elements are zero.

    Input 0 has extent 1 along the axes.
    """

    name = "ProductGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {"axes": ()}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        g, x = present(node, inputs), present(node, inputs, 1)
        return [TensorSpec(same_dtype(node, [g, x]), x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        g, x = (np.asarray(v) for v in inputs)
        axes = tuple(cls.attr(node, "axes"))
        last = tuple(range(x.ndim - len(axes), x.ndim))
        moved = np.moveaxis(x, axes, last)
        rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
        before, after = np.ones_like(rows), np.ones_like(rows)
        np.cumprod(rows[..., :-1], -1, out=before[..., 1:])
        after[..., :-1] = np.cumprod(rows[..., :0:-1], -1)[..., ::-1]
        others = np.moveaxis((before * after).reshape(moved.shape), last, axes)
        return [np.asarray(others * g, order="C")]
