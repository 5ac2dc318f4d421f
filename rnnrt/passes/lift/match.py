"""From the form of a step's result to the cell that computes it."""

from __future__ import annotations

from rnnrt.passes.lift.cells import (
    Cell,
    Choose,
    NoMatch,
    activations_of,
    affine,
    inner_form,
    is_function,
    make_cell,
    vectors_in,
)
from rnnrt.passes.lift.forms import Algebra, Form, is_one
from rnnrt.passes.lift.match_gru import match_gru
from rnnrt.passes.lift.match_lstm import match_lstm


def recognise(algebra: Algebra, form: Form, choose: Choose) -> Cell | None:
    """The cell whose new hidden state `form` is; None when it is none that the IR knows."""
    for match in (match_lstm, match_gru, match_rnn):
        try:
            cell = match(algebra, form, choose)
        except NoMatch:
            continue
        if cell is not None:
            return cell
    return None


def match_rnn(algebra: Algebra, form: Form, choose: Choose) -> Cell:
    """``f(x W + h R + b)``, or without the function."""
    if len(form.terms) == 1:
        ((monomial, coefficient),) = form.terms.items()
        if len(monomial) == 1 and is_function(monomial[0]) and is_one(coefficient):
            (function,) = monomial
            inner = inner_form(function)
            h = choose(vectors_in([inner], form.width), None)
            return make_cell("RNN", form.width, [affine(inner, form.width, h)], h, None, activations_of([function]))
    h = choose(vectors_in([form], form.width), None)
    gate = affine(form, form.width, h)
    return make_cell("RNN", form.width, [gate], h, None, {"activations": ("Affine",)})
