"""Layers and networks as Keras 3 writes them down: the JSON in a .keras file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnnrt.formats.keras_store import RENAMED
from rnnrt.formats.keras_weights import keras_class
from rnnrt.layers import (
    LAYERS,
    BatchNormalization,
    Call,
    GraphBuilder,
    InputLayer,
    InputSpec,
    Layer,
    Network,
    Ref,
    Tensor,
    TimeDistributed,
)
from rnnrt.layers.activations import canonical
from rnnrt.layers.network import refs_in
from rnnrt.layers.operations import Operation
from rnnrt.layers.serial import plain, spec_of

Known = Mapping[tuple[str, int], Sequence[Tensor]]
Shape = list[int | None]

_NOT_TAKEN = {
    "AdditiveAttention": {"score_mode"},
    "Discretization": {"trainable"},
    **{f"SpatialDropout{n}D": {"trainable", "noise_shape"} for n in (1, 2, 3)},
}
"""Arguments of the base class that Keras's class does not take."""

_HOMES = (
    ("_initializer", "keras.initializers"),
    ("_regularizer", "keras.regularizers"),
    ("_constraint", "keras.constraints"),
)
_NN, _CORE = {"Gelu", "Relu", "Sigmoid", "Silu", "Softmax"}, {"Cast", "ConvertToTensor"}
_ACTIVATIONS = ("activation", "recurrent_activation")


