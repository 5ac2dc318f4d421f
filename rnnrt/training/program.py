"""One step as one plan: forward, losses, backward, all in one arena, reading and writing the trainer's arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.passes import specialise
from rnnrt.plan import PackCache, Target, lower
from rnnrt.runtime.session import BoundPlan
from rnnrt.training.backward import differentiate

ValueAndGradient = Callable[[np.ndarray, "np.ndarray | None", bool], "tuple[float, np.ndarray | None]"]
"""From a prediction, its mask and whether the gradient is wanted: the loss, and its gradient for the prediction."""


RECURRENT = ("LSTM", "GRU", "RNN")
"""Operators with a state that goes from step to step."""


@dataclass(frozen=True)
class LossTerm:
    """A part of the loss: a function of one output of the graph.

    `prediction` names the output, `mask` the value that tells which of its steps count, or is empty. Where the output
    is what the operator `activation` makes of its last axis, `on_logits`, if there is one, takes that operator's input
    instead: it need not take logarithms of what has been rounded to 0 or 1.
    """

    prediction: str
    function: ValueAndGradient
    mask: str = ""
    activation: str = ""
    on_logits: ValueAndGradient | None = None


@dataclass(frozen=True)
class StepGraph:
    """What a step computes.

    Attributes
    ----------
    graph : Graph
        Its inputs are data and what is in `bound`.
    losses : sequence of LossTerm
    added : sequence of str
        Outputs of the graph that are numbers to add to the loss.
    gradients : mapping of str to ndarray
        For inputs of the graph, where to write the gradient of the loss; empty: no backward pass.
    bound : mapping of str to ndarray
        Inputs that live in the trainer's arrays.
    watched : bool
        Whether the program tells about its recurrent nodes: see `WatchedNode`.
    """

    graph: Graph
    losses: Sequence[LossTerm]
    added: Sequence[str] = ()
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict)
    bound: Mapping[str, np.ndarray] = field(default_factory=dict)
    watched: bool = False


@dataclass(frozen=True)
class WatchedNode:
    """A recurrent node on the way of gradients, and where a program gives what it read.

    Attributes
    ----------
    node : Node
        Of the forward pass.
    gradient : str
        The result that is the gradient of the loss for the node's states, shaped as Y.
    operands : mapping of str to (str or ndarray)
        By the operator's names: a result of the program, or the array itself.
    """

    node: Node
    gradient: str
    operands: Mapping[str, str | np.ndarray]


class Program:
    """A step for fixed shapes.

    Parameters
    ----------
    step : StepGraph
    shapes : mapping of str to tuple of int
        Of every input that is not bound.
    target : Target
    threads : int

    Attributes
    ----------
    results : tuple of str
        Names of what `run` gives: the graph's outputs, then what is watched.
    watched : tuple of WatchedNode
        The recurrent nodes that gradients pass, in the order of the graph.

    Raises
    ------
    UnsupportedModelError
        An operator on the way of a gradient has none, or shapes depend on data.
    ShapeError
        The shapes do not fit the graph.
    """

    def __init__(self, step: StepGraph, shapes: Mapping[str, tuple[int, ...]], target: Target, threads: int) -> None:
        specs = {
            v.name: TensorSpec(v.dtype, tuple(step.bound[v.name].shape if v.name in step.bound else shapes[v.name]))
            for v in step.graph.inputs
        }
        joint, self.watched = _joint(step, specs)
        outputs = [v.name for v in step.graph.outputs]
        gradients = [v.name for v in joint.outputs if v.name.startswith("gradient:")]
        bound = dict(step.bound)
        bound.update({name: step.gradients[name.removeprefix("gradient:")] for name in gradients})
        joint, specs = specialise(joint, specs)
        plan = lower(joint, specs, target, PackCache(), threads, bound)
        if plan is None:
            names = [n.label() for n in joint.nodes if any(o and not specs[o].is_static for o in n.outputs)]
            raise UnsupportedModelError(
                "training", [f"{name}: the shape of its result depends on data; it cannot be trained" for name in names]
            )
        self.bound = BoundPlan(plan, threads)
        self._unreached = [array for name, array in step.gradients.items() if f"gradient:{name}" not in gradients]
        self.results = (*outputs, *_results(self.watched))
        self._terms = len(step.losses)

    def run(self, inputs: list[np.ndarray]) -> tuple[list[float], dict[str, np.ndarray]]:
        """Run once on the inputs that are not bound, in the graph's order: the losses by term, and the results by name.

        Raises
        ------
        RnnrtError
            A value lies outside an operator's domain, such as an index out of range.
        """
        found = self.bound.run(inputs)
        for gradient in self._unreached:
            gradient.fill(0)  # a regularizer may have added to it
        losses = [float(value) for value in found[: self._terms]]
        return losses, dict(zip(self.results, found[self._terms :], strict=True))


def _joint(step: StepGraph, specs: Mapping[str, TensorSpec]) -> tuple[Graph, tuple[WatchedNode, ...]]:
    """The graph with losses and backward pass: its outputs are the losses, the graph's own, the watched, gradients."""
    graph, types = specialise(step.graph, specs)
    types = dict(types)
    seeds: dict[str, str] = {}
    nodes: list[Node] = []
    backward = bool(step.gradients)
    constants = dict(graph.constants)
    for k, term in enumerate(step.losses):
        prediction, function = _target(graph, types, term)
        inputs = (prediction, *([term.mask] if term.mask else []))
        names = [f"loss:{k}", f"loss:{k}/gradient"][: 1 + backward]
        results = [TensorSpec(np.dtype(np.float64), ()), types[prediction]][: 1 + backward]
        attrs = {"call": _caller(function, backward), "results": tuple(results)}
        nodes.append(Node("Python", inputs, tuple(names), attrs, f"loss:{k}"))
        for name, spec in zip(names, results, strict=True):
            types[name] = TensorSpec(spec.dtype, spec.shape)
        if backward:
            seeds[prediction] = names[1]
    for name in step.added:
        one = f"{name}/one"
        constants[one] = np.ones(types[name].known_shape, types[name].dtype)
        types[one] = TensorSpec(types[name].dtype, types[name].shape)
        seeds[name] = one
    graph = graph.replace(nodes=(*graph.nodes, *nodes), constants=constants)
    outputs = [Value(f"loss:{k}", np.dtype(np.float64), ()) for k in range(len(step.losses))] + list(graph.outputs)
    if not backward:
        return graph.replace(outputs=tuple(outputs)), ()
    back = differentiate(graph, types, seeds, list(step.gradients))
    nodes = list(back.nodes)
    watched: tuple[WatchedNode, ...] = ()
    if step.watched:
        nodes, watched, dtypes = _watch(nodes, graph, types, step.bound)
        outputs += [Value(name, dtypes[name]) for name in _results(watched)]
    last: list[Node] = []
    for name, gradient in back.gradients.items():
        last.append(Node("Identity", (gradient,), (f"gradient:{name}",), {}, f"gradient:{name}"))
        outputs.append(Value(f"gradient:{name}", types[name].dtype, types[name].shape))
    joint = graph.replace(nodes=(*nodes, *last), constants={**constants, **back.constants}, outputs=tuple(outputs))
    return joint, watched


