"""Weights alone in files: .weights.h5 as Keras 3 writes it, and .safetensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.formats.files import replacing
from rnnrt.formats.hdf5 import H5Reader
from rnnrt.formats.keras_store import hdf5_of
from rnnrt.formats.keras_weights import load_groups, load_named
from rnnrt.formats.safetensors import open_safetensors
from rnnrt.layers import Layer
from rnnrt.layers.variable import Variable


def save_weights(model: Any, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a model's weights; the ending of the path says how.

    Raises
    ------
    ModelFormatError
        The path ends in something else, or the file is there and `overwrite` is False.
    """
    file = Path(path)
    kind = _kind(model, file)
    if file.exists() and not overwrite:
        raise ModelFormatError(f"{file}: is there already; give overwrite=True, or another path")
    if kind == "h5":
        assert model.network is not None
        data = hdf5_of(model.network)
    else:
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(v.value) for name, v in _named(model).items()})
    with replacing(file) as stream:
        stream.write(data)


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Assign the weights in a file to a model; nothing is changed when they do not fit.

    Raises
    ------
    ModelFormatError
        The file is missing, damaged, or holds other weights than the model's.
    """
    file = Path(path)
    kind = _kind(model, file, reading=True)
    if not file.is_file():
        raise ModelFormatError(f"{file}: no such file")
    found = _from_h5(model, file) if kind == "h5" else _from_safetensors(model, file)
    for variable, array in found:
        if variable.shape != array.shape:
            what = f"{variable.path or variable.name} with shape {array.shape}, the model has {variable.shape}"
            raise ModelFormatError(f"{file}: holds {what}")
    for variable, array in found:
        variable.assign(array)


def _from_h5(model: Any, file: Path) -> list[tuple[Variable, np.ndarray]]:
    assert model.network is not None
    found: list[tuple[Variable, np.ndarray]] = []

    def put(layer: Layer, name: str, array: np.ndarray) -> None:
        found.append((layer.own_variables[name], array))

    reader = H5Reader(file, file.name)
    try:
        named = reader.names(reader.file, "layer_names") is not None or "model_weights" in reader.file
        (load_named if named else load_groups)(model.network, reader, put)
    finally:
        reader.close()
    return found


def _from_safetensors(model: Any, file: Path) -> list[tuple[Variable, np.ndarray]]:
    arrays = open_safetensors(file).arrays()
    named = _named(model)
    missing, unknown = sorted(set(named) - set(arrays)), sorted(set(arrays) - set(named))
    if missing or unknown:
        advice = "; rnnrt.torch.load_state_dict takes those of torch" * (
            bool(unknown) and not any("/" in n for n in unknown)
        )
        raise ModelFormatError(f"{file}: holds other weights: missing {missing[:10]}, unknown {unknown[:10]}{advice}")
    return [(v, arrays[name]) for name, v in named.items()]


def _named(model: Any) -> dict[str, Variable]:
    """Variables by path; where paths are equal, a number follows."""
    found: dict[str, Variable] = {}
    for v in model.weights:
        name, k = v.path or v.name, 1
        while name in found:
            name, k = f"{v.path or v.name}_{k}", k + 1
        found[name] = v
    return found


def _kind(model: Any, file: Path, reading: bool = False) -> str:
    if not model.built:
        raise ModelFormatError(f"model {model.name!r}: has no weights yet; call it, or build(input_shape)")
    if file.name.endswith(".safetensors"):
        return "safetensors"
    ends = (".h5", ".hdf5") if reading else (".weights.h5",)
    if file.name.endswith(ends) and model.network is not None:
        return "h5"
    allowed = ".safetensors" if model.network is None else ".weights.h5 or .safetensors"
    raise ModelFormatError(f"{file}: weights of this model are kept in {allowed}; give a path that ends so")
