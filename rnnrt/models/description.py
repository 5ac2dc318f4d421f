"""Descriptions of networks to be trained: a small form in YAML or JSON.

    name: digits                                   # optional
    seed: 1                                        # optional
    input: {shape: [8, 8]}                         # optional: the data's; null for a free extent, with dtype if need be
    layers:
      - LSTM: {units: 32, return_sequences: true}
      - Bidirectional: {layer: {GRU: {units: 16}}}
      - Dense: {units: 10, activation: softmax}
    compile:
      optimizer: {Adam: {learning_rate: 1e-3, clipnorm: 1}}
      loss: categorical_crossentropy
      metrics: [accuracy]
    fit: {epochs: 20, batch_size: 32}

An object is its class with its arguments, ``Class: {argument: value}``, or a name alone. In place of `layers` there may
be ``model: FILE``, a file to go on with, beside the description. JSON that Keras's or rnnrt's `to_json` wrote is a
description too: it has the layers alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from rnnrt import losses, metrics, optimizers
from rnnrt.errors import RnnrtError
from rnnrt.layers import LAYERS, Layer
from rnnrt.layers.inputs import Input
from rnnrt.models.description_text import read_values
from rnnrt.models.loading import load, model_of
from rnnrt.models.model import Model
from rnnrt.models.sequential import Sequential

KEYS = ("name", "seed", "input", "layers", "model", "compile", "fit")
COMPILE_KEYS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
FIT_KEYS: dict[str, tuple[type, ...]] = {
    "epochs": (int,),
    "batch_size": (int,),
    "validation_split": (float, int),
    "shuffle": (bool, str),
    "class_weight": (dict,),
    "steps_per_epoch": (int,),
    "validation_steps": (int,),
    "validation_batch_size": (int,),
    "validation_freq": (int,),
    "bptt_steps": (int,),
}
"""What `fit` may say, and of which types; see `Model.fit`."""

_NESTED = ("layer", "backward_layer", "cell", "cells")
_LAYER_NAMES = sorted(name for name in LAYERS if not name.endswith("Cell") and name not in ("InputLayer",))


@dataclass(frozen=True)
class Description:
    """What a file says about a network and its training.

    Attributes
    ----------
    source : str
        The file, for messages.
    network : mapping
        `layers`, `model` or `keras` (a configuration of `to_json`), and perhaps `name` and `input`.
    compile, fit : mapping
        Arguments, as written.
    seed : int or None
    """

    source: str
    network: Mapping[str, Any]
    compile: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def build(self, shape: Sequence[int | None], dtype: np.dtype, threads: int | None = None) -> Model:
        """The model.

        Parameters
        ----------
        shape : sequence of (int or None)
            Of the input without the batch, where the description does not say.
        dtype : dtype
            Of the data; integers reach an Embedding as they are.

        Raises
        ------
        RnnrtError
            A layer is unknown or refuses an argument; the message names its place.
        """
        network = self.network
        if "model" in network:
            return load(os.path.join(os.path.dirname(self.source), network["model"]), threads)
        if "keras" in network:
            with _at(self.source):
                return model_of(network["keras"], threads)
        model = Sequential([self._input(shape, dtype)], name=network.get("name"), threads=threads)
        for k, spec in enumerate(network["layers"]):
            where = f"{self.source}: layers[{k}]"
            layer = make_layer(spec, where)
            with _at(f"{where} ({type(layer).__name__})"):
                model.add(layer)
        return model

    def _input(self, shape: Sequence[int | None], dtype: np.dtype) -> Any:
        given = self.network.get("input") or {}
        first = self.network["layers"][0]
        integers = dtype.kind in "iu" and (
            first == "Embedding" or (isinstance(first, Mapping) and "Embedding" in first)
        )
        with _at(f"{self.source}: input"):
            return Input(tuple(given.get("shape", shape)), dtype=given.get("dtype", "int32" if integers else "float32"))

    def arguments(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for `Model.compile`; `more` takes the place of what the description says.

        Raises
        ------
        RnnrtError
            A name or an argument is unknown, or there is no loss.
        """
        given = {**self.compile, **more}
        where = f"{self.source}: compile"
        if given.get("loss") is None:
            raise RnnrtError(f"{where}: there is no loss; give one, such as mse or categorical_crossentropy")
        found: dict[str, Any] = {"loss": _by_output(given["loss"], f"{where}.loss", _loss)}
        found["optimizer"] = _optimizer(given.get("optimizer", "rmsprop"), f"{where}.optimizer")
        if "loss_weights" in given:
            found["loss_weights"] = given["loss_weights"]
        for key in ("metrics", "weighted_metrics"):
            if given.get(key) is not None:
                found[key] = _by_output(given[key], f"{where}.{key}", _metric)
        return found


