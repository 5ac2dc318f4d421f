"""A recognised cell with its weights, and what the matchers of the three kinds share.

The equations are those of `rnnrt.ops.recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from rnnrt.ops.activations import ACTIVATIONS
from rnnrt.passes.lift.forms import Algebra, Atom, Coefficient, Form, Monomial, is_matrix, matrix

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


class NoMatch(Exception):
    """The form is not of this kind."""


def make_cell(
    op: str, width: int, gates: Sequence[Gate], h: Atom | None, c: Atom | None, attrs: Mapping[str, Any], **more: Any
) -> Cell:
    """The cell of these gates; the rest as in `Cell`."""
    x = tuple(sorted({atom for gate in gates for atom in gate.x}, key=lambda atom: atom.number))
    if not x:
        raise NoMatch
    return Cell(op, width, x, h, c, tuple(gates), dict(attrs), **more)


def affine(form: Form, width: int, h: Atom | None, c: Atom | None = None) -> Gate:
    """A gate whose form is affine in the vectors that a step is given."""
    x: dict[Atom, np.ndarray] = {}
    R = peephole = None
    bias: Any = np.zeros(width, np.float32)
    for monomial, coefficient in form.terms.items():
        if monomial == ():
            bias = bias + coefficient
        elif len(monomial) != 1 or not monomial[0].is_source:
            raise NoMatch
        elif monomial[0] is h and (h is not c or is_matrix(coefficient)):
            R = matrix(coefficient, width)
        elif monomial[0] is c:
            if is_matrix(coefficient):
                raise NoMatch
            peephole = np.broadcast_to(np.asarray(coefficient), (width,))
        elif monomial[0].width == 1 and not is_matrix(coefficient):
            x[monomial[0]] = np.broadcast_to(np.asarray(coefficient), (width,))[None, :]
        else:
            x[monomial[0]] = matrix(coefficient, width)
    return Gate(x, R, peephole, np.asarray(bias))


def vectors_in(forms: Sequence[Form], width: int, c: Atom | None = None) -> list[Atom]:
    """What the hidden state may be: the cell state too, where weights see it (one tensor for h0 and c0)."""
    terms = [(m[0], weights) for form in forms for m, weights in form.terms.items() if len(m) == 1]
    found = {a for a, weights in terms if a.is_source and a.width == width and (a is not c or is_matrix(weights))}
    return sorted(found, key=lambda atom: atom.number)


def activations_of(functions: Sequence[Atom]) -> dict[str, Any]:
    """The IR's attributes for these functions, in its order."""
    found = [function_of(f) for f in functions]
    attrs: dict[str, Any] = {"activations": tuple(name for name, _, _ in found)}
    if any(alpha or beta for _, alpha, beta in found):
        attrs["activation_alpha"] = tuple(alpha for _, alpha, _ in found)
        attrs["activation_beta"] = tuple(beta for _, _, beta in found)
    return attrs


def function_of(atom: Atom) -> tuple[str, float, float]:
    """The function of an activation; a closed form is a linear one."""
    return ("Affine", 1.0, 0.0) if atom.kind == "closed" else (atom.name, atom.alpha, atom.beta)


def is_function(atom: Atom) -> bool:
    """Whether an atom is an activation that the IR knows."""
    return atom.kind == "activation" and atom.name in ACTIVATIONS


def inner_form(atom: Atom) -> Form:
    """The form that a function or a closed atom is of."""
    if atom.inner is None:
        raise NoMatch
    return atom.inner


def only(items: Iterable[T]) -> T:
    """The one item there is; a search with another number of them ends."""
    found = list(items)
    if len(found) != 1:
        raise NoMatch
    return found[0]


def exactly(form: Form, count: int) -> list[tuple[Monomial, Coefficient]]:
    """The terms of a form that must have so many."""
    if len(form.terms) != count:
        raise NoMatch
    return list(form.terms.items())


def masks_in(form: Form) -> Iterator[Atom]:
    """Masks that the form's terms have as factors."""
    yield from {atom for monomial in form.terms for atom in monomial if atom.kind == "mask"}
