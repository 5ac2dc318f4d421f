"""The intermediate representation: immutable graphs that speak ONNX at one canonical opset.

Importers translate every older spelling into the newest one (`IR_OPSET`), so that the operators know one form:
axes arrive as inputs, Clip's bounds are inputs, Softmax works along one axis. Names of values are unique over a
graph and all its subgraphs; a subgraph reads an outer value by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

IR_OPSET = 21
"""The opset whose operator definitions the IR follows."""

Dim = int | str | None
"""A known extent, a named free one, or an unknown one."""

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A named tensor's type: `dtype`, and `shape` (None when even the rank is unknown)."""

    name: str
    dtype: np.dtype
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One operator call. A missing optional input or an unused output is the empty string.

    `attrs` holds int, float, str, tuples of these, numpy arrays, and `Graph` for bodies of If and Loop.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def label(self) -> str:
        """How messages name this node."""
        return f"{self.op} node {self.name or next((o for o in self.outputs if o), '?')!r}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in topological order over named values.

    `constants` holds weights and other known arrays by value name.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    name: str = "model"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def replace(self, **changes: Any) -> Graph:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def subgraphs(self) -> Iterator[Graph]:
        """Every graph nested in an attribute of a node, at any depth."""
        for node in self.nodes:
            for value in node.attrs.values():
                if isinstance(value, Graph):
                    yield value
                    yield from value.subgraphs()


def names_read(node: Node) -> set[str]:
    """Names that a node and its bodies read from the graph it stands in, and from those around it."""
    read = {name for name in node.inputs if name}
    for value in node.attrs.values():
        if isinstance(value, Graph):
            read |= outer_names(value)
    return read


def outer_names(graph: Graph) -> set[str]:
    """Names that `graph` reads but does not define: what a subgraph captures from outside."""
    defined = {v.name for v in graph.inputs} | set(graph.constants)
    used: set[str] = set()
    for node in graph.nodes:
        used |= names_read(node)
        defined.update(node.outputs)
    used.update(v.name for v in graph.outputs)
    return used - defined