def read_description(path: str | os.PathLike[str]) -> Description:
    """Read a description from a .yaml, .yml or .json file.

    Raises
    ------
    ModelFormatError
        The file is missing, or is no YAML or JSON.
    RnnrtError
        It says something that is not understood, or PyYAML is missing.
    """
    source = os.fspath(path)
    return described(read_values(source), source)


def described(said: Any, source: str = "description") -> Description:
    """A description from what YAML or JSON gave.

    Raises
    ------
    RnnrtError
        Something is not understood; the message names the key and what is allowed.
    """
    if isinstance(said, Mapping) and "class_name" in said:
        return Description(source, {"keras": said})
    check_keys(said, KEYS, source)
    if ("layers" in said) == ("model" in said):
        raise RnnrtError(f"{source}: give either layers, a list, or model, a file to go on with")
    layers = said.get("layers", ["-"])
    if not isinstance(layers, list) or not layers:
        raise RnnrtError(f"{source}: layers must be a list with at least one layer, such as - LSTM: {{units: 32}}")
    if "model" in said and not isinstance(said["model"], str):
        raise RnnrtError(f"{source}: model must be the path of a .keras, .h5, .onnx or .rnnrt file")
    if "input" in said:
        check_keys(said["input"], ("shape", "dtype"), f"{source}: input")
        shape = said["input"].get("shape", [])
        if not isinstance(shape, list) or not all(d is None or (type(d) is int and d > 0) for d in shape):
            raise RnnrtError(f"{source}: input.shape={shape!r} must be a list without the batch, null for any extent")
    for key, kind in (("name", str), ("seed", int)):
        if key in said and type(said[key]) is not kind:
            raise RnnrtError(f"{source}: {key}={said[key]!r} must be {'a text' if kind is str else 'a whole number'}")
    check_keys(said.get("compile", {}), COMPILE_KEYS, f"{source}: compile")
    fit = said.get("fit", {})
    check_keys(fit, tuple(FIT_KEYS), f"{source}: fit")
    for key, value in fit.items():
        types = FIT_KEYS[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise RnnrtError(f"{source}: fit.{key}={value!r} must be {' or '.join(t.__name__ for t in types)}")
    if "class_weight" in fit:
        with _at(f"{source}: fit.class_weight"):
            fit = {**fit, "class_weight": {int(k): float(v) for k, v in fit["class_weight"].items()}}
    network = {key: said[key] for key in ("name", "input", "layers", "model") if key in said}
    return Description(source, network, said.get("compile", {}), fit, said.get("seed"))


def make_layer(spec: Any, where: str) -> Layer:
    """A layer from ``Class: {argument: value}``, or a class's name alone.

    Raises
    ------
    RnnrtError
        The class or an argument is unknown, or an argument is missing or refused.
    """
    name, given = class_and_arguments(spec, where)
    if name not in LAYERS:
        raise RnnrtError(f"{where}: there is no layer {name!r}; {_instead(name, _LAYER_NAMES)}")
    cls = LAYERS[name]
    where = f"{where} ({name})"
    check_keys(given, tuple(sorted(cls.parameters())), where)
    arguments: dict[str, Any] = {}
    for key, value in given.items():
        inside = f"{where}.{key}"
        if key in _NESTED and isinstance(value, list):
            arguments[key] = [make_layer(item, f"{inside}[{k}]") for k, item in enumerate(value)]
        elif key in _NESTED:
            arguments[key] = make_layer(value, inside)
        else:
            arguments[key] = _named(value)
    with _at(where):
        found: Layer = cls(**arguments)
    return found


def class_and_arguments(spec: Any, where: str) -> tuple[str, dict[str, Any]]:
    """``Class: {argument: value}``, ``Class`` alone, or Keras's form, as class and arguments."""
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and isinstance(spec.get("class_name"), str):
        spec = {spec["class_name"]: spec.get("config")}
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise RnnrtError(f"{where}: {str(spec)[:80]} must be one class with its arguments, such as LSTM: {{units: 32}}")
    name, given = next(iter(spec.items()))
    if given is None:
        given = {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise RnnrtError(f"{where}: {name} must be followed by named arguments, such as {name}: {{argument: value}}")
    return str(name), dict(given)


def check_keys(said: Any, allowed: Sequence[str], where: str) -> None:
    """Raise `RnnrtError` unless `said` is a mapping whose keys are all allowed."""
    if not isinstance(said, Mapping):
        raise RnnrtError(f"{where}: is {str(said)[:60]!r}; it must be a mapping of some of {', '.join(allowed)}")
    for key in said:
        if key not in allowed:
            raise RnnrtError(f"{where}: {key!r} is not known; {_instead(str(key), allowed)}")


def _instead(name: str, allowed: Sequence[str]) -> str:
    folded = {item.lower(): item for item in allowed}
    close = get_close_matches(name.lower(), folded, n=1)
    hint = f"did you mean {folded[close[0]]}? " if close else ""
    return f"{hint}There are {', '.join(allowed)}"


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Let errors say where they come from."""
    try:
        yield
    except RnnrtError as error:
        raise RnnrtError(f"{where}: {error}") from None
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
        raise RnnrtError(f"{where}: {error}") from error


def _is_object(value: Any) -> bool:
    """Whether a mapping is a class with its arguments."""
    if not isinstance(value, Mapping):
        return False
    if "class_name" in value:
        return True
    name, given = next(iter(value.items()), ("", 0)) if len(value) == 1 else ("", 0)
    return isinstance(name, str) and name[:1].isupper() and (given is None or isinstance(given, Mapping))


def _named(value: Any) -> Any:
    """Classes with their arguments in Keras's form, everywhere within a value."""
    if _is_object(value) and "class_name" not in value:
        ((name, given),) = value.items()
        return {"class_name": name, "config": _named(given or {})}
    if isinstance(value, Mapping):
        return {key: _named(item) for key, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, list) else value


def _optimizer(value: Any, where: str) -> Any:
    with _at(where):
        return optimizers.get(_named(value))


def _loss(value: Any, where: str) -> Any:
    with _at(where):
        if not (value is None or isinstance(value, str) or _is_object(value)):
            raise RnnrtError(f"{value!r} is no loss; give a name or a class with its arguments")
        losses.get(_named(value))  # the name stays: what it means may depend on the data's shape
        return value if isinstance(value, str) else losses.get(_named(value))


def _metric(value: Any, where: str) -> Any:
    with _at(where):
        return metrics.resolve(_named(value))


def _by_output(value: Any, where: str, one: Any) -> Any:
    """One thing, a list, or a mapping by output."""
    if isinstance(value, list):
        return [_by_output(item, f"{where}[{k}]", one) for k, item in enumerate(value)]
    if isinstance(value, Mapping) and not _is_object(value):
        return {key: _by_output(item, f"{where}.{key}", one) for key, item in value.items()}
    return one(value, where)
