"""Networks whose architecture and weights are in files apart, as `to_json` and `save_weights` of Keras write them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnrt.errors import ModelFormatError
from rnnrt.formats import foreseen, is_hdf5, kind_of
from rnnrt.formats.files import is_regular
from rnnrt.formats.keras_import import read_json, read_weights, to_graph
from rnnrt.ir import Graph
from rnnrt.layers import Network

Architecture = str | os.PathLike[str] | Mapping[str, Any]
"""A path, a text in JSON, or what json.loads makes of one."""


def read_parts(path: str | os.PathLike[str], architecture: Architecture) -> tuple[Graph, Network, str]:
    """As `rnnrt.formats.read_any`, for an HDF5 file with weights alone and the architecture that they belong to.

    Raises
    ------
    ModelFormatError
        One of the two is missing, damaged or of another kind, or they do not fit together.
    UnsupportedModelError
        The architecture has what rnnrt cannot run exactly; every reason is listed.
    """
    spec, label = _configuration(architecture)
    file = Path(path)
    if kind_of(file) != "keras" or not is_hdf5(file):
        raise ModelFormatError(
            f"{file}: is no HDF5 file; architecture={label} goes with weights as save_weights of Keras writes them"
        )
    with foreseen(label):
        network, version = read_weights(file, spec, label)
        return to_graph(network, version, file.name), network, version


def _configuration(given: Any) -> tuple[Any, str]:
    """The configuration, and how messages name it."""
    if isinstance(given, Mapping):
        return given, "architecture"
    if isinstance(given, str) and given.lstrip()[:1] == "{":
        return read_json(given, "architecture", "the text"), "architecture"
    if not isinstance(given, (str, os.PathLike)):
        raise ModelFormatError(
            f"architecture is a {type(given).__name__}; give what to_json() gave, as a path, a text or a dictionary; "
            "for a model made here, call its load_weights"
        )
    file = Path(given)
    try:
        if not is_regular(file):
            raise ModelFormatError(f"architecture {file}: is no file")
        return read_json(file.read_bytes(), str(file), "the architecture"), file.name
    except OSError as error:
        raise ModelFormatError(f"architecture {file}: cannot be read: {error.strerror}") from None
