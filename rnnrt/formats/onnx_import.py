"""ONNX files to the IR. Everything in the file is understood, or named in one error with every other reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats.onnx_external import DataFolder
from rnnrt.formats.onnx_graph import GraphReader
from rnnrt.formats.onnx_scope import OLDEST_OPSET, ModelScope, domain_name, opset_versions
from rnnrt.formats.onnx_tensors import HALF, is_half
from rnnrt.ir import Graph, Node, Value

LARGEST_FILE = (1 << 31) - 1
"""Bytes that a protobuf message can have."""


def read_onnx(path: str | os.PathLike[str]) -> Graph:
    """The graph of an .onnx file.

    Parameters
    ----------
    path : path-like
        External data is read from the file's folder; large tensors in it are mapped and not copied.

    Raises
    ------
    ModelFormatError
        The file is no ONNX model, or is truncated or inconsistent.
    UnsupportedModelError
        It holds operators, attributes or types that rnnrt does not know; every one is named.
    RnnrtError
        The onnx package is not installed.
    """
    file = Path(path)
    proto = _parsed(file)
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelFormatError(f"{file}: is not an ONNX model: it has no graph or no opset; export it again")
    return _read(proto, file.name, DataFolder.of(file))


def graph_from_proto(proto: Any, source: str = "model", folder: Path | None = None) -> Graph:
    """The graph of an onnx.ModelProto; `source` names it in messages, external data is read below `folder`."""
    return _read(proto, source, DataFolder(folder or Path()))


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise RnnrtError('reading .onnx files needs the onnx package: pip install "rnnrt[convert]"') from None
    return onnx


def _parsed(file: Path) -> Any:
    onnx = _onnx()
    from google.protobuf.message import DecodeError

    size = file.stat().st_size
    if size > LARGEST_FILE:
        raise ModelFormatError(
            f"{file}: has {size} bytes, an ONNX file can have {LARGEST_FILE}; "
            "save the model with external data: onnx.save(model, path, save_as_external_data=True)"
        )
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(file.read_bytes())
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelFormatError(
            f"{file}: is not an ONNX model, or is truncated ({error}); download or export it again"
        ) from None
    return proto


def _read(proto: Any, source: str, folder: DataFolder) -> Graph:
    onnx = _onnx()
    functions = {(domain_name(f.domain), f.name, getattr(f, "overload", "")): f for f in proto.functions}
    model = ModelScope(source, folder, onnx.AttributeProto, functions)
    opsets = opset_versions(proto.opset_import)
    version = opsets.get("", OLDEST_OPSET)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= version <= newest:
        advice = "convert it with onnx.version_converter" if version < OLDEST_OPSET else "install a newer onnx package"
        model.reasons.append(f"opset {version}: versions {OLDEST_OPSET} to {newest} can be read; {advice}")
    given = {v.name for v in proto.graph.input}
    halves = {v.name for v in proto.graph.output if v.name and v.name not in given and is_half(v)}
    model.used |= halves  # so that what computes them gets another name
    try:
        reader = GraphReader(model, {}, opsets, source)
        graph = reader.read(proto.graph)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(source, [*model.reasons, *error.reasons]) from None
    if model.reasons:
        raise UnsupportedModelError(source, model.reasons)
    metadata = {p.key: p.value for p in proto.metadata_props} | {
        "format": "onnx",
        "opset": str(version),
        "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
    }
    graph = graph.replace(metadata={key: value for key, value in metadata.items() if value})
    return _narrowed(graph, {reader.scope[name]: name for name in sorted(halves)})


def _narrowed(graph: Graph, halves: dict[str, str]) -> Graph:
    """The graph with the outputs that are float16 by declaration made so; `halves` has their names by those inside."""
    casts = [Node("Cast", (name,), (half,), {"to": HALF}, f"{half}/float16") for name, half in halves.items()]
    outputs = [Value(halves[v.name], np.dtype(np.float16), v.shape) if v.name in halves else v for v in graph.outputs]
    return graph.replace(nodes=(*graph.nodes, *casts), outputs=tuple(outputs))
