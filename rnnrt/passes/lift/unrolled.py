"""Steps of recurrences that stand in a graph one by one: single cells, and sequences that an exporter unrolled."""

from __future__ import annotations

from collections.abc import Sequence

from rnnrt.ir import Node, Shape, names_read
from rnnrt.passes.lift.forms import Atom
from rnnrt.passes.lift.rewrite import Rewrite
from rnnrt.passes.lift.steps import Step, find_chains
from rnnrt.passes.lift.trace import rows_of

_MOVES = frozenset({"Identity", "Squeeze", "Unsqueeze", "Reshape"})


def lift_unrolled(out: Rewrite) -> None:
    """Put recurrent nodes in the place of steps; `out` has kept all nodes of the graph."""
    for chain in find_chains(out):
        _Unrolled(chain, out).emit()


class _Unrolled:
    """The recurrent node of one chain."""

    def __init__(self, chain: list[Step], out: Rewrite) -> None:
        self.chain, self.out = chain, out
        self.cell = chain[-1].cell
        self.results = {step.h: t for t, step in enumerate(chain)}
        self.reverse = False
        self.shapes: dict[str, Shape] = {}

    def emit(self) -> None:
        """Add it, and take what it computes from the graph; a node for each step where the chain cannot be one."""
        out = self.out
        if self._feeds_back() or not self._rows_agree():
            self._one_by_one()
            return
        last_c = self.chain[-1].c
        inner_c = {step.c for step in self.chain[:-1] if step.c}
        stacks = self._stacks()
        replaced = {*self.results, *stacks, last_c} - {""}
        if inner_c & self._still_read(replaced):
            self._one_by_one()
            return
        out.under(self.chain[0].h)
        for name in replaced:
            self.shapes[name] = out.specs[name].shape or ()
            out.drop(name)
        x = self._sequences()
        first = self.chain[0].cell
        states = (
            [self._initial(first.h), self._initial(first.c)] if self.cell.op == "LSTM" else [self._initial(first.h)]
        )
        lasts = [out.fresh("Y_h"), *([out.fresh("Y_c")] if last_c else [])]
        y = out.fresh("Y") if len(self.chain) > 1 else ""
        count = len(self.chain)
        what = "one step of its arithmetic" if count == 1 else f"{count} steps, written one after the other"
        direction = "reverse" if self.reverse else "forward"
        out.recurrent(self.cell, x, states, "", {"direction": direction}, [y, *lasts], what)
        for name, t in self.results.items():
            if t == count - 1:
                self._shaped(lasts[0], name)
                continue
            step = out.emit("Gather", [y, out.integers([self._at(t)], "step")], {"axis": 0})
            self._shaped(out.squeezed(step, 0), name)
        if last_c:
            self._shaped(lasts[1], last_c)
        for name, (order, axis) in stacks.items():
            self._stacked(y, name, order, axis)

    def _one_by_one(self) -> None:
        """Each step a node of its own."""
        if len(self.chain) == 1 or self.cell.op == "RNN":
            return
        for step in self.chain:
            if step.cell.h is not None:
                _Unrolled([step], self.out).emit()

    def _feeds_back(self) -> bool:
        """Whether an input of some step depends on what a step gives."""
        depends = {step.h for step in self.chain} | {step.c for step in self.chain if step.c}
        for node in self.out.nodes:
            if not depends.isdisjoint(names_read(node)):
                depends.update(node.outputs)
        return any(atom.name in depends for step in self.chain for atom in step.cell.x)

    def _rows_agree(self) -> bool:
        """Whether all vectors have the same rows, as far as is known: recurrent nodes do not broadcast."""
        names = [self.chain[-1].h, *(a.name for step in self.chain for a in step.cell.x)]
        first = self.chain[0].cell
        names += [a.name for a in (first.h, first.c) if a is not None and not self.out.is_zero(a.name)]
        rows = [self._rows(name) for name in names]
        known = {r for r in rows if r != (None,)}
        return None not in rows and len(known) <= 1

    def _rows(self, name: str) -> Shape | None:
        found = rows_of(self.out.specs[name].shape)
        return None if found is None else found[0]

    def _still_read(self, replaced: set[str]) -> set[str]:
        """Values that are needed when these come from elsewhere."""
        live = {v.name for v in self.out.graph.outputs}
        for node in reversed(self.out.nodes):
            if any(name in live and name not in replaced for name in node.outputs):
                live |= names_read(node)
        return live

    def _initial(self, atom: Atom | None) -> str:
        if atom is None or self.out.is_zero(atom.name):
            return ""
        return self._with_front(atom.name)

    def _with_front(self, name: str) -> str:
        """A step's vector (B, n) with an axis of extent 1 in front."""
        shape = self.out.specs[name].shape or ()
        if len(shape) == 3 and shape[0] == 1:
            return name
        if len(shape) == 3:
            return self.out.emit("Transpose", [name], {"perm": (1, 0, 2)})
        return (
            self.out.unsqueezed(name, 0)
            if len(shape) == 2
            else self.out.emit(
                "Reshape",
                [name, self.out.integers([1, -1, shape[-1]], "shape")],  # type: ignore[list-item]
            )
        )

    def _shaped(self, value: str, name: str) -> None:
        """A state (1, B, H) under the name, and with the axes, of what it takes the place of."""
        shape = self.shapes[name]
        if len(shape) == 3 and shape[0] == 1:
            self.out.emit("Identity", [value], outputs=[name])
        elif len(shape) == 3:
            self.out.emit("Transpose", [value], {"perm": (1, 0, 2)}, [name])
        else:
            self.out.squeezed(value, 0, name)

    def _sequences(self) -> list[str]:
        """What each input vector is over the steps, (T, B, width)."""
        found: list[str] = []
        for names in zip(*([a.name for a in step.cell.x] for step in self.chain), strict=True):
            picked = [self._picked(name) for name in names]
            whole = self._whole(picked)
            if whole is not None and (not found or self.reverse == whole[2]):
                self.reverse = whole[2]
                steps = self.out.time_first(whole[0], whole[1])
                found.append(self.out.squeezed(steps, 1) if self.out.rank(steps) == 4 else steps)
                continue
            if self.reverse:
                names = names[::-1]
            parts = [self._with_front(name) for name in names]
            found.append(parts[0] if len(parts) == 1 else self.out.emit("Concat", parts, {"axis": 0}))
        return found

    def _at(self, t: int) -> int:
        return len(self.chain) - 1 - t if self.reverse else t

    def _whole(self, picked: Sequence[tuple[str, int, int] | None]) -> tuple[str, int, bool] | None:
        """The tensor whose steps these are, in order or backwards, its axis of time, and whether backwards."""
        if len(picked) < 2 or any(p is None for p in picked) or len({p[:2] for p in picked if p}) != 1:
            return None
        name, axis, _ = picked[0]  # type: ignore[misc]
        shape = self.out.specs[name].shape or ()
        order = [p[2] for p in picked if p]
        count = len(picked)
        of_recurrence = len(shape) == 4 and shape[1] == 1 and axis == 0
        if not (of_recurrence or (len(shape) == 3 and axis < 2)) or shape[axis] != count:
            return None
        if order == list(range(count)):
            return name, axis, False
        return (name, axis, True) if order == list(range(count))[::-1] else None

    def _picked(self, name: str) -> tuple[str, int, int] | None:
        """The tensor, axis and index of which a vector is one step."""
        out = self.out
        for _ in range(8):
            node = out.producers.get(name)
            if node is None:
                return None
            if node.op in _MOVES:
                before, after = (out.specs[n].shape or () for n in (node.inputs[0], name))
                if [d for d in before if d != 1] != [d for d in after if d != 1]:
                    return None
                name = node.inputs[0]
                continue
            return self._pick(node, name)
        return None

    def _pick(self, node: Node, name: str) -> tuple[str, int, int] | None:
        out = self.out
        shape = out.specs[node.inputs[0]].shape or ()
        values = [out.specs[i].value if i else None for i in node.inputs[1:]]
        if node.op == "Gather" and values[0] is not None and values[0].size == 1:
            axis = int(node.attrs.get("axis", 0)) % len(shape)
            return node.inputs[0], axis, _index(int(values[0].reshape(())), shape[axis])
        if node.op == "Split":
            axis = int(node.attrs.get("axis", 0)) % len(shape)
            if shape[axis] == len(node.outputs):
                return node.inputs[0], axis, node.outputs.index(name)
        if node.op == "Slice" and all(v is not None and v.size == 1 for v in values) and len(values) >= 3:
            start, axis = int(values[0].reshape(())), int(values[2].reshape(())) % len(shape)  # type: ignore[union-attr]
            if (out.specs[name].shape or ())[axis] == 1:
                return node.inputs[0], axis, _index(start, shape[axis])
        return None

    def _stacks(self) -> dict[str, tuple[bool, int]]:
        """Values that hold the results of all steps: whether in order (else backwards), and along which axis."""
        out, count = self.out, len(self.chain)
        found: dict[str, tuple[bool, int]] = {}
        for node in out.nodes if count > 1 else ():
            if node.op != "Concat" or len(node.inputs) != count:
                continue
            steps = [self._result(name) for name in node.inputs]
            shape = out.specs[node.outputs[0]].shape or ()
            axis = int(node.attrs["axis"]) % max(len(shape), 1)
            if len(shape) == 3 and axis < 2 and steps in (list(range(count)), list(range(count))[::-1]):
                found[node.outputs[0]] = steps[0] == 0, axis
        return found

    def _result(self, name: str) -> int | None:
        """The step whose result a value is, apart from axes of extent 1."""
        for _ in range(8):
            if name in self.results:
                return self.results[name]
            node = self.out.producers.get(name)
            if node is None or node.op not in _MOVES:
                return None
            if rows_of(self.out.specs[name].shape) is None:
                return None
            name = node.inputs[0]
        return None

    def _stacked(self, y: str, name: str, in_order: bool, axis: int) -> None:
        out = self.out
        steps = out.squeezed(y, 1)
        if in_order is self.reverse:
            steps = out.reversed(steps, 0)
        if axis == 1:
            out.emit("Transpose", [steps], {"perm": (1, 0, 2)}, [name])
        else:
            out.emit("Identity", [steps], outputs=[name])


def _index(value: int, extent: object) -> int:
    return value + extent if value < 0 and isinstance(extent, int) else value
