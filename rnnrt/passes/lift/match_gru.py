"""The GRU's equations, found in the form of its output."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnrt.passes.lift.cells import (
    Cell,
    Choose,
    Gate,
    NoMatch,
    activations_of,
    affine,
    exactly,
    function_of,
    inner_form,
    is_function,
    make_cell,
)
from rnnrt.passes.lift.forms import Algebra, Atom, Coefficient, Form, Monomial, is_matrix, is_one


def match_gru(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    """``z h + (1 - z) n``, or ``(1 - z) h + z n``."""
    terms = exactly(form, 3)
    for h in {a for m, _ in terms for a in m if a.is_source and a.width == form.width}:
        for z in {a for m, _ in terms for a in m if is_function(a)}:
            for n in {a for m, _ in terms for a in m if a is not z and a is not h}:
                found = {frozenset(m): c for m, c in terms}
                zh, zn = frozenset({z, h}), frozenset({z, n})
                if set(found) == {zh, zn, frozenset({n})}:
                    signs, flipped = (found[zh], np.negative(found[zn]), found[frozenset({n})]), False
                elif set(found) == {zh, zn, frozenset({h})}:
                    signs, flipped = (np.negative(found[zh]), found[zn], found[frozenset({h})]), True
                else:
                    continue
                if all(map(is_one, signs)):
                    return _gru_of(algebra, form.width, h, z, n, flipped)
    raise NoMatch


def _gru_of(algebra: Algebra, width: int, h: Atom, z: Atom, n: Atom, flipped: bool) -> Cell:
    """`flipped`: z here is what lets the new value in, 1 - z of the IR."""
    outside, inside, r = {}, None, None
    R_bias = np.zeros(width, np.float32)
    after = 0
    for monomial, c in inner_form(n).terms.items():
        if len(monomial) != 2 and not (len(monomial) == 1 and is_function(monomial[0])):
            outside[monomial] = c
            continue
        gates = [a for a in monomial if is_function(a)]
        if len(gates) != 1 or (r is not None and gates[0] is not r):
            raise NoMatch
        r = gates[0]
        other = next((a for a in monomial if a is not r), None)
        if other is None and not is_matrix(c):
            after, R_bias = 1, R_bias + c
        elif other is not None and other.zero and not is_matrix(c):
            after = 1  # the product of a zero state, folded
        elif other is h and is_matrix(c) and inside is None:
            inside = c
        elif other is not None and other.kind == "closed" and is_one(c) and inside is None:
            after, linear = 1, affine(inner_form(other), width, h)
            if linear.x or linear.R is None:
                raise NoMatch
            inside, R_bias = linear.R, R_bias + linear.bias
        else:
            raise NoMatch
    if h.zero:
        return _gru_from_zeros(width, z, n, r, outside, R_bias, after)
    if r is None or inside is None or function_of(r) != function_of(z):
        raise NoMatch
    update = inner_form(z)
    if flipped:
        if z.name != "Sigmoid":
            raise NoMatch
        update = algebra.scale(update, -1.0)
    gates_of = [affine(update, width, h), affine(inner_form(r), width, h), affine(Form(width, outside), width, h)]
    if gates_of[2].R is not None:
        raise NoMatch
    gates_of[2] = Gate(gates_of[2].x, inside, None, gates_of[2].bias)
    attrs = {**activations_of([r, n]), "linear_before_reset": after}
    return make_cell("GRU", width, gates_of, h, None, attrs, recurrent_bias=R_bias)


def _gru_from_zeros(
    width: int,
    z: Atom,
    n: Atom,
    r: Atom | None,
    outside: Mapping[Monomial, Coefficient],
    R_bias: np.ndarray,
    after: int,
) -> Cell:
    """A step that sees no state. Where the reset gate is not seen either, its rows are zeros."""
    first = affine(inner_form(z), width, None)
    second = Gate({}, None, None, np.zeros(width, np.float32)) if r is None else affine(inner_form(r), width, None)
    gates = [first, second, affine(Form(width, outside), width, None)]
    attrs = {**activations_of([z if r is None else r, n]), "linear_before_reset": after}
    return make_cell("GRU", width, gates, None, None, attrs, recurrent_bias=R_bias)
