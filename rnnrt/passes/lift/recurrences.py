"""From a loop's body to recurrent nodes: which carried values are the states of which cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnnrt.ir import Node
from rnnrt.passes.lift.cells import Cell, masks_in
from rnnrt.passes.lift.forms import Algebra, Atom, Form, NotLinear
from rnnrt.passes.lift.loops import Body, CannotLift
from rnnrt.passes.lift.match import recognise
from rnnrt.passes.lift.rewrite import Rewrite
from rnnrt.passes.lift.trace import Tracer


@dataclass
class Found:
    """A cell of a body: the names of its states, its mask (`inverted`: a step counts where it is 0), its result."""

    cell: Cell
    h: str
    c: str
    mask: Atom | None
    inverted: bool
    result: Form


class BodyReader:
    """Finds the cells of one body, those first that others read.

    After `run`, `found` holds them in that order, and `previous` names carried values that hold a cell's last output
    (or zeros after a masked step).
    """

    def __init__(self, body: Body, is_zero: Callable[[str], bool]) -> None:
        self.body = body
        self._is_zero = is_zero
        self.algebra = Algebra()
        self.found: list[Found] = []
        self.previous: dict[str, Found] = {}
        self._cuts: dict[str, Form] = {}
        self._tracer = self._traced()

    def run(self) -> None:
        """Find all cells.

        Raises
        ------
        CannotLift
            Something is carried that is the state of no cell.
        """
        waiting = list(self.body.states)
        while waiting:
            states = self._next(waiting)
            if not states:
                raise CannotLift(f"the carried values {waiting} are the states of no LSTM, GRU or RNN")
            waiting = [name for name in waiting if name not in states]

    def kind(self, value: str) -> tuple[Found, str]:
        """Which cell's result a value is, and what it is where a step does not count.

        That is "new" where every step counts; else "held", the state; "repeated", the last output; "zeros".

        Raises
        ------
        CannotLift
            It is the result of none.
        """
        form = self._form(value)
        for found in self.found:
            for mask, inverted in self._masks(form) if form is not None else ():
                if form is None or mask is not found.mask or inverted is not found.inverted:
                    continue
                on, off = self._parts(form, mask, inverted)
                if not self._equal(on, found.result):
                    continue
                if off is None:
                    return found, "new"
                if not off.terms:
                    return found, "zeros"
                if self._equal(off, self._state(found.h)):
                    return found, "held"
                if any(self._equal(off, self._state(p)) for p in self._repeating(found)):
                    return found, "repeated"
        raise CannotLift(f"{value!r} is computed in its body, and is not the result of an LSTM, GRU or RNN")

    def _repeating(self, found: Found) -> list[str]:
        """Carried values that hold the cell's last output where a step does not count."""
        names = [name for name, owner in self.previous.items() if owner is found]
        forms = {name: self._form(self.body.states[name][1]) for name in names}
        parts = {n: self._parts(f, found.mask, found.inverted)[1] for n, f in forms.items() if f is not None}
        return [name for name, off in parts.items() if off is not None and self._equal(off, self._state(name))]

    def _traced(self) -> Tracer:
        tracer = Tracer(self.algebra, self.body.specs, unknown_as_source=False)
        for name in self.body.sequences:
            if self.body.specs[name].dtype.kind == "b":
                tracer.set_mask(name)
            elif self.body.specs[name].dtype.kind == "f":
                tracer.set_source(name)
        for name in self.body.states:
            tracer.set_source(name)
        tracer.is_zero = self._is_zero
        tracer.forms.update(self._cuts)
        for node in self.body.graph.nodes:
            tracer.visit(node)
        return tracer

    def _form(self, name: str) -> Form | None:
        try:
            return self._tracer.of(name)
        except NotLinear:
            return None

    def _state(self, name: str) -> Form:
        return self._tracer.of(name)

    def _equal(self, a: Form, b: Form) -> bool:
        return self.algebra.key(a) == self.algebra.key(b)

    def _masks(self, form: Form) -> list[tuple[Atom | None, bool]]:
        """Ways to read the form's mask: a step counts where it is 1, or where it is 0."""
        masks = list(masks_in(form))
        if not masks:
            return [(None, False)]
        return [(masks[0], False), (masks[0], True)] if len(masks) == 1 else []

    def _parts(self, form: Form, mask: Atom | None, inverted: bool) -> tuple[Form, Form | None]:
        """The form where a step counts, and where it does not."""
        if mask is None:
            return form, None
        return self.algebra.with_mask(form, mask, not inverted), self.algebra.with_mask(form, mask, inverted)

    def _next(self, waiting: Sequence[str]) -> list[str]:
        """The states of one more cell, or a carried copy of an output."""
        for name in waiting:
            form = self._form(self.body.states[name][1])
            if form is None or self._form(name) is None:
                continue
            for mask, inverted in self._masks(form):
                new, held = self._parts(form, mask, inverted)
                same = held is None or self._equal(held, self._state(name))
                if not same and held is not None and held.terms:
                    continue
                for found in self.found:
                    if found.mask is mask and self._equal(new, found.result):
                        self.previous[name] = found
                        return [name]
                if not same:
                    continue
                states = self._cell(name, new, mask, inverted)
                if states:
                    return states
        return []

    def _cell(self, name: str, new: Form, mask: Atom | None, inverted: bool) -> list[str]:
        atoms = {next(iter(self._state(s).terms))[0]: s for s in self.body.states if self._form(s) is not None}
        own = next(atom for atom, state in atoms.items() if state == name)
        cell = recognise(self.algebra, new, lambda vectors, c: own if own in vectors else None)
        if cell is None or cell.h is not own or any(x in atoms for x in cell.x):
            return []
        c = ""
        if cell.c is not None:
            c = atoms.get(cell.c, "")
            full = self._form(self.body.states[c][1]) if c else None
            if full is None or cell.result_c is None:
                return []
            step, held = self._parts(full, mask, inverted)
            if not self._equal(step, cell.result_c) or (held is not None and not self._equal(held, self._state(c))):
                return []
        result = self.algebra.source(f"result of cell {len(self.found)}", new.width)
        self.found.append(Found(cell, name, c, mask, inverted, result))
        # From here on the cell's result is a vector that other cells and results read.
        for value, form in self._tracer.forms.items():
            if form is not None and form.width == new.width and self._equal(form, new):
                self._cuts[value] = result
        self._tracer = self._traced()
        return [name, c] if c else [name]


