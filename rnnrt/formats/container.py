"""The .rnnrt container: a safetensors file with the graph as JSON, and recorded calls to verify it by.

The header's metadata has one key, "rnnrt": a JSON object with `revision`, `graph` and `vectors`. Tensors are weights,
arrays of attributes, and the recorded inputs and outputs. Nothing in the file is ever executed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.formats.files import replacing
from rnnrt.formats.safetensors import open_safetensors
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import get_operator, is_readable

REVISION = 1
"""Grows when files are written that older versions cannot read."""

_KEY = "rnnrt"
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Vector:
    """One recorded call: arrays by name of input and output."""

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


def write_container(path: str | os.PathLike[str], graph: Graph, vectors: Sequence[Vector] = ()) -> None:
    """Write a graph; the file appears whole or not at all.

    Parameters
    ----------
    path : path-like
    graph : Graph
    vectors : sequence of Vector
        Recorded calls for `rnnrt verify`.

    Raises
    ------
    OSError
        The file cannot be written; what was there before is left as it was.
    """
    from safetensors.numpy import save

    tensors = _Tensors()
    document = {
        "revision": REVISION,
        "graph": _pack_graph(graph, tensors),
        "vectors": [
            {part: {name: tensors.add(a) for name, a in getattr(v, part).items()} for part in ("inputs", "outputs")}
            for v in vectors
        ],
    }
    data = save(tensors.arrays, {_KEY: json.dumps(document, allow_nan=False)})
    with replacing(path) as stream:
        stream.write(data)


def read_container(path: str | os.PathLike[str]) -> Graph:
    """The graph in a .rnnrt file.

    Raises
    ------
    ModelFormatError
        The file is truncated, not a container, of a newer revision, or inconsistent.
    UnsupportedModelError
        It uses operators that this version does not know.
    """
    document, arrays = _open(Path(path))
    reader = _Unpacker(str(path), arrays)
    graph = reader.graph(document.get("graph"))
    if reader.unknown:
        raise UnsupportedModelError(
            str(path), [f"operator {op}: not known to this version" for op in sorted(reader.unknown)]
        )
    return graph


def read_vectors(path: str | os.PathLike[str]) -> list[Vector]:
    """The recorded calls in a .rnnrt file."""
    document, arrays = _open(Path(path))
    reader = _Unpacker(str(path), arrays)
    rows = reader.expect(document.get("vectors", []), list, "vectors")
    return [
        Vector(*({str(name): reader.array(key) for name, key in reader.expect(row.get(part), dict, part).items()}
                 for part in ("inputs", "outputs")))
        for row in (reader.expect(row, dict, "vector") for row in rows)
    ]  # fmt: skip


class _Tensors:
    """Arrays that go into the file, each once."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._keys: dict[int, str] = {}
        self._kept: list[np.ndarray] = []

    def add(self, array: np.ndarray) -> str:
        if id(array) not in self._keys:
            self._kept.append(array)
            key = self._keys[id(array)] = f"t{len(self.arrays)}"
            self.arrays[key] = np.array(array, order="C")
        return self._keys[id(array)]


def _pack_graph(graph: Graph, tensors: _Tensors) -> dict[str, Any]:
    return {
        "name": graph.name,
        "inputs": [_pack_value(v) for v in graph.inputs],
        "outputs": [_pack_value(v) for v in graph.outputs],
        "nodes": [
            {
                "op": n.op,
                "name": n.name,
                "inputs": list(n.inputs),
                "outputs": list(n.outputs),
                "attrs": {key: _pack_attr(value, tensors) for key, value in n.attrs.items()},
            }
            for n in graph.nodes
        ],
        "constants": {name: tensors.add(np.asarray(array)) for name, array in graph.constants.items()},
        "metadata": dict(graph.metadata),
    }


def _pack_value(value: Value) -> dict[str, Any]:
    return {
        "name": value.name,
        "dtype": value.dtype.name,
        "shape": None if value.shape is None else list(value.shape),
    }


