"""Sequential: layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph
from rnnrt.layers import Layer, Network
from rnnrt.layers.inputs import InputLayer
from rnnrt.layers.network import Chain
from rnnrt.layers.symbolic import KerasTensor, within
from rnnrt.layers.variable import Changes
from rnnrt.models.model import Model
from rnnrt.registry import auto_name


class Sequential(Model):
    """Layers one after the other.

    The weights are made as soon as the shape of the input is known: from an `Input` at the front, from the first
    layer's `input_shape`, from `build`, or from the first call.

    Parameters
    ----------
    layers : sequence of layers and models, optional
    trainable : bool
        False freezes all weights.
    name : str, optional
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.
    """

    network: Chain

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self._begin(Chain(name=name or auto_name("Sequential"), trainable=trainable), None, threads)
        for layer in layers or []:
            self._append(layer)
        self._count()
        Changes.structure += 1

    def _count(self) -> None:
        """Keras makes a Functional model each time that it builds a Sequential one, which takes a name."""
        if self.network.layers and self.network.inputs:
            auto_name("Functional")

    def add(self, layer: Any) -> None:
        """Put a layer, a model or, at the front, an `Input` behind the others.

        Raises
        ------
        RnnrtError
            It is none of these, or its name is taken.
        """
        self._append(layer)
        self._count()

    def _append(self, layer: Any) -> None:
        chain = self.network
        if isinstance(layer, KerasTensor) and isinstance(layer.record.layer, InputLayer):
            layer = layer.record.layer
        if isinstance(layer, InputLayer):
            if chain.layers or chain.inputs:
                raise RnnrtError(f"model {self.name!r}: an input must stand at the front")
            self._expect(layer)
            return
        layer = getattr(layer, "network", layer)
        if not isinstance(layer, Layer):
            raise RnnrtError(f"model {self.name!r}: {layer!r} is no layer")
        if any(own is layer or own.name == layer.name for own in chain.layers):
            raise RnnrtError(f"model {self.name!r}: has a layer {layer.name!r} already; give this one another name")
        if not chain.layers and not chain.inputs:
            self._expect_from(layer)
        chain.layers.append(layer)
        self._extend(layer)
        self.mark_changed()

    def pop(self, rebuild: bool = True) -> Any:
        """Take the last layer away.

        Raises
        ------
        RnnrtError
            There is none.
        """
        chain = self.network
        if not chain.layers:
            raise RnnrtError(f"model {self.name!r}: has no layer to take away")
        layer = chain.layers.pop()
        Changes.structure += 1
        if chain.symbols is not None:
            made = chain.symbols[1]
            layer.calls_recorded = [r for r in layer.calls_recorded if r.outputs[0] is not made[0]]
            chain.symbols = None
            if chain.layers:
                last = chain.layers[-1].calls_recorded
                chain.symbols = None if len(last) != 1 else (self._first(), list(last[0].outputs))
        self.mark_changed()
        return layer

    def _first(self) -> list[KerasTensor]:
        record = self.network.layers[0].calls_recorded[0]
        return record.inputs

    def _expect(self, layer: InputLayer) -> None:
        if not layer.calls_recorded:
            layer.tensor()
        self.network.expect(layer.batch_shape, layer.input_dtype, layer.name)
        tensor = layer.calls_recorded[0].outputs[0]
        self.network.symbols = ([tensor], [tensor])

    def _expect_from(self, layer: Layer) -> None:
        """The input that the first layer declares itself."""
        if layer.declared_shape is not None:
            integers = type(layer).__name__ == "Embedding"
            dtype = layer.declared_dtype or ("int32" if integers else "float32")
            self._expect(InputLayer(batch_shape=layer.declared_shape, dtype=dtype))
        elif isinstance(layer, Network) and len(layer.inputs) == 1:
            spec = layer.inputs[0]
            self._expect(InputLayer(batch_shape=spec.shape, dtype=spec.dtype.name))

    def _extend(self, layer: Layer) -> None:
        symbols = self.network.symbols
        if symbols is None:
            return
        if len(symbols[1]) != 1:
            raise RnnrtError(f"model {self.name!r}: the layer before {layer.name!r} has several outputs")
        with within(self.name):
            made = layer(symbols[1][0])
        self.network.symbols = (symbols[0], list(made) if isinstance(made, list) else [made])

    @property
    def layers(self) -> list[Any]:
        """The layers without the input."""
        return super().layers

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of that shape, the batch first."""
        if not self.network.inputs or input_shape is None:
            self.network.build(input_shape)
            self._count()

    def build_graph(self) -> Graph:
        if not self.network.layers and not self.network.inputs:
            raise RnnrtError(f"model {self.name!r}: is empty; add layers")
        if not self.network.inputs:
            raise RnnrtError(
                f"model {self.name!r}: does not know the shape of its input; begin with Input(shape=...), "
                "give the first layer an input_shape, or call build(input_shape)"
            )
        return super().build_graph()

    def _see(self, args: Sequence[Any]) -> None:
        """Learn the input from the first array."""
        if not self.network.inputs and len(args) == 1 and hasattr(args[0], "__array__") and self.network.layers:
            if isinstance(args[0], KerasTensor):
                return
            array = np.asarray(args[0])
            dtype = array.dtype if array.dtype in (np.int32, np.int64, np.float64, np.bool_) else np.dtype(np.float32)
            if dtype == np.float64:
                dtype = self.network.layers[0].dtype
            self.network.expect((None, *array.shape[1:]), dtype)
            self.network.create()
