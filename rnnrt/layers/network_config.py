"""Models as configurations, in the form that Keras 3 writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnrt.layers.base import Layer
from rnnrt.layers.inputs import InputLayer
from rnnrt.layers.network import Call, Chain, InputSpec, Network, Ref
from rnnrt.layers.serial import plain


def sequential_config(chain: Chain) -> dict[str, Any]:
    """The configuration of a Sequential model."""
    layers = [layer.as_spec() for layer in chain.layers]
    if chain.inputs:
        layers.insert(0, _input_spec(chain.inputs[0]))
    return {"name": chain.name, "trainable": chain.trainable, "layers": layers}


def functional_config(network: Network) -> dict[str, Any]:
    """The configuration of a Functional model: its layers, each with its calls."""
    specs = {spec.name: spec for spec in network.inputs}
    layers = []
    known = {layer.name for layer in network.layers}
    for name, spec in specs.items():
        if name not in known:
            layers.append({**_input_spec(spec), "name": name, "inbound_nodes": []})
    for layer in network.layers:
        calls = sorted((c for c in network.calls if c.layer == layer.name), key=lambda c: c.number)
        own = _input_spec(specs[layer.name]) if layer.name in specs else layer.as_spec()
        nodes = [] if layer.name in specs else [_node(call) for call in calls]
        layers.append({**own, "name": layer.name, "inbound_nodes": nodes})
    # Keras counts the calls of a nested Functional model from 1 among the outputs of the whole.
    models = {layer.name for layer in network.layers if isinstance(layer, Network) and not layer.sequential}
    return {
        "name": network.name,
        "trainable": network.trainable,
        "layers": layers,
        "input_layers": [[spec.name, 0, 0] for spec in network.inputs],
        "output_layers": [[r.layer, r.call + (r.layer in models), r.tensor] for r in network.outputs],
    }


def _input_spec(spec: InputSpec) -> dict[str, Any]:
    return InputLayer(batch_shape=spec.shape, dtype=spec.dtype.name, name=spec.name).as_spec()


def _node(call: Call) -> dict[str, Any]:
    return {"args": [_value(a) for a in call.args], "kwargs": {k: _value(v) for k, v in call.kwargs.items()}}


def _value(value: Any) -> Any:
    if isinstance(value, Ref):
        history = [value.layer, value.call, value.tensor]
        return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
    if isinstance(value, (list, tuple)):
        return [_value(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _value(v) for k, v in value.items()}
    if isinstance(value, Layer):
        return value.as_spec()
    return plain(value)
