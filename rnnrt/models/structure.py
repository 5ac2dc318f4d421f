"""What a model consists of: its layers, and its inputs and outputs as Keras has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph, Value
from rnnrt.layers import Layer, Network
from rnnrt.layers.symbolic import KerasTensor
from rnnrt.models.running import TensorInfo, described


class Structure:
    """What `Model` takes from here: its layers, shapes and symbolic tensors."""

    network: Network | None
    graph: Any
    _source: Graph | None
    _states: dict[str, np.ndarray]
    _holder: Any

    @property
    def name(self) -> str:
        """The name of the network or of the graph."""
        if self.network is not None:
            return self.network.name
        return self._source.name if self._source is not None else "model"

    @property
    def layers(self) -> list[Any]:
        """The layers, in Keras's order; models inside this one are models."""
        if self.network is None:
            return list(self._holder.children())
        return [_face(layer) for layer in self.network.layers]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """A layer by its name or its place.

        Raises
        ------
        RnnrtError
            There is none.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise RnnrtError("get_layer takes a name or an index")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise RnnrtError(f"model {self.name!r} has {len(layers)} layers, none at index {index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise RnnrtError(f"model {self.name!r} has no layer {name!r}; it has {[layer.name for layer in layers]}")

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What the model takes, in order."""
        return self._described(self.graph.inputs, 0)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """What the model gives, in order."""
        return self._described(self.graph.outputs, 1)

    def _described(self, values: Sequence[Value], side: int) -> tuple[TensorInfo, ...]:
        if self.network is None:
            return tuple(described(v) for v in values)
        return tuple(replace(described(v), make_symbol=partial(self._symbol, side, k)) for k, v in enumerate(values))

    def _symbol(self, side: int, k: int) -> KerasTensor:
        return self._symbols()[side][k]

    @property
    def input(self) -> Any:
        """The symbolic tensors that stand for the inputs: one, or a list."""
        return _one_or_all(self._symbols()[0])

    @property
    def output(self) -> Any:
        """The symbolic tensors that stand for the outputs: one, or a list."""
        return _one_or_all(self._symbols()[1])

    def _symbols(self) -> tuple[list[KerasTensor], list[KerasTensor]]:
        network = self._needs_network("has no symbolic tensors")
        network.create()
        assert network.symbols is not None
        return network.symbols

    def _needs_network(self, what: str) -> Network:
        if self.network is None:
            raise RnnrtError(f"model {self.name!r}: {what}, for it came as a graph without layers")
        return self.network

    @property
    def input_shape(self) -> Any:
        """The inputs' shapes, the batch first; None for free extents."""
        return _one_or_all([info.shape for info in self.inputs])

    @property
    def output_shape(self) -> Any:
        """The outputs' shapes, the batch first; None for free extents."""
        if self.network is None:
            return _one_or_all([info.shape for info in self.outputs])
        return _one_or_all([y.shape for y in self._symbols()[1]])

    @property
    def built(self) -> bool:
        """Whether all weights are there."""
        return self.network is None or self.network.built

    def build(self, input_shape: Any = None) -> None:
        """Make the weights that are missing."""
        self._needs_network("cannot be built").build(input_shape)

    @property
    def stateful(self) -> bool:
        """Whether a layer carries states from batch to batch."""
        return self.network is not None and any(getattr(layer, "stateful", False) for layer in self.network.walk())


def _face(layer: Layer) -> Any:
    """A layer, or the model of a network."""
    if not isinstance(layer, Network):
        return layer
    return layer.face if layer.face is not None else _wrapped(layer)


def _one_or_all(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _wrapped(network: Network) -> Any:
    from rnnrt.models.model import Model

    return Model.from_network(network)
