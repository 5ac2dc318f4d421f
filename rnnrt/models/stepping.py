"""A sequence fed step by step, by a stream or by state inputs, to be compared with the sequence as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Graph
from rnnrt.models.model import Model
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.follow_time import RECURRENT, time_axes
from rnnrt.runtime import Stream

_LENGTHS = (7, 11)
_MOVES = frozenset(
    [
        "Cast",
        "Identity",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "Transpose",
        "Flatten",
        "Concat",
        "Slice",
        "Split",
        "Gather",
    ]
)
"""Operators between the states that a file takes and gives and those of its recurrent nodes."""


@dataclass(frozen=True)
class Steps:
    """Results put together from single steps, or why there are none.

    `outputs` are in the network's order, as the whole sequence would give them; `why` is empty where there are some.
    """

    outputs: tuple[np.ndarray, ...]
    why: str = ""


def by_steps(model: Model, feeds: Mapping[str, np.ndarray]) -> Steps:
    """Feed a sequence one step at a time.

    A network with one input goes through a `Stream`; one that takes and gives its states gets those of the step before.

    Parameters
    ----------
    model : Model
    feeds : mapping of str to ndarray
        A whole sequence.
    """
    try:
        if len(model.inputs) == 1:
            return _by_stream(model, next(iter(feeds.values())))
        return _by_states(model, feeds)
    except StateError as error:
        return Steps((), str(error))


def _by_stream(model: Model, x: np.ndarray) -> Steps:
    if x.ndim < 2:
        raise StateError(f"the input has shape {x.shape}; a stream needs a batch axis and a time axis")
    stream = _stream_for(model, x.shape)
    axis = stream.time_axis
    assert axis is not None, "it has been looked for"
    pieces = []
    for t in range(x.shape[axis]):
        y = stream.run(np.ascontiguousarray(np.take(x, [t], axis)))
        pieces.append(y if isinstance(y, tuple) else (y,))
    due = [[y for y in own if y is not None] for own in zip(*pieces, strict=True)]
    if not all(due):
        raise StateError(f"an input of shape {x.shape} is too short for the windows of the network")
    axes = stream.output_axes
    return Steps(tuple(own[-1] if a is None else np.concatenate(own, a) for own, a in zip(due, axes, strict=True)))


def _stream_for(model: Model, shape: tuple[int, ...]) -> Stream:
    first: StateError | None = None
    for axis in (0, 1):
        try:
            stream = model.stream(shape[axis])
        except StateError as error:
            first = first or error
            continue
        if stream.time_axis == 1 - axis or (axis == 0 and (stream.time_axis or 0) > 1):
            return stream
    raise first or StateError(f"the time axis of an input of shape {shape} was not found")


def _by_states(model: Model, feeds: Mapping[str, np.ndarray]) -> Steps:
    graph = model.graph
    shapes = {name: np.shape(x) for name, x in feeds.items()}
    pairs = state_pairs(graph, shapes)
    axis, carried, axes = _time(graph, shapes, set(pairs))
    order = {v.name: k for k, v in enumerate(graph.outputs)}
    states = {name: feeds[name] for name in pairs}
    fixed = {name: x for name, x in feeds.items() if name not in carried and name not in pairs}
    if fixed:
        raise StateError(f"inputs {sorted(fixed)} are neither sequences nor states")
    pieces = []
    for t in range(feeds[carried[0]].shape[axis]):
        now = {name: np.ascontiguousarray(np.take(feeds[name], [t], axis)) for name in carried}
        results = model.run(None, {**now, **states})
        states = {name: results[order[output]] for name, output in pairs.items()}
        pieces.append(results)
    parts = [[piece[k] for piece in pieces] for k in range(len(axes))]
    return Steps(tuple(own[-1] if a is None else np.concatenate(own, a) for own, a in zip(parts, axes, strict=True)))


def state_pairs(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """For each input that holds initial states, the output that holds the states after the sequence.

    Raises
    ------
    StateError
        There are none, or not every one of them has one such output.
    """
    folded, specs = specialise(graph, {v.name: TensorSpec(v.dtype, tuple(shapes[v.name])) for v in graph.inputs})
    sources: dict[str, set[str]] = {v.name: {v.name} for v in folded.inputs}
    made: dict[str, set[tuple[int, int]]] = {}
    wanted: dict[str, set[tuple[int, int]]] = {}
    for k, node in enumerate(folded.nodes):
        if node.op in RECURRENT:
            if len(node.inputs) > 4 and node.inputs[4]:
                raise StateError(f"{node.label()} takes sequence lengths, which single steps do not have")
            for at, name in enumerate(node.inputs[5:7] if node.op == "LSTM" else node.inputs[5:6]):
                for source in sources.get(name, ()):
                    wanted.setdefault(source, set()).add((k, at))
            for at, name in enumerate(node.outputs[1:3]):
                if name:
                    made[name] = {(k, at)}
        elif node.op in _MOVES:
            read = node.inputs if node.op == "Concat" else node.inputs[:1]
            for name in node.outputs:
                sources[name] = set().union(*(sources.get(n, set()) for n in read))
                made[name] = set().union(*(made.get(n, set()) for n in read))
    if not wanted:
        raise StateError("no input is the initial state of a recurrent node")
    pairs = {}
    for source, slots in wanted.items():
        fitting = [
            v.name for v in folded.outputs if made.get(v.name) == slots and specs[v.name].shape == specs[source].shape
        ]
        if len(fitting) != 1:
            raise StateError(f"{len(fitting)} outputs hold what input {source!r} is after the sequence; one is needed")
        pairs[source] = fitting[0]
    return pairs


def _time(
    graph: Graph, shapes: Mapping[str, tuple[int, ...]], states: set[str]
) -> tuple[int, list[str], list[int | None]]:
    """The axis of time, the inputs that have it, and its place in each output.

    Raises `StateError` where there is none, or where something other than a forward recurrence mixes steps.
    """
    names = [v.name for v in graph.inputs if v.name not in states and len(shapes[v.name]) > 1]
    for axis in (1, 0) if names else ():
        if any(isinstance(v.shape[axis], int) for v in graph.inputs if v.name in names and v.shape is not None):
            continue
        try:
            short, long = (
                specialise(
                    graph,
                    {
                        v.name: TensorSpec(
                            v.dtype,
                            tuple(n if v.name in names and k == axis else d for k, d in enumerate(shapes[v.name])),
                        )
                        for v in graph.inputs
                    },
                )
                for n in _LENGTHS
            )
        except ShapeError:
            continue
        found = time_axes(short[0], short[1], long[1], _LENGTHS)
        if any(v.name in found and v.name in states for v in graph.inputs):
            continue
        return axis, names, [found.get(v.name) for v in graph.outputs]
    raise StateError("no axis of its inputs can have any number of steps")
