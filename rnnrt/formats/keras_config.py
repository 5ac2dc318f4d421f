"""Keras's configurations into layers: every argument is consumed or named among the reasons of a refusal."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats import keras1, keras_custom, keras_nodes, keras_refused
from rnnrt.formats.keras_arguments import Context, check_theano, float_dtype, input_spec, is_custom
from rnnrt.formats.keras_tf_functions import function_of
from rnnrt.layers import LAYERS, RNN, Chain, Identity, InputLayer, InputSpec, Layer, Network, activations
from rnnrt.layers.custom import Custom
from rnnrt.layers.keras1 import KERAS_1_LAYERS
from rnnrt.layers.operations import OPERATIONS, Operation
from rnnrt.registry import custom_object

MAX_DEPTH = 32
"""How deep models and wrappers may nest."""

_MODELS = {"Sequential", "Functional", "Model"}
_DROPPED = {
    "autocast", "batch_input_shape", "batch_shape", "input_shape", "input_dtype", "input_length", "build_config",
    "optional",
}  # fmt: skip
_ELSE = f"{keras_custom.HINT}, or replace it by layers that rnnrt knows, or export the model to ONNX"


def network_of(spec: Mapping[str, Any], context: Context) -> Network:
    """The model of a configuration.

    Raises
    ------
    ModelFormatError
        The configuration is malformed.
    UnsupportedModelError
        With every reason at once.
    """
    network = make_layer(spec, context)
    if context.reasons:
        raise UnsupportedModelError(context.source, context.reasons)
    if not isinstance(network, Network):
        raise ModelFormatError(f"{context.source}: describes a {type(network).__name__}, not a model")
    network.notes = tuple(context.notes)
    return network


def make_layer(spec: Any, context: Context) -> Layer:
    """A layer or a nested model; a refused one gives a stand-in and its reason goes to the context."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("class_name"), str):
        raise ModelFormatError(f"{context.source}: a layer of its configuration has no class_name: {str(spec)[:80]!r}")
    if context.is_first:
        spec = keras1.modernised(spec, context)
    kind, config = spec["class_name"], spec.get("config", {})
    if context.depth > MAX_DEPTH:
        raise ModelFormatError(f"{context.source}: its configuration nests deeper than {MAX_DEPTH} levels")
    context.depth += 1
    try:
        if kind in _MODELS:
            return _make_network(kind, config, spec, context)
        if not isinstance(config, Mapping):
            raise ModelFormatError(f"{context.source}: layer of class {kind} has no configuration")
        label = f"layer {config.get('name') or spec.get('name')!r} ({kind})"
        custom = kind not in _classes(context) and kind != "InputLayer" and not _is_operation(spec)
        if (is_custom(spec) or custom) and (given := keras_custom.given_for(spec)) is not None:
            return keras_custom.layer_of(given, kind, _revived(config, label, context), label, context)
        if is_custom(spec):
            context.reasons.append(f"{label}: is custom code; {keras_custom.HINT}, or export the model to ONNX")
            return Identity(name=str(config.get("name") or spec.get("name")))
        if kind == "InputLayer":
            declared = input_spec(str(config.get("name") or spec.get("name") or "input"), config, context)
            return InputLayer(batch_shape=declared.shape, dtype=declared.dtype.name, name=declared.name)
        if _is_operation(spec):
            return _make_operation(kind, config, spec, context)
        if kind in ("TFOpLambda", "SlicingOpLambda") and (found := function_of(config)):
            return Operation(found, {}, name=str(config.get("name")))
        if kind not in _classes(context):
            context.reasons.append(f"{label}: {keras_refused.why_not(kind, _ELSE)}")
            return Identity(name=str(config.get("name") or spec.get("name")))
        return _construct(kind, config, label, context)
    except RnnrtError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
        name = config.get("name") if isinstance(config, Mapping) else spec.get("name")
        raise ModelFormatError(
            f"{context.source}: layer {name!r} ({kind}): its configuration is malformed: {error}"
        ) from error
    finally:
        context.depth -= 1


def _revived(config: Mapping[str, Any], label: str, context: Context) -> dict[str, Any]:
    """The configuration of a custom layer with layers in the place of their configurations."""
    options: dict[str, Any] = {k: v for k, v in config.items() if k not in _DROPPED}
    if "dtype" in options:
        options["dtype"] = float_dtype(options["dtype"], label, context)
    for key, value in options.items():
        if isinstance(value, Mapping) and value.get("class_name") in {*LAYERS, *_MODELS}:
            options[key] = make_layer(value, context)
    return options


def _classes(context: Context) -> Mapping[str, type[Layer]]:
    return {**LAYERS, **KERAS_1_LAYERS} if context.is_first else LAYERS


