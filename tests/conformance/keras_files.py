"""Keras files written by hand: what tests of the reader start from, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

UNITS, FEATURES = 3, 4


def layer(kind: str, name: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


def sequential(*layers: dict[str, Any], shape: tuple[int | None, ...] = (None, 5, FEATURES)) -> dict[str, Any]:
    first = layer("InputLayer", "input", batch_shape=list(shape), dtype="float32")
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [first, *layers]}}


def lstm_arrays(rng: np.random.Generator, features: int = FEATURES) -> list[np.ndarray]:
    shapes = [(features, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)]
    return [rng.normal(0, 0.5, s).astype(np.float32) for s in shapes]


def dense_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(0, 0.5, s).astype(np.float32) for s in [(UNITS, 2), (2,)]]


def lstm_model() -> dict[str, Any]:
    return sequential(layer("LSTM", "first", units=UNITS), layer("Dense", "last", units=2))


def lstm_groups(rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    return {"layers/lstm/cell/vars": lstm_arrays(rng), "layers/dense/vars": dense_arrays(rng)}


def store(groups: Mapping[str, list[np.ndarray]]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, arrays in groups.items():
            group = file.create_group(path)
            for k, array in enumerate(arrays):
                group.create_dataset(str(k), data=array)
    return buffer.getvalue()


def write_keras(path: Path, config: Any, weights: bytes, version: str = "3.9.0", **extra: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
        archive.writestr("model.weights.h5", weights)
        for name, data in extra.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def write_h5(
    path: Path, config: Any, arrays: Mapping[str, list[tuple[str, np.ndarray]]], version: str | None = "2.15.0"
) -> Path:
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        if version is not None:
            file.attrs["keras_version"] = version
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [n.encode() for n in arrays]
        for name, weights in arrays.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [n.encode() for n, _ in weights]
            for n, array in weights:
                group.create_dataset(n, data=array)
    return path


def named(layer_name: str, arrays: list[np.ndarray], names: tuple[str, ...]) -> list[tuple[str, np.ndarray]]:
    return [(f"{layer_name}/{n}:0", a) for n, a in zip(names, arrays, strict=True)]


LSTM_NAMES = ("kernel", "recurrent_kernel", "bias")
DENSE_NAMES = ("kernel", "bias")
