"""Backward rules of the matrix products.

Products with a matrix are Gemm nodes that read their operands transposed, so that nothing is copied; where the right
side is one matrix for a whole stack, its gradient is one product over all rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Node
from rnnrt.ops.adjoint import expand, name_at, reshape, scalar, transpose, unbroadcast, wants
from rnnrt.ops.base import GradientContext, TensorSpec


def matmul_rule(node: Node, g: str, b: GradientContext) -> list[str]:
    """The rule of MatMul, of all ranks."""
    x, y = node.inputs
    xs, ys = b.spec(x).known_shape, b.spec(y).known_shape
    left = xs if len(xs) > 1 else (1, *xs)
    right = ys if len(ys) > 1 else (*ys, 1)
    if len(right) == 2:
        rows = (math.prod(left[:-1]), left[-1])
        g = reshape(b, g, (rows[0], right[1]))
        dx = reshape(b, b.op("Gemm", [g, reshape(b, y, right)], transB=1), xs) if b.wanted(x) else ""
        dy = reshape(b, b.op("Gemm", [reshape(b, x, rows), g], transA=1), ys) if b.wanted(y) else ""
        return [dx, dy]
    batch = b.spec(g).known_shape[: len(b.spec(g).known_shape) - (len(xs) > 1) - (len(ys) > 1)]
    g = reshape(b, g, (*batch, left[-2], right[-1]))
    dx = dy = ""
    if b.wanted(x):
        product = b.op("MatMul", [g, _turned(b, reshape(b, y, right))])
        dx = reshape(b, unbroadcast(b, product, _shaped(b, x, left)), xs)
    if b.wanted(y):
        product = b.op("MatMul", [_turned(b, reshape(b, x, left)), g])
        dy = reshape(b, unbroadcast(b, product, _shaped(b, y, right)), ys)
    return [dx, dy]


def _shaped(b: GradientContext, name: str, shape: Sequence[int]) -> TensorSpec:
    return TensorSpec(b.spec(name).dtype, tuple(shape))


def _turned(b: GradientContext, x: str) -> str:
    rank = len(b.spec(x).known_shape)
    return transpose(b, x, [*range(rank - 2), rank - 1, rank - 2])


def gemm_rule(node: Node, g: str, b: GradientContext, alpha: float, beta: float, turned: tuple[int, int]) -> list[str]:
    """The rule of Gemm; `turned`: transA and transB."""
    x, y, c = node.inputs[0], node.inputs[1], name_at(node.inputs, 2)
    turn_x, turn_y = (int(bool(t)) for t in turned)
    scale = {} if alpha == 1 else {"alpha": alpha}
    dx = dy = dc = ""
    if b.wanted(x):
        how = {"transA": turn_y, "transB": 1} if turn_x else {"transB": 1 - turn_y}
        dx = b.op("Gemm", [y, g] if turn_x else [g, y], **how, **scale)
    if b.wanted(y):
        how = {"transA": 1, "transB": turn_x} if turn_y else {"transA": 1 - turn_x}
        dy = b.op("Gemm", [g, x] if turn_y else [x, g], **how, **scale)
    if c and wants(b, c):
        dc = unbroadcast(b, g, b.spec(c))
        dc = dc if beta == 1 else b.op("Mul", [dc, scalar(b, beta, dc)])
    return [dx, dy, dc]


def einsum_rule(node: Node, g: str, b: GradientContext) -> list[str]:
    """Each operand's gradient is the sum of products of the gradient and the other operands.

    Raises
    ------
    UnsupportedModelError
        A term names an index twice, or holds an ellipsis.
    """
    equation = str(node.attrs["equation"]).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    letters = sorted({c for c in left if c.isalpha()})
    if not arrow:
        right = "".join(c for c in letters if left.count(c) == 1)
    if "." in equation or any(len(set(term)) != len(term) for term in terms):
        reason = f"{node.label()}: equation {equation!r} takes a diagonal or holds an ellipsis, and has no gradient"
        raise UnsupportedModelError("graph", [f"{reason}; write it with one letter for each axis"])
    found: list[str] = []
    for i, (term, name) in enumerate(zip(terms, node.inputs, strict=True)):
        if not b.wanted(name):
            found.append("")
            continue
        others = [*terms[:i], *terms[i + 1 :]]
        reachable = set("".join(others)) | set(right)
        kept = "".join(c for c in term if c in reachable)
        operands = [g, *node.inputs[:i], *node.inputs[i + 1 :]]
        part = b.op("Einsum", operands, equation=f"{','.join([right, *others])}->{kept}")
        shape = b.spec(name).known_shape
        part = reshape(b, part, [d if c in reachable else 1 for c, d in zip(term, shape, strict=True)])
        found.append(expand(b, part, shape))
    return found