class _Emission:
    """Recurrent nodes for what a `BodyReader` found. `check` first, so that nothing is half done."""

    def __init__(self, node: Node, body: Body, reader: BodyReader, out: Rewrite) -> None:
        self.node, self.body, self.reader, self.out = node, body, reader, out
        self.reverse = any(s.reverse for s in body.sequences.values())
        self.results: list[tuple[Found, str, str, str]] = []

    def check(self) -> None:
        """Raise CannotLift where the loop gives something that recurrent nodes do not."""
        for value, result in self.body.results:
            found, kind = self.reader.kind(value)
            self.results.append((found, kind, value, result))
        for found in self.reader.found:
            kinds = {kind for other, kind, _, _ in self.results if other is found}
            if "zeros" in kinds and len(kinds) > 1:
                raise CannotLift("it gives a masked step's output both as zeros and as the one before")
            if "held" in kinds and not self.out.is_zero(self.body.states[found.h][0]):
                raise CannotLift("its masked steps give the state, which does not start at zero")
            if "new" in kinds and found.mask is not None:
                raise CannotLift("it gives results of steps that do not count")
            for atom in found.cell.x:
                if atom.name in self.body.sequences and self.out.rank(self.body.sequences[atom.name].name) != 3:
                    raise CannotLift("a sequence has other axes than steps, rows and units")
        for name in self.reader.previous:
            initial, _, result = self.body.states[name]
            if result or not self.out.is_zero(initial):
                raise CannotLift(f"{name!r} repeats the last output from a value that is not zero, or is read later")
        for _, _, value, _ in self.results:
            shape = self.body.specs[value].shape or ()
            if len(shape) != 2 and not (len(shape) == 3 and shape[0] == 1):
                raise CannotLift("a result has other axes than rows and units")

    def emit(self) -> None:
        """Add the nodes."""
        made: dict[str, str] = {}
        for found in self.reader.found:
            result_names = [(k, v, r) for f, k, v, r in self.results if f is found]
            read_later = any(a.name == _source(found) for other in self.reader.found for a in other.cell.x)
            made[_source(found)] = self._cell(found, result_names, read_later, made)

    def _cell(self, found: Found, results: list[tuple[str, str, str]], read_later: bool, made: dict[str, str]) -> str:
        """The node of one cell; the name of its results over time (T, B, H) where other cells read them."""
        out, states = self.out, self.body.states
        x = [made[a.name] if a.name in made else self._sequence(a.name) for a in found.cell.x]
        names = [found.h, found.c] if found.c else [found.h]
        initial = ["" if out.is_zero(states[s][0]) else self._state(states[s][0]) for s in names]
        lasts = [out.fresh("Y_h" if k == 0 else "Y_c") if states[s][2] else "" for k, s in enumerate(names)]
        y = out.fresh("Y") if results or read_later else ""
        attrs = {"direction": "reverse" if self.reverse else "forward"}
        if any(kind == "zeros" for kind, _, _ in results):
            attrs["zero_output_for_mask"] = 1  # type: ignore[assignment]
        what = f"a {self.node.op}" + (f", {self.node.name}" if self.node.name else "")
        out.recurrent(found.cell, x, initial, self._mask(found), attrs, [y, *lasts], what)
        for state, last in zip(names, lasts, strict=True):
            if last:
                self._final(last, states[state][2], states[state][1])
        flat = out.squeezed(y, 1) if read_later or any(self._rank(v) == 2 for _, v, _ in results) else y
        for _, value, result in results:
            self._result(y, flat, value, result)
        return flat

    def _rank(self, value: str) -> int:
        return len(self.body.specs[value].shape or ())

    def _sequence(self, name: str) -> str:
        sequence = self.body.sequences[name]
        return self.out.time_first(sequence.name, sequence.axis)

    def _state(self, name: str) -> str:
        return name if self.out.rank(name) == 3 else self.out.unsqueezed(name, 0)

    def _mask(self, found: Found) -> str:
        if found.mask is None:
            return ""
        mask = self._sequence(found.mask.name)
        if self.out.rank(mask) == 3:
            mask = self.out.squeezed(mask, 2)
        return self.out.emit("Not", [mask]) if found.inverted else mask

    def _final(self, last: str, result: str, value: str) -> None:
        if self._rank(value) == 3:
            self.out.emit("Identity", [last], outputs=[result])
        else:
            self.out.squeezed(last, 0, result)

    def _result(self, y: str, flat: str, value: str, result: str) -> None:
        out = self.out
        steps = y if self._rank(value) == 3 else flat
        if self.reverse is not self.body.results_reverse:
            steps = out.reversed(steps, 0)
        axis = self.body.axes.get(result, 0)
        if axis % (self._rank(value) + 1) == 0:
            out.emit("Identity", [steps], outputs=[result])
            return
        order = list(range(1, self._rank(value) + 1))
        order.insert(axis % (self._rank(value) + 1), 0)
        out.emit("Transpose", [steps], {"perm": tuple(order)}, [result])


def _source(found: Found) -> str:
    """The name of the vector that stands for a cell's result within the body."""
    return next(iter(found.result.terms))[0].name


def lift_body(node: Node, body: Body, out: Rewrite) -> None:
    """Put recurrent nodes in the place of a loop.

    Raises
    ------
    CannotLift
        Something in the body is no recurrence that the IR knows; nothing has been added.
    """
    reader = BodyReader(body, out.is_zero)
    reader.run()
    emission = _Emission(node, body, reader, out)
    emission.check()
    emission.emit()
