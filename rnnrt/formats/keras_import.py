"""Keras model files into graphs: .keras of Keras 2.13+ and 3, .h5 of Keras 2 and 3."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.formats import kind_of
from rnnrt.formats.files import PICKLE_ADVICE
from rnnrt.formats.hdf5 import H5Reader
from rnnrt.formats.keras_arguments import Context
from rnnrt.formats.keras_config import network_of
from rnnrt.formats.keras_weights import load_groups, load_named
from rnnrt.ir import Graph
from rnnrt.layers import Network
from rnnrt.layers.graphs import inference_graph

MAX_TEXT = 64 << 20
_FLOOR = 64 << 20
_RATIO = 200
_DAMAGE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)


def read_keras(path: str | os.PathLike[str]) -> Graph:
    """The graph of a Keras model file; the content decides which kind it is.

    Parameters
    ----------
    path : path-like
        A .keras or .h5 file with configuration and weights.

    Returns
    -------
    Graph
        Inputs are named as Keras names them, in Keras's order; outputs are named after the layers that give them.

    Raises
    ------
    ModelFormatError
        The file is truncated, hostile, holds weights alone, or its weights do not fit its configuration.
    UnsupportedModelError
        Layers, arguments or activations that rnnrt cannot run exactly; every reason is listed.
    RnnrtError
        h5py is not installed.
    """
    network, version = read_network(path)
    return to_graph(network, version, Path(path).name)


def read_network(path: str | os.PathLike[str]) -> tuple[Network, str]:
    """The network in a Keras model file, with its weights, and the version of Keras that wrote it.

    The parameters and the errors are those of `read_keras`.
    """
    file = Path(path)
    label = file.name
    kind = kind_of(file)
    if kind != "keras":
        raise ModelFormatError(f"{file}: is no Keras file but {kind}; read it with rnnrt.load")
    with file.open("rb") as stream:
        head = stream.read(8)
    return _read_zip(file, label) if head.startswith(b"PK") else _read_h5(file, label)


def to_graph(network: Network, version: str, label: str) -> Graph:
    """Build a network whose weights are loaded; `version` is the Keras version that wrote it."""
    metadata = {"format": "keras", "keras_version": version}
    try:
        return inference_graph(network, is_legacy(version), metadata)[0]
    except UnsupportedModelError as error:
        raise UnsupportedModelError(label, error.reasons) from None
    except ModelFormatError as error:
        text = str(error)
        raise ModelFormatError(text if text.startswith(label) else f"{label}: {text}") from None


def is_legacy(version: str) -> bool:
    """Whether that version of Keras is before 3; a file that does not tell is old."""
    digits = version.split(".")[0]
    return not (digits.isdigit() and int(digits) >= 3)


def _read_zip(file: Path, label: str) -> tuple[Network, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked_entries(archive, label)
            config = _json(_member(archive, entries, "config.json", label, MAX_TEXT), label, "config.json")
            version = ""
            if "metadata.json" in entries:
                metadata = _json(_member(archive, entries, "metadata.json", label, MAX_TEXT), label, "metadata.json")
                version = str(metadata.get("keras_version", "")) if isinstance(metadata, Mapping) else ""
            if "model.weights.h5" not in entries:
                _refuse_weights(entries, label)
            network = network_of(config, Context(label, is_legacy(version)))
            data = _member(archive, entries, "model.weights.h5", label, None)
    except (*_DAMAGE, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelFormatError(f"{label}: the zip archive is damaged or truncated: {error}") from error
    except (ValueError, OverflowError, AttributeError, TypeError, IndexError) as error:
        raise ModelFormatError(f"{label}: the archive's contents are malformed: {error}") from error
    reader = H5Reader(data, f"{label}/model.weights.h5")
    try:
        load_groups(network, reader)
    finally:
        reader.close()
    return network, version


def _checked_entries(archive: zipfile.ZipFile, label: str) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in entries:
            raise ModelFormatError(f"{label}: the archive holds {info.filename!r} twice")
        entries[info.filename] = info
    if "config.json" not in entries:
        if any(name.endswith(".pkl") for name in entries):
            raise ModelFormatError(f"{label}: holds pickles, as torch.save writes them; {PICKLE_ADVICE}")
        if any(name.endswith("saved_model.pb") for name in entries):
            raise ModelFormatError(f"{label}: is a zipped SavedModel; save the model as .keras")
        raise ModelFormatError(f"{label}: is a zip archive without config.json, so not a Keras model")
    return entries


def _refuse_weights(entries: Mapping[str, Any], label: str) -> None:
    if "model.weights.npz" in entries:
        raise ModelFormatError(
            f"{label}: keeps its weights as model.weights.npz, which holds pickles; pickles can run code and are never "
            "loaded. Save the model with h5py installed"
        )
    if "model.weights.json" in entries:
        raise ModelFormatError(f"{label}: its weights are sharded over several files; save the model in one file")
    raise ModelFormatError(f"{label}: has no model.weights.h5; the archive is incomplete")


def _member(
    archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], name: str, label: str, limit: int | None
) -> bytes:
    info = entries[name]
    most = limit if limit is not None else max(_FLOOR, _RATIO * info.compress_size)
    if info.file_size > most:
        raise ModelFormatError(
            f"{label}: {name} unpacks to {info.file_size} bytes from {info.compress_size}; refused as a zip bomb"
        )
    if info.flag_bits & 1:
        raise ModelFormatError(f"{label}: {name} is encrypted; save the model without a password")
    with archive.open(info) as stream:
        data = stream.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ModelFormatError(f"{label}: {name} is truncated: {len(data)} of {info.file_size} bytes")
    return data


def _json(data: bytes | str, label: str, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{label}: {what} is not valid JSON: {error}") from None


def _read_h5(file: Path, label: str) -> tuple[Network, str]:
    reader = H5Reader(file, label)
    try:
        text = reader.text(reader.file, "model_config")
        if text is None:
            _explain_missing_config(reader)
        version = reader.text(reader.file, "keras_version")
        if version is None:
            weights = reader.child(reader.file, "model_weights")
            version = (reader.text(weights, "keras_version") if weights is not None else None) or "1"
        if text is None or len(text) > MAX_TEXT:
            raise ModelFormatError(f"{label}: its model_config is too long")
        try:
            network = network_of(_json(text, label, "model_config"), Context(label, is_legacy(version)))
        except (ValueError, OverflowError, AttributeError, TypeError, IndexError) as error:
            raise ModelFormatError(f"{label}: model_config is malformed: {error}") from error
        load_named(network, reader)
        return network, version
    finally:
        reader.close()


def _explain_missing_config(reader: H5Reader) -> None:
    with reader.guard("the file"):
        names = set(reader.file)
        lists_layers = "layer_names" in reader.file.attrs
    if lists_layers or names & {"layers", "_layer_checkpoint_dependencies", "model_weights"}:
        raise ModelFormatError(
            f"{reader.label}: holds weights only, without the model's configuration; "
            "load them into the model in Keras and save it with model.save('model.keras')"
        )
    raise ModelFormatError(f"{reader.label}: is HDF5 but no Keras model: it has no model_config")
