"""Layers of a graph that came without any: its weights, grouped by the nodes that read them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnnrt.ir import Graph, Node, Value
from rnnrt.layers.graphs import TrainingGraph
from rnnrt.layers.variable import Variable
from rnnrt.layers.weights import Weights
from rnnrt.ops import get_operator
from rnnrt.ops.control import Control
from rnnrt.ops.evaluate import evaluate_node
from rnnrt.passes.prune import prune

WEIGHT_OPERANDS: dict[str, tuple[int, ...]] = {
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Add": (0, 1),
    "Sub": (0, 1),
    "Mul": (0, 1),
    "Div": (0, 1),
    "PRelu": (1,),
    "Gather": (0,),
    "LayerNormalization": (1, 2),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
}
"""Which operands of an operator are weights when they are constants."""


class NodeLayer(Weights):
    """The weights that one node reads."""

    def __init__(self, name: str, op: str) -> None:
        super().__init__()
        self.name, self.op = name, op

    def weight_names(self) -> tuple[str, ...]:
        return tuple(self._own)

    def walk(self) -> Iterator[Weights]:
        yield self

    def children(self) -> list[Weights]:
        return []

    def label(self) -> str:
        return f"{self.op} node {self.name!r}"

    def take(self, name: str, array: np.ndarray) -> None:
        """Make a constant of the graph one of the layer's weights."""
        self._own[name] = Variable(array, name, True, name, self)


class GraphLayers(Weights):
    """All weights of a graph, a layer for each node that reads some.

    A weight is a floating point constant of more than one element that a node multiplies with or adds; a constant that
    several nodes read belongs to the first. What depends on constants alone is computed before, so that weights are
    found that reach their node through Transpose or Concat.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.name = graph.name
        self._graph = _folded(graph)
        self._layers: list[NodeLayer] = []
        taken: set[str] = set()
        for k, node in enumerate(self._graph.nodes):
            names = [n for i in WEIGHT_OPERANDS.get(node.op, ()) for n in node.inputs[i : i + 1] if self._is_weight(n)]
            fresh = [n for n in dict.fromkeys(names) if n not in taken]
            if fresh:
                layer = NodeLayer(node.name or f"{node.op}_{k}", node.op)
                for name in fresh:
                    layer.take(name, self._graph.constants[name])
                taken.update(fresh)
                self._layers.append(layer)

    def _is_weight(self, name: str) -> bool:
        array = self._graph.constants.get(name)
        return array is not None and array.dtype.kind == "f" and array.size > 1

    def walk(self) -> Iterator[Weights]:
        yield self
        yield from self._layers

    def children(self) -> list[Weights]:
        return list(self._layers)

    def graph(self) -> Graph:
        """The graph with the weights as they are now."""
        now = {v.name: v.snapshot() for v in self.weights}
        return self._graph.replace(constants={**self._graph.constants, **now})

    def training_graph(self) -> TrainingGraph:
        """The graph with its weights as inputs; it is the same in training and outside."""
        variables = {v.name: v for v in self.weights}
        graph = self._graph
        inputs = (*graph.inputs, *(Value(name, v.value.dtype, v.shape) for name, v in variables.items()))
        constants = {name: array for name, array in graph.constants.items() if name not in variables}
        moved = {id(v) for v in self.trainable_weights}
        outputs = tuple(v.name for v in graph.outputs)
        return TrainingGraph(
            graph.replace(inputs=inputs, constants=constants),
            tuple(v.name for v in graph.inputs),
            variables,
            tuple(name for name, v in variables.items() if id(v) in moved),
            outputs,
            (None,) * len(outputs),
            {},
            (),
            (),
            None,
        )


def _folded(graph: Graph) -> Graph:
    """The graph with the nodes computed that depend on constants alone."""
    constants = dict(graph.constants)
    kept: list[Node] = []
    for node in graph.nodes:
        known = bool(node.inputs) and all(not n or n in constants for n in node.inputs)
        if not known or issubclass(get_operator(node.op), Control) or not any(node.inputs):
            kept.append(node)
            continue
        with np.errstate(all="ignore"):
            results = evaluate_node(node, [constants[n] if n else None for n in node.inputs], {})
        constants.update({n: np.asarray(r) for n, r in zip(node.outputs, results, strict=False) if n})
    return prune(graph.replace(nodes=tuple(kept), constants=constants))
