"""The LSTM's equations, found in the form of its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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
    only,
    vectors_in,
)
from rnnrt.passes.lift.forms import Algebra, Atom, Coefficient, Form, Monomial, is_matrix, is_one


def match_lstm(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    """``o g(c)`` with the new cell state c."""
    if len(form.terms) == 2:
        return _linear_lstm(algebra, form, choose)
    ((monomial, coefficient),) = exactly(form, 1)
    if len(monomial) != 2 or not is_one(coefficient):
        raise NoMatch
    for o, t in (monomial, monomial[::-1]):
        if is_function(o) and is_function(t) and t.inner is not None and len(t.inner.terms) >= 2:
            try:
                return _lstm_of(algebra, form.width, o, t, choose)
            except NoMatch:
                continue
    raise NoMatch


def _linear_lstm(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    """``o * c``, multiplied out."""
    first, second = form.terms
    for o in (atom for atom in first if is_function(atom) and atom in second):
        cell_state = Form(form.width, {tuple(a for a in m if a is not o): c for m, c in form.terms.items()})
        ((t,),) = algebra.closed(cell_state).terms
        try:
            return _lstm_of(algebra, form.width, o, t, choose)
        except NoMatch:
            continue
    raise NoMatch


def _lstm_of(algebra: Algebra, width: int, o: Atom, t: Atom, choose: Choose) -> Cell:
    new_c = t.inner
    assert new_c is not None
    c, f, i, g = _cell_state(new_c, o)
    coupled = f is None or i is None
    gates = [gate for gate in (i or f, o, None if i is None else f, g) if gate is not None]
    forms = [inner_form(gate) for gate in gates]
    if i is None:
        forms[0] = algebra.scale(forms[0], -1.0)
    # The output gate's peephole sees the new cell state, whose terms stand in its form.
    at = gates.index(o)
    forms[at], peep_o = _without(algebra, forms[at], new_c)
    h = choose(vectors_in(forms, width, c), c)
    parts = [affine(form, width, h, c) for form in forms]
    if parts[-1].peephole is not None:
        raise NoMatch
    if parts[at].peephole is not None:
        raise NoMatch
    parts[at] = replace(parts[at], peephole=peep_o)
    if coupled:
        parts.insert(2, Gate({}, None, None, np.zeros(width, np.float32)))
    attrs = {**activations_of([gates[0], g, t]), **({"input_forget": 1} if coupled else {})}
    return make_cell("LSTM", width, parts, h, c, attrs, result_c=new_c)


def _cell_state(new_c: Form, o: Atom) -> tuple[Atom, Atom | None, Atom | None, Atom]:
    """The old cell state and the gates f, i and g of ``f * c + i * g``; f None for ``(1 - i) * c + i * g``.

    i None: ``f * c + (1 - f) * g``.
    """
    terms = dict(new_c.terms)
    if len(terms) == 3 and all(any(a.is_source for a in m) <= (len(m) == 2) for m in terms):
        return _coupled_by_forget(terms)
    olds = [m for m in terms if any(atom.is_source for atom in m)]
    if len(terms) - len(olds) != 1 or not olds:
        raise NoMatch
    new = only(m for m in terms if m not in olds)
    if len(new) != 2 or not is_one(terms[new]):
        raise NoMatch
    alone = [m for m in olds if len(m) == 1]
    with_gate = [m for m in olds if len(m) == 2]
    if len(with_gate) != 1 or len(olds) - len(alone) != 1:
        raise NoMatch
    c, gate = (only(a for a in with_gate[0] if a.is_source is want) for want in (True, False))
    kind = function_of(gate)
    for i, g in (new, new[::-1]):
        if not alone and is_one(terms[with_gate[0]]) and function_of(i) == kind == function_of(o):
            return c, gate, i, g
        if alone == [(c,)] and is_one(terms[(c,)]) and is_one(np.negative(terms[with_gate[0]])) and i is gate:
            return c, None, i, g
    raise NoMatch


def _coupled_by_forget(terms: Mapping[Monomial, Coefficient]) -> tuple[Atom, Atom, None, Atom]:
    """``f * c + g - f * g``; the IR has one gate of the two the other way round, which a Sigmoid allows."""
    old = only(m for m in terms if any(a.is_source for a in m))
    c, f = (only(a for a in old if a.is_source is want) for want in (True, False))
    g = only(only(m for m in terms if len(m) == 1))
    wanted = {frozenset({c, f}): 1.0, frozenset({g}): 1.0, frozenset({f, g}): -1.0}
    found = {frozenset(m): coefficient for m, coefficient in terms.items()}
    if found.keys() != wanted.keys() or f.name != "Sigmoid":
        raise NoMatch
    if not all(is_one(found[m] if sign > 0 else np.negative(found[m])) for m, sign in wanted.items()):
        raise NoMatch
    return c, f, None, g


def _without(algebra: Algebra, form: Form, new_c: Form) -> tuple[Form, np.ndarray | None]:
    """The output gate's form without the peephole's terms, and the peephole."""
    if all(len(m) < 2 for m in form.terms):
        return form, None
    product = next((m for m, c in new_c.terms.items() if len(m) > 1 and is_one(c)), ())
    found = form.terms.get(product, 0.0)
    if is_matrix(found):
        raise NoMatch
    peephole = np.broadcast_to(np.asarray(found), (form.width,))
    rest = algebra.add(form, algebra.scale(new_c, -peephole))
    if any(len(m) > 1 for m in rest.terms):
        raise NoMatch
    return rest, peephole
