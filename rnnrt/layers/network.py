"""Layers wired to a model: Sequential and Functional models, also where one is a layer of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape


@dataclass(frozen=True)
class Ref:
    """Output `tensor` of call number `call` of a layer."""

    layer: str
    call: int = 0
    tensor: int = 0


@dataclass(frozen=True)
class Call:
    """One call of a layer: what it was given, with `Ref` for every tensor, nested as in the call."""

    layer: str
    number: int
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InputSpec:
    """A model's input: its name, its shape with the batch first, its dtype."""

    name: str
    shape: TensorShape
    dtype: np.dtype


class Network(Layer):
    """Layers and the calls between them.

    Parameters
    ----------
    layers : sequence of Layer
        In Keras's order; the weights in files follow it.
    inputs : sequence of InputSpec
        Named as the layers that stand for them.
    calls : sequence of Call
        In any order.
    outputs : sequence of Ref
    """

    supports_masking = False

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[InputSpec],
        calls: Sequence[Call],
        outputs: Sequence[Ref],
        sequential: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.layers = list(layers)
        self.inputs, self.calls, self.outputs = tuple(inputs), tuple(calls), tuple(outputs)
        self.sequential = sequential

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"layers": self.layers}

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, Mapping):
            inputs = [inputs[key] for key in sorted(inputs)]
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if len(given) != len(self.inputs):
            raise self.unsupported(f"is called with {len(given)} inputs", f"it has {len(self.inputs)}")
        if mask is not None:
            masks = list(mask) if isinstance(mask, (list, tuple)) else [mask]
            given = [x.with_mask(m) for x, m in zip(given, masks, strict=True)]
        known: dict[tuple[str, int], list[Tensor]] = {}
        for spec, x in zip(self.inputs, given, strict=True):
            known[spec.name, 0] = [b.cast(x, spec.dtype) if x.dtype.kind == "f" and spec.dtype.kind == "f" else x]
        self._run_calls(b, known)
        results = [self._look_up(known, ref) for ref in self.outputs]
        return results if len(results) > 1 else results[0]

    def _run_calls(self, b: GraphBuilder, known: dict[tuple[str, int], list[Tensor]]) -> None:
        by_name = {layer.name: layer for layer in self.layers}
        waiting = list(self.calls)
        while waiting:
            ready = [c for c in waiting if all((r.layer, r.call) in known for r in refs_in((c.args, c.kwargs)))]
            if not ready:
                names = sorted({c.layer for c in waiting})
                raise ModelFormatError(f"model {self.name!r}: layers {names} wait for inputs that nothing computes")
            for call in ready:
                fill = _Filler(self, known)
                args, kwargs = fill(call.args), fill(call.kwargs)
                if call.layer not in by_name:
                    raise ModelFormatError(f"model {self.name!r}: calls {call.layer!r}, which is not among its layers")
                outputs = by_name[call.layer].apply(b, *args, **kwargs)
                known[call.layer, call.number] = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
            done = {id(c) for c in ready}
            waiting = [c for c in waiting if id(c) not in done]

    def _look_up(self, known: Mapping[tuple[str, int], list[Tensor]], ref: Ref) -> Tensor:
        outputs = known.get((ref.layer, ref.call), [])
        if not 0 <= ref.tensor < len(outputs):
            raise ModelFormatError(
                f"model {self.name!r}: reads output {ref.tensor} of call {ref.call} of layer {ref.layer!r}, "
                "which does not exist"
            )
        return outputs[ref.tensor]


class _Filler:
    """Puts tensors where a nested structure has references."""

    def __init__(self, network: Network, known: Mapping[tuple[str, int], list[Tensor]]) -> None:
        self.network, self.known = network, known

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.network._look_up(self.known, value)
        if isinstance(value, (list, tuple)):
            return [self(v) for v in value]
        if isinstance(value, Mapping):
            return {k: self(v) for k, v in value.items()}
        return value


def refs_in(value: Any) -> list[Ref]:
    """Every reference in a nested structure."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [ref for v in value for ref in refs_in(v)]
    return []
