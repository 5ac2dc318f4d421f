"""Loop and Scan whose bodies are steps of recurrences: what goes round in them, and how often.

A body's carried values are invariants, which come out as they went in; counters; and states. The sequences are read
at the counter. All of it has to be understood for a loop to be lifted.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rnnrt.ir import Graph, Node, Value, names_read
from rnnrt.ops import TensorSpec
from rnnrt.passes.fold import fold
from rnnrt.passes.lift.counters import Counted
from rnnrt.passes.lift.extents import Extents

_FOR_EVER = (1 << 31) - 1
"""A trip count of at least this stands for none."""


class CannotLift(Exception):
    """The loop is no recurrence that the IR knows, for this reason."""


@dataclass(frozen=True)
class Sequence_:
    """What a body reads step by step: axis `axis` of the outer value `name`, backwards if `reverse`."""

    name: str
    axis: int
    reverse: bool


@dataclass
class Body:
    """A body after its invariants and counters are known.

    `states` maps a carried input to (initial outer value, new inner value, name of the loop's result).
    `sequences` maps inner values to what they read. `results` holds (inner value, the loop's result) of what is
    stacked over the steps.
    """

    graph: Graph
    specs: dict[str, TensorSpec]
    states: dict[str, tuple[str, str, str]]
    sequences: dict[str, Sequence_]
    results: list[tuple[str, str]]
    results_reverse: bool = False
    axes: dict[str, int] = field(default_factory=dict)


def without_invariants(node: Node) -> Node:
    """A Loop that no longer carries what its body hands on unchanged: the body captures it instead."""
    body: Graph = node.attrs["body"]
    carried = len(node.inputs) - 2
    producers = {name: item for item in body.nodes for name in item.outputs}

    def root(name: str) -> str:
        while name in producers and producers[name].op == "Identity":
            name = producers[name].inputs[0]
        return name

    fixed = [k for k in range(carried) if root(body.outputs[k + 1].name) == body.inputs[k + 2].name]
    fixed = [k for k in fixed if k >= len(node.outputs) or not node.outputs[k]]
    if not fixed:
        return node
    rename = {body.inputs[k + 2].name: node.inputs[k + 2] for k in fixed}
    body = renamed(
        body.replace(
            inputs=tuple(v for k, v in enumerate(body.inputs) if k - 2 not in fixed),
            outputs=tuple(v for k, v in enumerate(body.outputs) if k - 1 not in fixed),
        ),
        rename,
    )
    return Node(
        node.op,
        tuple(name for k, name in enumerate(node.inputs) if k - 2 not in fixed),
        tuple(name for k, name in enumerate(node.outputs) if k not in fixed),
        {**node.attrs, "body": body},
        node.name,
    )


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph reading other values."""
    nodes = []
    for node in graph.nodes:
        attrs = {k: renamed(v, names) if isinstance(v, Graph) else v for k, v in node.attrs.items()}
        nodes.append(Node(node.op, tuple(names.get(i, i) for i in node.inputs), node.outputs, attrs, node.name))
    outputs = tuple(replace(v, name=names.get(v.name, v.name)) for v in graph.outputs)
    return graph.replace(nodes=tuple(nodes), outputs=outputs)


def read_loop(node: Node, outer: Mapping[str, TensorSpec], extents: Extents) -> Body:
    """What a Loop's body is, if it visits each step of its sequences once.

    Raises
    ------
    CannotLift
        With the reason.
    """
    node = without_invariants(node)
    raw: Graph = node.attrs["body"]
    carried = len(node.inputs) - 2
    inner = {v.name: TensorSpec(v.dtype, v.shape) for v in raw.inputs[:2]}
    inner |= _state_types(raw.inputs[2:], node.inputs[2:], outer)
    graph, specs = fold(raw, {**outer, **inner})
    specs = {**outer, **specs}
    ints = Counted(graph, specs, extents)
    ints.steps[graph.inputs[0].name] = (1, 0)
    states: dict[str, tuple[str, str, str]] = {}
    for k in range(carried):
        value, new = graph.inputs[k + 2], graph.outputs[k + 1].name
        result = node.outputs[k] if k < len(node.outputs) else ""
        if value.dtype.kind in "iu" and ints.is_next(new, value.name):
            begin = outer.get(node.inputs[k + 2])
            if begin is None or begin.value is None or begin.value.size != 1 or result:
                raise CannotLift("a counter starts at a value that is not known, or is read after the loop")
            ints.steps[value.name] = (1, int(begin.value.reshape(())))
        elif value.dtype.kind == "f":
            states[value.name] = (node.inputs[k + 2], new, result)
        elif result or any(value.name in names_read(item) for item in graph.nodes):
            raise CannotLift(f"{value.name!r} is carried and is neither a counter nor a state")
    ints.run()
    sequences: dict[str, Sequence_] = {}
    lengths: set[Hashable] = set()
    for item in graph.nodes:
        if item.op == "Gather" and item.inputs[1] in ints.steps and item.inputs[0] in outer:
            slope, start = ints.steps[item.inputs[1]]
            axis = int(item.attrs.get("axis", 0)) % max(len(outer[item.inputs[0]].shape or ()), 1)
            length = extents.of_axis(item.inputs[0], axis)
            whole = (slope, start) == (1, 0)
            backwards = slope == -1 and start == ("last", length)
            if not whole and not backwards:
                raise CannotLift(f"{item.label()} does not read one step after the other from the first on")
            sequences[item.outputs[0]] = Sequence_(item.inputs[0], axis, backwards)
            lengths.add(length)
    declared = {(outer[s.name].shape or ())[s.axis] for s in sequences.values()}
    if not lengths or (len(lengths) > 1 and (len(declared) > 1 or None in declared)):
        # Extents declared under one name are taken for equal: recurrent nodes refuse what is not.
        raise CannotLift(f"its sequences have the lengths {sorted(map(str, lengths))}")
    _check_count(node, graph, ints, lengths, extents)
    results = [
        (v.name, node.outputs[carried + k])
        for k, v in enumerate(graph.outputs[1 + carried :])
        if carried + k < len(node.outputs) and node.outputs[carried + k]
    ]
    return Body(graph, specs, states, sequences, results)


def read_scan(node: Node, outer: Mapping[str, TensorSpec], extents: Extents) -> Body:
    """What a Scan's body is.

    Raises
    ------
    CannotLift
        With the reason.
    """
    raw: Graph = node.attrs["body"]
    scans = int(node.attrs["num_scan_inputs"])
    carried = len(node.inputs) - scans
    inner = {v.name: TensorSpec(v.dtype, v.shape) for v in raw.inputs[carried:]}
    inner |= _state_types(raw.inputs[:carried], node.inputs[:carried], outer)
    graph, specs = fold(raw, {**outer, **inner})
    specs = {**outer, **specs}
    states = {
        graph.inputs[k].name: (
            node.inputs[k],
            graph.outputs[k].name,
            node.outputs[k] if k < len(node.outputs) else "",
        )
        for k in range(carried)
    }
    axes = list(node.attrs.get("scan_input_axes") or [0] * scans)
    backwards = list(node.attrs.get("scan_input_directions") or [0] * scans)
    sequences = {}
    for k in range(scans):
        name = node.inputs[carried + k]
        rank = len(outer[name].shape or ())
        if not rank:
            raise CannotLift("a sequence's rank is not known")
        sequences[graph.inputs[carried + k].name] = Sequence_(name, axes[k] % rank, bool(backwards[k]))
    if len({s.reverse for s in sequences.values()}) > 1:
        raise CannotLift("it reads one sequence forwards and another backwards")
    count = len(graph.outputs) - carried
    reverse = list(node.attrs.get("scan_output_directions") or [0] * count)
    out_axes = list(node.attrs.get("scan_output_axes") or [0] * count)
    results, wanted = [], {}
    for k, value in enumerate(graph.outputs[carried:]):
        if carried + k < len(node.outputs) and node.outputs[carried + k]:
            results.append((value.name, node.outputs[carried + k]))
            wanted[node.outputs[carried + k]] = out_axes[k]
    if len({bool(reverse[k]) for k in range(count)}) > 1:
        raise CannotLift("it writes one result forwards and another backwards")
    return Body(graph, specs, states, sequences, results, bool(count and reverse[0]), wanted)


def _state_types(
    values: Sequence[Value], initial: Sequence[str], outer: Mapping[str, TensorSpec]
) -> dict[str, TensorSpec]:
    """Types of carried values. Where a body does not declare the units of a state, they are those of its first value.

    That holds for all steps if it makes the body a cell, since a cell's result has the units of its state.
    """
    found = {}
    for value, name in zip(values, initial, strict=True):
        shape, first = value.shape, outer[name].shape if name in outer else None
        unknown = shape is None or (bool(shape) and not isinstance(shape[-1], int))
        if value.dtype.kind == "f" and unknown and first:
            shape = (*(1 if d == 1 and len(first) > 2 else None for d in first[:-1]), first[-1])
        found[value.name] = TensorSpec(value.dtype, shape)
    return found


def _check_count(node: Node, graph: Graph, ints: Counted, lengths: set[Hashable], extents: Extents) -> None:
    """The loop must run once for each step: as long as its conditions hold, and no longer.

    `lengths` are names of one length.
    """
    known = min((n for n in lengths if isinstance(n, int)), default=None)

    def stops(bound: Hashable, start: int) -> bool | None:
        """Whether ``step + start < bound`` first fails at the last step; False: later; None: perhaps before."""
        if bound in lengths and start <= 1:
            return start == 1
        if isinstance(bound, int) and (bound >= _FOR_EVER or (known is not None and bound - start >= known - 1)):
            return known is not None and bound - start == known - 1
        return None

    trip = extents.of_value(node.inputs[0]) if node.inputs[0] else _FOR_EVER
    exact = trip in lengths
    if not exact and stops(trip, 0) is None:
        raise CannotLift(f"its trip count, {trip}, is not known to be the length of its sequences, {lengths}")
    inner = Extents({**extents.producers, **ints.producers}, ints.specs)
    for item in _comparisons(graph.outputs[0].name, ints.producers, ints.specs, graph.inputs[1].name):
        if item is None or item.op != "Less" or item.inputs[0] not in ints.steps:
            raise CannotLift("its condition is not a comparison of a counter with a length")
        slope, start = ints.steps[item.inputs[0]]
        bound = inner.of_value(item.inputs[1])
        last = stops(bound, start) if slope == 1 and isinstance(start, int) and bound is not None else None
        if last is None:
            raise CannotLift(
                f"its condition compares with {bound}, which is not the length of its sequences, {lengths}"
            )
        exact = exact or last
    if not exact:
        raise CannotLift("nothing stops it at the end of its sequences")
    for item in _comparisons(node.inputs[1], extents.producers, extents.specs) if node.inputs[1] else ():
        if item is None or item.op not in ("Less", "Greater"):
            raise CannotLift("it is not known whether it starts")
        low, high = item.inputs if item.op == "Less" else item.inputs[::-1]
        if extents.of_value(low) != 0 or extents.of_value(high) not in {*lengths, trip}:
            raise CannotLift("it is not known whether it starts")


def _comparisons(
    name: str, producers: Mapping[str, Node], specs: Mapping[str, TensorSpec], true: str = ""
) -> list[Node | None]:
    """The comparisons that all have to hold for a condition to hold; None for what is none. `true` always holds."""
    item = producers.get(name)
    while item is not None and item.op in ("Identity", "Cast", "Squeeze", "Reshape", "Unsqueeze"):
        name = item.inputs[0]
        item = producers.get(name)
    if item is not None and item.op == "And":
        return [leaf for side in item.inputs for leaf in _comparisons(side, producers, specs, true)]
    spec = specs.get(name)
    if name == true or (spec is not None and spec.value is not None and bool(np.all(spec.value))):
        return []
    return [item]
