"""A stream: a network that is fed piece by piece and owns its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Graph
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.expose_state import expose_states
from rnnrt.plan import Target
from rnnrt.runtime.session import Session

_TIME = "time"
_AXIS_KEEPING = frozenset(
    "Add Sub Mul Div Relu Sigmoid Tanh Identity Cast MatMul Gather LayerNormalization BatchNormalization Clip".split()
)


class Stream:
    """Runs a network over a sequence that arrives in pieces; the pieces give what the whole would have given.

    Parameters
    ----------
    graph : Graph
        One input that carries time; recurrent nodes that run forward only.
    batch_size : int
        Sequences side by side.
    target : Target, optional

    Raises
    ------
    StateError
        The network cannot be streamed; the message names the node and the reason.
    """

    def __init__(self, graph: Graph, batch_size: int = 1, target: Target | None = None) -> None:
        if len(graph.inputs) != 1 or graph.inputs[0].shape is None:
            raise StateError("a stream takes networks with one input of known rank; feed states yourself with run()")
        value = graph.inputs[0]
        self.time_axis = _time_axis(graph)
        shape = list(value.shape)  # type: ignore[arg-type]
        shape[1 - self.time_axis] = batch_size
        shape[self.time_axis] = _TIME
        fixed, specs = specialise(graph, {value.name: TensorSpec(value.dtype, tuple(shape))})
        self._output_axes = tuple(_axis_of_time(specs[v.name]) for v in fixed.outputs)
        fixed = fixed.replace(inputs=(type(value)(value.name, value.dtype, tuple(shape)),))
        exposed, self._slots = expose_states(fixed, batch_size)
        self._n_outputs = len(graph.outputs)
        self._session = Session(exposed, target)
        self._states = [slot.initial for slot in self._slots]

    def step(self, x: Any) -> Any:
        """One time step.

        Parameters
        ----------
        x : array_like
            The input without its time axis, such as (batch_size, features).

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs; those that carry time come without that axis.
        """
        results = self._advance(np.expand_dims(np.asarray(x), self.time_axis))
        outputs = [
            y if axis is None else y[(slice(None),) * axis + (0,)]
            for y, axis in zip(results, self._output_axes, strict=True)
        ]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, chunk: Any) -> Any:
        """A chunk of any length, in the network's own layout; the state goes on from the last call."""
        results = self._advance(np.asarray(chunk))
        return results[0] if len(results) == 1 else tuple(results)

    def reset(self) -> None:
        """Back to the initial state."""
        self._states = [slot.initial for slot in self._slots]

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Copies of the states by name, each (1, batch_size, hidden); assign such a dict to restore them."""
        return {slot.name: array.copy() for slot, array in zip(self._slots, self._states, strict=True)}

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        if set(value) != {slot.name for slot in self._slots}:
            raise StateError(f"the stream's states are {[s.name for s in self._slots]}, got {sorted(value)}")
        arrays = []
        for slot in self._slots:
            array = np.array(value[slot.name], slot.initial.dtype, order="C")
            if array.shape != slot.initial.shape:
                raise ShapeError(f"state {slot.name!r} has shape {slot.initial.shape}, got {array.shape}")
            arrays.append(array)
        self._states = arrays

    def _advance(self, chunk: np.ndarray) -> list[np.ndarray]:
        results = self._session.run([chunk, *self._states])
        self._states = results[self._n_outputs :]
        return results[: self._n_outputs]


def _axis_of_time(spec: TensorSpec) -> int | None:
    return spec.shape.index(_TIME) if spec.shape is not None and _TIME in spec.shape else None


def _time_axis(graph: Graph) -> int:
    """Which axis of the input is time: followed back from the first recurrent node through transposes."""
    producers = {name: node for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        if node.op not in ("LSTM", "GRU", "RNN"):
            continue
        axis, name = int(node.attrs.get("layout", 0)), node.inputs[0]
        while name in producers:
            producer = producers[name]
            if producer.op == "Transpose" and axis < len(producer.attrs.get("perm", ())):
                axis = producer.attrs["perm"][axis]
            elif producer.op not in _AXIS_KEEPING:
                raise StateError(f"{producer.label()} before the recurrence: time cannot be followed through it yet")
            name = producer.inputs[1 if producer.op == "Gather" else 0]
        if name != graph.inputs[0].name or axis > 1:
            raise StateError("the time axis of the input could not be found")
        return axis
    raise StateError("the network has no recurrent node whose state could be kept")
