"""Vectors of a recurrent step in one form, however their arithmetic is spelled.

A `Form` is a sum of terms over the units of a row: a product of atoms times a coefficient. Atoms are what arithmetic
does not look into: the vectors that a step is given (sources), activations of other forms, and forms that had to be
closed because a matrix stands inside a product. Equal atoms are one object, so that forms can be compared, and
``(1 - z) * n + z * h`` and ``n + z * (h - n)`` come out the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

import numpy as np

Coefficient = Any
"""A float or vector (n,) that units are multiplied by one by one, or a matrix (k, n) that k units are put through."""

MOST_TERMS = 64


class NotLinear(Exception):
    """The value has no form."""


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """A factor of terms. `kind` is source, mask, activation or closed; `number` orders factors.

    A source or mask has its value's `name`, and a source may be known to be `zero`; an activation has its function's
    `name`, `alpha` and `beta`, and the form `inner` it is of; a closed form has `inner`.
    """

    number: int
    kind: str
    width: int
    name: str = ""
    alpha: float = 0.0
    beta: float = 0.0
    inner: Form | None = None
    zero: bool = False

    @property
    def is_source(self) -> bool:
        """Whether a step is given this vector."""
        return self.kind == "source"


Monomial = tuple[Atom, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A sum of terms; the empty product's coefficient is the constant part."""

    width: int
    terms: Mapping[Monomial, Coefficient] = field(default_factory=dict)


def is_matrix(coefficient: Coefficient) -> bool:
    """Whether a coefficient mixes units."""
    return isinstance(coefficient, np.ndarray) and coefficient.ndim == 2


def is_one(coefficient: Coefficient) -> bool:
    """Whether a coefficient leaves units as they are, up to the rounding of a constant such as 1/6 times 6."""
    return not is_matrix(coefficient) and bool(np.all(np.abs(np.asarray(coefficient) - 1.0) < 1e-6))


def is_zero(coefficient: Coefficient) -> bool:
    """Whether a term with this coefficient says nothing."""
    return not np.any(coefficient)


def matrix(coefficient: Coefficient, width: int) -> np.ndarray:
    """A coefficient over `width` units as a matrix."""
    if is_matrix(coefficient):
        return coefficient
    return np.diag(np.broadcast_to(np.asarray(coefficient), (width,)))


