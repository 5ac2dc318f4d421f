"""Loops that carry a tensor to which each step adds its result: that tensor is the results, stacked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnnrt.ir import Graph, Node, Value, names_read
from rnnrt.passes.lift.rewrite import Rewrite


@dataclass
class Grown:
    """One such tensor: what it starts as, the stacked results of the steps, and what it is called after the loop.

    `axis` is the one it grows along, of `rank`; `in_front` whether each step puts its result before the others.
    """

    start: str
    stack: str
    result: str
    axis: int
    rank: int
    in_front: bool


def without_grown(node: Node, out: Rewrite) -> tuple[Node, list[Grown]]:
    """A Loop that gives the results of its steps where it carried a tensor that grows by them."""
    body: Graph = node.attrs["body"]
    carried = len(node.inputs) - 2
    makers = {name: item for item in body.nodes for name in item.outputs}
    outputs = [*node.outputs, *[""] * (len(body.outputs) - 1 - len(node.outputs))]
    found: dict[int, Grown] = {}
    results: list[Value] = []
    for k in range(carried):
        value, join = body.inputs[k + 2], makers.get(body.outputs[k + 1].name)
        rank = len(value.shape or ())
        if join is None or join.op != "Concat" or len(join.inputs) != 2 or value.name not in join.inputs or not rank:
            continue
        in_front = join.inputs[1] == value.name
        piece = makers.get(join.inputs[0 if in_front else 1])
        axis = int(join.attrs["axis"]) % rank
        if piece is None or piece.op != "Unsqueeze" or _axis(piece, body, out, rank) != axis:
            continue
        read = [item for item in body.nodes if item is not join and value.name in names_read(item)]
        if read or [v.name for v in body.outputs].count(join.outputs[0]) > 1:
            continue
        results.append(replace(value, name=piece.inputs[0], shape=None))
        stack = out.fresh("stack") if outputs[k] else ""
        found[k] = Grown(node.inputs[k + 2], stack, outputs[k], axis, rank, in_front)
    if not found:
        return node, []
    gone = {body.outputs[k + 1].name for k in found}
    body = body.replace(
        inputs=tuple(v for k, v in enumerate(body.inputs) if k - 2 not in found),
        outputs=(*(v for k, v in enumerate(body.outputs) if k - 1 not in found), *results),
        nodes=tuple(item for item in body.nodes if not gone.intersection(item.outputs)),
    )
    names = [name for k, name in enumerate(outputs) if k not in found]
    inputs = tuple(name for k, name in enumerate(node.inputs) if k - 2 not in found)
    stacks = [grown.stack for grown in found.values()]
    lean = Node(node.op, inputs, (*names, *stacks), {**node.attrs, "body": body}, node.name)
    return lean, [grown for grown in found.values() if grown.stack]


def _axis(piece: Node, body: Graph, out: Rewrite, rank: int) -> int | None:
    """The one axis that an Unsqueeze adds, counted from the front."""
    name = piece.inputs[1]
    outer = out.specs.get(name)
    axes = body.constants.get(name, None if outer is None else outer.value)
    return int(axes.reshape(())) % rank if axes is not None and axes.size == 1 else None


def emit_grown(grown: Grown, out: Rewrite) -> None:
    """Make the tensor of what the lifted loop gives."""
    steps = out.reversed(grown.stack, 0) if grown.in_front else grown.stack
    if grown.axis:
        order = list(range(1, grown.rank))
        order.insert(grown.axis, 0)
        steps = out.emit("Transpose", [steps], {"perm": tuple(order)})
    if _is_empty(grown, out):
        out.emit("Identity", [steps], outputs=[grown.result])
        return
    parts = [steps, grown.start] if grown.in_front else [grown.start, steps]
    out.emit("Concat", parts, {"axis": grown.axis}, [grown.result])


def _is_empty(grown: Grown, out: Rewrite) -> bool:
    """Whether the tensor is known to start with nothing in it."""
    shape = out.specs[grown.start].shape if grown.start in out.specs else None
    if shape is not None and len(shape) == grown.rank and shape[grown.axis] is not None:
        return shape[grown.axis] == 0
    maker = out.producers.get(grown.start)
    held = out.extents.of_shape(maker.inputs[0]) if maker is not None and maker.op == "ConstantOfShape" else None
    return held is not None and len(held) == grown.rank and held[grown.axis] == 0
