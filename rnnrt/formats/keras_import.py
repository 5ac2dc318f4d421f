"""Keras model files into graphs: .keras of Keras 2.13+ and 3, .h5 of Keras 1, 2 and 3."""

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
from rnnrt.formats.keras_arguments import Context, is_legacy
from rnnrt.formats.keras_config import network_of
from rnnrt.formats.keras_weights import (
    NamedLayers,
    Put,
    heavy_layers,
    load_groups,
    load_in_order,
    load_named,
    put_array,
)
from rnnrt.formats.npz import NpzReader
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
    if network.notes:
        metadata["notes"] = json.dumps(network.notes)
    try:
        return inference_graph(network, is_legacy(version), metadata)[0]
    except UnsupportedModelError as error:
        raise UnsupportedModelError(label, error.reasons) from None
    except ModelFormatError as error:
        text = str(error)
        raise ModelFormatError(text if text.startswith(label) else f"{label}: {text}") from None


def _read_zip(file: Path, label: str) -> tuple[Network, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked_entries(archive, label)
            config = read_json(_member(archive, entries, "config.json", label, MAX_TEXT), label, "config.json")
            version = ""
            if "metadata.json" in entries:
                metadata = read_json(
                    _member(archive, entries, "metadata.json", label, MAX_TEXT), label, "metadata.json"
                )
                version = str(metadata.get("keras_version", "")) if isinstance(metadata, Mapping) else ""
            held = next((n for n in ("model.weights.h5", "model.weights.npz") if n in entries), None)
            if held is None:
                raise ModelFormatError(_no_weights(entries, label))
            network = network_of(config, Context.of_version(label, version))
            data = _member(archive, entries, held, label, None)
    except (*_DAMAGE, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelFormatError(f"{label}: the zip archive is damaged or truncated: {error}") from error
    except (ValueError, OverflowError, AttributeError, TypeError, IndexError) as error:
        raise ModelFormatError(f"{label}: the archive's contents are malformed: {error}") from error
    kind = NpzReader if held.endswith(".npz") else H5Reader
    reader = kind(data, f"{label}/{held}")
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


def _no_weights(entries: Mapping[str, Any], label: str) -> str:
    if "model.weights.json" in entries:
        return f"{label}: its weights are sharded over several files; save the model in one file"
    return f"{label}: has no model.weights.h5; the archive is incomplete"


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


def read_json(data: bytes | str, label: str, what: str) -> Any:
    """What a text in JSON says."""
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
        version, backend = (_told(reader, key) for key in ("keras_version", "backend"))
        version = version or "1"
        if text is None or len(text) > MAX_TEXT:
            raise ModelFormatError(f"{label}: its model_config is too long")
        try:
            spec = read_json(text, label, "model_config")
            network = network_of(spec, Context.of_version(label, version, backend))
        except (ValueError, OverflowError, AttributeError, TypeError, IndexError) as error:
            raise ModelFormatError(f"{label}: model_config is malformed: {error}") from error
        load_named(network, reader)
        return network, version
    finally:
        reader.close()


def _told(reader: H5Reader, key: str) -> str:
    """What the file says about its making, at one of the two places where Keras writes it; "" for nothing."""
    weights = reader.child(reader.file, "model_weights")
    places = [reader.file, *([weights] if weights is not None else [])]
    return next((found for place in places if (found := reader.text(place, key)) is not None), "")


def read_weights(path: str | os.PathLike[str], spec: Any, label: str) -> tuple[Network, str]:
    """A network of an architecture's configuration, with the weights in a Keras file that holds them alone.

    Parameters
    ----------
    path : path-like
        What `save_weights` of Keras 1, 2 or 3 wrote, or a whole model, of which the weights are taken.
    spec : mapping
        What `to_json` of any version of Keras gave.
    label : str
        How messages name the architecture.

    Returns
    -------
    network : Network
    version : str
        Of the Keras that wrote the architecture, "3" or "1" where it does not tell.

    Raises
    ------
    ModelFormatError
        One of the two is damaged, or they do not fit together.
    UnsupportedModelError
        The architecture has what rnnrt cannot run exactly; every reason is listed.
    """
    file = Path(path)
    reader = H5Reader(file, file.name)
    try:
        version = version_of(spec) or _told(reader, "keras_version") or "1"
        backend = _told(reader, "backend") or (str(spec.get("backend", "")) if isinstance(spec, Mapping) else "")
        network = network_of(spec, Context.of_version(label, version, backend))
        fill(network, reader)
        return network, version
    finally:
        reader.close()


def version_of(spec: Any) -> str:
    """The version of Keras that wrote a configuration; "3" where only its form tells, "" where nothing does."""
    if not isinstance(spec, Mapping):
        return ""
    told = spec.get("keras_version")
    return str(told) if told else "3" if "module" in spec else ""


def fill(network: Network, reader: H5Reader, put: Put = put_array) -> None:
    """Give a network the weights in an HDF5 file, in whichever of its two layouts: of Keras 3, or of 1 and 2.

    Layers of Keras 1 and 2 go by their order, as in Keras, unless the file has the model's own names.
    """
    if not has_names(reader):
        load_groups(network, reader, put)
        return
    stored = NamedLayers(reader)
    same = set(stored.heavy()) == {layer.name for layer in heavy_layers(network)}
    (load_named if same else load_in_order)(network, reader, put)


def has_names(reader: H5Reader) -> bool:
    """Whether an HDF5 file has a group for each layer by name, as those of Keras 1 and 2 have."""
    return "model_weights" in reader.file or reader.names(reader.file, "layer_names") is not None


def _explain_missing_config(reader: H5Reader) -> None:
    with reader.guard("the file"):
        names = set(reader.file)
        lists_layers = "layer_names" in reader.file.attrs
    if lists_layers or names & {"layers", "_layer_checkpoint_dependencies", "model_weights"}:
        raise ModelFormatError(
            f"{reader.label}: holds weights only, without the model's configuration; "
            "give that as architecture='model.json', the text of model.to_json(), or build the model and load_weights"
        )
    raise ModelFormatError(f"{reader.label}: is HDF5 but no Keras model: it has no model_config")