class Algebra:
    """Makes forms, and atoms that are one object when they are equal."""

    def __init__(self) -> None:
        self._atoms: dict[Hashable, Atom] = {}
        self._digests: dict[int, tuple[np.ndarray, bytes]] = {}
        self._parts: dict[tuple[int, int, int], tuple[np.ndarray, Coefficient]] = {}

    # Atoms.

    def _atom(self, key: Hashable, kind: str, width: int, **facts: Any) -> Atom:
        if key not in self._atoms:
            self._atoms[key] = Atom(len(self._atoms), kind, width, **facts)
        return self._atoms[key]

    def source(self, name: str, width: int, zero: bool = False) -> Form:
        """The vector of that name."""
        return Form(width, {(self._atom(("source", name), "source", width, name=name, zero=zero),): 1.0})

    def mask(self, name: str) -> Form:
        """A value of that name which is 0 or 1 in each row."""
        return Form(1, {(self._atom(("mask", name), "mask", 1, name=name),): 1.0})

    def constant(self, vector: np.ndarray) -> Form:
        """The same vector in every row."""
        return self._sum(len(vector), [((), vector)])

    def activation(self, name: str, form: Form, alpha: float = 0.0, beta: float = 0.0) -> Form:
        """A function of each unit."""
        key = ("activation", name, alpha, beta, self.key(form))
        atom = self._atom(key, "activation", form.width, name=name, alpha=alpha, beta=beta, inner=form)
        return Form(form.width, {(atom,): 1.0})

    def closed(self, form: Form) -> Form:
        """The form as one atom."""
        atom = self._atom(("closed", self.key(form)), "closed", form.width, inner=form)
        return Form(form.width, {(atom,): 1.0})

    def key(self, form: Form) -> Hashable:
        """Equal for equal forms."""
        items = [(tuple(a.number for a in m), self.digest(c)) for m, c in form.terms.items()]
        return form.width, tuple(sorted(items))

    def digest(self, coefficient: Coefficient) -> tuple[Any, ...]:
        """Equal for equal coefficients. Remembered by the array's identity, since steps share their weights."""
        if not isinstance(coefficient, np.ndarray):
            return 0, float(coefficient)
        known = self._digests.get(id(coefficient))
        if known is None or known[0] is not coefficient:
            data = sha1(np.ascontiguousarray(coefficient).tobytes(), usedforsecurity=False).digest()
            known = self._digests[id(coefficient)] = coefficient, data
        return coefficient.ndim, known[1], coefficient.shape

    # Arithmetic.

    def add(self, a: Form, b: Form) -> Form:
        """A + b; a form of one unit is added to all."""
        width = _common_width(a, b)
        return self._sum(width, [*self._widened(a, width).items(), *self._widened(b, width).items()])

    def scale(self, a: Form, factor: Coefficient) -> Form:
        """A form times a float, or times a vector unit by unit."""
        width = max(a.width, np.size(factor))
        terms = self._widened(a, width)
        return self._sum(width, [(m, c * factor) for m, c in terms.items()])

    def multiply(self, a: Form, b: Form) -> Form:
        """The product unit by unit."""
        for x, y in ((a, b), (b, a)):
            if set(y.terms) <= {()}:
                return self.scale(x, y.terms.get((), 0.0))
        width = _common_width(a, b)
        a, b = (self.closed(x) if any(map(is_matrix, x.terms.values())) else x for x in (a, b))
        products = [(_product(m, n), c * d) for m, c in a.terms.items() for n, d in b.terms.items()]
        return self._sum(width, products)

    def matmul(self, a: Form, weights: np.ndarray) -> Form:
        """The form, as a row vector, times a matrix (k, n)."""
        if a.width != weights.shape[0]:
            raise NotLinear
        terms: list[tuple[Monomial, Coefficient]] = []
        for monomial, c in a.terms.items():
            if monomial == ():
                terms.append((monomial, np.broadcast_to(np.asarray(c, weights.dtype), (a.width,)) @ weights))
            elif is_matrix(c):
                terms.append((monomial, c @ weights))
            elif max(atom.width for atom in monomial) != a.width:
                raise NotLinear
            elif isinstance(c, float):
                terms.append((monomial, weights if c == 1.0 else c * weights))
            else:
                terms.append((monomial, c[:, None] * weights))
        return self._sum(weights.shape[1], terms)

    def columns(self, a: Form, start: int, stop: int) -> Form:
        """Some of the units."""
        if (start, stop) == (0, a.width):
            return a
        terms: list[tuple[Monomial, Coefficient]] = []
        for monomial, c in a.terms.items():
            if is_matrix(c):
                terms.append((monomial, self._part(c, start, stop)))
                continue
            part = c[start:stop] if isinstance(c, np.ndarray) else c
            if any(atom.is_source and atom.width > 1 for atom in monomial):
                if len(monomial) > 1:
                    raise NotLinear
                chosen = np.zeros((a.width, stop - start), np.float32)
                chosen[np.arange(start, stop), np.arange(stop - start)] = part
                terms.append((monomial, chosen))
                continue
            pieces = Form(stop - start, {(): part})
            for atom in monomial:
                pieces = self.multiply(pieces, self._columns_of(atom, start, stop))
            terms += pieces.terms.items()
        return self._sum(stop - start, terms)

    def _columns_of(self, atom: Atom, start: int, stop: int) -> Form:
        if atom.width == 1 or atom.inner is None:
            return Form(stop - start, {(atom,): 1.0})
        inner = self.columns(atom.inner, start, stop)
        if atom.kind == "closed":
            return self.closed(inner)
        return self.activation(atom.name, inner, atom.alpha, atom.beta)

    def _part(self, c: np.ndarray, start: int, stop: int) -> Coefficient:
        """Columns of a matrix, made once; where they leave units as they are, the float 1."""
        key = id(c), start, stop
        known = self._parts.get(key)
        if known is None or known[0] is not c:
            part: Coefficient = np.ascontiguousarray(c[:, start:stop])
            if part.shape[0] == part.shape[1] and np.array_equal(part, np.eye(len(part))):
                part = 1.0
            known = self._parts[key] = c, part
        return known[1]

    def concat(self, forms: Sequence[Form]) -> Form:
        """The units of one form after those of another."""
        width = sum(f.width for f in forms)
        terms: list[tuple[Monomial, Coefficient]] = []
        at = 0
        for form in forms:
            for monomial, c in form.terms.items():
                rows = form.width if is_matrix(c) or monomial == () else max(atom.width for atom in monomial)
                if monomial == ():
                    wide = np.zeros(width, np.asarray(c).dtype if isinstance(c, np.ndarray) else np.float32)
                    wide[at : at + form.width] = c
                elif rows != form.width:
                    raise NotLinear
                else:
                    full = matrix(c, form.width)
                    wide = np.zeros((full.shape[0], width), full.dtype)
                    wide[:, at : at + form.width] = full
                terms.append((monomial, wide))
            at += form.width
        return self._sum(width, terms)

    def with_mask(self, a: Form, mask: Atom, on: bool) -> Form:
        """The form where the mask is 1, or where it is 0."""
        terms = []
        for monomial, c in a.terms.items():
            if mask not in monomial:
                terms.append((monomial, c))
            elif on:
                terms.append((tuple(atom for atom in monomial if atom is not mask), c))
        return self._sum(a.width, terms)

    def _widened(self, a: Form, width: int) -> Mapping[Monomial, Coefficient]:
        if a.width == width:
            return a.terms
        if any(map(is_matrix, a.terms.values())):
            return self.closed(a).terms
        return {m: c if isinstance(c, float) else float(c[0]) for m, c in a.terms.items()}

    def _sum(self, width: int, terms: Sequence[tuple[Monomial, Coefficient]]) -> Form:
        total: dict[Monomial, Coefficient] = {}
        for monomial, c in terms:
            if monomial not in total:
                total[monomial] = c
            elif is_matrix(c) == is_matrix(total[monomial]):
                total[monomial] = total[monomial] + c
            else:
                total[monomial] = matrix(total[monomial], width) + matrix(c, width)
        if len(total) > MOST_TERMS:
            raise NotLinear
        return Form(width, {m: _simple(c) for m, c in total.items() if not is_zero(c)})


def _simple(c: Coefficient) -> Coefficient:
    """One number where a vector holds it everywhere, so that equal forms have equal coefficients."""
    return float(c[0]) if isinstance(c, np.ndarray) and c.ndim == 1 and bool(np.all(c == c[0])) else c


def _common_width(a: Form, b: Form) -> int:
    if a.width != b.width and 1 not in (a.width, b.width):
        raise NotLinear
    return max(a.width, b.width)


def _product(a: Monomial, b: Monomial) -> Monomial:
    once = {atom for atom in a if atom.kind == "mask"}
    return tuple(sorted((*a, *(atom for atom in b if atom not in once)), key=lambda atom: atom.number))
