"""Models from files and from configurations."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, UnsupportedModelError
from rnnrt.formats import read_any, read_parts
from rnnrt.formats.keras_arguments import Context, is_legacy
from rnnrt.formats.keras_config import network_of
from rnnrt.formats.keras_export_config import Serializer
from rnnrt.formats.keras_import import version_of
from rnnrt.layers import RNN, Network
from rnnrt.layers.serial import MODEL_READERS, MODEL_WRITERS
from rnnrt.layers.symbolic import RUNNERS
from rnnrt.models.eager import run_layer
from rnnrt.models.model import Model


def load(
    path: str | os.PathLike[str],
    threads: int | None = None,
    *,
    architecture: str | os.PathLike[str] | Mapping[str, Any] | None = None,
) -> Model:
    """Read a network from an .onnx, .keras, .h5 or .rnnrt file.

    Parameters
    ----------
    path : path-like
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.
    architecture : path-like, str or mapping, optional
        For an HDF5 file with weights alone, as `save_weights` of Keras 1, 2 and 3 writes them: what `to_json` of the
        model gave, as a file, as text, or as what json.loads makes of it. Layers are found by their names where file
        and architecture have the same, and otherwise by their order.

    Returns
    -------
    Model

    Raises
    ------
    ModelFormatError
        The file is missing, truncated, corrupt or of an unknown kind.
    UnsupportedModelError
        The file holds something that rnnrt cannot run exactly; every reason is listed.
    ShapeError
        Shapes within the file do not fit together; the message names the node.
    """
    file = os.fspath(path)
    try:
        graph, network, version = read_any(path) if architecture is None else read_parts(path, architecture)
        try:
            if network is None:
                return Model.from_graph(graph, threads)
            return Model.from_network(network, threads, is_legacy(version), graph.metadata, graph)
        except UnsupportedModelError as error:
            raise UnsupportedModelError(os.path.basename(file), error.reasons) from None
        except (ShapeError, ModelFormatError) as error:
            raise type(error)(f"{file}: {error}") from None
    except RecursionError:
        raise RnnrtError(f"{file}: nested too deeply") from None
    except MemoryError as error:
        raise RnnrtError(f"{file}: needs more memory than there is ({error})") from None


def load_model(path: str | os.PathLike[str], custom_objects: Any = None, compile: bool = True) -> Model:
    """As `load`, with Keras's name and arguments; code in a file is never run, so there are no custom objects."""
    if custom_objects:
        raise RnnrtError(f"load_model: custom_objects={custom_objects!r}; rnnrt runs no custom code")
    return load(path)


def model_of(spec: Mapping[str, Any], threads: int | None = None, legacy: bool = False) -> Model:
    """A model of a configuration in Keras's form, with new weights where the shapes of its inputs are known.

    With `legacy`, or where the configuration says that Keras 1 or 2 wrote it, it keeps their meanings.
    """
    network = _network(spec)
    if network.inputs:
        network.create()
    version = version_of(spec)
    metadata = {"format": "keras", "keras_version": version} if version and is_legacy(version) else None
    return Model.from_network(network, threads, legacy or metadata is not None, metadata)


def model_from_json(text: str, custom_objects: Any = None) -> Model:
    """A model of what `to_json` gave, here or in Keras, with new weights.

    Raises
    ------
    ModelFormatError
        The text is not JSON, or not a model's.
    UnsupportedModelError
        With every reason.
    """
    if custom_objects:
        raise RnnrtError(f"model_from_json: custom_objects={custom_objects!r}; rnnrt runs no custom code")
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise ModelFormatError(f"model_from_json: the text is not JSON: {error}") from None
    return model_of(spec)


def clone_model(model: Model) -> Model:
    """An equal model with weights of its own, made anew by the initializers."""
    if model.network is None:
        raise RnnrtError(f"model {model.name!r}: came as a graph without layers, which cannot be made anew")
    clone = model_of(model.network.as_spec(), legacy=model.legacy)
    assert clone.network is not None
    for old, new in zip(model.network.walk(), clone.network.walk(), strict=True):
        if isinstance(old, RNN) and isinstance(new, RNN):
            new.old_masking = old.old_masking
    clone.metadata = dict(model.metadata)
    return clone


def _network(spec: Mapping[str, Any]) -> Network:
    backend = str(spec.get("backend", "")) if isinstance(spec, Mapping) else ""
    return network_of(spec, Context.of_version("configuration", version_of(spec) or "3", backend, is_file=False))


def _written(network: Network) -> Mapping[str, Any]:
    serializer = Serializer(is_file=False)
    spec = serializer.network(network)
    if serializer.reasons:
        raise UnsupportedModelError(network.name, serializer.reasons, "written in Keras's form")
    return spec


MODEL_READERS.append(_network)
MODEL_WRITERS.append(_written)
RUNNERS.append(run_layer)
