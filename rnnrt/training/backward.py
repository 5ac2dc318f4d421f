"""Reverse-mode differentiation: the nodes that turn gradients of a graph's outputs into gradients of its values.

Each operator's class carries its rule (`Operator.gradient`); this module walks the graph backwards and adds up what
reaches a value by several ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Graph, Node, outer_names
from rnnrt.ops import TensorSpec, get_operator


@dataclass(frozen=True)
class Backward:
    """A graph with its backward pass behind it.

    `nodes` holds the forward nodes, some with a workspace as a further output, and then the backward ones;
    `gradients` names the gradient of each wanted value that anything depends on.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    gradients: Mapping[str, str]


def differentiate(
    graph: Graph, specs: Mapping[str, TensorSpec], seeds: Mapping[str, str], wanted: Iterable[str]
) -> Backward:
    """The backward pass of a graph.

    Parameters
    ----------
    graph : Graph
        Specialised; outputs of nodes have static shapes.
    specs : mapping of str to TensorSpec
        The type of every value of the graph.
    seeds : mapping of str to str
        For values of the graph, the names of their gradients, which something else defines.
    wanted : iterable of str
        Values whose gradients are asked for.

    Raises
    ------
    UnsupportedModelError
        An operator between a seed and a wanted value has no gradient.
    """
    return _Walk(graph, dict(specs)).run(seeds, list(wanted))


@dataclass
class _Walk:
    graph: Graph
    specs: dict[str, TensorSpec]
    added: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    count: int = 0

    def run(self, seeds: Mapping[str, str], wanted: list[str]) -> Backward:
        self.needed = set(wanted)
        for node in self.graph.nodes:
            if self._reads_needed(node):
                self.needed.update(name for name in node.outputs if name)
        parts: dict[str, list[str]] = {}
        for value, gradient in seeds.items():
            self.specs[gradient] = self.specs[value]
            parts[value] = [gradient]
        forward: list[Node] = []
        reasons: list[str] = []
        for node in reversed(self.graph.nodes):
            reached = any(parts.get(name) for name in node.outputs)
            if not reached or not self._reads_needed(node):
                forward.append(node)
                continue
            try:
                node, found = self._backward(node, parts)
            except UnsupportedModelError as error:
                reasons += error.reasons
                continue
            forward.append(node)
            for name, gradient in zip(node.inputs, found, strict=False):
                if gradient and name in self.needed:
                    parts.setdefault(name, []).append(gradient)
        if reasons:
            raise UnsupportedModelError("graph", reversed(reasons), task="trained")
        gradients = {name: self._sum(parts[name]) for name in wanted if parts.get(name)}
        return Backward((*reversed(forward), *self.added), self.constants, gradients)

    def _backward(self, node: Node, parts: Mapping[str, list[str]]) -> tuple[Node, Sequence[str]]:
        """The node as it runs forward, and the gradients of its inputs."""
        self._check_static(node)
        node = self._with_workspace(node)
        grads = [self._sum(parts.get(name, [])) if name else "" for name in node.outputs]
        return node, get_operator(node.op).gradient(node, grads, self)

    def _reads_needed(self, node: Node) -> bool:
        bodies = [body for body in node.attrs.values() if isinstance(body, Graph)]
        captured = [name for body in bodies for name in outer_names(body)]
        return any(name in self.needed for name in (*node.inputs, *captured))

    def _check_static(self, node: Node) -> None:
        for name in (*node.inputs, *node.outputs):
            if name and not self.specs[name].is_static:
                reason = f"{node.label()}: the shape of {name!r} depends on data, so it cannot be trained through"
                do = "export recurrences as LSTM, GRU or RNN and not as loops, or freeze what is below"
                raise UnsupportedModelError("graph", [f"{reason}; {do}"], task="trained")

    def _with_workspace(self, node: Node) -> Node:
        operator = get_operator(node.op)
        if not operator.has_workspace:
            return node
        outputs = (*node.outputs, *[""] * (operator.result_count() - len(node.outputs)), self._fresh("workspace"))
        node = Node(node.op, node.inputs, outputs, node.attrs, node.name)
        self._infer(node)
        return node

    def _sum(self, names: Sequence[str]) -> str:
        if len(names) < 2:
            return names[0] if names else ""
        return self.op("Sum", names)

    def _fresh(self, what: str) -> str:
        while True:
            self.count += 1
            name = f"gradient/{what}_{self.count}"
            if name not in self.specs:
                return name

    def _infer(self, node: Node) -> None:
        inputs = [self.specs[name] if name else None for name in node.inputs]
        for name, spec in zip(node.outputs, get_operator(node.op).infer(node, inputs), strict=False):
            if name:
                self.specs[name] = spec

    def spec(self, name: str) -> TensorSpec:
        return self.specs[name]

    def wanted(self, name: str) -> bool:
        return name in self.needed

    def op(self, op: str, inputs: Sequence[str], **attrs: Any) -> str:
        return self.node(op, inputs, [True], **attrs)[0]

    def node(self, op: str, inputs: Sequence[str], wanted: Sequence[bool], **attrs: Any) -> list[str]:
        name = self._fresh(op)
        outputs = [self._fresh(op) if want else "" for want in wanted]
        node = Node(op, tuple(inputs), tuple(outputs), attrs, name)
        self._infer(node)
        self.added.append(node)
        return outputs

    def constant(self, array: Any) -> str:
        array = np.asarray(array)
        name = self._fresh("constant")
        self.constants[name] = array
        self.specs[name] = TensorSpec(array.dtype, array.shape, array)
        return name
