"""From the form of a step's result to the cell that computes it: LSTM, GRU or plain RNN, with its weights.

The equations are those of `rnnrt.ops.recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from rnnrt.ops.activations import ACTIVATIONS
from rnnrt.passes.lift.forms import Algebra, Atom, Coefficient, Form, Monomial, is_matrix, is_one, matrix

T = TypeVar("T")

Choose = Callable[[Sequence[Atom], Atom | None], Atom | None]
"""Which of these vectors is the hidden state, given the cell state; None: none of them."""


@dataclass(frozen=True)
class Gate:
    """One gate's affine form: a matrix (k, H) by input vector, the recurrent matrix (H, H), a peephole, a bias (H,)."""

    x: Mapping[Atom, np.ndarray]
    R: np.ndarray | None
    peephole: np.ndarray | None
    bias: np.ndarray


@dataclass(frozen=True)
class Cell:
    """A recognised step.

    `x` are the vectors whose units, in this order, are the step's input; `h` and `c` the states before it, `h` None
    where the step has an input alone. `gates` are in the IR's order; `recurrent_bias` (H,) is inside a GRU's reset.
    """

    op: str
    units: int
    x: tuple[Atom, ...]
    h: Atom | None
    c: Atom | None
    gates: tuple[Gate, ...]
    attrs: Mapping[str, Any]
    recurrent_bias: np.ndarray | None = None
    result_c: Form | None = None

    def weights(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]:
        """W (G*H, I), R (G*H, H), bias (2*G*H,) and P (3*H,) in the IR's layout; R and P None where there are none."""
        H = self.units
        W = [
            np.concatenate([gate.x.get(a, np.zeros((a.width, H), np.float32)) for a in self.x]).T for gate in self.gates
        ]
        R = [np.zeros((H, H), np.float32) if gate.R is None else gate.R.T for gate in self.gates]
        bias = np.concatenate([gate.bias for gate in self.gates])
        inside = np.zeros_like(bias)
        if self.recurrent_bias is not None:
            inside[-H:] = self.recurrent_bias
        peepholes = [gate.peephole for gate in self.gates[:3]]
        P = None
        if any(p is not None for p in peepholes):
            P = np.concatenate([np.zeros(H, np.float32) if p is None else p for p in peepholes])
        recurrent = None if self.h is None else np.concatenate(R)
        return np.concatenate(W), recurrent, np.concatenate([bias, inside]), P

    def key(self, algebra: Algebra) -> Hashable:
        """Equal for steps of one recurrence."""
        return self.op, repr(self.attrs), tuple(self.gate_key(algebra, k) for k in range(len(self.gates)))

    def gate_key(self, algebra: Algebra, k: int, recurrent: bool = True) -> Hashable:
        """Equal for gates of equal weights; without `recurrent` only what the input goes through counts."""
        gate = self.gates[k]
        inputs = tuple(algebra.digest(gate.x[a]) if a in gate.x else a.width for a in self.x)
        if not recurrent:
            return inputs
        inside = self.recurrent_bias if k == len(self.gates) - 1 else None
        rest = (gate.R, gate.peephole, gate.bias, inside)
        return inputs, tuple(None if array is None else algebra.digest(array) for array in rest)


def recognise(algebra: Algebra, form: Form, choose: Choose) -> Cell | None:
    """The cell whose new hidden state `form` is; None when it is none that the IR knows."""
    for match in (_lstm, _gru, _rnn):
        try:
            cell = match(algebra, form, choose)
        except _NoMatch:
            continue
        if cell is not None:
            return cell
    return None


class _NoMatch(Exception):
    """The form is not of this kind."""


