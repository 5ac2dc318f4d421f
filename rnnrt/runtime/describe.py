"""What a network is made of, once its input shapes are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rnnrt.ops import TensorSpec, get_operator
from rnnrt.passes import specialise
from rnnrt.runtime.session import Session


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node of the folded graph: floating point operations of a run, and whether a kernel runs it.

    `native` is False for nodes that run as numpy.
    """

    op: str
    label: str
    output_shape: tuple[int | None, ...] | None
    flops: int
    native: bool


def describe(session: Session, shapes: Mapping[str, tuple[int, ...]]) -> list[NodeInfo]:
    """The nodes that run for these input shapes, in order.

    Raises
    ------
    ShapeError
        The network does not take these shapes.
    """
    inputs = {v.name: TensorSpec(v.dtype, tuple(shapes[v.name])) for v in session.graph.inputs}
    graph, specs = specialise(session.graph, inputs)
    _, plan = session.plan_for(shapes)
    hosted = set(plan.hosted) if plan is not None else {node.label() for node in graph.nodes}
    found = []
    for node in graph.nodes:
        ins = [specs[name] if name else None for name in node.inputs]
        outs = [specs[name] for name in node.outputs if name]
        shape = outs[0].shape if outs else None
        known = None if shape is None else tuple(d if isinstance(d, int) else None for d in shape)
        label = node.label()
        found.append(NodeInfo(node.op, label, known, get_operator(node.op).flops(node, ins, outs), label not in hosted))
    return found
