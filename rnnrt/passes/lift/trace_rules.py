"""What each operator does to the forms of its inputs."""

from __future__ import annotations

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops import get_operator
from rnnrt.ops.activations import DEFAULTS
from rnnrt.passes.lift.forms import Atom, Form, NotLinear, is_one
from rnnrt.passes.lift.trace import RULES, Tracer, rows_of

_CAPPED = "min(x, alpha)"
"""Half of a clip, no activation of its own."""

WIDEST_CONCAT = 4096
"""Units of a Concat that is looked into; its form holds matrices of that many columns."""

_PLAIN = frozenset({"Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Mish", "HardSwish", "Selu"})
_WITH_ALPHA = frozenset({"Elu", "LeakyRelu", "ThresholdedRelu"})
_SAME_ROWS = frozenset({"Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose", "Expand", "Tile"})


def _same(tracer: Tracer, node: Node) -> list[Form]:
    before, after = (tracer.specs[name].shape for name in (node.inputs[0], node.outputs[0]))
    if node.inputs[0] in tracer.row_masks:
        mask = tracer.row_masks[node.inputs[0]]
        if node.op == "Identity":
            tracer.row_masks[node.outputs[0]] = mask
            raise NotLinear
        if node.op not in ("Unsqueeze", "Reshape") or after is None or len(after) != 2 or after[1] != 1:
            raise NotLinear
        return [mask]
    form = tracer.of(node.inputs[0])
    a, b = rows_of(before), rows_of(after)
    if a is None or b is None:
        raise NotLinear
    if node.op in ("Expand", "Tile"):
        if a[1] not in (1, b[1]):
            raise NotLinear
        return [tracer.algebra.add(form, Form(b[1]))]
    if a[1] != b[1] or len(a[0]) != len(b[0]):
        raise NotLinear
    if any(d != e and None not in (d, e) for d, e in zip(a[0], b[0], strict=True)):
        raise NotLinear
    if node.op == "Transpose" and before is not None:
        moved = [d for d in (node.attrs.get("perm") or range(len(before))[::-1]) if before[d] != 1]
        if moved != sorted(moved):
            raise NotLinear
    return [form]


def _cast(tracer: Tracer, node: Node) -> list[Form]:
    before, after = (tracer.specs[name].dtype.kind for name in (node.inputs[0], node.outputs[0]))
    if node.inputs[0] in tracer.row_masks:
        tracer.row_masks[node.outputs[0]] = tracer.row_masks[node.inputs[0]]
        raise NotLinear
    form = tracer.of(node.inputs[0])
    is_mask = all(atom.kind == "mask" for monomial in form.terms for atom in monomial)
    if before != after and before != "b" and not (after == "b" and is_mask):
        raise NotLinear
    return [form]


def _reduce(tracer: Tracer, node: Node) -> list[Form]:
    """Over an axis of extent 1, which stays."""
    form = tracer.of(node.inputs[0])
    rank = len(tracer.specs[node.inputs[0]].shape or ())
    axes = [int(a) % rank for a in tracer.constant(node.inputs[1]).ravel()]
    if form.width != 1 or axes != [rank - 1] or not node.attrs.get("keepdims", 1):
        raise NotLinear
    return [form]


def _inverted(tracer: Tracer, form: Form) -> Form:
    return tracer.algebra.add(tracer.algebra.constant(np.ones(form.width)), tracer.algebra.scale(form, -1.0))


def _not(tracer: Tracer, node: Node) -> list[Form]:
    if node.inputs[0] in tracer.row_masks:
        tracer.row_masks[node.outputs[0]] = _inverted(tracer, tracer.row_masks[node.inputs[0]])
        raise NotLinear
    return [_inverted(tracer, tracer.of(node.inputs[0]))]


def _and(tracer: Tracer, node: Node) -> list[Form]:
    return [tracer.algebra.multiply(tracer.of(node.inputs[0]), tracer.of(node.inputs[1]))]


def _where(tracer: Tracer, node: Node) -> list[Form]:
    condition, yes, no = (tracer.of(name) for name in node.inputs)
    algebra = tracer.algebra
    return [algebra.add(algebra.multiply(condition, yes), algebra.multiply(_inverted(tracer, condition), no))]


def _total(tracer: Tracer, node: Node) -> list[Form]:
    total = tracer.of(node.inputs[0])
    for name in node.inputs[1:]:
        total = tracer.algebra.add(total, tracer.of(name))
    return [total]


