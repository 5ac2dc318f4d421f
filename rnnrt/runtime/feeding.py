"""Decides how a network is fed piece by piece, once for all its streams."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Graph, Value
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.expose_state import StateSlot
from rnnrt.passes.follow_time import mixing
from rnnrt.passes.time_pads import absorb_pads
from rnnrt.plan import PackCache, Target
from rnnrt.runtime.layout import Feed, Layout, Result, arranged, pair_slots
from rnnrt.runtime.pieces import Pieces
from rnnrt.runtime.precision import in_dtype
from rnnrt.runtime.states import chosen_pairs
from rnnrt.runtime.time_search import LENGTHS_TRIED, TimeSearch, find_time


class Source:
    """What all streams of a network share: its weights, and how it is fed. Safe to use from many threads.

    Parameters
    ----------
    graph : Graph
    target, threads, packs
        As for `Session`.
    dtype, states
        As for `Stream`.

    Raises
    ------
    StateError, ShapeError
        As `Stream`.
    """

    def __init__(
        self,
        graph: Graph,
        target: Target | None = None,
        threads: int | None = None,
        *,
        dtype: Any = None,
        states: Mapping[str, str] | None = None,
        packs: PackCache | None = None,
    ) -> None:
        self.given = graph
        self.options = target, threads
        self.dtype = None if dtype is None else np.dtype(dtype).name
        self.graph = constants_folded(graph if dtype is None else in_dtype(graph, dtype))
        self.pairs = chosen_pairs(self.graph, states)
        self.packs = PackCache() if packs is None else packs
        self._pieces: dict[tuple[Any, ...], Pieces] = {}
        self._lock = threading.Lock()

    def pieces(self, batch_size: int, begin: Mapping[str, Any]) -> Pieces:
        """What runs pieces of so many sequences side by side; `begin` has arrays of states whose shapes they tell."""
        shapes = {name: np.shape(array) for name, array in begin.items() if name in self.pairs}
        key = (batch_size, *sorted(shapes.items()))
        with self._lock:
            if key not in self._pieces:
                layout = layout_for(with_states(self.graph, shapes), batch_size, self.pairs)
                self._pieces[key] = Pieces(layout, *self.options, self.packs)
            return self._pieces[key]


def stream_obstacles(graph: Graph, batch_size: int = 1) -> tuple[str, ...]:
    """Every reason for which `Stream` refuses a network; empty where it takes it."""
    folded = constants_folded(graph)
    try:
        layout_for(folded, batch_size, chosen_pairs(folded, None))
        return ()
    except (StateError, ShapeError) as error:
        first = str(error)
    if len(graph.inputs) != 1 or graph.inputs[0].shape is None:
        return (first,)
    try:
        _, ((simple, short), (_, long)) = find_time(folded, batch_size)
    except StateError as error:
        return (str(error),)
    return tuple(mixing(simple, short, long, LENGTHS_TRIED[0])) or (first,)


def constants_folded(graph: Graph) -> Graph:
    """The graph with all computed that depends on constants alone, whatever shapes the inputs get."""
    free = {v.name: TensorSpec(v.dtype, None if v.shape is None else (None,) * len(v.shape)) for v in graph.inputs}
    folded, specs = specialise(graph, free)
    return absorb_pads(folded, specs)


def layout_for(graph: Graph, batch_size: int, pairs: Mapping[str, str]) -> Layout:
    """How a graph is fed piece by piece.

    Parameters
    ----------
    graph : Graph
        As `constants_folded` gives it.
    batch_size : int
    pairs : mapping of str to str
        States that are inputs and outputs: output by input.

    Raises
    ------
    StateError
        The network cannot be fed piece by piece; the message names the node and the reason.
    """
    states = {v.name: _state_shape(v, batch_size) for v in graph.inputs if v.name in pairs}
    fed = [v for v in graph.inputs if v.name not in pairs]
    if not pairs and any(v.shape is None for v in fed):
        raise StateError("a stream takes networks with inputs of known rank; export the model with shapes")
    if pairs:
        _check_batch([*fed, *(v for v in graph.inputs if v.name in pairs)], states, batch_size)
    search = TimeSearch(graph, fed, states, batch_size, pairs)
    found = None if any(v.shape is None for v in fed) else search.run()
    if found is not None:
        return found
    if not pairs:
        raise search.reason()
    for other in sorted({d for shape in states.values() for d in shape} - {batch_size}):
        if TimeSearch(graph, fed, states, other, pairs).run() is not None:
            raise StateError(f"the network's states are made for batch_size={other}, not {batch_size}; give that one")
    return _whole(graph, fed, states, pairs, str(search.reason()))


def _check_batch(values: Sequence[Value], states: Mapping[str, tuple[int, ...]], batch_size: int) -> None:
    """A network whose inputs are of fixed sizes takes the batch that it was made for."""
    for value in values:
        shape = states.get(value.name, value.shape) or ()
        fixed = [d for d in (shape if value.name in states else shape[:2]) if isinstance(d, int)]
        if (
            len(shape) >= 2
            and len(fixed) == len(shape if value.name in states else shape[:2])
            and batch_size not in fixed
        ):
            raise StateError(
                f"input {value.name!r} has the fixed shape {shape}, which leaves no room for batch_size={batch_size}; "
                "give the batch size that the network was exported for"
            )


def with_states(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph with the shapes of states where these are not known otherwise."""
    inputs = []
    for v in graph.inputs:
        known = shapes.get(v.name)
        free = v.shape is None or sum(not isinstance(d, int) for d in v.shape) > 1
        inputs.append(Value(v.name, v.dtype, known) if known is not None and free else v)
    return graph.replace(inputs=tuple(inputs))


