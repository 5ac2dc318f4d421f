"""The values of a recurrent step as forms.

A value has a form when its rows are the batch and its last axis holds units. Axes of extent 1 in front, which exporters
put in and take out, change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rnnrt.ir import Node, Shape
from rnnrt.ops import TensorSpec
from rnnrt.passes.lift.forms import Algebra, Coefficient, Form, Monomial, NotLinear, is_matrix

RULES: dict[str, Callable[[Tracer, Node], list[Form]]] = {}
"""By operator: the forms of a node's outputs. `trace_rules` fills it."""


def rows_of(shape: Shape | None) -> tuple[Shape, int] | None:
    """The extents in front that are not 1, and the number of units; None where a value can have no form."""
    if not shape or not isinstance(shape[-1], int):
        return None
    rows = tuple(d for d in shape[:-1] if d != 1)
    return (rows, shape[-1]) if len(rows) <= 1 else None


class Tracer:
    """Gives forms to values, node by node.

    Parameters
    ----------
    algebra : Algebra
    specs : mapping of str to TensorSpec
        Types of the values, and what is constant.
    unknown_as_source : bool
        Whether a value without a form is a source for what comes after it.
    """

    def __init__(self, algebra: Algebra, specs: Mapping[str, TensorSpec], unknown_as_source: bool) -> None:
        self.algebra, self.specs, self.unknown_as_source = algebra, specs, unknown_as_source
        self.forms: dict[str, Form | None] = {}
        self.row_masks: dict[str, Form] = {}
        self.transposes: dict[str, np.ndarray] = {}
        self.multiplied: set[str] = set()
        """Values that are multiplied by weights."""
        self.is_zero: Callable[[str], bool] = lambda name: False
        """Which values without a form are known to be zeros."""

    def set_source(self, name: str) -> None:
        """Take a value as it is."""
        found = rows_of(self.specs[name].shape)
        self.forms[name] = None if found is None else self.algebra.source(name, found[1])

    def set_mask(self, name: str) -> None:
        """Take a value of bool that holds one element for each row."""
        shape = self.specs[name].shape or ()
        if len(shape) == 1:
            self.row_masks[name] = self.algebra.mask(name)
        elif shape[-1:] == (1,):
            self.forms[name] = self.algebra.mask(name)

    def of(self, name: str) -> Form:
        """The form of a value.

        Raises
        ------
        NotLinear
            It has none.
        """
        if name not in self.forms:
            spec = self.specs.get(name)
            if spec is not None and spec.value is not None:
                self.forms[name] = self._of_constant(spec.value)
            elif spec is not None and spec.dtype.kind == "f" and self.unknown_as_source:
                self.set_source(name)
            elif self.is_zero(name):
                self.forms[name] = Form(1)
        form = self.forms.get(name)
        if form is None:
            raise NotLinear
        return form

    def vector(self, name: str) -> Form:
        """The form of a value that goes into a product with weights.

        With `unknown_as_source` what another layer has made is a source: it is no part of a cell, and the product of
        two layers' weights helps nobody.
        """
        form = self.of(name)
        if not self.unknown_as_source or all(_is_plain(m, c) for m, c in form.terms.items()):
            return form
        found = rows_of(self.specs[name].shape)
        if found is None:
            raise NotLinear
        return self.algebra.source(name, found[1])

    def factor(self, name: str) -> Form:
        """The form of a value that stands in a product, or that something is subtracted from.

        With `unknown_as_source` zeros are a source: they are the state before the first step, and must not make the
        gate that they are multiplied by disappear.
        """
        spec = self.specs.get(name)
        value = None if spec is None or not self.unknown_as_source else spec.value
        if value is not None and value.ndim > 1 and value.size > 1 and not np.any(value):
            return self.algebra.source(name, value.shape[-1], zero=True)
        return self.of(name)

    def visit(self, node: Node) -> None:
        """Give the node's outputs their forms, where they have any."""
        rule = RULES.get(node.op)
        if rule is None or any(name and name in self.forms for name in node.outputs):
            return
        try:
            forms = rule(self, node)
        except (NotLinear, KeyError, IndexError, ValueError):
            return
        for name, form in zip(node.outputs, forms, strict=False):
            if name and isinstance(form, Form):
                self.forms[name] = form

    def constant(self, name: str) -> np.ndarray:
        """A value that is known.

        Raises
        ------
        NotLinear
            It is not.
        """
        spec = self.specs.get(name)
        if spec is None or spec.value is None:
            raise NotLinear
        return spec.value

    def _of_constant(self, value: np.ndarray) -> Form | None:
        if value.dtype.kind != "f" or value.ndim == 0:
            return None if value.dtype.kind not in "fiub" else self.algebra.constant(value.reshape(1).astype(float))
        rows = value.reshape(-1, value.shape[-1]) if value.size else value.reshape(0, 1)
        return self.algebra.constant(rows[0]) if len(rows) and bool(np.all(rows == rows[0])) else None


def _is_plain(monomial: Monomial, coefficient: Coefficient) -> bool:
    """Whether a term hands on given vectors, perhaps gated."""
    if not any(atom.is_source for atom in monomial):
        return False
    if not is_matrix(coefficient):
        return True
    ones = np.count_nonzero(coefficient)
    return bool(ones <= coefficient.shape[1] and coefficient.sum() == ones)
