"""Networks in JSON files: RTNeural's, and those of Automated-GuitarAmpModelling."""

from __future__ import annotations

import os
from pathlib import Path

from rnnrt.errors import ModelFormatError
from rnnrt.formats.guitarml import GuitarModel
from rnnrt.formats.json_files import float_array, maker_of, read_document, state_dict_in
from rnnrt.formats.rtneural import RTNeuralModel
from rnnrt.formats.safetensors import Entry
from rnnrt.formats.state_dict import describe
from rnnrt.ir import Graph
from rnnrt.layers import Network
from rnnrt.layers.graphs import inference_graph

KERAS = "3"
"""The version of Keras whose meanings the layers have."""


def read_json(path: str | os.PathLike[str]) -> tuple[Graph, Network, str]:
    """The network in a JSON file, its graph, and the version of Keras whose meanings its layers have.

    The input is (B, T, features), whatever order of axes the network was trained with.

    Raises
    ------
    ModelFormatError
        The file is no whole JSON, or not a model with weights; or its arrays have other shapes than they should.
    UnsupportedModelError
        Layers and keys that rnnrt cannot run exactly; every reason is listed.
    """
    label = os.fspath(path)
    document = read_document(path)
    maker = maker_of(document)
    if maker == "keras":
        raise ModelFormatError(
            f"{label}: is a configuration of Keras, as model.to_json() writes it, without weights; "
            "rnnrt.models.model_from_json(text) makes the model anew, or save it whole with model.save('model.keras')"
        )
    if maker == "state_dict":
        arrays = {n: float_array(v, f"{label}: {n[:80]!r}") for n, v in state_dict_in(document, label).items()}
        entries = {n: Entry("F32", a.shape) for n, a in arrays.items()}
        raise ModelFormatError(describe(f"{label}: is JSON without a network", Path(path).name, entries))
    if maker == "unknown":
        known = "in_shape and layers (RTNeural), or model_data and state_dict (Automated-GuitarAmpModelling)"
        if "weight_map" in document:
            raise ModelFormatError(f"{label}: is the index of tensors in several files; save them in one .safetensors")
        raise ModelFormatError(
            f"{label}: is JSON with the keys {[str(k)[:40] for k in document][:10]}; it needs {known}"
        )
    network = (GuitarModel if maker == "guitarml" else RTNeuralModel)(document, label).network()
    return inference_graph(network, False, {"format": maker})[0], network, KERAS