def _sub(tracer: Tracer, node: Node) -> list[Form]:
    a, b = tracer.factor(node.inputs[0]), tracer.of(node.inputs[1])
    return [tracer.algebra.add(a, tracer.algebra.scale(b, -1.0))]


def _neg(tracer: Tracer, node: Node) -> list[Form]:
    return [tracer.algebra.scale(tracer.of(node.inputs[0]), -1.0)]


def _mul(tracer: Tracer, node: Node) -> list[Form]:
    return [tracer.algebra.multiply(*(tracer.factor(name) for name in node.inputs))]


def _div(tracer: Tracer, node: Node) -> list[Form]:
    by = tracer.of(node.inputs[1])
    if set(by.terms) != {()} or np.any(by.terms[()] == 0):
        raise NotLinear
    return [tracer.algebra.scale(tracer.of(node.inputs[0]), 1.0 / by.terms[()])]


def _matmul(tracer: Tracer, node: Node) -> list[Form]:
    weights = tracer.constant(node.inputs[1])
    return [_through(tracer, tracer.vector(node.inputs[0]), weights)]


def _gemm(tracer: Tracer, node: Node) -> list[Form]:
    operator = get_operator("Gemm")
    alpha, beta, flip = (operator.attr(node, key) for key in ("alpha", "beta", "transB"))
    if operator.attr(node, "transA"):
        raise NotLinear
    weights = tracer.constant(node.inputs[1])
    weights = _transposed(tracer, node.inputs[1], weights) if flip else weights
    found = _through(tracer, tracer.vector(node.inputs[0]), weights)
    found = tracer.algebra.scale(found, float(alpha))
    if len(node.inputs) > 2 and node.inputs[2]:
        found = tracer.algebra.add(found, tracer.algebra.scale(tracer.of(node.inputs[2]), float(beta)))
    return [found]


def _transposed(tracer: Tracer, name: str, weights: np.ndarray) -> np.ndarray:
    """One array for all steps that use these weights."""
    known = tracer.transposes.get(name)
    if known is None:
        known = tracer.transposes[name] = np.ascontiguousarray(weights.T)
    return known


def _through(tracer: Tracer, form: Form, weights: np.ndarray) -> Form:
    while weights.ndim > 2 and weights.shape[0] == 1:
        weights = weights[0]
    if weights.ndim != 2 or weights.dtype.kind != "f":
        raise NotLinear
    return tracer.algebra.matmul(form, weights)


def _function(tracer: Tracer, node: Node) -> list[Form]:
    return [tracer.algebra.activation(node.op, tracer.of(node.inputs[0]))]


def _with_alpha(tracer: Tracer, node: Node) -> list[Form]:
    alpha = float(node.attrs.get("alpha", DEFAULTS[node.op][0]))
    return [tracer.algebra.activation(node.op, tracer.of(node.inputs[0]), alpha)]


def _hard_sigmoid(tracer: Tracer, node: Node) -> list[Form]:
    operator = get_operator("HardSigmoid")
    alpha, beta = (float(operator.attr(node, key)) for key in ("alpha", "beta"))
    return [tracer.algebra.activation("HardSigmoid", tracer.of(node.inputs[0]), alpha, beta)]


def _relu(tracer: Tracer, node: Node) -> list[Form]:
    return [tracer.algebra.activation("Relu", tracer.of(node.inputs[0]))]


def _bounded(tracer: Tracer, form: Form, low: float | None, high: float | None) -> Form:
    """Clip: a Relu, or a HardSigmoid as Keras writes it."""
    if low != 0:
        raise NotLinear
    if high is None or high > 1e30:
        return tracer.algebra.activation("Relu", form)
    return tracer.algebra.scale(tracer.algebra.activation("HardSigmoid", form, 1.0 / high, 0.0), high)


def _clip(tracer: Tracer, node: Node) -> list[Form]:
    bounds = [float(tracer.constant(name).reshape(())) if name else None for name in node.inputs[1:]]
    low, high = [*bounds, None, None][:2]
    return [_bounded(tracer, tracer.of(node.inputs[0]), low, high)]