def _pack_attr(value: Any, tensors: _Tensors) -> Any:
    if isinstance(value, Graph):
        return {"graph": _pack_graph(value, tensors)}
    if isinstance(value, np.ndarray):
        return {"tensor": tensors.add(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, list | tuple):
        return {"tuple": [_pack_attr(v, tensors) for v in value]}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _open(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    file = open_safetensors(path, ".rnnrt or .safetensors file", "convert the model again")
    metadata = file.metadata
    if _KEY not in metadata:
        from rnnrt.formats.state_dict import explain

        raise ModelFormatError(explain(file))
    arrays = file.arrays()
    try:
        document = json.loads(metadata[_KEY])
    except (ValueError, RecursionError):
        raise ModelFormatError(f"{path}: its graph is not valid JSON; convert the model again") from None
    if not isinstance(document, dict) or not isinstance(document.get("revision"), int):
        raise ModelFormatError(f"{path}: its graph has no revision; convert the model again")
    if document["revision"] > REVISION:
        raise ModelFormatError(
            f"{path}: is of revision {document['revision']}, this version reads up to {REVISION}; upgrade rnnrt"
        )
    return document, arrays


class _Unpacker:
    """JSON to IR; whatever is not of the expected type is an error."""

    def __init__(self, source: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.source, self.arrays = source, arrays
        self.unknown: set[str] = set()

    def expect(self, value: Any, kind: type | tuple[type, ...], what: str) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise ModelFormatError(
                f"{self.source}: {what} is {value!r:.60}, which is not valid; convert the model again"
            )
        return value

    def array(self, key: Any) -> np.ndarray:
        if not isinstance(key, str) or key not in self.arrays:
            raise ModelFormatError(f"{self.source}: tensor {key!r} is missing; the file is corrupt")
        return self.arrays[key]

    def graph(self, data: Any, depth: int = 0) -> Graph:
        if depth > _MAX_DEPTH:
            raise ModelFormatError(f"{self.source}: graphs are nested more than {_MAX_DEPTH} deep")
        data = self.expect(data, dict, "graph")
        constants = self.expect(data.get("constants"), dict, "constants")
        return Graph(
            tuple(self.value(v) for v in self.expect(data.get("inputs"), list, "inputs")),
            tuple(self.value(v) for v in self.expect(data.get("outputs"), list, "outputs")),
            tuple(self.node(n, depth) for n in self.expect(data.get("nodes"), list, "nodes")),
            {str(name): self.array(key) for name, key in constants.items()},
            self.expect(data.get("name", "model"), str, "name"),
            {str(k): str(v) for k, v in self.expect(data.get("metadata", {}), dict, "metadata").items()},
        )

    def value(self, data: Any) -> Value:
        data = self.expect(data, dict, "value")
        try:
            dtype = np.dtype(self.expect(data.get("dtype"), str, "dtype"))
        except TypeError:
            raise ModelFormatError(f"{self.source}: dtype {data.get('dtype')!r} is not valid") from None
        if dtype.kind not in "fiub":
            raise ModelFormatError(f"{self.source}: dtype {dtype} is not one of numbers or bool")
        shape = data.get("shape")
        if shape is not None:
            for extent in self.expect(shape, list, "shape"):
                if extent is not None and not isinstance(extent, str):
                    self.expect(extent, int, "extent")
                    if extent < 0:
                        raise ModelFormatError(f"{self.source}: shape {shape} is negative")
        return Value(self.expect(data.get("name"), str, "name"), dtype, None if shape is None else tuple(shape))

    def node(self, data: Any, depth: int) -> Node:
        data = self.expect(data, dict, "node")
        op = self.expect(data.get("op"), str, "operator")
        names = [
            tuple(self.expect(n, str, "name") for n in self.expect(data.get(part), list, part))
            for part in ("inputs", "outputs")
        ]
        attrs = self.expect(data.get("attrs"), dict, "attributes")
        node = Node(
            op, names[0], names[1],
            {key: self.attr(value, depth) for key, value in attrs.items()}, self.expect(data.get("name"), str, "name"),
        )  # fmt: skip
        if not is_readable(op):
            self.unknown.add(op)
        elif unknown := set(attrs) - set(get_operator(op).attributes):
            raise ModelFormatError(f"{self.source}: {node.label()} has unknown attributes {sorted(unknown)}")
        return node

    def attr(self, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            return self.expect(value, (int, float, str, type(None)), "attribute")
        if len(value) == 1:
            ((kind, content),) = value.items()
            if kind == "graph":
                return self.graph(content, depth + 1)
            if kind == "tensor":
                return self.array(content)
            if kind == "tuple":
                return tuple(self.attr(v, depth) for v in self.expect(content, list, "attribute"))
            if kind == "float" and content in ("inf", "-inf", "nan"):
                return float(content)
        raise ModelFormatError(f"{self.source}: attribute {value!r:.60} is not valid; convert the model again")
