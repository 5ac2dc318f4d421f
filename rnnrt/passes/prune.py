"""Drop what nothing reads: nodes, constants, and the optional outputs of nodes that stay."""

from __future__ import annotations

from rnnrt.ir import Graph, Node, names_read

_OPTIONAL_OUTPUTS = frozenset(
    {"LSTM", "GRU", "RNN", "LSTMGradient", "GRUGradient", "RNNGradient", "LayerNormalization", "MaxPool"}
)
"""Operators that skip the work of an output without a name."""


def prune(graph: Graph) -> Graph:
    """The graph without dead nodes and constants. Inputs and outputs stay."""
    live = {value.name for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not any(name in live for name in node.outputs):
            continue
        attrs = {key: prune(value) if isinstance(value, Graph) else value for key, value in node.attrs.items()}
        outputs = node.outputs
        if node.op in _OPTIONAL_OUTPUTS:
            outputs = tuple(name if name in live else "" for name in outputs)
        kept.append(Node(node.op, node.inputs, outputs, attrs, node.name))
        live |= names_read(kept[-1])
    constants = {name: array for name, array in graph.constants.items() if name in live}
    return graph.replace(nodes=tuple(reversed(kept)), constants=constants)
