"""Make what a network keeps between steps visible: it becomes inputs and outputs of the graph.

Recurrent nodes keep their states, windows that slide along time the inputs that the next windows need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.recurrent_shapes import MASK
from rnnrt.passes.follow_time import RECURRENT, Followed
from rnnrt.passes.time_windows import TimeWindow

_INITIAL = ("initial_h", "initial_c")
_END = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class StateSlot:
    """A state of the graph: input `name` (what it is before a run), output `result`, and its initial value.

    With `window`, the result is the state with the new steps behind it; the caller drops from it what the windows
    have moved past, and its extent along `window.axis` varies. Of any window,
    `between` names what it sees and what it gives.
    """

    name: str
    result: str
    initial: np.ndarray
    window: TimeWindow | None = None
    between: tuple[str, str] | None = None


def expose_states(
    graph: Graph,
    followed: Followed,
    specs: Mapping[str, TensorSpec],
    known: Mapping[str, np.ndarray],
    carried: Iterable[str] = (),
) -> tuple[Graph, tuple[StateSlot, ...]]:
    """Add an input and an output for each state.

    Parameters
    ----------
    graph : Graph
        For one batch size, with time free.
    followed : Followed
        What is known of its time.
    specs : mapping of str to TensorSpec
        Types of its values for some length.
    known : mapping of str to ndarray
        Values that are constant for this batch size: initial states that were computed from shapes, say.
    carried : iterable of str
        Values that come from states that are inputs already; recurrent nodes that begin with them stay as they are.

    Returns
    -------
    graph, slots
        The new inputs and outputs follow the old ones, in the order of `slots`. States of recurrent nodes are
        (1, batch_size, hidden), or (batch_size, 1, hidden) for a node of layout 1.

    Raises
    ------
    StateError
        A recurrent node takes an initial state that is neither constant nor absent nor a state.
    """
    work = _Exposing(graph, followed, specs, known, frozenset(carried))
    for node in graph.nodes:
        first = next((name for name in node.outputs if name), "")
        if node.op in RECURRENT and first not in followed.alone:
            work.recurrent(node)
        elif first in followed.windows:
            work.window(node, followed.windows[first])
        else:
            work.nodes.append(node)
    types = [(slot, _free(slot)) for slot in work.slots]
    return (
        graph.replace(
            nodes=tuple(work.nodes),
            inputs=graph.inputs + tuple(Value(s.name, s.initial.dtype, shape) for s, shape in types),
            outputs=graph.outputs + tuple(Value(s.result, s.initial.dtype, shape) for s, shape in types),
            constants={**graph.constants, **work.constants},
        ),
        tuple(work.slots),
    )


def _free(slot: StateSlot) -> tuple[int | None, ...]:
    axis = None if slot.window is None else slot.window.axis
    return tuple(None if k == axis else d for k, d in enumerate(slot.initial.shape))


@dataclass
class _Exposing:
    graph: Graph
    followed: Followed
    specs: Mapping[str, TensorSpec]
    known: Mapping[str, np.ndarray]
    carried: frozenset[str]
    nodes: list[Node] = field(default_factory=list)
    slots: list[StateSlot] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.taken.update(v.name for v in self.graph.inputs)
        self.taken.update(self.graph.constants)
        self.taken.update(name for node in self.graph.nodes for name in node.outputs)

    def unique(self, name: str) -> str:
        """A name of its own, `name` where that is free."""
        found, k = name, 1
        while found in self.taken:
            k += 1
            found = f"{name}_{k}"
        self.taken.add(found)
        return found

    def constant(self, name: str, array: np.ndarray) -> str:
        """The name of a constant."""
        found = self.unique(name)
        self.constants[found] = array
        return found

    def add(self, op: str, inputs: tuple[str, ...], name: str, **attrs: object) -> str:
        """A node of one output; its name."""
        found = self.unique(name)
        self.nodes.append(Node(op, inputs, (found,), attrs, found))
        return found

    def recurrent(self, node: Node) -> None:
        """Its states go in and come out."""
        operator = get_operator(node.op)
        operands, results = operator.operands, operator.results  # type: ignore[attr-defined]
        inputs = [*node.inputs, *[""] * (len(operands) - len(node.inputs))]
        outputs = [*node.outputs, *[""] * (len(results) - len(node.outputs))]
        at = {name: operands.index(name) for name in _INITIAL[: len(results) - 1]}
        if all(inputs[k] in self.carried for k in at.values()) and not inputs[operands.index(MASK)]:
            self.nodes.append(node)
            return
        weights = self.known.get(node.inputs[2])
        if weights is None:
            raise StateError(f"{node.label()} has weights that are computed at run time; it cannot be streamed")
        keras = node.attrs.get("weight_layout", "onnx") == "keras"
        hidden, layout = weights.shape[0 if keras else 2], int(node.attrs.get("layout", 0))
        batch = (self.specs[node.inputs[0]].shape or ())[1 - layout]
        assert isinstance(batch, int), "the graph is for one batch size"
        shape = (batch, 1, hidden) if layout else (1, batch, hidden)
        base = node.name or next(name for name in node.outputs if name)
        for k, (role, position) in enumerate(at.items()):
            given = inputs[position]
            if given in self.carried and given:
                continue
            if given and given not in self.known:
                raise StateError(f"{node.label()} takes its {role} from {given!r}, which is no state of the stream")
            initial = self.known[given] if given else np.zeros(shape, weights.dtype)
            inputs[position] = name = self.unique(f"{base}.{'hc'[k]}")
            outputs[k + 1] = outputs[k + 1] or self.unique(f"{name}.next")
            self.slots.append(StateSlot(name, outputs[k + 1], np.broadcast_to(initial, shape).copy()))
        while not inputs[-1]:
            inputs.pop()
        shown = outputs[0]
        mask = node.inputs[operands.index(MASK)] if len(node.inputs) > operands.index(MASK) else ""
        repeats = bool(mask and shown and not node.attrs.get("zero_output_for_mask", 0))
        if repeats:
            outputs[0] = self.unique(f"{shown}.here")
        self.nodes.append(Node(node.op, tuple(inputs), tuple(outputs), node.attrs, node.name))
        if repeats:
            self.repeat(base, mask, outputs[0], shown, inputs[at["initial_h"]], batch, layout)

    def repeat(self, base: str, mask: str, here: str, shown: str, h: str, batch: int, layout: int) -> None:
        """Steps that do not count repeat the output of the step before, which may have been in the last piece.

        That output is the state at the beginning of the piece, or zeros where no step has counted so far.
        """
        state = self.unique(f"{base}.begun")
        counts = self.add("Cast", (mask,), f"{base}.counts", to=6)  # (T, B) of int32
        axis, first = self.constant(f"{base}.axis", np.array(0)), self.constant(f"{base}.first", np.array([0]))
        none = self.constant(f"{base}.none", np.array(0, np.int32))
        total = self.add("CumSum", (counts, axis), f"{base}.total")
        begun = self.add("Greater", (total, none), f"{base}.so_far")
        largest = self.add("ReduceMax", (counts, first), f"{base}.largest", keepdims=1)
        any_here = self.add("Greater", (largest, none), f"{base}.any")
        if layout:
            begun = self.add("Transpose", (begun,), f"{base}.so_far.rows", perm=(1, 0))
            any_here = self.add("Transpose", (any_here,), f"{base}.any.rows", perm=(1, 0))
        wide = self.constant(f"{base}.wide", np.array([2, 3] if layout else [1, 3]))
        behind = self.constant(f"{base}.behind", np.array([2]))
        begun = self.add("Unsqueeze", (begun, wide), f"{base}.so_far.wide")
        any_here = self.add("Unsqueeze", (any_here, behind), f"{base}.any.wide")
        zero = self.constant(f"{base}.zero", np.zeros((), self.specs[shown].dtype))
        last = self.add("Where", (state, h, zero), f"{base}.last")
        if layout:
            last = self.add("Unsqueeze", (last, self.constant(f"{base}.step", np.array([1]))), f"{base}.last.wide")
        self.nodes.append(Node("Where", (begun, here, last), (shown,), {}, f"{base}.shown"))
        after = self.add("Or", (state, any_here), f"{base}.begun.next")
        self.slots.append(StateSlot(state, after, np.zeros((batch, 1, 1) if layout else (1, batch, 1), np.bool_)))

    def window(self, node: Node, window: TimeWindow) -> None:
        """What the next windows need of the steps so far comes before the new ones, in the place of padding."""
        x = self.specs[node.inputs[0]]
        base = node.name or node.outputs[0]
        shape = tuple(window.first if k == window.axis else d for k, d in enumerate(x.known_shape))
        past = self.unique(f"{base}.past")
        joined = self.add("Concat", (past, node.inputs[0]), f"{base}.joined", axis=window.axis)
        axes = self.constant(f"{base}.axes", np.array([window.axis]))
        end = self.constant(f"{base}.end", np.array([_END]))
        seen, result = joined, joined
        if window.lead:
            seen = self.add(
                "Slice", (joined, self.constant(f"{base}.lead", np.array([window.lead])), end, axes), f"{base}.seen"
            )
        if window.is_steady:
            start = self.constant(f"{base}.start", np.array([1 - window.span]))
            result = self.add("Slice", (joined, start, end, axes), f"{past}.next")
        attrs, at = dict(node.attrs), window.axis - 2
        if attrs.get("pads"):
            spatial = len(shape) - 2
            attrs["pads"] = tuple(0 if k % spatial == at else p for k, p in enumerate(attrs["pads"]))
        self.nodes.append(Node(node.op, (seen, *node.inputs[1:]), node.outputs, attrs, node.name))
        initial = np.full(shape, window.fill, x.dtype)
        self.slots.append(
            StateSlot(past, result, initial, None if window.is_steady else window, (node.inputs[0], node.outputs[0]))
        )