def _construct(kind: str, config: Mapping[str, Any], label: str, context: Context) -> Layer:
    arguments: dict[str, Any] = {k: v for k, v in config.items() if k not in _DROPPED}
    if "dtype" in arguments:
        arguments["dtype"] = float_dtype(arguments["dtype"], label, context)
    for key in ("activation", "recurrent_activation"):
        if key in arguments:
            arguments[key] = _activation(arguments[key], label, key, context)
    for key in ("layer", "backward_layer", "cell"):
        if isinstance(arguments.get(key), Mapping):
            arguments[key] = make_layer(arguments[key], context)
    if "cells" in arguments:
        arguments["cells"] = [make_layer(c, context) for c in arguments["cells"]]
    if kind == "Bidirectional" and isinstance(config.get("layer"), Mapping):
        _complete_bidirectional(config, arguments, context)
    if kind in ("GRU", "GRUCell") and context.legacy:
        arguments.setdefault("reset_after", False)
    cls = _classes(context)[kind]
    taken = cls.parameters()
    arguments = {k: v for k, v in arguments.items() if k in taken or v not in (None, False)}
    _settle_training(arguments, label, context)
    check_theano(kind, arguments, label, context)
    try:
        made = cls(**arguments)
        for part in made.walk():
            if isinstance(part, RNN):
                part.old_masking = context.old_masking
        return made
    except UnsupportedModelError as error:
        context.reasons.extend(error.reasons)
    except RnnrtError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        # A refused layer inside leaves a stand-in that the outer one may not take; its own reason is enough.
        if not context.reasons:
            raise ModelFormatError(f"{context.source}: {label}: its configuration does not fit: {error}") from error
    return Identity(name=str(config.get("name")))


def _settle_training(arguments: dict[str, Any], label: str, context: Context) -> None:
    """Initializers, regularizers and constraints: keep what nobody here knows under a name that none of these has.

    A class of one's own may have the name of one of Keras's; training must not take it for that.
    """
    for key, value in arguments.items():
        if key.endswith(("_initializer", "_regularizer", "_constraint")) and isinstance(value, Mapping):
            inner = value.get("config")
            if context.legacy and key.endswith("_initializer") and isinstance(inner, Mapping) and "dtype" in inner:
                # TensorFlow 1 wrote it there.
                arguments[key] = {**value, "config": {k: v for k, v in inner.items() if k != "dtype"}}
            if not is_custom(value):
                continue
            name = f"{value.get('registered_name') or value.get('class_name')} of {value.get('module') or 'the file'}"
            context.notes.append(f"{label}: {key} is custom code ({name}); outputs do not depend on it, fit refuses it")
            arguments[key] = {"class_name": name, "config": value.get("config")}


def _complete_bidirectional(config: Mapping[str, Any], arguments: dict[str, Any], context: Context) -> None:
    """Make the backward layer that Keras makes from the forward one, and give both their names."""
    inner = arguments["layer"]
    name = str(inner.name)
    if not isinstance(arguments.get("backward_layer"), Layer):
        mirrored = copy.deepcopy(dict(config["layer"]))
        options = mirrored.get("config")
        if isinstance(options, dict):
            options["go_backwards"] = not options.get("go_backwards", False)
            options["name"] = "backward_" + name.removeprefix("forward_")
        arguments["backward_layer"] = make_layer(mirrored, context)
    inner.name = "forward_" + name.removeprefix("forward_")


def _make_operation(kind: str, config: Mapping[str, Any], spec: Mapping[str, Any], context: Context) -> Layer:
    name = str(config.get("name") or spec.get("name"))
    if kind not in OPERATIONS:
        context.reasons.append(
            f"operation {name!r} ({kind}): rnnrt has no such operation; use layers in its place, or export to ONNX"
        )
        return Identity(name=name)
    options = {k: v for k, v in config.items() if k not in ("name", "trainable")}
    if not isinstance(options.get("dtype"), str):  # a policy says in what to compute; a name is an argument, as Cast's
        options.pop("dtype", None)
    return Operation(kind, options, name=name)