def batch_axes(graph: Graph, batch_size: int, pairs: Mapping[str, str], slots: Sequence[StateSlot]) -> list[int]:
    """The axis of the batch of each state: the one that is longer for a larger batch.

    Raises
    ------
    StateError
        The network is for one batch size, or a state holds no axis of the batch alone.
    """
    try:
        larger = layout_for(graph, batch_size + 1, pairs).slots
    except (ShapeError, StateError) as error:
        raise StateError(f"the rows of the states cannot be told apart: the batch size is fixed ({error})") from None
    found = []
    for slot, other in zip(slots, larger, strict=True):
        sizes = list(zip(slot.initial.shape, other.initial.shape, strict=True))
        moved = [i for i, (a, b) in enumerate(sizes) if a != b]
        if len(moved) != 1 or sizes[moved[0]] != (batch_size, batch_size + 1):
            raise StateError(f"state {slot.name!r} of shape {slot.initial.shape} has no axis for the batch alone")
        found.append(moved[0])
    return found


def _state_shape(value: Value, batch_size: int) -> tuple[int, ...]:
    free = [i for i, d in enumerate(value.shape or ()) if not isinstance(d, int)]
    if value.shape is None or len(free) > 1:
        raise StateError(
            f"the shape of state {value.name!r}, {value.shape}, is not known; "
            f"give initial_state={{{value.name!r}: array}}"
        )
    return tuple(d if isinstance(d, int) else batch_size for d in value.shape)


def _whole(
    graph: Graph, fed: Sequence[Value], states: Mapping[str, tuple[int, ...]], pairs: Mapping[str, str], why: str
) -> Layout:
    """A network that takes a block a call, and its states beside it."""
    types = {v.name: TensorSpec(v.dtype, states.get(v.name, v.shape)) for v in graph.inputs}
    _, specs = specialise(graph, types)
    slots = pair_slots(graph, states, pairs, specs)
    results = tuple(
        Result(v.name, specs[v.name].dtype, specs[v.name].shape)
        for v in graph.outputs
        if v.name not in {s.result for s in slots}
    )
    return Layout(arranged(graph, fed, results, slots), tuple(Feed(v, None) for v in fed), results, slots, {}, why)
