"""From symbolic tensors to the network between them, with its layers in Keras's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.layers.base import Layer
from rnnrt.layers.inputs import InputLayer
from rnnrt.layers.network import Call, InputSpec, Network, Ref
from rnnrt.layers.symbolic import KerasTensor, Record, replaced


def network_between(inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor], name: str) -> Network:
    """The network that computes `outputs` from `inputs`.

    Raises
    ------
    ModelFormatError
        Something between them needs a tensor that is not among the inputs, or two layers have one name.
    """
    return _Trace(inputs).run(outputs, name)


class _Trace:
    def __init__(self, inputs: Sequence[KerasTensor]) -> None:
        self.inputs = list(inputs)
        self.source: dict[int, InputLayer] = {}
        for x in self.inputs:
            own = x.record.layer
            if not isinstance(own, InputLayer):
                own = InputLayer(batch_shape=x.shape, dtype=x.dtype)
            self.source[id(x)] = own
        self.done: list[Record] = []
        self.order: dict[int, int] = {}
        self.layers: dict[int, Layer] = {}

    def run(self, outputs: Sequence[KerasTensor], name: str) -> Network:
        for y in outputs:
            self.visit(y)
        depth: dict[int, int] = {}
        layer_depth: dict[int, int] = {}
        for record in reversed(self.done):
            key = id(record.layer)
            depth[id(record)] = layer_depth[key] = max(depth.get(id(record), 0), layer_depth.get(key, 0))
            for x in record.inputs:
                before = id(self.source[id(x)]) if id(x) in self.source else id(x.record)
                depth[before] = max(depth.get(before, 0), depth[id(record)] + 1)
        for source in self.source.values():
            layer_depth[id(source)] = depth.get(id(source), 0)
            self.layers[id(source)] = source
            self.order.setdefault(id(source), -1)
        layers = sorted(self.layers.values(), key=lambda v: (-layer_depth[id(v)], self.order[id(v)]))
        numbers = self._numbers()

        def ref(x: KerasTensor) -> Ref:
            if id(x) in self.source:
                return Ref(self.source[id(x)].name)
            return Ref(x.record.layer.name, numbers[id(x.record)], x.index)

        calls = []
        for record in sorted(self.done, key=lambda r: r.number):
            args: Any = tuple(replaced(a, ref) for a in record.args)
            kwargs = replaced(record.kwargs, ref)
            calls.append(Call(record.layer.name, numbers[id(record)], args, kwargs))
        specs = [InputSpec(self.source[id(x)].name, (None, *x.shape[1:]), np.dtype(x.dtype)) for x in self.inputs]
        network = Network(layers, specs, calls, [ref(y) for y in outputs], name=name)
        if all(isinstance(x.record.layer, InputLayer) for x in self.inputs):
            network.symbols = (self.inputs, list(outputs))
        return network

    def _numbers(self) -> dict[int, int]:
        """How many calls of the same layer in the network came before each."""
        counts: dict[int, int] = {}
        numbers = {}
        for record in sorted(self.done, key=lambda r: r.number):
            numbers[id(record)] = counts.get(id(record.layer), 0)
            counts[id(record.layer)] = numbers[id(record)] + 1
        return numbers

    def visit(self, tensor: KerasTensor) -> None:
        """Depth first through what a tensor is made of; layers are counted as they are met."""
        finished = {id(r) for r in self.done}
        stack: list[tuple[KerasTensor, int]] = [(tensor, 0)]
        while stack:
            x, at = stack.pop()
            if id(x) in self.source:
                self.order.setdefault(id(self.source[id(x)]), len(self.order))
                continue
            record = x.record
            if id(record) in finished:
                continue
            if isinstance(record.layer, InputLayer):
                raise ModelFormatError(
                    f"the outputs need {x!r}, which is not among the inputs {[i.name for i in self.inputs]}; add it"
                )
            self.order.setdefault(id(record.layer), len(self.order))
            self.layers[id(record.layer)] = record.layer
            if at < len(record.inputs):
                stack += [(x, at + 1), (record.inputs[at], 0)]
                continue
            finished.add(id(record))
            self.done.append(record)