class Serializer:
    """Writes configurations, and notes why some cannot be written.

    Parameters
    ----------
    batch_size : int, optional
        The batch that inputs declare; free where not given.
    is_file : bool
        Whether Keras is to run what is written; a model's own configuration may leave more open.

    Attributes
    ----------
    reasons : list of str
        Each names the layer, what Keras 3 lacks, and what to do.
    """

    def __init__(self, batch_size: int | None = None, is_file: bool = True) -> None:
        self.batch_size, self.is_file = batch_size, is_file
        self.reasons: list[str] = []

    def layer(self, layer: Layer, shape: Shape | None = None) -> dict[str, Any]:
        """A layer, or a network as a layer of another; `shape` is that of its output, where known."""
        if isinstance(layer, Network):
            return self.network(layer)
        kind = keras_class(layer)
        if isinstance(layer, Operation):
            home = "nn" if layer.kind in _NN else "core" if layer.kind in _CORE else "numpy"
            config = layer.get_config()
            return {**spec_of(layer.kind, f"keras.src.ops.{home}", config), "registered_name": layer.kind}
        public = next((name for name, cls in LAYERS.items() if cls is type(layer)), "")
        if not public:
            self.reasons.append(
                f"{layer.label()}: is made by Python code, which a file does not hold; "
                "use Keras's layers in its place, or save the network as .rnnrt or .onnx"
            )
            return {}
        name = RENAMED.get(kind, public)
        return spec_of(name, "keras.layers", self.config(layer, name, shape))

    def config(self, layer: Layer, kind: str, shape: Shape | None) -> dict[str, Any]:
        """The arguments with which Keras makes the layer of class `kind`."""
        given = layer.get_config()
        if "theta" in given:
            given["threshold"] = given.pop("theta")
        if "data_format" in given or kind == "ZeroPadding1D":
            given["data_format"] = given.get("data_format") or "channels_last"
        given["dtype"] = _policy(str(given["dtype"]))
        if given.get("stateful") and self.batch_size is None and self.is_file:
            self.reasons.append(
                f"{layer.label()}: is stateful, for which Keras needs a fixed batch size; "
                "give batch_size, the number of sequences at a time"
            )
        if given.get("time_major"):
            self.reasons.append(
                f"{layer.label()}: has the time first, which Keras 3 cannot say; save the network as .rnnrt or .onnx"
            )
        left_out = _NOT_TAKEN.get(kind, set())
        return {k: self.value(layer, k, v, shape) for k, v in given.items() if k not in left_out}

    def value(self, layer: Layer, key: str, value: Any, shape: Shape | None) -> Any:
        """One argument."""
        made = getattr(layer, key, None)
        if isinstance(made, Layer) or (isinstance(made, list) and made and isinstance(made[0], Layer)):
            value = made  # in the place of its configuration
        if key in _ACTIVATIONS and isinstance(value, str | None):
            name = canonical(value)
            if name == "gelu_tanh":
                self.reasons.append(
                    f"{layer.label()}: {key} {value!r} has no name in Keras 3; save the network as .rnnrt or .onnx"
                )
            return name
        if key == "axis" and isinstance(layer, BatchNormalization) and isinstance(value, list | tuple):
            (value,) = value  # Keras 2 writes a list, Keras 3 takes a number
        if isinstance(value, Layer) and key == "activation":  # Keras does not build it with the layer it is in
            return self.layer(value) | ({"build_config": {"input_shape": shape}} if shape else {})
        if isinstance(value, Layer):
            inner = [*shape[:1], *shape[2:]] if shape and isinstance(layer, TimeDistributed) else None
            return self.layer(value, inner)
        if isinstance(value, list | tuple) and any(isinstance(v, Layer) for v in value):
            return [self.layer(v) for v in value]
        home = next((home for suffix, home in _HOMES if key.endswith(suffix)), None)
        if home and isinstance(value, Mapping) and "class_name" in value:
            return {"module": home, "registered_name": None, **plain(value)}
        return plain(value)

    def network(self, network: Network) -> dict[str, Any]:
        """A Sequential or Functional model."""
        if network.sequential:
            return self._sequential(network)
        known, numbers = tensors_of(network), _numbers(network.calls)
        by_name = {layer.name: layer for layer in network.layers}
        specs = {spec.name: spec for spec in network.inputs}
        missing = [InputLayer(batch_shape=spec.shape, dtype=spec.dtype.name, name=spec.name) for spec in network.inputs
                   if spec.name not in by_name]  # fmt: skip
        entries = []
        for layer in [*missing, *network.layers]:
            if layer.name in specs:
                entries.append(self._input(specs[layer.name]) | {"name": layer.name, "inbound_nodes": []})
                continue
            calls = sorted((c for c in network.calls if c.layer == layer.name), key=lambda c: c.number)
            if not calls:
                continue
            nodes = [self._node(layer, call, known, numbers) for call in calls]
            made = self._called(layer, calls[0], known)
            entries.append(made | {"name": layer.name, "inbound_nodes": nodes})
        models = {n for n, layer in by_name.items() if isinstance(layer, Network) and not layer.sequential}
        outputs = [
            # Keras takes a model's own definition for its call 0 where its output is one of the whole.
            [ref.layer, numbers[ref.layer, ref.call] + (ref.layer in models), ref.tensor]
            if ref.layer not in specs else [ref.layer, 0, 0]
            for ref in network.outputs
        ]  # fmt: skip
        inputs = [[spec.name, 0, 0] for spec in network.inputs]
        config = {
            "name": network.name,
            "trainable": network.trainable,
            "layers": entries,
            "input_layers": inputs if len(inputs) > 1 else inputs[0],
            "output_layers": outputs if len(outputs) > 1 else outputs[0],
        }
        return {**spec_of("Functional", "keras.src.models.functional", config), "registered_name": "Functional"}

    def _sequential(self, network: Network) -> dict[str, Any]:
        if not network.inputs and not self.is_file:
            config = {"name": network.name, "trainable": network.trainable, "dtype": _policy(network.dtype.name)}
            return spec_of("Sequential", "keras", {**config, "layers": [self.layer(v) for v in network.layers]})
        if not network.inputs:
            raise network.unsupported("does not know the shape of its input", "call build(input_shape) first")
        (spec,) = network.inputs
        known = tensors_of(network)
        calls = {call.layer: call for call in network.calls}
        layers = [self._called(layer, calls[layer.name], known) for layer in network.layers if layer.name in calls]
        shape = self._shape(spec)
        config = {
            "name": network.name,
            "trainable": network.trainable,
            "dtype": _policy(network.dtype.name),
            "layers": [self._input(spec), *layers],
            "build_input_shape": shape,
        }
        return spec_of("Sequential", "keras", config) | {"build_config": {"input_shape": shape}}

    def _called(self, layer: Layer, call: Call, known: Known) -> dict[str, Any]:
        """A layer with the shapes of its first call, from which Keras builds it."""
        if isinstance(layer, Operation | Network):
            return self.layer(layer)
        record = self.layer(layer, self._shape(known[call.layer, call.number][0]))
        if refs_in(call.kwargs) or len(call.args) != 1:
            return record  # Keras builds it when it is called
        shapes = [self._shape(known[r.layer, r.call][r.tensor]) for r in refs_in(call.args)]
        return record | {"build_config": {"input_shape": shapes[0] if isinstance(call.args[0], Ref) else shapes}}

    def _shape(self, x: Tensor | InputSpec) -> Shape:
        return [self.batch_size, *x.shape[1:]]

    def _input(self, spec: InputSpec) -> dict[str, Any]:
        shape = self._shape(spec)
        config = {"batch_shape": shape, "dtype": spec.dtype.name, "sparse": False, "ragged": False, "name": spec.name}
        return spec_of("InputLayer", "keras.layers", config)

    def _node(self, layer: Layer, call: Call, known: Known, numbers: Mapping[tuple[str, int], int]) -> dict[str, Any]:
        """One call."""
        options = {k: v for k, v in call.kwargs.items() if isinstance(layer, Operation) and not refs_in(v)}
        if any(v is not None for v in options.values()):
            self.reasons.append(
                f"operation {layer.name!r}: is called with {options}, as TensorFlow's functions are; "
                "use Keras layers in its place, or save the network as .rnnrt or .onnx"
            )

        def written(value: Any) -> Any:
            if isinstance(value, Ref):
                x = known[value.layer, value.call][value.tensor]
                history = [value.layer, numbers.get((value.layer, value.call), 0), value.tensor]
                config = {"shape": self._shape(x), "dtype": x.dtype.name, "keras_history": history}
                return {"class_name": "__keras_tensor__", "config": config}
            if isinstance(value, list | tuple):
                return [written(v) for v in value]
            return plain(value)

        return {"args": [written(v) for v in call.args], "kwargs": {k: written(v) for k, v in call.kwargs.items()}}


def tensors_of(network: Network) -> Known:
    """What each call of a network gives, by layer and number of the call: shapes and dtypes."""
    b = GraphBuilder(network.name)
    known = {(spec.name, 0): [b.input(spec.name, spec.shape, spec.dtype)] for spec in network.inputs}
    network._run_calls(b, known)
    return known


def _numbers(calls: Iterable[Call]) -> dict[tuple[str, int], int]:
    """The place of each call among those of its layer."""
    made: dict[str, list[int]] = {}
    for call in calls:
        made.setdefault(call.layer, []).append(call.number)
    return {(name, number): k for name, found in made.items() for k, number in enumerate(sorted(found))}


def _policy(dtype: str) -> dict[str, Any]:
    return spec_of("DTypePolicy", "keras", {"name": dtype})
