"""Make the states of recurrent nodes visible: the states become inputs and outputs of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Node, Value

_STATE_INPUTS = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


@dataclass(frozen=True, slots=True)
class StateSlot:
    """A state of the graph: input `name` (what it is before a run), output `result`, and its initial value."""

    name: str
    result: str
    initial: np.ndarray


def expose_states(
    graph: Graph, batch_size: int, known: Mapping[str, np.ndarray]
) -> tuple[Graph, tuple[StateSlot, ...]]:
    """Add an input and an output for each state of each recurrent node.

    Parameters
    ----------
    graph : Graph
        Its recurrent nodes run forward.
    batch_size : int
    known : mapping of str to ndarray
        Values that are constant for this batch size: initial states that were computed from shapes, say.

    Returns
    -------
    graph, slots
        The new inputs and outputs follow the old ones, in the order of `slots`. States are (1, batch_size, hidden),
        or (batch_size, 1, hidden) for a node of layout 1.

    Raises
    ------
    StateError
        A recurrent node takes an initial state that is neither constant nor absent.
    """
    slots: list[StateSlot] = []
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op not in _STATE_INPUTS:
            nodes.append(node)
            continue
        inputs = [*node.inputs, *[""] * (max(_STATE_INPUTS[node.op]) + 1 - len(node.inputs))]
        outputs = [*node.outputs, *[""] * (len(_STATE_INPUTS[node.op]) + 1 - len(node.outputs))]
        weights = known.get(node.inputs[2])
        if weights is None:
            raise StateError(f"{node.label()} has weights that are computed at run time; it cannot be streamed")
        hidden = weights.shape[2]
        shape = (batch_size, 1, hidden) if node.attrs.get("layout", 0) else (1, batch_size, hidden)
        base = node.name or next(name for name in node.outputs if name)
        for k, at in enumerate(_STATE_INPUTS[node.op]):
            given = inputs[at]
            if given and given not in known:
                raise StateError(f"{node.label()} takes its initial state from {given!r}; feed that input yourself")
            initial = known[given] if given else np.zeros(shape, weights.dtype)
            name = f"{base}.{'hc'[k]}"
            inputs[at] = name
            if not outputs[k + 1]:
                outputs[k + 1] = f"{name}.next"
            slots.append(StateSlot(name, outputs[k + 1], np.broadcast_to(initial, shape).copy()))
        nodes.append(Node(node.op, tuple(inputs), tuple(outputs), node.attrs, node.name))
    if not slots:
        raise StateError("the network has no recurrent node whose state could be kept")
    return (
        graph.replace(
            nodes=tuple(nodes),
            inputs=graph.inputs + tuple(Value(s.name, s.initial.dtype, s.initial.shape) for s in slots),
            outputs=graph.outputs + tuple(Value(s.result, s.initial.dtype, s.initial.shape) for s in slots),
        ),
        tuple(slots),
    )
