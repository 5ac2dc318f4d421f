"""Configurations of Keras 1 in the words of Keras 2: classes and arguments that have other names, and Merge.

What Keras 1 wrote is described by its own `get_config` methods (version 1.2.2); what Keras 2 has for it by the table
of renamed arguments in Keras 2's release notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnnrt.errors import ModelFormatError

if TYPE_CHECKING:
    from rnnrt.formats.keras_arguments import Context

_CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "Convolution1D": "Conv1D",
    "TimeDistributedDense": "Dense",
}

_DENSE = {
    "output_dim": "units",
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
}
_RECURRENT = {
    **_DENSE,
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "U_regularizer": "recurrent_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_NAMES: dict[str, dict[str, str]] = {
    "Conv1D": {
        **_DENSE,
        "nb_filter": "filters",
        "filter_length": "kernel_size",
        "border_mode": "padding",
        "subsample_length": "strides",
        "atrous_rate": "dilation_rate",
    },
    "Dense": _DENSE,
    "Embedding": {
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
    },
    "GRU": _RECURRENT,
    "Highway": _DENSE,
    "LSTM": _RECURRENT,
    "MaxoutDense": _DENSE,
    "SimpleRNN": _RECURRENT,
    "BatchNormalization": {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer"},
    "AveragePooling1D": {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"},
    "MaxPooling1D": {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"},
    "Dropout": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "InputLayer": {"input_dtype": "dtype"},
    "PReLU": {"init": "alpha_initializer"},
    "SpatialDropout1D": {"p": "rate"},
    "UpSampling1D": {"length": "size"},
}
"""For each class the arguments of Keras 1 with the names that they have now."""

_UNUSED = {"consume_less", "forget_bias_init", "input_dtype"}
"""What changes no result; the dtype of an input is told where the input is declared."""

_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "concat": "Concatenate",
    "ave": "Average",
    "max": "Maximum",
    "dot": "Dot",
    "cos": "CosineMerge",
}
_OBJECTS = {"L1L2Regularizer": "L1L2", "WeightRegularizer": "L1L2", "ActivityRegularizer": "L1L2"}
_OBJECT_ARGUMENTS = {"m": "max_value", "low": "min_value", "high": "max_value"}


def modernised(spec: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """A layer's or a model's specification with the names of Keras 2; what has them already stays as it is.

    Layers inside models and wrappers are not touched: they have their own turn.
    """
    kind, config = str(spec["class_name"]), spec.get("config")
    if kind == "Sequential" and isinstance(config, list):
        return _without_merge_at_the_front(spec, config, context)
    if not isinstance(config, Mapping):
        return spec
    if kind == "Merge":
        return {**spec, **_merge(config, context)}
    kind = _CLASSES.get(kind, kind)
    names = _NAMES.get(kind, {})
    made: dict[str, Any] = {}
    for key, value in config.items():
        name = str(names.get(key, key))
        if name in made or (key in _UNUSED and name == key):
            continue
        made[name] = _object(value) if name.endswith(("_regularizer", "_constraint")) else value
    _particulars(kind, config, made, context)
    return {**spec, "class_name": kind, "config": made}


def _particulars(kind: str, config: Mapping[str, Any], made: dict[str, Any], context: Context) -> None:
    """What is more than a name."""
    label = f"layer {config.get('name')!r} ({kind})"
    if kind == "LSTM" and "forget_bias_init" in config:
        made["unit_forget_bias"] = config["forget_bias_init"] in ("one", "ones")
    if kind == "BatchNormalization" and made.pop("mode", 0) != 0:
        context.reasons.append(
            f"{label}: mode={config['mode']} normalises by each sample or each batch; use mode 0, or LayerNormalization"
        )
    if kind == "Embedding" and made.pop("dropout", 0):
        context.notes.append(f"{label}: dropout={config['dropout']} drops whole words in training; fit leaves that out")
    if kind == "Conv1D" and "nb_filter" in config:
        context.notes.append(
            f"{label}: Keras 1 does not tell its backend; the kernel is taken as TensorFlow has it, not Theano, "
            "which turns it round"
        )
    if kind == "ZeroPadding1D" and isinstance(config.get("padding"), Mapping):
        sides = config["padding"]
        made["padding"] = [sides.get("left_pad", 0), sides.get("right_pad", 0)]


def _object(value: Any) -> Any:
    """A regularizer or constraint: Keras 1 writes its class and its arguments side by side."""
    if not isinstance(value, Mapping) or "name" not in value or "class_name" in value:
        return value
    name = str(value["name"])
    arguments = {_OBJECT_ARGUMENTS.get(k, k): v for k, v in value.items() if k != "name"}
    return {"class_name": _OBJECTS.get(name, name), "config": arguments}


def _merge(config: Mapping[str, Any], context: Context) -> dict[str, Any]:
    name, mode = config.get("name"), config.get("mode")
    if config.get("mode_type", "raw") != "raw" or mode not in _MERGES:
        context.reasons.append(
            f"layer {name!r} (Merge): mode {str(mode)[:40]!r} is a function in Python code, which is never run; "
            f"use one of {sorted(_MERGES)}"
        )
        mode = "sum"
    made: dict[str, Any] = {"name": name, "trainable": True}
    if mode == "concat":
        made["axis"] = config.get("concat_axis", -1)
    if mode in ("dot", "cos"):
        made["axes"] = config.get("dot_axes", -1)
    return {"class_name": _MERGES[mode], "config": made}


def _without_merge_at_the_front(spec: Mapping[str, Any], layers: list[Any], context: Context) -> Mapping[str, Any]:
    """A Sequential model that begins with a Merge of models, as the Functional model that it is."""
    first = layers[0] if layers and isinstance(layers[0], Mapping) else {}
    if first.get("class_name") != "Merge":
        return spec
    branches = first.get("config", {}).get("layers") if isinstance(first.get("config"), Mapping) else None
    if not isinstance(branches, list) or not branches:
        raise ModelFormatError(f"{context.source}: the Merge at the front of a Sequential model has no layers")
    found: list[dict[str, Any]] = []
    inputs: list[list[Any]] = []
    ends: list[list[Any]] = []
    for branch in branches:
        own = branch.get("config") if isinstance(branch, Mapping) else None
        if not isinstance(own, list) or branch.get("class_name") != "Sequential":
            kind = branch.get("class_name") if isinstance(branch, Mapping) else type(branch).__name__
            context.reasons.append(
                f"a Merge at the front joins a {kind}: rnnrt reads such a Merge of Sequential models alone; "
                "write the model as a Functional one"
            )
            continue
        inner = _without_merge_at_the_front(branch, own, context)
        if isinstance(inner["config"], Mapping):
            found += inner["config"]["layers"]
            inputs += inner["config"]["input_layers"]
            ends += inner["config"]["output_layers"]
            continue
        name = _add_input(own, found, context)
        inputs.append([name, 0, 0])
        ends.append([_chain(own, [[name, 0, 0]], found, context), 0, 0])
    merged = _chain([{"class_name": "Merge", "config": first["config"]}], ends, found, context)
    last = _chain(layers[1:], [[merged, 0, 0]], found, context)
    config = {"name": "sequential", "layers": found, "input_layers": inputs, "output_layers": [[last, 0, 0]]}
    return {"class_name": "Model", "config": config}


def _add_input(layers: list[Any], found: list[dict[str, Any]], context: Context) -> str:
    first = layers[0].get("config") if layers and isinstance(layers[0], Mapping) else None
    shape = first.get("batch_input_shape") if isinstance(first, Mapping) else None
    if not isinstance(first, Mapping) or not isinstance(shape, list):
        raise ModelFormatError(f"{context.source}: a model in the Merge at the front does not tell its input's shape")
    name = f"{first.get('name')}_input"
    config = {"name": name, "batch_input_shape": shape, "input_dtype": first.get("input_dtype", "float32")}
    found.append({"name": name, "class_name": "InputLayer", "config": config, "inbound_nodes": []})
    return name


def _chain(layers: list[Any], before: list[list[Any]], found: list[dict[str, Any]], context: Context) -> str:
    """Put layers one after the other behind tensors; the name of the last."""
    name = str(before[0][0])
    for item in layers:
        if not isinstance(item, Mapping) or not isinstance(item.get("config"), Mapping):
            raise ModelFormatError(f"{context.source}: a layer in a Sequential model with a Merge is malformed")
        name = str(item["config"].get("name"))
        found.append({**item, "name": name, "inbound_nodes": [before]})
        before = [[name, 0, 0]]
    return name