def _make_network(kind: str, config: Any, spec: Mapping[str, Any], context: Context) -> Layer:
    if isinstance(config, list):  # Sequential of Keras before 2.2.3
        config = {"name": "sequential", "layers": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        name = config.get("name") if isinstance(config, Mapping) else None
        context.reasons.append(
            f"model {name!r} ({kind}): is a subclass whose layers are in code, not in the file; "
            "rebuild it as a Functional model"
        )
        return Identity(name=str(name))
    if kind == "Sequential":
        return _sequential(config, spec, context)
    layers, inputs, calls = [], {}, []
    for item in config["layers"]:
        layer = make_layer(item, context)
        if not isinstance(item, Mapping):
            continue
        layer.name = str(item.get("name", layer.name))
        layers.append(layer)
        if item.get("class_name") == "InputLayer":
            own = keras1.modernised(item, context) if context.is_first else item
            inputs[layer.name] = input_spec(layer.name, own.get("config", {}), context)
        nodes = item.get("inbound_nodes", [])
        refused = isinstance(layer, Identity) and item["class_name"] != "Identity"
        taken = None if isinstance(layer, Operation) or refused else layer.call_arguments
        calls += keras_nodes.calls_of(layer.name, nodes, taken, context)
    order = [ref.layer for ref in keras_nodes.tensor_list(config.get("input_layers"), context)]
    missing = [name for name in order if name not in inputs]
    if missing:
        raise ModelFormatError(f"{context.source}: model {config.get('name')!r} names inputs {missing} that it lacks")
    outputs = keras_nodes.tensor_list(config.get("output_layers"), context)
    if not outputs:
        raise ModelFormatError(f"{context.source}: model {config.get('name')!r} has no outputs")
    _refuse_twins(layers, context)
    models = {m.name for m in layers if isinstance(m, Network) and (context.legacy or not m.sequential)}
    calls, outputs = keras_nodes.renumber(calls, outputs, models, context.legacy)
    trainable = bool(config.get("trainable", True))
    name = str(config.get("name"))
    return Network(layers, [inputs[n] for n in order], calls, outputs, name=name, trainable=trainable)


def _refuse_twins(layers: list[Layer], context: Context) -> None:
    names = [layer.name for layer in layers]
    twins = sorted({n for n in names if names.count(n) > 1})
    if twins:
        raise ModelFormatError(f"{context.source}: layer names {twins} are used twice")


def _sequential(config: Mapping[str, Any], spec: Mapping[str, Any], context: Context) -> Layer:
    layers: list[Layer] = []
    found: InputSpec | None = None
    first: Mapping[str, Any] = {}
    embedded = False
    for item in config["layers"]:
        if isinstance(item, Mapping) and item.get("class_name") == "InputLayer":
            own = item.get("config", {})
            found = found or input_spec(str(own.get("name", "input")), own, context)
            continue
        layers.append(make_layer(item, context))
        if not first:
            first, embedded = item.get("config", {}), item["class_name"] == "Embedding"
    name = str(config.get("name", "sequential"))
    if not layers and found is None:
        raise ModelFormatError(f"{context.source}: model {name!r} has no layers")
    if found is None and isinstance(layers[0], Network):
        found = layers[0].inputs[0]
    if found is None:
        shape = _first_shape(config, spec, first)
        if shape is None and not context.is_file:
            return Chain(layers, (), name=name)
        if shape is None:
            context.reasons.append(
                f"model {name!r} (Sequential): the file does not tell the shape of its input; "
                "start the model with Input(shape=...), or call model.build(...) before saving"
            )
            return Identity(name=name)
        declared = {"batch_shape": shape, "dtype": first.get("input_dtype", "int32" if embedded else "float32")}
        found = input_spec(f"{layers[0].name}_input", declared, context)
    _refuse_twins(layers, context)
    if found.name in {layer.name for layer in layers}:
        found = InputSpec(found.name + "_input", found.shape, found.dtype)
    return Chain(layers, [found], name=name, trainable=bool(config.get("trainable", True)))


def _first_shape(config: Mapping[str, Any], spec: Mapping[str, Any], first: Mapping[str, Any]) -> Any:
    build = spec.get("build_config")
    candidates = [
        first.get("batch_input_shape"),
        first.get("batch_shape"),
        config.get("build_input_shape"),
        build.get("input_shape") if isinstance(build, Mapping) else None,
    ]
    if isinstance(first.get("input_shape"), list):
        candidates.append([None, *first["input_shape"]])
    return next((c for c in candidates if isinstance(c, list)), None)


def _activation(value: Any, label: str, key: str, context: Context) -> Any:
    spec = value if isinstance(value, Mapping) else {"class_name": "function", "config": value}
    kind, inner = spec.get("class_name"), spec.get("config")
    if isinstance(inner, str) and (given := custom_object(inner)) is not None:
        return Custom(given, name=inner.rpartition(">")[2])
    own = f"use one of Keras's own activations, or {keras_custom.HINT}"
    if is_custom(spec):
        if (given := keras_custom.given_for(spec)) is not None:
            options = _revived(inner, label, context) if isinstance(inner, Mapping) else {"name": str(kind)}
            return keras_custom.layer_of(given, str(kind), options, label, context)
        named = inner if isinstance(inner, str) else kind
        context.reasons.append(f"{label}: {key} {named!r} is custom code; {own}")
        return None
    if kind in ("function", "Function") and isinstance(inner, str | None):
        if not activations.is_known(inner):
            context.reasons.append(f"{label}: {key} {inner!r} is not known to rnnrt; {own}")
            return None
        return inner
    if isinstance(kind, str) and kind in LAYERS:
        return make_layer(value, context)
    context.reasons.append(f"{label}: {key} {str(value)[:80]!r} is not known; use one of Keras's own activations")
    return None


def _is_operation(spec: Mapping[str, Any]) -> bool:
    """Whether this is a function of keras.ops and not a layer; an .h5 does not tell the module."""
    module = spec.get("module")
    if isinstance(module, str):
        return ".ops" in module
    return spec["class_name"] in OPERATIONS and "trainable" not in spec.get("config", {})
