"""What a network is made of, once its input shapes are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnrt.ops import get_operator
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


def describe(session: Session, given: Mapping[str, Any]) -> list[NodeInfo]:
    """The nodes that run for these inputs, in order.

    Parameters
    ----------
    session : Session
    given : mapping of str to tuple of int or ndarray
        Every input's shape, or an array of that shape, whose value is known where it decides a branch.

    Raises
    ------
    ShapeError
        The network does not take these shapes.
    """
    graph, specs = session.specialised(given)
    _, plan = session.plan_for(given)
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