def _lstm(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    if len(form.terms) == 2:
        return _linear_lstm(algebra, form, choose)
    ((monomial, coefficient),) = _exactly(form, 1)
    if len(monomial) != 2 or not is_one(coefficient):
        raise _NoMatch
    for o, t in (monomial, monomial[::-1]):
        if _is_function(o) and _is_function(t) and t.inner is not None and len(t.inner.terms) >= 2:
            try:
                return _lstm_of(algebra, form.width, o, t, choose)
            except _NoMatch:
                continue
    raise _NoMatch


def _linear_lstm(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    """``o * c``, multiplied out."""
    first, second = form.terms
    for o in (atom for atom in first if _is_function(atom) and atom in second):
        cell_state = Form(form.width, {tuple(a for a in m if a is not o): c for m, c in form.terms.items()})
        ((t,),) = algebra.closed(cell_state).terms
        try:
            return _lstm_of(algebra, form.width, o, t, choose)
        except _NoMatch:
            continue
    raise _NoMatch


def _lstm_of(algebra: Algebra, width: int, o: Atom, t: Atom, choose: Choose) -> Cell:
    new_c = t.inner
    assert new_c is not None
    c, f, i, g = _cell_state(new_c, o)
    coupled = f is None or i is None
    gates = [gate for gate in (i or f, o, None if i is None else f, g) if gate is not None]
    forms = [_inner(gate) for gate in gates]
    if i is None:
        forms[0] = algebra.scale(forms[0], -1.0)
    # The output gate's peephole sees the new cell state, whose terms stand in its form.
    at = gates.index(o)
    forms[at], peep_o = _without(algebra, forms[at], new_c)
    h = choose(_vectors(forms, width, c), c)
    parts = [_gate(form, width, h, c) for form in forms]
    if parts[-1].peephole is not None:
        raise _NoMatch
    if parts[at].peephole is not None:
        raise _NoMatch
    parts[at] = replace(parts[at], peephole=peep_o)
    if coupled:
        parts.insert(2, Gate({}, None, None, np.zeros(width, np.float32)))
    attrs = {**_activations([gates[0], g, t]), **({"input_forget": 1} if coupled else {})}
    return _cell("LSTM", width, parts, h, c, attrs, result_c=new_c)


def _cell_state(new_c: Form, o: Atom) -> tuple[Atom, Atom | None, Atom | None, Atom]:
    """The old cell state and the gates f, i and g of ``f * c + i * g``; f None for ``(1 - i) * c + i * g``.

    i None: ``f * c + (1 - f) * g``.
    """
    terms = dict(new_c.terms)
    if len(terms) == 3 and all(any(a.is_source for a in m) <= (len(m) == 2) for m in terms):
        return _coupled_by_forget(terms)
    olds = [m for m in terms if any(atom.is_source for atom in m)]
    if len(terms) - len(olds) != 1 or not olds:
        raise _NoMatch
    new = _only(m for m in terms if m not in olds)
    if len(new) != 2 or not is_one(terms[new]):
        raise _NoMatch
    alone = [m for m in olds if len(m) == 1]
    with_gate = [m for m in olds if len(m) == 2]
    if len(with_gate) != 1 or len(olds) - len(alone) != 1:
        raise _NoMatch
    c, gate = (_only(a for a in with_gate[0] if a.is_source is want) for want in (True, False))
    kind = _kind(gate)
    for i, g in (new, new[::-1]):
        if not alone and is_one(terms[with_gate[0]]) and _kind(i) == kind == _kind(o):
            return c, gate, i, g
        if alone == [(c,)] and is_one(terms[(c,)]) and is_one(np.negative(terms[with_gate[0]])) and i is gate:
            return c, None, i, g
    raise _NoMatch


def _coupled_by_forget(terms: Mapping[Monomial, Coefficient]) -> tuple[Atom, Atom, None, Atom]:
    """``f * c + g - f * g``; the IR has one gate of the two the other way round, which a Sigmoid allows."""
    old = _only(m for m in terms if any(a.is_source for a in m))
    c, f = (_only(a for a in old if a.is_source is want) for want in (True, False))
    g = _only(_only(m for m in terms if len(m) == 1))
    wanted = {frozenset({c, f}): 1.0, frozenset({g}): 1.0, frozenset({f, g}): -1.0}
    found = {frozenset(m): coefficient for m, coefficient in terms.items()}
    if found.keys() != wanted.keys() or f.name != "Sigmoid":
        raise _NoMatch
    if not all(is_one(found[m] if sign > 0 else np.negative(found[m])) for m, sign in wanted.items()):
        raise _NoMatch
    return c, f, None, g


def _gru(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    terms = _exactly(form, 3)
    for h in {a for m, _ in terms for a in m if a.is_source and a.width == form.width}:
        for z in {a for m, _ in terms for a in m if _is_function(a)}:
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
    raise _NoMatch


def _gru_of(algebra: Algebra, width: int, h: Atom, z: Atom, n: Atom, flipped: bool) -> Cell:
    """`flipped`: z here is what lets the new value in, 1 - z of the IR."""
    outside, inside, r = {}, None, None
    R_bias = np.zeros(width, np.float32)
    after = 0
    for monomial, c in _inner(n).terms.items():
        if len(monomial) != 2 and not (len(monomial) == 1 and _is_function(monomial[0])):
            outside[monomial] = c
            continue
        gates = [a for a in monomial if _is_function(a)]
        if len(gates) != 1 or (r is not None and gates[0] is not r):
            raise _NoMatch
        r = gates[0]
        other = next((a for a in monomial if a is not r), None)
        if other is None and not is_matrix(c):
            after, R_bias = 1, R_bias + c
        elif other is not None and other.zero and not is_matrix(c):
            after = 1  # the product of a zero state, folded
        elif other is h and is_matrix(c) and inside is None:
            inside = c
        elif other is not None and other.kind == "closed" and is_one(c) and inside is None:
            after, linear = 1, _gate(_inner(other), width, h)
            if linear.x or linear.R is None:
                raise _NoMatch
            inside, R_bias = linear.R, R_bias + linear.bias
        else:
            raise _NoMatch
    if h.zero:
        return _gru_from_zeros(width, z, n, r, outside, R_bias, after)
    if r is None or inside is None or _kind(r) != _kind(z):
        raise _NoMatch
    update = _inner(z)
    if flipped:
        if z.name != "Sigmoid":
            raise _NoMatch
        update = algebra.scale(update, -1.0)
    gates_of = [_gate(update, width, h), _gate(_inner(r), width, h), _gate(Form(width, outside), width, h)]
    if gates_of[2].R is not None:
        raise _NoMatch
    gates_of[2] = Gate(gates_of[2].x, inside, None, gates_of[2].bias)
    attrs = {**_activations([r, n]), "linear_before_reset": after}
    return _cell("GRU", width, gates_of, h, None, attrs, recurrent_bias=R_bias)


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
    first = _gate(_inner(z), width, None)
    second = Gate({}, None, None, np.zeros(width, np.float32)) if r is None else _gate(_inner(r), width, None)
    gates = [first, second, _gate(Form(width, outside), width, None)]
    attrs = {**_activations([z if r is None else r, n]), "linear_before_reset": after}
    return _cell("GRU", width, gates, None, None, attrs, recurrent_bias=R_bias)


def _rnn(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    if len(form.terms) == 1:
        ((monomial, coefficient),) = form.terms.items()
        if len(monomial) == 1 and _is_function(monomial[0]) and is_one(coefficient):
            (function,) = monomial
            inner = _inner(function)
            h = choose(_vectors([inner], form.width), None)
            return _cell("RNN", form.width, [_gate(inner, form.width, h)], h, None, _activations([function]))
    h = choose(_vectors([form], form.width), None)
    gate = _gate(form, form.width, h)
    return _cell("RNN", form.width, [gate], h, None, {"activations": ("Affine",)})


def _cell(
    op: str, width: int, gates: Sequence[Gate], h: Atom | None, c: Atom | None, attrs: Mapping[str, Any], **more: Any
) -> Cell:
    x = tuple(sorted({atom for gate in gates for atom in gate.x}, key=lambda atom: atom.number))
    if not x:
        raise _NoMatch
    return Cell(op, width, x, h, c, tuple(gates), dict(attrs), **more)


def _gate(form: Form, width: int, h: Atom | None, c: Atom | None = None) -> Gate:
    x: dict[Atom, np.ndarray] = {}
    R = peephole = None
    bias: Any = np.zeros(width, np.float32)
    for monomial, coefficient in form.terms.items():
        if monomial == ():
            bias = bias + coefficient
        elif len(monomial) != 1 or not monomial[0].is_source:
            raise _NoMatch
        elif monomial[0] is h and (h is not c or is_matrix(coefficient)):
            R = matrix(coefficient, width)
        elif monomial[0] is c:
            if is_matrix(coefficient):
                raise _NoMatch
            peephole = np.broadcast_to(np.asarray(coefficient), (width,))
        elif monomial[0].width == 1 and not is_matrix(coefficient):
            x[monomial[0]] = np.broadcast_to(np.asarray(coefficient), (width,))[None, :]
        else:
            x[monomial[0]] = matrix(coefficient, width)
    return Gate(x, R, peephole, np.asarray(bias))


def _without(algebra: Algebra, form: Form, new_c: Form) -> tuple[Form, np.ndarray | None]:
    """The output gate's form without the peephole's terms, and the peephole."""
    if all(len(m) < 2 for m in form.terms):
        return form, None
    product = next((m for m, c in new_c.terms.items() if len(m) > 1 and is_one(c)), ())
    found = form.terms.get(product, 0.0)
    if is_matrix(found):
        raise _NoMatch
    peephole = np.broadcast_to(np.asarray(found), (form.width,))
    rest = algebra.add(form, algebra.scale(new_c, -peephole))
    if any(len(m) > 1 for m in rest.terms):
        raise _NoMatch
    return rest, peephole


def _vectors(forms: Sequence[Form], width: int, c: Atom | None = None) -> list[Atom]:
    """What the hidden state may be: the cell state too, where weights see it (one tensor for h0 and c0)."""
    terms = [(m[0], weights) for form in forms for m, weights in form.terms.items() if len(m) == 1]
    found = {a for a, weights in terms if a.is_source and a.width == width and (a is not c or is_matrix(weights))}
    return sorted(found, key=lambda atom: atom.number)


def _activations(functions: Sequence[Atom]) -> dict[str, Any]:
    found = [_kind(f) for f in functions]
    attrs: dict[str, Any] = {"activations": tuple(name for name, _, _ in found)}
    if any(alpha or beta for _, alpha, beta in found):
        attrs["activation_alpha"] = tuple(alpha for _, alpha, _ in found)
        attrs["activation_beta"] = tuple(beta for _, _, beta in found)
    return attrs


def _kind(atom: Atom) -> tuple[str, float, float]:
    """The function of an activation; a closed form is a linear one."""
    return ("Affine", 1.0, 0.0) if atom.kind == "closed" else (atom.name, atom.alpha, atom.beta)


def _is_function(atom: Atom) -> bool:
    return atom.kind == "activation" and atom.name in ACTIVATIONS


def _inner(atom: Atom) -> Form:
    if atom.inner is None:
        raise _NoMatch
    return atom.inner


def _only(items: Iterable[T]) -> T:
    found = list(items)
    if len(found) != 1:
        raise _NoMatch
    return found[0]


def _exactly(form: Form, count: int) -> list[tuple[Monomial, Coefficient]]:
    if len(form.terms) != count:
        raise _NoMatch
    return list(form.terms.items())


def masks_in(form: Form) -> Iterator[Atom]:
    """Masks that the form's terms have as factors."""
    yield from {atom for monomial in form.terms for atom in monomial if atom.kind == "mask"}
