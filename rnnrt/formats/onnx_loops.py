"""ONNX Loops that collect a tensor a step in a sequence, rewritten to give these tensors stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.formats.onnx_sequences import Grown, Item, Pieces, Sequence_
from rnnrt.ir import Graph, Node, Value

if TYPE_CHECKING:
    from rnnrt.formats.onnx_graph import GraphReader
    from rnnrt.formats.onnx_upgrade import RawNode

_FIRST = 2
"""Inputs of a Loop before the values that it carries."""


def loop_with_sequences(raw: RawNode, proto: Any, reader: GraphReader) -> None:
    """Read a Loop that carries sequences: what its body appends to them becomes scan outputs of the loop.

    Parameters
    ----------
    raw : RawNode
        The node without its attributes.
    proto : onnx.NodeProto
    reader : GraphReader
        Of the graph that the node stands in.
    """
    bodies = [a.g for a in proto.attribute if a.name == "body" and a.HasField("g")]
    if len(proto.attribute) != 1 or not bodies:
        reader.refuse("has to have the attribute body, and no other; the file is corrupt")
        return
    carried = len(raw.inputs) - _FIRST
    sequences = [k for k in range(carried) if raw.inputs[k + _FIRST] in reader.sequences]
    scans = len(bodies[0].output) - 1 - carried
    if len(bodies[0].input) != carried + _FIRST or scans < 0 or any(n in reader.sequences for n in raw.inputs[:_FIRST]):
        reader.refuse(f"its {carried} carried values do not fit its body; the file is corrupt")
        return
    inner = reader.body(f"{reader.label(raw.outputs)}, attribute 'body'")
    body = inner.read(bodies[0], [k + _FIRST for k in sequences])
    outputs = [*raw.outputs, *[""] * (carried + scans - len(raw.outputs))]
    collect = _Collect(raw, reader, inner, body)
    for k in sequences:
        grown, start = bodies[0].input[k + _FIRST].name, reader.sequences[raw.inputs[k + _FIRST]]
        found = collect.added(inner.scope[grown], inner.collected.pop(k + 1, None), start)
        if outputs[k] and found is not None:
            reader.sequences[outputs[k]] = found
    for k in inner.collected:
        reader.refuse(f"output {k} of its body is a sequence, and its input is none; only tensors are supported")
    reader.emit(
        "Loop",
        [name for k, name in enumerate(raw.inputs) if k - _FIRST not in sequences],
        [*(name for k, name in enumerate(outputs) if k not in sequences), *collect.stacks],
        body=body.replace(outputs=(*body.outputs, *collect.results), nodes=(*body.nodes, *collect.nodes)),
    )
    collect.finish()


class _Collect:
    """The scan outputs that take the place of a loop's sequences."""

    def __init__(self, raw: RawNode, reader: GraphReader, inner: GraphReader, body: Graph) -> None:
        self.raw, self.reader, self.inner, self.body = raw, reader, inner, body
        self.taken = {v.name for v in body.outputs}
        self.own = {name for node in body.nodes for name in node.outputs}
        self.results: list[Value] = []
        self.nodes: list[Node] = []
        self.stacks: list[str] = []
        self.behind: list[tuple[str, str, Sequence[int], str]] = []

    def added(self, grown: str, end: Sequence_ | None, start: Sequence_) -> Sequence_ | None:
        """The sequence after the loop, whose body makes `end` of `grown`; None where that is refused."""
        rest = tuple(part for part in end or () if part != Grown(grown))
        if end is None or len(rest) != len(end) - 1 or len(rest) > 1 or not all(isinstance(p, Item) for p in rest):
            if end is not None or not self.reader.has_refused:
                self.reader.refuse(
                    f"its body does not hand on the sequence {grown!r} with at most one tensor added in each step; "
                    "collect one value for each step, and append it outside of any If"
                )
            return None
        if not rest:
            return start
        item = rest[0]
        assert isinstance(item, Item)
        source, axis = self._before_unsqueeze(item.name)
        stack = self.stacked(source)
        if end[-1] != item:
            stack = self._later("Slice", stack, (-1, np.iinfo(np.int64).min, 0, -1))
        pieces = Pieces(stack, 0, 1, axis is not None)
        if axis:
            rank = self.reader.model.ranks[stack]
            order = (*range(1, axis + 1), 0, *range(axis + 1, rank))
            pieces = Pieces(self._later("Transpose", stack, order), axis, 1, True)
        return (*start, pieces) if end[-1] == item else (pieces, *start)

    def _before_unsqueeze(self, name: str) -> tuple[str, int | None]:
        """The value that got one more axis to be joined along, and that axis; the value itself where there is none."""
        maker = next((node for node in self.body.nodes if name in node.outputs), None)
        axes = self.inner.value_of(maker.inputs[1]) if maker is not None and maker.op == "Unsqueeze" else None
        if maker is None or axes is None or axes.size != 1:
            return name, None
        axis, rank = int(axes.reshape(())), self.inner.rank_of(maker.inputs[0])
        if rank is None or not -rank - 1 <= axis <= rank:
            return (maker.inputs[0], 0) if axis == 0 else (name, None)
        return maker.inputs[0], axis % (rank + 1)

    def _later(self, op: str, name: str, numbers: Sequence[int]) -> str:
        """A node behind the loop."""
        result = self.reader.fresh(f"{name}.{op}")
        if name in self.reader.model.ranks:
            self.reader.model.ranks[result] = self.reader.model.ranks[name]
        self.behind.append((op, name, numbers, result))
        return result

    def stacked(self, name: str) -> str:
        """A scan output of the body's value `name`."""
        stack = self.reader.fresh(f"{name}.stacked")
        spec, rank = self.inner.spec_of(name), self.inner.rank_of(name)
        if rank is not None:
            self.reader.model.ranks[stack] = rank + 1
        if name in self.taken or name not in self.own:
            name, source = self.reader.fresh(f"{name}.step"), name
            self.nodes.append(Node("Identity", (source,), (name,), {}, self.raw.name))
        self.taken.add(name)
        self.results.append(Value(name, np.dtype(np.float32)) if spec is None else Value(name, spec.dtype, spec.shape))
        self.stacks.append(stack)
        return stack

    def finish(self) -> None:
        """Emit the nodes behind the loop."""
        for op, name, numbers, result in self.behind:
            if op == "Transpose":
                self.reader.emit(op, [name], [result], perm=tuple(numbers))
                continue
            bounds = [self.reader.constant(np.array([v], np.int64), f"{result}.bound") for v in numbers]
            self.reader.emit(op, [name, *bounds], [result])
