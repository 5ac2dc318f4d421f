"""The builder that turns calls of layers into IR: inputs, weights, random numbers, and the finished graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rnnrt.ir import Graph, Node, Value
from rnnrt.layers.nodes import Extent, NodeBuilder, Tensor, TensorShape, contiguous, dtype_code, product
from rnnrt.passes.prune import prune

if TYPE_CHECKING:
    from rnnrt.layers.variable import Variable
    from rnnrt.layers.weights import Weights

__all__ = ["Extent", "GraphBuilder", "State", "Tensor", "TensorShape", "dtype_code", "product"]


@dataclass(frozen=True)
class State:
    """State `index` of a stateful layer: what it is before the batch, and behind it."""

    layer: Weights
    index: int
    before: Tensor
    after: Tensor


class GraphBuilder(NodeBuilder):
    """Collects nodes, constants and inputs, and hands out unique names.

    Parameters
    ----------
    name : str
        The graph's name.
    legacy : bool
        Keep the meanings of Keras 1 and 2 where they differ from Keras 3's.
    training : bool
        Build what runs in training: dropout drops, batches are normalised by their own statistics.
    variables : bool
        Weights become inputs of the graph, so that it can be differentiated by them; otherwise they are constants.
    create : bool
        Make missing weights by their initializers.
    carry : bool
        Stateful layers begin with states that are inputs of the graph, as with `variables`.
    carry_all : bool
        So do all recurrent layers.

    Attributes
    ----------
    variable_of : dict of str to Variable
        The variables by the inputs that stand for them, in the order of their first use.
    updates : dict of Variable to Tensor
        New values of variables that training changes by other ways than gradients, such as moving averages.
    losses : list of Tensor
        Numbers that layers add to the loss.
    states : list of State
        What stateful layers keep from one batch to the next.
    """

    def __init__(
        self,
        name: str = "model",
        legacy: bool = False,
        training: bool = False,
        variables: bool = False,
        create: bool = False,
        carry: bool = False,
        carry_all: bool = False,
    ) -> None:
        super().__init__(name)
        self.legacy = legacy
        self.training, self.variables, self.create = training, variables, create
        self.carry, self.carry_all = carry or variables, carry_all
        self.variable_of: dict[str, Variable] = {}
        self.updates: dict[Variable, Tensor] = {}
        self.losses: list[Tensor] = []
        self.states: list[State] = []
        self._random: str = ""
        self._streams = 0
        self.stateful: list[str] = []
        self._inputs: list[Value] = []

    def input(self, name: str, shape: TensorShape, dtype: np.dtype) -> Tensor:
        """A new graph input; axis 0 is the batch."""
        self._taken.add(name)
        self._inputs.append(Value(name, dtype, ("batch", *shape[1:])))
        return Tensor(name, shape, dtype)

    def variable(self, layer: Weights, name: str, shape: TensorShape) -> Tensor:
        """A weight of a layer, in Keras's layout: a constant, or with `variables` an input of the graph.

        It is the same tensor however often the layer is called. What a layer makes of it by nodes is computed at
        once where it is a constant.

        Raises
        ------
        ModelFormatError
            The weight is missing or has another shape; `shape` holds None for any extent.
        """
        memo = ("variable", id(layer), name)
        if memo not in self._memo:
            variable = layer.variable(name, shape, self.create)
            variable.path = variable.path or "/".join([*self.scope, name])
            dtype = layer.dtype if variable.value.dtype.kind == "f" else variable.value.dtype
            wish = variable.path if self.variables else f"{self.where()}/{name}"
            key = self.unique(wish)
            if self.variables:
                self.variable_of[key] = variable
            else:
                self._constants[key] = contiguous(variable.snapshot().astype(dtype, copy=False))
            self._memo[memo] = Tensor(key, variable.shape, dtype)
        return self._memo[memo]

    def weight(self, layer: object, key: str, make: Callable[[], np.ndarray]) -> str:
        """A constant made from a layer's weights, once however often the layer is called."""
        memo = ("weight", id(layer), key)
        if memo not in self._memo:
            name = self.unique(f"{self.where()}/{key}")
            self._constants[name] = contiguous(make())
            self._memo[memo] = name
        return str(self._memo[memo])

    @property
    def random_input(self) -> str | None:
        """The name of `random_state`, None where nothing has asked for it."""
        return self._random or None

    @property
    def random_state(self) -> str:
        """The input that random numbers follow from: int64 (2,), a seed and a counter."""
        if not self._random:
            self._random = self.unique("random_state")
        return self._random

    def random(
        self, kind: str, dims: Sequence[int | str], shape: TensorShape, dtype: np.dtype, rate: float = 0.0
    ) -> Tensor:
        """Random numbers, others at every run.

        Parameters
        ----------
        kind : {"dropout", "uniform", "normal"}
            0 with probability `rate` and else 1 / (1 - rate); between 0 and 1; of mean 0 and variance 1.
        dims : sequence of int or str
            Extents, and names of run-time extents made by `extent`.
        shape : tuple
            The same extents as far as they are known.
        """
        if all(isinstance(d, int) for d in dims):
            target = self.ints(*(int(d) for d in dims))
        else:
            target = self.node("Concat", [d if isinstance(d, str) else self.ints(d) for d in dims], axis=0)[0]
        stream, self._streams = self._streams, self._streams + 1
        attrs = {"rate": float(rate), "stream": stream, "to": dtype_code(dtype), "kind": kind}
        return self.op("RandomMask", [self.random_state, target], shape, dtype, **attrs)

    def add_loss(self, loss: Tensor) -> None:
        """A number to add to the loss."""
        self.losses.append(loss)

    def state_input(self, index: int, units: int, dtype: np.dtype) -> Tensor:
        """A state (B, units) that a stateful layer begins with: an input of the graph."""
        name = self.unique(f"{self.where()}/state_{index}")
        return Tensor(name, (None, units), dtype)

    def finish(
        self,
        outputs: Sequence[tuple[str, Tensor]],
        metadata: Mapping[str, str] | None = None,
        extras: Sequence[tuple[str, Tensor]] = (),
    ) -> Graph:
        """The graph, with the given values as outputs under the given names.

        `extras` are further outputs that have no batch. The inputs are the data, the variables, the states and the
        state of the random numbers.
        """
        rename: dict[str, str] = {}
        produced = {o for node in self._nodes for o in node.outputs}
        extra: list[Node] = []
        values: list[Value] = []
        for k, (name, x) in enumerate([*outputs, *extras]):
            if x.name in produced and x.name not in rename:
                rename[x.name] = name
            else:
                extra.append(Node("Identity", (rename.get(x.name, x.name),), (name,), {}, f"{name}/Identity"))
            values.append(Value(name, x.dtype, ("batch", *x.shape[1:]) if k < len(outputs) else x.shape))
        nodes = [_renamed(node, rename) for node in self._nodes]
        every = (*nodes, *extra)
        states = [s.before for s in self.states]
        inputs = (
            *self._inputs,
            *(Value(name, v.value.dtype, v.shape) for name, v in self.variable_of.items()),
            *(Value(s.name, s.dtype, ("batch", *s.shape[1:])) for s in states),
            *((Value(self._random, np.dtype(np.int64), (2,)),) if self._random else ()),
        )
        return prune(Graph(inputs, tuple(values), every, dict(self._constants), self.name, dict(metadata or {})))


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    if not any(n in names for n in (*node.inputs, *node.outputs)):
        return node
    inputs, outputs = (tuple(names.get(n, n) for n in group) for group in (node.inputs, node.outputs))
    return Node(node.op, inputs, outputs, node.attrs, node.name)
