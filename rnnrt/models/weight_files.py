"""Weights alone in files: .weights.h5 as Keras 3 writes it, .h5 of Keras 1 and 2 to read, and .safetensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.formats import is_hdf5
from rnnrt.formats.files import replacing
from rnnrt.formats.hdf5 import H5Reader
from rnnrt.formats.keras_import import fill, has_names
from rnnrt.formats.keras_store import hdf5_of
from rnnrt.formats.keras_weights import NamedLayers, Put, heavy_layers
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


def load_weights(model: Any, path: str | os.PathLike[str], skip_mismatch: bool = False, by_name: bool = False) -> None:
    """Assign the weights in a file to a model; nothing is changed when they do not fit.

    The parameters and errors are those of `Model.load_weights`.
    """
    file = Path(path)
    kind = _kind(model, file, reading=True)
    if not file.is_file():
        raise ModelFormatError(f"{file}: no such file")
    if kind != "h5" and (by_name or skip_mismatch):
        raise ModelFormatError(f"{file}: by_name and skip_mismatch are for HDF5 files; leave them out")
    found = _from_h5(model, file, skip_mismatch, by_name) if kind == "h5" else _from_safetensors(model, file)
    for variable, array in found:
        if variable.shape != array.shape:
            what = f"{variable.path or variable.name} with shape {array.shape}, the model has {variable.shape}"
            raise ModelFormatError(f"{file}: holds {what}")
    for variable, array in found:
        variable.assign(array)


Found = list[tuple[Variable, np.ndarray]]


def _from_h5(model: Any, file: Path, skip_mismatch: bool, by_name: bool) -> Found:
    assert model.network is not None
    found: Found = []

    def put(layer: Layer, name: str, array: np.ndarray) -> None:
        found.append((layer.own_variables[name], array))

    reader = H5Reader(file, file.name)
    try:
        if not by_name:
            if skip_mismatch:
                raise ModelFormatError(f"{file}: skip_mismatch=True goes with by_name=True; give both")
            fill(model.network, reader, put)
            return found
        if not has_names(reader):
            raise ModelFormatError(
                f"{file}: by_name=True is for files of Keras 1 and 2; this one has no names of layers, leave it out"
            )
        stored = NamedLayers(reader)
        for layer in heavy_layers(model.network):
            if layer.name in stored.names:
                _fill_one(stored, layer, found, put, skip_mismatch)
        return found
    finally:
        reader.close()


def _fill_one(stored: NamedLayers, layer: Layer, found: Found, put: Put, skip_mismatch: bool) -> None:
    """One layer by its name; with `skip_mismatch` nothing of it where the file's arrays do not fit."""
    before = len(found)
    try:
        stored.fill(layer, layer.name, put)
    except ModelFormatError:
        if not skip_mismatch:
            raise
        del found[before:]
    if skip_mismatch and any(v.shape != a.shape for v, a in found[before:]):
        del found[before:]


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
    named = file.name.endswith((".h5", ".hdf5") if reading else ".weights.h5")
    if model.network is not None and (named or (reading and is_hdf5(file))):
        return "h5"
    allowed = ".safetensors" if model.network is None else ".weights.h5 or .safetensors"
    raise ModelFormatError(f"{file}: weights of this model are kept in {allowed}; give a path that ends so")
