"""Take out of loops what is the same in every step: views of outer values that an exporter wrote inside."""

from __future__ import annotations

from rnnrt.ir import Graph, Node, names_read

_MOVABLE = frozenset({"Identity", "Cast", "Slice", "Transpose", "Unsqueeze", "Squeeze", "Shape"})
"""Operators that cost little and, where types fit, cannot fail: a loop may run no step at all."""


def hoist(graph: Graph) -> Graph:
    """The graph with nodes of Loop and Scan bodies that read nothing of the body in front of the loop.

    Constants that such nodes read move with them. The same graph comes back where there are none.
    """
    nodes: list[Node] = []
    constants = dict(graph.constants)
    for node in graph.nodes:
        attrs = {key: hoist(value) if isinstance(value, Graph) else value for key, value in node.attrs.items()}
        if node.op in ("Loop", "Scan"):
            attrs["body"], moved = _without_fixed(attrs["body"], constants)
            nodes += moved
        same = all(attrs[key] is value for key, value in node.attrs.items())
        nodes.append(node if same else Node(node.op, node.inputs, node.outputs, attrs, node.name))
    if len(nodes) == len(graph.nodes) and all(a is b for a, b in zip(nodes, graph.nodes, strict=True)):
        return graph
    return graph.replace(nodes=tuple(nodes), constants=constants)


def _without_fixed(body: Graph, constants: dict) -> tuple[Graph, list[Node]]:
    """The body without its nodes that do not depend on the step, and these; `constants` gets what they read."""
    inner = {v.name for v in body.inputs}.union(*(node.outputs for node in body.nodes))
    fixed: list[Node] = []
    for node in body.nodes:
        if node.op in _MOVABLE and not any(name in inner for name in node.inputs):
            fixed.append(node)
            inner.difference_update(node.outputs)
    if not fixed:
        return body, fixed
    taken = {name for node in fixed for name in names_read(node)} & set(body.constants)
    constants.update((name, body.constants[name]) for name in taken)
    left = {name: array for name, array in body.constants.items() if name not in taken}
    gone = {id(node) for node in fixed}
    return body.replace(nodes=tuple(n for n in body.nodes if id(n) not in gone), constants=left), fixed
