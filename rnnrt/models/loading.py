"""Models from files and from configurations."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, UnsupportedModelError
from rnnrt.formats import foreseen, read_any
from rnnrt.formats.keras_arguments import Context, is_legacy
from rnnrt.formats.keras_config import network_of
from rnnrt.formats.keras_export_config import Serializer
from rnnrt.formats.keras_import import version_of
from rnnrt.formats.keras_parts import Architecture, read_parts
from rnnrt.formats.state_dict import read_state_dict
from rnnrt.formats.torch_network import network_of as network_of_tensors
from rnnrt.ir import Graph
from rnnrt.layers import Network
from rnnrt.layers.serial import MODEL_READERS, MODEL_WRITERS
from rnnrt.layers.symbolic import RUNNERS
from rnnrt.models.constants import with_constants
from rnnrt.models.eager import run_layer
from rnnrt.models.model import Model
from rnnrt.models.pickling import equal_model, meanings
from rnnrt.passes import recognise
from rnnrt.registry import CustomObjectScope


def load(
    path: str | os.PathLike[str],
    threads: int | None = None,
    *,
    constants: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    architecture: Architecture | None = None,
    layers: Sequence[Any] | None = None,
    input_shape: Sequence[int | None] | None = None,
    prefix: str | None = None,
    ignore: Iterable[str] = (),
    shared: Mapping[str, str] | None = None,
) -> Model:
    """Read a network from an .onnx, .keras, .h5, .rnnrt or .json file, or torch's tensors with the layers they are of.

    Parameters
    ----------
    path : path-like
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.
    constants : mapping of str to number or array_like, optional
        Inputs of an .onnx or .rnnrt file, by name, that are to be constants, as in ``constants={"sr": 16000}``. They
        are then no longer inputs, and branches that they decide are gone; `Model.save` writes the model so.
    custom_objects : mapping of str to class or function, optional
        What stands for the custom layers and activations of a Keras file, by their names there; see
        `rnnrt.formats.keras_custom`. No code in a file is ever run.
    architecture : path-like, str or mapping, optional
        For an HDF5 file with weights alone, as `save_weights` of Keras 1, 2 and 3 writes them: what `to_json` of the
        model gave, as a file, as text, or as what json.loads makes of it. Layers are found by their names where file
        and architecture have the same, and otherwise by their order.
    layers : sequence, optional
        What a state_dict of torch (.safetensors, or JSON) belongs to: layers of `rnnrt.torch` in the order they run in,
        or {"type": "LSTM", "name": "rnn", ...} or ("rnn", {"type": "LSTM", ...}) for them. The arguments that
        follow are for such files alone.
    input_shape : sequence of int or None, optional
        Without the first axis; by default what the first layer with tensors needs.
    prefix : str, optional
        What stands before all names of tensors, such as "model."; by default it is found where all of them have it.
    ignore : iterable of str
        Patterns, as of file names, of tensors that no layer needs; others are an error.
    shared : mapping of str to str, optional
        Names that are not in the file, and the tensors that stand for them. What safetensors.torch.save_model left out
        is known.

    Returns
    -------
    Model

    Raises
    ------
    ModelFormatError
        The file is missing, truncated, corrupt or of an unknown kind, or its tensors are not those of the layers.
    UnsupportedModelError
        The file holds something that rnnrt cannot run exactly; every reason is listed.
    ShapeError
        Shapes within the file do not fit together; the message names the node. Or a constant does not fit an input.
    RnnrtError
        Constants were given for a file of layers, whose inputs cannot become constants.
    """
    file = os.fspath(path)
    if layers is None and (input_shape is not None or prefix is not None or ignore or shared):
        raise RnnrtError(f"{file}: input_shape, prefix, ignore and shared go with layers=[...]; give it too")
    if layers is not None and architecture is not None:
        raise RnnrtError(f"{file}: architecture goes with weights of Keras, layers with tensors of torch; give one")
    try:
        if layers is not None:
            _without(constants, file)
            return _of_tensors(file, threads, layers, input_shape, prefix, ignore, shared)
        with CustomObjectScope(custom_objects):
            graph, network, version = read_any(path) if architecture is None else read_parts(path, architecture)
        try:
            if network is None and custom_objects:
                raise RnnrtError(
                    f"{file}: custom_objects={sorted(custom_objects)}: this file has no layers; leave it out"
                )
            if network is None:
                return Model.from_graph(recognise(with_constants(graph, constants or {})), threads)
            _without(constants, file)
            return Model.from_network(network, threads, is_legacy(version), graph.metadata, graph)
        except UnsupportedModelError as error:
            raise UnsupportedModelError(os.path.basename(file), error.reasons) from None
        except (ShapeError, ModelFormatError) as error:
            raise type(error)(f"{file}: {error}") from None
    except RecursionError:
        raise RnnrtError(f"{file}: nested too deeply") from None
    except MemoryError as error:
        raise RnnrtError(f"{file}: needs more memory than there is ({error})") from None


def as_read(path: str | os.PathLike[str], constants: Mapping[str, Any] | None = None) -> Graph:
    """The graph of a file before recurrences in it are recognised; arguments and errors are those of `load`."""
    return with_constants(read_any(path)[0], constants or {})


def _without(constants: Mapping[str, Any] | None, file: str) -> None:
    if constants:
        raise RnnrtError(
            f"{file}: constants={sorted(map(str, constants))}: inputs of Keras layers cannot become constants; "
            "pass their values at each call, or save the model as .onnx and load that with constants"
        )


def _of_tensors(file: str, threads: int | None, layers: Any, input_shape: Any, *options: Any) -> Model:
    with foreseen(file):
        state = read_state_dict(file, *options)
        try:
            network = network_of_tensors(layers, state, input_shape)
            return Model.from_network(network, threads, False, {"format": "state_dict"})
        except UnsupportedModelError as error:
            raise UnsupportedModelError(os.path.basename(file), error.reasons) from None
        except (ShapeError, ModelFormatError) as error:
            text = str(error)
            raise type(error)(text if text.startswith(file) else f"{file}: {text}") from None


def load_model(path: str | os.PathLike[str], custom_objects: Any = None, compile: bool = True) -> Model:
    """As `load`, with Keras's name and arguments."""
    return load(path, custom_objects=custom_objects)


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
    return equal_model(model.to_json(), *meanings(model))


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
