"""Types of every value of a graph and its bodies, as far as operators tell them without running anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph, Node
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.control import Control
from rnnrt.ops.evaluate import evaluate_node

Specs = dict[str, TensorSpec]

_DEEPEST = 3
"""Loops within loops that are looked into while a file is read: each level costs several times the one below."""
_SMALL = 64
"""Elements of a value that is computed while a file is read."""


def infer_types(graph: Graph) -> Specs:
    """Type by name, of bodies' values too, for names are unique; what cannot be told is left out."""
    specs = {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs}
    _walk(graph, specs)
    return specs


def _walk(graph: Graph, specs: Specs) -> None:
    specs.update((name, TensorSpec(a.dtype, a.shape, a)) for name, a in graph.constants.items())
    for node in graph.nodes:
        _step(node, specs)


def _step(node: Node, specs: Specs) -> None:
    if any(name and name not in specs for name in node.inputs):
        return
    try:
        outputs = _infer(node, [specs[name] if name else None for name in node.inputs], specs)
    except (RnnrtError, ValueError, LookupError, TypeError, ArithmeticError, NotImplementedError):
        return  # a branch that is never taken may hold what does not fit
    specs.update((name, s) for name, s in zip(node.outputs, outputs, strict=False) if name)


def learn(node: Node, specs: Specs) -> None:
    """Add the types of a node's outputs, and the values of small integers that follow from constants."""
    if _depth(node) > _DEEPEST:
        return
    _step(node, specs)
    spec = specs.get(node.outputs[0])
    inputs = [specs.get(name) for name in node.inputs]
    if spec is None or spec.value is not None or spec.dtype.kind not in "iub" or not spec.is_static:
        return
    if issubclass(get_operator(node.op), Control) or len(node.outputs) > 1 or np.prod(spec.known_shape) > _SMALL:
        return
    if all(s is not None and s.value is not None for s in inputs):
        try:
            (value,) = evaluate_node(node, [s.value for s in inputs if s is not None], {})
        except RnnrtError:
            return
        specs[node.outputs[0]] = TensorSpec(value.dtype, value.shape, value)


def _depth(node: Node) -> int:
    bodies = [value for value in node.attrs.values() if isinstance(value, Graph)]
    return 1 + max((_depth(inner) for body in bodies for inner in body.nodes), default=0) if bodies else 0


def _infer(node: Node, inputs: Sequence[TensorSpec | None], specs: Specs) -> list[TensorSpec]:
    operator = get_operator(node.op)
    if not issubclass(operator, Control):
        return operator.infer(node, inputs)

    def body_types(body: Graph, given: Sequence[TensorSpec]) -> list[TensorSpec]:
        specs.update((v.name, s) for v, s in zip(body.inputs, given, strict=True))
        _walk(body, specs)
        return [specs[v.name] for v in body.outputs]

    return operator.infer_bodies(node, inputs, body_types)
