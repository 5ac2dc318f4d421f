"""Networks into graphs: what runs, and what trains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.ir import Graph
from rnnrt.layers.builder import GraphBuilder, Tensor
from rnnrt.layers.network import Network
from rnnrt.layers.variable import Variable
from rnnrt.layers.weights import Weights


@dataclass(frozen=True)
class StateSlot:
    """State `index` of a stateful layer: the graph's input, the output that follows it, (batch, units) and dtype."""

    layer: Weights
    index: int
    input: str
    output: str
    units: int
    dtype: np.dtype


@dataclass(frozen=True)
class TrainingGraph:
    """A graph to be differentiated, and what its inputs and outputs mean.

    Attributes
    ----------
    graph : Graph
        Its inputs are the data, the variables, the states and the state of the random numbers, in that order.
    data : tuple of str
        Inputs that hold data.
    variables : dict of str to Variable
        Inputs that hold weights.
    trainable : tuple of str
        Those of them that gradients move.
    outputs : tuple of str
        The model's outputs.
    masks : tuple of (str or None)
        For each output the output of the graph that holds its mask, bool, True where a step counts.
    updates : dict of str to Variable
        Outputs that hold new values of variables, to be assigned after the batch.
    states : tuple of StateSlot
        What stateful layers carry from batch to batch.
    losses : tuple of str
        Outputs without axes that the loss gets beside that of the data.
    random_state : str or None
        The input, int64 (2,), that random numbers follow from: a seed and a counter.
    """

    graph: Graph
    data: tuple[str, ...]
    variables: dict[str, Variable]
    trainable: tuple[str, ...]
    outputs: tuple[str, ...]
    masks: tuple[str | None, ...]
    updates: dict[str, Variable]
    states: tuple[StateSlot, ...]
    losses: tuple[str, ...]
    random_state: str | None


def inference_graph(
    network: Network, legacy: bool = False, metadata: Mapping[str, str] | None = None, carry: bool = False
) -> tuple[Graph, tuple[StateSlot, ...]]:
    """The graph that runs a network whose weights are there.

    Parameters
    ----------
    network : Network
    legacy : bool
        Keep the meanings of Keras 1 and 2.
    metadata : mapping of str to str, optional
        Goes into the graph.
    carry : bool
        The states of stateful layers become inputs and outputs; otherwise every call begins with zeros.
    """
    b = GraphBuilder(network.name, legacy=legacy, carry=carry)
    named = _emit(b, network)
    slots, extras = _states(b)
    more = dict(metadata or {})
    if b.stateful:
        more["stateful_layers"] = json.dumps(list(dict.fromkeys(b.stateful)))
    return b.finish([*named, *extras], more), slots


def training_graph(network: Network, training: bool, legacy: bool = False, carry_all: bool = False) -> TrainingGraph:
    """The graph that trains a network, or with `training` False the one that evaluates it on the way.

    With `carry_all` every recurrent layer carries its state from batch to batch, as stateful ones do.
    """
    b = GraphBuilder(network.name, legacy=legacy, training=training, variables=True, carry_all=carry_all)
    named = _emit(b, network)
    slots, states = _states(b)
    masks = [(b.unique(f"{name}/mask"), y.mask) for name, y in named if y.mask is not None]
    mask_of = dict(zip([name for name, y in named if y.mask is not None], [name for name, _ in masks], strict=True))
    updates = [(b.unique(f"{v.path}/update"), v, y) for v, y in b.updates.items()]
    losses = [(b.unique(f"loss_{k}"), y) for k, y in enumerate(b.losses)]
    extras = [*((name, y) for name, _, y in updates), *losses]
    graph = b.finish([*named, *masks, *states], {}, extras)
    moved = {id(v) for v in network.trainable_weights}
    return TrainingGraph(
        graph,
        tuple(spec.name for spec in network.inputs),
        dict(b.variable_of),
        tuple(name for name, v in b.variable_of.items() if id(v) in moved),
        tuple(name for name, _ in named),
        tuple(mask_of.get(name) for name, _ in named),
        {name: v for name, v, _ in updates},
        slots,
        tuple(name for name, _ in losses),
        b.random_input,
    )


def _emit(b: GraphBuilder, network: Network) -> list[tuple[str, Tensor]]:
    b.reserve([spec.name for spec in network.inputs])
    inputs = [b.input(spec.name, spec.shape, spec.dtype) for spec in network.inputs]
    names = output_names([ref.layer for ref in network.outputs], [spec.name for spec in network.inputs])
    b.reserve(names)
    outputs = network.emit(b, inputs)
    found: Sequence[Tensor] = outputs if isinstance(outputs, list) else [outputs]
    while len(names) < len(found):  # the last layer of a Sequential may give several
        names.append(b.unique(f"{names[0]}_{len(names)}"))
    return list(zip(names, found, strict=True))


def _states(b: GraphBuilder) -> tuple[tuple[StateSlot, ...], list[tuple[str, Tensor]]]:
    slots, outputs = [], []
    for s in b.states:
        name = b.unique(f"{s.before.name}/next")
        units = s.before.shape[-1]
        assert units is not None
        slots.append(StateSlot(s.layer, s.index, s.before.name, name, units, s.before.dtype))
        outputs.append((name, s.after))
    return tuple(slots), outputs


def output_names(layers: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Names for outputs after the layers that give them."""
    names: list[str] = []
    for layer in layers:
        name, k = layer, 0
        while name in names or name in taken:
            k += 1
            name = f"{layer}_{k}"
        names.append(name)
    return names
