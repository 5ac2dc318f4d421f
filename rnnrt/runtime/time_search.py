"""Looks for the axis of time of a network's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Dim, Graph, Node, Shape, Value, names_read
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.expose_state import expose_states
from rnnrt.passes.follow_time import RECURRENT, Followed, follow, refusal
from rnnrt.passes.time_windows import WINDOWED
from rnnrt.runtime.layout import Feed, Layout, Result, Specs, arranged, pair_slots

LENGTHS_TRIED = ((7, 11), (61, 101), (60, 132), (1031, 2053))
"""Lengths that tell the axis of time by its difference; longer ones where windows are wider than the sequence."""

_PLACES = ((0, 1), (1, 0), (0, 2), (0, 3))
"""Axes of the batch and of time, in the order in which they are tried: Keras's first."""


def find_time(graph: Graph, batch_size: int) -> tuple[int, list[tuple[Graph, Specs]]]:
    """Which axis of a network's only input is time, and the graph specialised for the first two `LENGTHS_TRIED`.

    Time is the axis that reaches the time of all recurrent nodes; axis 1, Keras's, is tried first where the declared
    shape leaves both free.

    Raises
    ------
    StateError
        There is none, or no recurrent node.
    """
    search = TimeSearch(graph, graph.inputs[:1], {}, batch_size, {})
    for axis in (1, 0):
        if not search.allows(graph.inputs[0], 1 - axis, axis):
            continue
        try:
            made = [search.specialised([(1 - axis, axis)], n) for n in LENGTHS_TRIED[0]]
        except ShapeError:
            continue
        recurrent = [node for node in made[0][0].nodes if node.op in RECURRENT]
        if not recurrent:
            raise StateError("the network has no recurrent node whose state could be kept")
        if all(_runs_along(node, made[0][1], made[1][1]) for node in recurrent):
            return axis, made
    raise search.not_found()


def shape_for(value: Value, axis: int, batch_size: int, length: int | None) -> Shape:
    """The shape of an input whose first two axes are the batch and, at `axis`, time."""
    shape: list[Dim] = list(value.shape or ())
    shape[1 - axis], shape[axis] = batch_size, length
    return tuple(shape)


def _runs_along(node: Node, short: Specs, long: Specs) -> bool:
    """Whether the time axis of a recurrent node's input grows with the sequence."""
    a, b = short[node.inputs[0]].shape, long[node.inputs[0]].shape
    at = int(node.attrs.get("layout", 0))
    return a is not None and b is not None and a[at] != b[at]


