"""Layers wired to a model: Sequential and Functional models, also where one is a layer of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError
from rnnrt.layers import serial
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape
from rnnrt.layers.inputs import InputLayer
from rnnrt.layers.symbolic import KerasTensor, within
from rnnrt.registry import auto_name


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

    sequential: ClassVar[bool] = False
    notes: tuple[str, ...] = ()
    """What a reader left aside because no output depends on it."""

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[InputSpec],
        calls: Sequence[Call],
        outputs: Sequence[Ref],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.layers = list(layers)
        self.inputs, self._calls, self._outputs = tuple(inputs), tuple(calls), tuple(outputs)
        self.symbols: tuple[list[KerasTensor], list[KerasTensor]] | None = None
        self.face: Any = None
        names = [layer.name for layer in self.layers]
        twins = sorted({n for n in names if names.count(n) > 1})
        if twins:
            raise ModelFormatError(f"model {self.name!r}: layer names {twins} are used twice; name the layers apart")

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of the layers."""
        return self._calls

    @property
    def outputs(self) -> tuple[Ref, ...]:
        """What of the calls' results the model gives."""
        return self._outputs

    def create(self) -> None:
        """Call the layers with symbolic tensors, which makes the weights that are missing."""
        if self.symbols is None:
            for part in self.walk():  # models inside are made on their own, as where they are written down
                if isinstance(part, Network) and part is not self and part.inputs and not part.built:
                    part.create()
            with within(*[self.name] * self.sequential):
                self.symbols = self._replay()

    def _replay(self) -> tuple[list[KerasTensor], list[KerasTensor]]:
        own = {layer.name: layer for layer in self.layers}
        known: dict[tuple[str, int], list[KerasTensor]] = {}
        for spec in self.inputs:
            layer = own.get(spec.name)
            if not isinstance(layer, InputLayer):
                layer = InputLayer(batch_shape=spec.shape, dtype=spec.dtype.name, name=spec.name)
            known[spec.name, 0] = [layer.calls_recorded[0].outputs[0] if layer.calls_recorded else layer.tensor()]
        fill = _Filler(self, known)
        waiting = list(self.calls)
        while waiting:
            ready = [c for c in waiting if all((r.layer, r.call) in known for r in refs_in((c.args, c.kwargs)))]
            self._check_ready(ready, waiting, own)
            for call in ready:
                outputs = own[call.layer](*fill(call.args), **fill(call.kwargs))
                known[call.layer, call.number] = list(outputs) if isinstance(outputs, list) else [outputs]
            done = {id(c) for c in ready}
            waiting = [c for c in waiting if id(c) not in done]
        first = [known[spec.name, 0][0] for spec in self.inputs]
        last = [self._look_up(known, ref) for ref in self.outputs]
        if self.sequential and self.layers:
            last = known[self.layers[-1].name, 0]
        return first, last

    def _check_ready(self, ready: list[Call], waiting: list[Call], own: Mapping[str, Layer]) -> None:
        if not ready:
            names = sorted({c.layer for c in waiting})
            raise ModelFormatError(f"model {self.name!r}: layers {names} wait for inputs that nothing computes")
        missing = [c.layer for c in ready if c.layer not in own]
        if missing:
            raise ModelFormatError(f"model {self.name!r}: calls {missing[0]!r}, which is not among its layers")

    def build(self, input_shape: Any = None) -> None:
        """Make the weights that are missing; the shapes of a model's inputs are known."""
        self.create()

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.as_spec()["config"]
        return config

    def as_spec(self) -> dict[str, Any]:
        if not serial.MODEL_WRITERS:
            raise RnnrtError(f"model {self.name!r}: import rnnrt.models, which knows Keras's form of models")
        return dict(serial.MODEL_WRITERS[-1](self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return serial.revived({"class_name": "Sequential" if cls.sequential else "Functional", "config": config})

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
            self._check_ready(ready, waiting, by_name)
            for call in ready:
                fill = _Filler(self, known)
                args, kwargs = fill(call.args), fill(call.kwargs)
                outputs = by_name[call.layer].apply(b, *args, **kwargs)
                known[call.layer, call.number] = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
            done = {id(c) for c in ready}
            waiting = [c for c in waiting if id(c) not in done]

    def _look_up(self, known: Mapping[tuple[str, int], list[Any]], ref: Ref) -> Any:
        outputs = known.get((ref.layer, ref.call), [])
        if not 0 <= ref.tensor < len(outputs):
            raise ModelFormatError(
                f"model {self.name!r}: reads output {ref.tensor} of call {ref.call} of layer {ref.layer!r}, "
                "which does not exist"
            )
        return outputs[ref.tensor]


class Chain(Network):
    """Layers one after the other: a Sequential model. Its input may be unknown until it is called or built.

    Parameters
    ----------
    layers : sequence of Layer
    inputs : sequence of InputSpec
        One or none.
    """

    sequential = True

    def __init__(self, layers: Sequence[Layer] = (), inputs: Sequence[InputSpec] = (), **options: Any) -> None:
        super().__init__(layers, inputs, (), (), **options)

    @property
    def calls(self) -> tuple[Call, ...]:
        before = [self.inputs[0].name if self.inputs else "input", *(layer.name for layer in self.layers)]
        return tuple(Call(layer.name, 0, (Ref(name),)) for name, layer in zip(before, self.layers, strict=False))

    @property
    def outputs(self) -> tuple[Ref, ...]:
        return (Ref(self.layers[-1].name if self.layers else self.inputs[0].name),)

    def build(self, input_shape: Any = None) -> None:
        if input_shape is not None:
            self.expect(tuple(input_shape), np.dtype(np.int32 if self._starts_with_integers() else np.float32))
        if not self.inputs:
            raise self.unsupported(
                "does not know the shape of its input", "call build(input_shape), or begin with Input"
            )
        self.create()

    def _starts_with_integers(self) -> bool:
        return bool(self.layers) and type(self.layers[0]).__name__ == "Embedding"

    def expect(self, shape: TensorShape, dtype: np.dtype, name: str | None = None) -> None:
        """Set the input, the batch first."""
        self.inputs = (InputSpec(name or auto_name("InputLayer"), (None, *shape[1:]), dtype),)

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = inputs[0] if isinstance(inputs, (list, tuple)) and len(inputs) == 1 else inputs
        if not isinstance(x, Tensor):
            raise self.unsupported("is called with other than one input", "call it with one")
        if not self.inputs and b.create:
            self.expect(x.shape, x.dtype)
        if isinstance(mask, Tensor):
            x = x.with_mask(mask)
        if self.inputs and x.dtype.kind == "f" and self.inputs[0].dtype.kind == "f":
            x = b.cast(x, self.inputs[0].dtype)
        result: Any = x
        for layer in self.layers:
            result = layer.apply(b, result)
        return result


class _Filler:
    """Puts tensors where a nested structure has references."""

    def __init__(self, network: Network, known: Mapping[tuple[str, int], list[Any]]) -> None:
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