def _target(graph: Graph, types: Mapping[str, TensorSpec], term: LossTerm) -> tuple[str, ValueAndGradient]:
    """Which value the loss is a function of, and the function."""
    if term.on_logits is None:
        return term.prediction, term.function
    by_output = {name: node for node in graph.nodes for name in node.outputs}
    name = term.prediction
    while name in by_output and by_output[name].op in ("Identity", "Reshape"):
        name = by_output[name].inputs[0]
    node = by_output.get(name)
    shape = types[term.prediction].known_shape
    if node is None or node.op != term.activation or types[name].known_shape != shape:
        return term.prediction, term.function
    if term.activation == "Softmax" and node.attrs.get("axis", -1) not in (-1, len(shape) - 1):
        return term.prediction, term.function
    return node.inputs[0], term.on_logits


def _caller(function: ValueAndGradient, wants_gradient: bool) -> Callable[..., list[Any]]:
    def call(prediction: np.ndarray, mask: np.ndarray | None = None) -> list[Any]:
        value, gradient = function(prediction, mask, wants_gradient)
        return [np.float64(value), gradient] if wants_gradient else [np.float64(value)]

    return call


def _watch(
    nodes: Sequence[Node], graph: Graph, types: Mapping[str, TensorSpec], bound: Mapping[str, np.ndarray]
) -> tuple[list[Node], tuple[WatchedNode, ...], dict[str, np.dtype]]:
    """Let recurrent gradients give dH too: the nodes, what is watched, and the dtypes of what that adds."""
    by_workspace = {node.outputs[-1]: node for node in nodes if node.op in RECURRENT and node.outputs}
    changed: list[Node] = []
    found: dict[str, WatchedNode] = {}
    dtypes: dict[str, np.dtype] = {}
    for node in nodes:
        changed.append(node)
        op = node.op.removesuffix("Gradient")
        if op == node.op or op not in RECURRENT:
            continue
        operator: Any = get_operator(op)
        source = by_workspace[node.inputs[len(operator.operands)]]
        gradient = f"watched:{source.outputs[-1]}/dH"
        changed[-1] = Node(node.op, node.inputs, (*node.outputs[:-1], gradient), node.attrs, node.name)
        dtypes[gradient] = types[source.inputs[0]].dtype
        operands: dict[str, str | np.ndarray] = {}
        for key, name in zip(operator.operands, source.inputs, strict=False):
            known = bound.get(name, graph.constants.get(name))
            if known is not None:
                operands[key] = known
            elif name:
                operands[key] = copy = f"watched:{source.outputs[-1]}/{key}"
                changed.append(Node("Identity", (name,), (copy,), {}, copy))
                dtypes[copy] = types[name].dtype
        found[source.outputs[-1]] = WatchedNode(source, gradient, operands)
    return changed, tuple(found[name] for name in by_workspace if name in found), dtypes


def _results(watched: Sequence[WatchedNode]) -> list[str]:
    names = [[w.gradient, *(o for o in w.operands.values() if isinstance(o, str))] for w in watched]
    return [name for own in names for name in own]
