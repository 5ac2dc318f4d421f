"""Backward rules of the elementwise operators of several inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.adjoint import cast, constant_value, keep_where, scalar, unbroadcast, wants
from rnnrt.ops.base import GradientContext

Rule = Callable[[Node, str, GradientContext], list[str]]


def _to(b: GradientContext, gradient: str, name: str) -> str:
    return unbroadcast(b, gradient, b.spec(name))


def _sum(node: Node, g: str, b: GradientContext) -> list[str]:
    return [_to(b, g, x) if b.wanted(x) else "" for x in node.inputs]


def _sub(node: Node, g: str, b: GradientContext) -> list[str]:
    x, y = node.inputs
    return [_to(b, g, x) if b.wanted(x) else "", b.op("Neg", [_to(b, g, y)]) if b.wanted(y) else ""]


def _mul(node: Node, g: str, b: GradientContext) -> list[str]:
    x, y = node.inputs
    return [_to(b, b.op("Mul", [g, other]), one) if b.wanted(one) else "" for one, other in ((x, y), (y, x))]


def _div(node: Node, g: str, b: GradientContext) -> list[str]:
    x, y = node.inputs
    dx = dy = ""
    ratio = b.op("Div", [g, y])
    if b.wanted(x):
        dx = _to(b, ratio, x)
    if b.wanted(y):
        dy = b.op("Neg", [_to(b, b.op("Mul", [ratio, node.outputs[0]]), y)])
    return [dx, dy]


def _mod(node: Node, g: str, b: GradientContext) -> list[str]:
    """The result is x - n y with a whole number n that does not move."""
    x, y = node.inputs
    dx = dy = ""
    if b.wanted(x):
        dx = _to(b, g, x)
    if b.wanted(y):
        count = b.op("Round", [b.op("Div", [b.op("Sub", [x, node.outputs[0]]), y])])
        dy = b.op("Neg", [_to(b, b.op("Mul", [g, count]), y)])
    return [dx, dy]


def _pow(node: Node, g: str, b: GradientContext) -> list[str]:
    """Slopes y x^(y-1) and x^y log x.

    An exponent of 0 makes a constant, also at x = 0, and log x counts as 0 for all x up to 0.
    """
    x, y = node.inputs
    dtype, value = b.spec(x).dtype, constant_value(b, y)
    dx = dy = ""
    exponent = b.constant(np.asarray(value, dtype)) if value is not None else cast(b, y, dtype)
    if b.wanted(x):
        if value is not None:
            number = np.asarray(value, dtype)
            less = b.constant(np.asarray(np.where(number == 0, 0, number - 1), dtype))
        else:
            step = cast(b, b.op("Not", [b.op("Equal", [exponent, scalar(b, 0, x)])]), dtype)
            less = b.op("Sub", [exponent, step])
        slope = b.op("Mul", [exponent, b.op("Pow", [x, less])])
        dx = _to(b, b.op("Mul", [g, slope]), x)
    if wants(b, y):
        positive = b.op("Greater", [x, scalar(b, 0, x)])
        logarithm = b.op("Log", [b.op("Where", [positive, x, scalar(b, 1, x)])])
        dy = _to(b, b.op("Mul", [g, b.op("Mul", [node.outputs[0], logarithm])]), y)
    return [dx, dy]


def _extreme(node: Node, g: str, b: GradientContext) -> list[str]:
    """Of inputs that are equally extreme the first takes all."""
    found: list[str] = []
    taken = ""
    last = max(i for i, x in enumerate(node.inputs) if b.wanted(x))
    for i, x in enumerate(node.inputs[: last + 1]):
        mine = b.op("Equal", [x, node.outputs[0]])
        if taken:
            mine = b.op("And", [mine, b.op("Not", [taken])])
        found.append(_to(b, keep_where(b, mine, g), x) if b.wanted(x) else "")
        if i < last:
            taken = b.op("Or", [taken, mine]) if taken else mine
    return found


def _mean(node: Node, g: str, b: GradientContext) -> list[str]:
    return _sum(node, b.op("Mul", [g, scalar(b, 1 / len(node.inputs), g)]), b)


def _prelu(node: Node, g: str, b: GradientContext) -> list[str]:
    x, slope = node.inputs
    dx = dslope = ""
    zero = scalar(b, 0, x)
    if b.wanted(x):
        dx = _to(b, b.op("Where", [b.op("Less", [x, zero]), b.op("Mul", [g, slope]), g]), x)
    if b.wanted(slope):
        dslope = _to(b, b.op("Mul", [g, b.op("Min", [x, zero])]), slope)
    return [dx, dslope]


def _where(node: Node, g: str, b: GradientContext) -> list[str]:
    condition, x, y = node.inputs
    dx = dy = ""
    if b.wanted(x):
        dx = _to(b, keep_where(b, condition, g), x)
    if b.wanted(y):
        dy = _to(b, b.op("Where", [condition, scalar(b, 0, g), g]), y)
    return ["", dx, dy]


def _clip(node: Node, g: str, b: GradientContext) -> list[str]:
    """What the bounds let through has gradient 1, the bounds included; a bound has it where it cuts."""
    x = node.inputs[0]
    found = [""] * len(node.inputs)
    if b.wanted(x):
        found[0] = _to(b, keep_where(b, b.op("Equal", [x, node.outputs[0]]), g), x)
    for i, beyond in ((1, "Less"), (2, "Greater")):
        if i < len(node.inputs) and wants(b, node.inputs[i]):
            bound = cast(b, node.inputs[i], b.spec(x).dtype)
            found[i] = _to(b, keep_where(b, b.op(beyond, [x, bound]), g), node.inputs[i])
    return found


RULES: dict[str, Rule] = {
    "Add": _sum,
    "Clip": _clip,
    "Div": _div,
    "Max": _extreme,
    "Mean": _mean,
    "Min": _extreme,
    "Mod": _mod,
    "Mul": _mul,
    "PRelu": _prelu,
    "Pow": _pow,
    "Sub": _sub,
    "Sum": _sum,
    "Where": _where,
}


def elementwise_rule(node: Node, grads: Sequence[str], b: GradientContext) -> list[str]:
    """The rule of an operator of several inputs; nothing flows through those that are not in the table."""
    return RULES[node.op](node, grads[0], b) if node.op in RULES else []
