"""Networks of rnnrt.layers to .keras files that Keras 3 loads; h5py is imported where it is used."""

from __future__ import annotations

import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, UnsupportedModelError
from rnnrt.formats.files import replacing
from rnnrt.formats.keras_arguments import is_legacy
from rnnrt.formats.keras_export_config import Serializer
from rnnrt.formats.keras_import import to_graph
from rnnrt.formats.keras_store import hdf5_of
from rnnrt.ir import Graph, Node
from rnnrt.layers import Network

WRITTEN_AS = "3.9.0"
"""The version of Keras whose form the files have."""


def write_keras(
    path: str | os.PathLike[str],
    network: Network,
    *,
    keras_version: str = WRITTEN_AS,
    made_by: str = "3",
    batch_size: int | None = None,
) -> None:
    """Write a network as a .keras file, whole or not at all; `keras.models.load_model` of Keras 3 reads it.

    Parameters
    ----------
    path : path-like
    network : Network
        With weights in every layer. What only training reads, such as initializers and dropout rates, is written too;
        the state of an optimizer is not.
    keras_version : str
        What the file says about who wrote it; 3 or newer.
    made_by : str
        The version of Keras whose meanings the network has: that of the file it was read from. A network of Keras 2
        is written where it is the same network in Keras 3.
    batch_size : int, optional
        The batch size that the inputs declare, which stateful layers need; free where not given.

    Raises
    ------
    UnsupportedModelError
        Keras 3 would compute something else; every reason is listed.
    ModelFormatError
        Weights are missing or do not fit.
    RnnrtError
        h5py is not installed, or an argument is not one.
    OSError
        The file cannot be written; what was there before is left as it was.
    """
    if is_legacy(keras_version):
        raise RnnrtError(f"keras_version={keras_version!r}: files are written for Keras 3; give a version of it")
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise RnnrtError(f"batch_size={batch_size!r}: give a positive number of sequences, or None")
    name = Path(path).name
    graph = to_graph(network, "3", name)
    reasons = _differences(to_graph(network, made_by, name), graph) if is_legacy(made_by) else []
    serializer = Serializer(batch_size)
    config = serializer.network(network)
    reasons += serializer.reasons
    if reasons:
        raise UnsupportedModelError(name, reasons, "written for Keras 3")
    weights = hdf5_of(network, converted=True)
    metadata = {"keras_version": keras_version, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    with replacing(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)


def _differences(old: Graph, new: Graph) -> list[str]:
    """The layers that mean something else in Keras 3 than in Keras 2, told from the graphs they become."""
    mine, theirs = ({n.name: n for n in g.nodes} for g in (old, new))
    places: dict[str, list[Node]] = {}
    for name in dict.fromkeys([*mine, *theirs]):
        a, b = mine.get(name), theirs.get(name)
        if a is None or b is None or not _equal(a, b):
            places.setdefault(name.rpartition("/")[0], []).extend(n for n in (a, b) if n is not None)
    constants = old.constants.keys() ^ new.constants.keys()
    constants |= {k for k, v in old.constants.items() if k in new.constants and not np.array_equal(v, new.constants[k])}
    for name in constants:
        places.setdefault(name.rpartition("/")[0], [])
    return [
        f"layer {place!r}: {_why(nodes)}; save the network as .rnnrt or .onnx, which keep its meaning"
        for place, nodes in places.items()
    ]


def _why(nodes: list[Node]) -> str:
    if any(n.op == "HardSigmoid" or "HardSigmoid" in n.attrs.get("activations", ()) for n in nodes):
        return "hard_sigmoid has the slope 0.2 in Keras 2 and 1/6 in Keras 3"
    return "Keras 3 treats the mask of its input in another way than Keras 2"


def _equal(a: Node, b: Node) -> bool:
    return (a.op, a.inputs, a.outputs) == (b.op, b.inputs, b.outputs) and a.attrs.keys() == b.attrs.keys() and all(
        _same(value, b.attrs[key]) for key, value in a.attrs.items()
    )  # fmt: skip


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
