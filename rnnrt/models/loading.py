"""Models from files and from configurations."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, UnsupportedModelError
from rnnrt.formats import read_any
from rnnrt.formats.keras_arguments import Context
from rnnrt.formats.keras_config import network_of
from rnnrt.formats.keras_export_config import Serializer
from rnnrt.formats.keras_import import is_legacy
from rnnrt.layers import Network
from rnnrt.layers.serial import MODEL_READERS, MODEL_WRITERS
from rnnrt.layers.symbolic import RUNNERS
from rnnrt.models.eager import run_layer
from rnnrt.models.model import Model
from rnnrt.registry import CustomObjectScope


def load(
    path: str | os.PathLike[str],
    threads: int | None = None,
    *,
    custom_objects: Mapping[str, Any] | None = None,
) -> Model:
    """Read a network from an .onnx, .keras, .h5 or .rnnrt file.

    Parameters
    ----------
    path : path-like
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.
    custom_objects : mapping of str to class or function, optional
        What stands for the custom layers and activations of a Keras file, by their names there; see
        `rnnrt.formats.keras_custom`. No code in a file is ever run.

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
        with CustomObjectScope(custom_objects):
            graph, network, version = read_any(path)
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
    """As `load`, with Keras's name and arguments."""
    return load(path, custom_objects=custom_objects)


def model_of(spec: Mapping[str, Any], threads: int | None = None) -> Model:
    """A model of a configuration in Keras's form, with new weights where the shapes of its inputs are known."""
    network = _network(spec)
    if network.inputs:
        network.create()
    return Model.from_network(network, threads)


def model_from_json(text: str, custom_objects: Any = None) -> Model:
    """A model of what `to_json` gave, here or in Keras, with new weights; `custom_objects` as for `load`.

    Raises
    ------
    ModelFormatError
        The text is not JSON, or not a model's.
    UnsupportedModelError
        With every reason.
    """
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise ModelFormatError(f"model_from_json: the text is not JSON: {error}") from None
    with CustomObjectScope(custom_objects):
        return model_of(spec)


def clone_model(model: Model) -> Model:
    """An equal model with weights of its own, made anew by the initializers."""
    if model.network is None:
        raise RnnrtError(f"model {model.name!r}: came as a graph without layers, which cannot be made anew")
    return model_of(model.network.as_spec())


def _network(spec: Mapping[str, Any]) -> Network:
    return network_of(spec, Context("configuration", legacy=False, is_file=False))


def _written(network: Network) -> Mapping[str, Any]:
    serializer = Serializer(is_file=False)
    spec = serializer.network(network)
    if serializer.reasons:
        raise UnsupportedModelError(network.name, serializer.reasons, "written in Keras's form")
    return spec


MODEL_READERS.append(_network)
MODEL_WRITERS.append(_written)
RUNNERS.append(run_layer)