@dataclass
class TimeSearch:
    """Looks for the axis of time of each input: that which reaches the time of recurrent nodes and windows."""

    graph: Graph
    fed: Sequence[Value]
    states: Mapping[str, tuple[int, ...]]
    batch_size: int
    pairs: Mapping[str, str]
    why: StateError | None = None

    def reason(self) -> StateError:
        """Why there is no layout."""
        if self.why is not None:
            return self.why
        for node in self.graph.nodes:
            if node.op in RECURRENT and node.attrs.get("direction", "forward") != "forward":
                return refusal(node, f"reads the sequence {node.attrs['direction']}")
        return self.not_found()

    def not_found(self) -> StateError:
        """That there is no axis of time."""
        return StateError(
            f"the time axis of {self.described()} was not found for batch_size={self.batch_size}; "
            "export the model with a free length, and give the batch size where that is fixed"
        )

    def described(self) -> str:
        """The inputs in words."""
        shapes = [f"input {v.name!r} of shape {tuple(d if isinstance(d, int) else None for d in v.shape or ())}"
                  for v in self.fed]  # fmt: skip
        return " and ".join(shapes)

    def run(self) -> Layout | None:
        """The first layout that works; None, with `why` set where a node stands in the way."""
        if not self.pairs and all(len(v.shape or ()) < 2 for v in self.fed):
            raise StateError(f"{self.described()}: a stream needs a batch axis and a time axis")
        for places in self.candidates():
            layout = self.tried(places)
            if layout is not None:
                return layout
        return None

    def candidates(self) -> Iterator[tuple[tuple[int, int] | None, ...]]:
        """Axes of batch and time for each input; None for one that has no time."""
        for batch, time in _PLACES:
            rigid = [i for i, v in enumerate(self.fed) if not self.allows(v, batch, time)]
            timed: list[tuple[int, int] | None] = [None if i in rigid else (batch, time) for i in range(len(self.fed))]
            if not any(timed):
                continue
            yield tuple(timed)
            flat = [i for i, v in enumerate(self.fed) if timed[i] and len(v.shape or ()) == 2]
            if flat and len(flat) < sum(t is not None for t in timed):
                yield tuple(None if i in flat else t for i, t in enumerate(timed))

    def allows(self, value: Value, batch: int, time: int) -> bool:
        """Whether these may be its axes; a length that a network with states of its own fixes is that of a block."""
        shape = value.shape or ()
        if len(shape) <= max(batch, time) or len(shape) < 2 or (self.pairs and isinstance(shape[time], int)):
            return False
        return not isinstance(shape[batch], int) or shape[batch] == self.batch_size

    def shapes(self, places: Sequence[tuple[int, int] | None], length: int | None) -> dict[str, Shape]:
        found: dict[str, Shape] = dict(self.states)
        for value, place in zip(self.fed, places, strict=True):
            shape: list[Dim] = list(value.shape or ())
            if place is not None:
                shape[place[0]], shape[place[1]] = self.batch_size, length
            elif shape and not isinstance(shape[0], int):
                shape[0] = self.batch_size
            found[value.name] = tuple(shape)
        return found

    def specialised(self, places: Sequence[tuple[int, int] | None], length: int | None) -> tuple[Graph, Specs]:
        shapes = self.shapes(places, length)
        return specialise(self.graph, {v.name: TensorSpec(v.dtype, shapes[v.name]) for v in self.graph.inputs})

    def tried(self, places: tuple[tuple[int, int] | None, ...]) -> Layout | None:
        for lengths in LENGTHS_TRIED:
            try:
                graph, short = self.specialised(places, lengths[0])
                _, long = self.specialised(places, lengths[1])
            except ShapeError:
                continue
            windowed = any(node.op in WINDOWED for node in graph.nodes)
            if not self.runs_along(graph, short, long, windowed):
                if windowed:
                    continue  # strides may make equally many steps of these lengths
                return None
            timed = [v.name for v, place in zip(self.fed, places, strict=True) if place is not None]
            try:
                return self.made(places, graph, short, long, follow(graph, short, long, lengths, timed))
            except StateError as error:
                self.why = self.why or error
                if not windowed:
                    return None
        return None

    def runs_along(self, graph: Graph, short: Specs, long: Specs, windowed: bool) -> bool:
        """Whether the time axis of a recurrent node's input grows with the sequence."""
        recurrent = [node for node in graph.nodes if node.op in RECURRENT]
        if not recurrent and not windowed:
            self.why = self.why or StateError("the network has no recurrent node whose state could be kept")
        return any(_runs_along(node, short, long) for node in recurrent) or (windowed and not recurrent)

    def made(
        self,
        places: Sequence[tuple[int, int] | None],
        graph: Graph,
        short: Specs,
        long: Specs,
        followed: Followed,
    ) -> Layout:
        known = {
            name: spec.value
            for name, spec in short.items()
            if spec.value is not None and name in long and (other := long[name].value) is not None
            and np.array_equal(spec.value, other)
        }  # fmt: skip
        fixed, _ = self.specialised(places, None)
        shapes = self.shapes(places, None)
        fixed = fixed.replace(inputs=tuple(Value(v.name, v.dtype, shapes[v.name]) for v in fixed.inputs))
        pairs = pair_slots(self.graph, self.states, self.pairs, short)
        exposed, more = expose_states(fixed, followed, short, known, _reached(fixed, self.pairs))
        slots = (*pairs, *more)
        if not slots:
            raise StateError("the network has no recurrent node and no window whose state could be kept")
        nexts = {s.result for s in pairs}
        results = tuple(_result(v, short, followed) for v in self.graph.outputs if v.name not in nexts)
        feeds = [v for v in exposed.inputs if v.name in {f.name for f in self.fed}]
        layout = arranged(exposed, feeds, results, slots)
        rates = {} if all(s.window is None for s in slots) else followed.rates
        times = [None if place is None else place[1] for place in places]
        return Layout(layout, tuple(map(Feed, feeds, times)), results, slots, rates)


def _result(value: Value, short: Specs, followed: Followed) -> Result:
    spec, axis = short[value.name], followed.axes.get(value.name)
    if axis is None:
        return Result(value.name, spec.dtype, spec.shape)
    shape = tuple(None if i == axis else d for i, d in enumerate(spec.shape or ()))
    before, behind = followed.joined.get(value.name, (1, 1))
    if before > 1:
        raise StateError(
            f"output {value.name!r} has all steps of a row before those of the next one, so that pieces do not make up "
            "the whole; use batch_size=1"
        )
    return Result(value.name, spec.dtype, shape, axis, behind, followed.rates[value.name])


def _reached(graph: Graph, sources: Mapping[str, str]) -> set[str]:
    """All values that depend on these inputs and on no recurrence yet."""
    found = set(sources)
    for node in graph.nodes:
        if node.op not in RECURRENT and names_read(node) & found:
            found.update(name for name in node.outputs if name)
    return found