def _max(tracer: Tracer, node: Node) -> list[Form]:
    a, b = (tracer.of(name) for name in node.inputs)
    for x, y in ((a, b), (b, a)):
        if not y.terms:
            capped = _only_function(x, _CAPPED)
            if capped is not None and capped.inner is not None:
                return [_bounded(tracer, capped.inner, 0.0, capped.alpha)]
            return [tracer.algebra.activation("Relu", tracer.algebra.add(x, Form(max(a.width, b.width))))]
    raise NotLinear


def _min(tracer: Tracer, node: Node) -> list[Form]:
    a, b = (tracer.of(name) for name in node.inputs)
    for x, y in ((a, b), (b, a)):
        high = y.terms.get(())
        if set(y.terms) == {()} and isinstance(high, float):
            bounded = _only_function(x, "Relu")
            if bounded is not None and bounded.inner is not None:
                return [_bounded(tracer, bounded.inner, 0.0, high)]
            return [tracer.algebra.activation(_CAPPED, x, high)]
    raise NotLinear


def _only_function(form: Form, name: str) -> Atom | None:
    """The atom that a form is, if it is one activation of this name."""
    if len(form.terms) != 1:
        return None
    ((monomial, coefficient),) = form.terms.items()
    found = len(monomial) == 1 and monomial[0].name == name and is_one(coefficient)
    return monomial[0] if found else None


def _split(tracer: Tracer, node: Node) -> list[Form]:
    form = tracer.of(node.inputs[0])
    rank = len(tracer.specs[node.inputs[0]].shape or ())
    if int(node.attrs.get("axis", 0)) % rank != rank - 1:
        if len(node.outputs) == 1:
            return [form]
        raise NotLinear
    forms, at = [], 0
    for name in node.outputs:
        width = (tracer.specs[name].shape or (None,))[-1] if name else form.width // len(node.outputs)
        if not isinstance(width, int):
            raise NotLinear
        forms.append(tracer.algebra.columns(form, at, at + width))
        at += width
    return forms


def _slice(tracer: Tracer, node: Node) -> list[Form]:
    form = tracer.of(node.inputs[0])
    shape = tracer.specs[node.inputs[0]].shape or ()
    starts, ends = (tracer.constant(name).ravel().tolist() for name in node.inputs[1:3])
    axes = tracer.constant(node.inputs[3]).ravel().tolist() if len(node.inputs) > 3 and node.inputs[3] else None
    steps = tracer.constant(node.inputs[4]).ravel().tolist() if len(node.inputs) > 4 else [1] * len(starts)
    for axis, first, last, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        extent = shape[axis % len(shape)]
        if step != 1:
            raise NotLinear
        if axis % len(shape) == len(shape) - 1:
            start, stop, _ = slice(first, last).indices(form.width)
            if stop <= start:
                raise NotLinear
            form = tracer.algebra.columns(form, start, stop)
        elif first != 0 or (last < (1 << 31) - 1 and not (isinstance(extent, int) and last >= extent)):
            raise NotLinear
    return [form]


def _concat(tracer: Tracer, node: Node) -> list[Form]:
    rank = len(tracer.specs[node.outputs[0]].shape or ())
    if len(node.inputs) == 1:
        return [tracer.of(node.inputs[0])]
    look = tracer.vector if node.outputs[0] in tracer.multiplied else tracer.of
    forms = [look(name) for name in node.inputs]
    if int(node.attrs["axis"]) % rank != rank - 1 or sum(f.width for f in forms) > WIDEST_CONCAT:
        raise NotLinear
    return [tracer.algebra.concat(forms)]


RULES.update(
    {
        **dict.fromkeys(_SAME_ROWS, _same),
        **dict.fromkeys(_PLAIN, _function),
        **dict.fromkeys(_WITH_ALPHA, _with_alpha),
        **dict.fromkeys(("ReduceMin", "ReduceMax", "ReduceSum", "ReduceMean"), _reduce),
        "Cast": _cast,
        "Not": _not,
        "And": _and,
        "Where": _where,
        "Add": _total,
        "Sum": _total,
        "Sub": _sub,
        "Neg": _neg,
        "Mul": _mul,
        "Div": _div,
        "MatMul": _matmul,
        "Gemm": _gemm,
        "HardSigmoid": _hard_sigmoid,
        "Relu": _relu,
        "Clip": _clip,
        "Max": _max,
        "Min": _min,
        "Split": _split,
        "Slice": _slice,
        "Concat": _concat,
    }
)
