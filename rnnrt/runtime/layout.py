"""How a network is fed piece by piece: where its inputs and outputs have time, and what it keeps in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Shape, Value
from rnnrt.ops import TensorSpec
from rnnrt.passes.expose_state import StateSlot
from rnnrt.passes.time_windows import Rate

Specs = dict[str, TensorSpec]


@dataclass(frozen=True)
class Feed:
    """An input of the stream: `value` has the batch size in its shape and None for time, which is axis `time`.

    `time` is None for an input that a call takes whole.
    """

    value: Value
    time: int | None


@dataclass(frozen=True)
class Result:
    """An output: each step of the input that makes one gives `times` elements along axis `time`."""

    name: str
    dtype: np.dtype
    shape: Shape | None
    time: int | None = None
    times: int = 1
    rate: Rate = Rate()  # noqa: RUF009  immutable


@dataclass(frozen=True)
class Layout:
    """A network made ready for a stream.

    Attributes
    ----------
    graph : Graph
        Inputs: `feeds`, then the slots' states. Outputs: `results`, then the slots' next states.
    feeds, results, slots
        In the order of the graph.
    rates : dict of str to Rate
        When the steps of values are due, where windows leave out steps; otherwise empty.
    whole : str
        Why calls cannot be cut along time, of a network that takes a block a call; otherwise empty.
    """

    graph: Graph
    feeds: tuple[Feed, ...]
    results: tuple[Result, ...]
    slots: tuple[StateSlot, ...]
    rates: Mapping[str, Rate] = field(default_factory=dict)
    whole: str = ""

    @property
    def is_steady(self) -> bool:
        """Whether every step gives a step at once, so that the states' shapes never change."""
        return all(slot.window is None for slot in self.slots)


def pair_slots(
    graph: Graph, states: Mapping[str, tuple[int, ...]], pairs: Mapping[str, str], specs: Specs
) -> tuple[StateSlot, ...]:
    """The slots of states that are inputs and outputs of the network, in the order of the inputs.

    Raises
    ------
    StateError
        An input and its output have different dtypes or shapes.
    """
    slots = []
    for value in graph.inputs:
        if value.name not in pairs:
            continue
        shape, result = states[value.name], specs[pairs[value.name]]
        extents = zip(shape, result.shape or shape, strict=False)
        if result.dtype != value.dtype or len(result.shape or shape) != len(shape):
            raise StateError(f"state {value.name!r} and output {pairs[value.name]!r} have different dtypes or ranks")
        if any(isinstance(d, int) and d != n for n, d in extents):
            raise StateError(
                f"state {value.name!r} has shape {shape}, output {pairs[value.name]!r} has {result.shape}; "
                "the network may be made for another batch_size, or states=... pairs them wrongly"
            )
        slots.append(StateSlot(value.name, pairs[value.name], np.zeros(shape, value.dtype)))
    return tuple(slots)


def arranged(graph: Graph, fed: Sequence[Value], results: Sequence[Result], slots: Sequence[StateSlot]) -> Graph:
    """The graph with inputs and outputs in the order of a `Layout`."""
    values = {v.name: v for v in (*graph.inputs, *graph.outputs)}
    return graph.replace(
        inputs=(*fed, *(values[s.name] for s in slots)),
        outputs=(*(values[r.name] for r in results), *(values[s.result] for s in slots)),
    )
