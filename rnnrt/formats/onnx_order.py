"""The order of an ONNX graph's nodes, which files do not always keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rnnrt.errors import ModelFormatError


def in_order(nodes: Sequence[Any], known: Iterable[str], place: str) -> Iterator[Any]:
    """Nodes, each after those that make what it reads.

    Parameters
    ----------
    nodes : sequence of onnx.NodeProto
    known : iterable of str
        Names that are there before the first node.
    place : str
        How messages name the graph.

    Raises
    ------
    ModelFormatError
        Nodes read each other's results.
    """
    made = {name for node in nodes for name in node.output if name}
    waiting = list(nodes)
    ready = set(known)
    while waiting:
        later = []
        for node in waiting:
            if all(name in ready or name not in made for name in _reads(node)):
                yield node
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            names = ", ".join(repr(n.name or n.op_type) for n in later[:5])
            raise ModelFormatError(f"{place}: nodes {names} read each other's results in a circle")
        waiting = later


def _reads(node: Any) -> Iterator[str]:
    """Names that a node or its bodies read, bodies' own names included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.HasField("g") else []:
            inner = {name for item in body.node for name in item.output} | {v.name for v in body.input}
            inner |= {t.name for t in body.initializer}
            for item in body.node:
                yield from (name for name in _reads(item) if name not in inner)
            yield from (v.name for v in body.output if v.name not in inner)
