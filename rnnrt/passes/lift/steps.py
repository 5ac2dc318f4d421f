"""Steps of recurrences that stand in a graph one by one, and which of them follow each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnrt.ir import Shape
from rnnrt.passes.lift.cells import Cell, Choose
from rnnrt.passes.lift.forms import Algebra, Atom, Form
from rnnrt.passes.lift.match import recognise
from rnnrt.passes.lift.rewrite import Rewrite
from rnnrt.passes.lift.trace import Tracer

_GATES = frozenset({"Sigmoid", "HardSigmoid", "Clip"})


@dataclass
class Step:
    """One step: what its cell may be, and the names of the states after it (`c` empty where the cell has none).

    `aliases` are further names of the hidden state.

    Input and hidden state are alike in an LSTM's and in a plain RNN's arithmetic; which vector is which shows in the
    steps around. `cells` has one entry for each choice, the likeliest first.
    """

    cells: list[Cell]
    h: str
    c: str
    aliases: list[str] = field(default_factory=list)

    @property
    def cell(self) -> Cell:
        """The choice that was made."""
        return self.cells[0]


def find_chains(out: Rewrite) -> list[list[Step]]:
    """Steps of one recurrence in order; single steps of LSTM and GRU are chains of one."""
    if not _worth_a_look(out):
        return []
    algebra = Algebra()
    return _chains(_steps(algebra, out), algebra)


def _worth_a_look(out: Rewrite) -> bool:
    """Whether there are gates, or products with weights of one shape, as the steps of a plain RNN have."""
    shapes: set[Shape | None] = set()
    for node in out.nodes:
        if node.op in _GATES:
            return True
        if node.op in ("MatMul", "Gemm"):
            shape = out.specs[node.inputs[1]].shape
            if shape in shapes:
                return True
            shapes.add(shape)
    return False


def _steps(algebra: Algebra, out: Rewrite) -> list[Step]:
    """All steps of the graph, in order."""
    tracer = Tracer(algebra, out.specs, unknown_as_source=True)
    tracer.multiplied = {node.inputs[0] for node in out.nodes if node.op in ("MatMul", "Gemm")}
    named: dict[int, tuple[Form, list[str]]] = {}
    steps: list[Step] = []
    by_form: dict[int, Step] = {}
    for node in out.nodes:
        tracer.visit(node)
        for name in node.outputs:
            form = tracer.forms.get(name)
            if form is None:
                continue
            if id(form) in by_form:
                by_form[id(form)].aliases.append(name)
                continue
            named.setdefault(id(form), (form, []))[1].append(name)
            cells = _cells(algebra, form) if _may_be_cell(form) else []
            c = named.get(id(cells[0].result_c), (form, []))[1] if cells else []
            if not cells or (cells[0].op == "LSTM" and not c):
                continue
            steps.append(Step(cells, name, c[0] if c else ""))
            by_form[id(form)] = steps[-1]
            if cells[0].op != "RNN":
                tracer.forms[name] = algebra.source(name, form.width)
                for alias in c:
                    tracer.forms[alias] = algebra.source(c[0], form.width)
    return steps


def _may_be_cell(form: Form) -> bool:
    return len(form.terms) <= 3 and form.width > 1 and any(a.kind == "activation" for m in form.terms for a in m)


def _cells(algebra: Algebra, form: Form) -> list[Cell]:
    """A cell for each vector that may be the hidden state, and for none."""
    choices: list[Atom | None] = []

    def ask(vectors: Sequence[Atom], c: Atom | None) -> Atom | None:
        choices.extend(v for v in vectors if v not in choices)
        return None

    first = recognise(algebra, form, ask)
    if first is None and not choices:
        return []
    choices.sort(key=lambda atom: -_likeness(atom.name if atom else ""))
    found = [recognise(algebra, form, _always(choice)) for choice in choices]
    cells = [cell for cell in (*found, first) if cell is not None]
    return [cell for cell in cells if cell.op != "RNN"] or [cell for cell in cells if len(form.terms) == 1]


def _always(choice: Atom | None) -> Choose:
    return lambda vectors, c: choice


def _likeness(name: str) -> int:
    """How much a vector looks like a state rather than an input: by its name, where nothing else tells."""
    short = name.lower().rsplit("/", 1)[-1]
    return sum(word in short for word in ("hidden", "state", "h0", "h_", "prev", "hx")) + short.startswith("h")


def _chains(steps: Sequence[Step], algebra: Algebra) -> list[list[Step]]:
    """Steps of one recurrence in order; single steps of LSTM and GRU are chains of one."""
    by_h = {name: step for step in steps for name in (step.h, *step.aliases)}
    after: dict[str, Step] = {}
    first = []
    for step in steps:
        pair = _link(step, by_h, after, algebra)
        if pair is None:
            first.append(step)
            continue
        cell, before, choice = pair
        step.cells, before.cells = [cell], [choice]
        after[before.h] = step
    chains = []
    for step in first:
        chain = [step]
        while chain[-1].h in after:
            chain.append(after[chain[-1].h])
        if len(chain) > 1 or (step.cell.op != "RNN" and step.cell.h is not None):
            chains.append(chain)
    return chains


def _link(
    step: Step, by_h: Mapping[str, Step], after: Mapping[str, Step], algebra: Algebra
) -> tuple[Cell, Step, Cell] | None:
    """The step before, with what both cells then are."""
    for cell in step.cells:
        before = by_h.get(cell.h.name) if cell.h is not None else None
        if before is None or before.h in after or (cell.c is not None and cell.c.name != before.c):
            continue
        for choice in before.cells:
            if _follows(cell, choice, algebra):
                return cell, before, choice
    return None


def _follows(cell: Cell, before: Cell, algebra: Algebra) -> bool:
    if cell.op != before.op or len(cell.x) != len(before.x):
        return False
    if before.h is not None:
        return cell.key(algebra) == before.key(algebra)
    # A step from zeros says nothing of the recurrent weights, and a GRU's perhaps nothing of its reset gate.
    unseen = {"linear_before_reset"} if cell.op == "GRU" and not before.gates[1].x else set()
    if any(before.attrs[key] != value for key, value in cell.attrs.items() if key not in unseen):
        return False
    for k, (gate, other) in enumerate(zip(cell.gates, before.gates, strict=True)):
        if cell.op == "GRU" and k == 1 and not other.x:
            continue
        if cell.gate_key(algebra, k, recurrent=False) != before.gate_key(algebra, k, recurrent=False):
            return False
        if not np.allclose(gate.bias, other.bias, rtol=1e-6, atol=1e-7):
            return False
    a, b = (np.zeros(1) if c.recurrent_bias is None else c.recurrent_bias for c in (cell, before))
    return cell.op != "GRU" or bool(np.allclose(a, b, rtol=1e-6, atol=1e-7))
