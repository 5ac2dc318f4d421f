"""ONNX files to the IR. Everything in the file is understood, or named in one error with every other reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats.onnx_tensors import PACKED, dtype_of, tensor_to_array, type_name
from rnnrt.formats.onnx_upgrade import RawNode, upgrade
from rnnrt.ir import Dim, Graph, Node, Shape, Value
from rnnrt.ops import REQUIRED, get_operator, is_readable, operator_names

OLDEST_OPSET = 7
_ONNX_DOMAINS = ("", "ai.onnx")
_BORROWED = {("com.microsoft", "Gelu")}
"""Operators of other domains that mean what ONNX's own of that name means."""
_AUTOMATIC_DIMS = ("?", "unk__", "unknown")
_MAX_DEPTH = 64
_MAX_UNFOLDED = 100_000
"""Nodes of functions; functions that call functions can grow without end."""


def read_onnx(path: str | os.PathLike[str]) -> Graph:
    """The graph of an .onnx file.

    Parameters
    ----------
    path : path-like
        External data is read from the file's folder.

    Raises
    ------
    ModelFormatError
        The file is no ONNX model, or is truncated or inconsistent.
    UnsupportedModelError
        It holds operators, attributes or types that rnnrt does not know; every one is named.
    RnnrtError
        The onnx package is not installed.
    """
    onnx = _onnx()
    from google.protobuf.message import DecodeError

    file = Path(path)
    data = file.read_bytes()
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelFormatError(
            f"{file}: is not an ONNX model, or is truncated ({error}); download or export it again"
        ) from None
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelFormatError(f"{file}: is not an ONNX model: it has no graph or no opset; export it again")
    return graph_from_proto(proto, file.name, file.parent)


def graph_from_proto(proto: Any, source: str = "model", folder: Path | None = None) -> Graph:
    """The graph of an onnx.ModelProto; `source` names it in messages, external data is read below `folder`."""
    return _Reader(proto, source, folder or Path()).read()


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise RnnrtError('reading .onnx files needs the onnx package: pip install "rnnrt[convert]"') from None
    return onnx


class _Reader:
    """Reads one model. Names become unique over all its graphs, as the IR wants them."""

    def __init__(self, proto: Any, source: str, folder: Path) -> None:
        self.onnx = _onnx()
        self.proto, self.source, self.folder = proto, source, folder
        self.reasons: list[str] = []
        self.unfolded = 0
        self.copies: dict[str, int] = {}
        self.used: set[str] = set()
        self.packed: dict[str, str] = {}
        self.functions = {(f.domain, f.name): f for f in proto.functions}
        self.opsets = {("" if o.domain in _ONNX_DOMAINS else o.domain): int(o.version) for o in proto.opset_import}

    def read(self) -> Graph:
        version = self.opsets.get("", OLDEST_OPSET)
        newest = self.onnx.defs.onnx_opset_version()
        if not OLDEST_OPSET <= version <= newest:
            self.reasons.append(
                f"opset {version}: versions {OLDEST_OPSET} to {newest} can be read; "
                + (
                    "convert it with onnx.version_converter"
                    if version < OLDEST_OPSET
                    else "install a newer onnx package"
                )
            )
        try:
            graph = _GraphReader(self, {}, self.opsets, self.source).read(self.proto.graph)
        except UnsupportedModelError as error:
            raise UnsupportedModelError(self.source, [*self.reasons, *error.reasons]) from None
        if self.reasons:
            raise UnsupportedModelError(self.source, list(dict.fromkeys(self.reasons)))
        metadata = {p.key: p.value for p in self.proto.metadata_props} | {
            "format": "onnx",
            "opset": str(version),
            "producer": f"{self.proto.producer_name} {self.proto.producer_version}".strip(),
        }
        return graph.replace(metadata={key: value for key, value in metadata.items() if value})

    def unique(self, name: str) -> str:
        """`name`, or a variation of it where it is taken; marks it as taken."""
        found, k = name, self.copies.get(name, 0)
        while found in self.used:
            k += 1
            found = f"{name}__{k}"
        self.copies[name] = k
        self.used.add(found)
        return found


class _GraphReader:
    """Reads one graph or body; `scope` maps the file's names of the enclosing graphs to the IR's."""

    def __init__(
        self, model: _Reader, scope: Mapping[str, str], opsets: Mapping[str, int], place: str, depth: int = 0
    ) -> None:
        if depth > _MAX_DEPTH:
            raise ModelFormatError(f"{model.source}: graphs are nested more than {_MAX_DEPTH} deep")
        self.model, self.scope, self.opsets, self.place, self.depth = model, dict(scope), opsets, place, depth
        self.own: set[str] = set()
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.current = RawNode("", [], [])

    def read(self, proto: Any) -> Graph:
        for tensor in proto.initializer:
            if not tensor.name:
                raise ModelFormatError(f"{self.place}: an initializer has no name")
            self.tensor(tensor, self.define(tensor.name), self.place)
        for sparse in proto.sparse_initializer:
            self.note(f"sparse initializer {sparse.values.name!r} is not supported; store it as a dense tensor")
            self.define(sparse.values.name)
        defaults = {t.name for t in proto.initializer}
        inputs = [self.value(v, self.define(v.name)) for v in proto.input if v.name not in defaults]
        for node in self.in_order(proto.node):
            self.read_node(node)
        outputs = [self.value(v, self.lookup(v.name, f"output {v.name!r}"), output=True) for v in proto.output]
        return Graph(tuple(inputs), tuple(outputs), tuple(self.nodes), self.constants, proto.name or "model")

    def in_order(self, nodes: Sequence[Any]) -> Iterator[Any]:
        """Nodes, each after those that make what it reads."""
        made = {name for node in nodes for name in node.output if name}
        waiting = list(nodes)
        ready = set(self.scope)
        while waiting:
            later = []
            for node in waiting:
                if all(name in ready or name not in made for name in _reads(node)):
                    yield node
                    ready.update(node.output)
                else:
                    later.append(node)
            if len(later) == len(waiting):
                names = ", ".join(repr(n.name or n.op_type) for n in later[:5])
                raise ModelFormatError(f"{self.place}: nodes {names} read each other's results in a circle")
            waiting = later

    def tensor(self, proto: Any, name: str, where: str) -> None:
        """Make a tensor a constant of this IR name."""
        self.constants[name] = tensor_to_array(proto, self.model.folder, where, packed=True)
        if proto.data_type in PACKED:
            self.model.packed[name] = type_name(proto.data_type)

    def define(self, name: str) -> str:
        """A new name of this graph; returns its name in the IR."""
        if name in self.own:
            raise ModelFormatError(f"{self.place}: {name!r} is defined twice; names must be unique")
        self.own.add(name)
        self.scope[name] = self.model.unique(name)
        return self.scope[name]

    def lookup(self, name: str, reader: str) -> str:
        if not name:
            return ""
        if name not in self.scope:
            raise ModelFormatError(f"{self.place}: {reader} reads {name!r}, which nothing defines")
        return self.scope[name]

    def note(self, reason: str) -> None:
        self.model.reasons.append(reason if self.place == self.model.source else f"{self.place}: {reason}")

    def value(self, info: Any, name: str, output: bool = False) -> Value:
        """The declared type of an input or output."""
        kind = info.type.WhichOneof("value")
        if kind is None and (output or self.depth):
            return Value(name, np.dtype(np.float32))
        if kind != "tensor_type":
            self.note(f"{info.name!r} is of type {kind}; only tensors are supported")
            return Value(name, np.dtype(np.float32))
        tensor = info.type.tensor_type
        if tensor.elem_type == 0:
            return Value(name, np.dtype(np.float32))
        shape: Shape | None = None
        if tensor.HasField("shape"):
            shape = tuple(_dim(d) for d in tensor.shape.dim)
        return Value(name, dtype_of(tensor.elem_type, f"{info.name!r}"), shape)

    def read_node(self, proto: Any) -> None:
        label = f"{proto.op_type} node {(proto.name or next(iter(proto.output), '?'))!r}"
        if not proto.op_type:
            raise ModelFormatError(f"{self.place}: node {proto.name!r} has no operator")
        domain = "" if proto.domain in _ONNX_DOMAINS else proto.domain
        function = self.model.functions.get((proto.domain, proto.op_type))
        inputs = [self.lookup(name, label) for name in proto.input]
        if function is not None:
            self.inline(function, proto, inputs, label)
            return
        outputs = [self.define(name) if name else "" for name in proto.output]
        raw = RawNode(proto.op_type, inputs, outputs, name=proto.name)
        if domain and (domain, proto.op_type) not in _BORROWED:
            self.note(f"{label}: domain {domain!r} is not supported; export with ONNX's own operators")
            return
        if not domain and "" not in self.opsets:
            raise ModelFormatError(f"{self.place}: the model does not say which opset of ONNX it uses")
        for name in inputs:
            if name in self.model.packed and raw.op != "DequantizeLinear":
                kind = self.model.packed[name]
                self.note(f"{label}: reads {name!r}, whose element type {kind} only DequantizeLinear may read")
        if raw.op == "Constant" and [a.name for a in proto.attribute] == ["value"]:
            self.tensor(proto.attribute[0].t, outputs[0], f"{label}, attribute 'value'")
            return
        for attribute in proto.attribute:
            raw.attrs[attribute.name] = self.attribute(attribute, label)
        self.current = raw
        upgrade(raw, self.opsets.get(domain, OLDEST_OPSET), self)

    def attribute(self, proto: Any, label: str) -> Any:
        """An attribute's value in the IR's types."""
        kinds = self.model.onnx.AttributeProto
        where = f"{label}, attribute {proto.name!r}"
        if proto.type == kinds.GRAPH:
            return _GraphReader(self.model, self.scope, self.opsets, where, self.depth + 1).read(proto.g)
        if proto.type == kinds.TENSOR:
            return tensor_to_array(proto.t, self.model.folder, where)
        if proto.type == kinds.FLOAT:
            return float(proto.f)
        if proto.type == kinds.INT:
            return int(proto.i)
        if proto.type == kinds.STRING:
            return proto.s.decode("utf-8", "replace")
        if proto.type == kinds.FLOATS:
            return tuple(float(v) for v in proto.floats)
        if proto.type == kinds.INTS:
            return tuple(int(v) for v in proto.ints)
        if proto.type == kinds.STRINGS:
            return tuple(v.decode("utf-8", "replace") for v in proto.strings)
        self.note(f"{where} has type {kinds.AttributeType.Name(proto.type)}, which is not supported")
        return 0

    def inline(self, function: Any, call: Any, inputs: list[str], label: str) -> None:
        """Put a function's nodes in the place of its call."""
        inner_scope = dict(zip(function.input, inputs, strict=False))
        inner_scope.update(dict.fromkeys(function.input[len(inputs) :], ""))
        opsets = {("" if o.domain in _ONNX_DOMAINS else o.domain): int(o.version) for o in function.opset_import}
        body = _GraphReader(self.model, inner_scope, {**self.opsets, **opsets}, f"{label}", self.depth + 1)
        given = {a.name: a for a in call.attribute}
        given = {**{a.name: a for a in function.attribute_proto}, **given}
        self.model.unfolded += len(function.node)
        if self.model.unfolded > _MAX_UNFOLDED:
            raise ModelFormatError(f"{self.model.source}: its functions unfold to more than {_MAX_UNFOLDED} nodes")
        for item in function.node:
            node = self.model.onnx.NodeProto()
            node.CopyFrom(item)
            del node.attribute[:]
            for attribute in item.attribute:
                if not attribute.ref_attr_name:
                    node.attribute.append(attribute)
                elif attribute.ref_attr_name in given:
                    node.attribute.append(given[attribute.ref_attr_name])
                    node.attribute[-1].name = attribute.name
            body.read_node(node)
        self.nodes += body.nodes
        self.constants.update(body.constants)
        for name, inner in zip(call.output, function.output, strict=False):
            if name:
                self.nodes.append(Node("Identity", (body.lookup(inner, label),), (self.define(name),), {}, call.name))

    # What upgrade rules call.

    def emit(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> None:
        raw = self.current
        label = f"{raw.op} node {(raw.name or next((o for o in outputs if o), '?'))!r}"
        inputs, outputs = _trim(inputs), _trim(outputs)
        if op == "Constant":
            self.constants[outputs[0]] = attrs["value"]
            return
        if not is_readable(op):
            close = [name for name in operator_names() if name.lower() == op.lower()]
            self.note(f"{label}: operator {op} is not supported" + (f"; {close[0]} is" if close else ""))
            return
        operator = get_operator(op)
        for key, value in attrs.items():
            if key not in operator.attributes:
                self.note(f"{label}: attribute {key}={_short(value)} is not known; export the model without it")
        for key, default in operator.attributes.items():
            if default is REQUIRED and key not in attrs:
                self.note(f"{label}: attribute {key} is missing")
        most = operator.max_inputs
        if len(inputs) < operator.min_inputs or (most is not None and len(inputs) > most):
            self.note(f"{label}: has {len(inputs)} inputs; it takes {operator.min_inputs} to {most or 'any number'}")
        self.nodes.append(Node(op, tuple(inputs), tuple(outputs), attrs, raw.name))

    def constant(self, array: np.ndarray, hint: str) -> str:
        name = self.model.unique(hint)
        self.constants[name] = np.asarray(array)
        return name

    def fresh(self, hint: str) -> str:
        return self.model.unique(hint)

    def value_of(self, name: str) -> np.ndarray | None:
        return self.constants.get(name)

    def refuse(self, reason: str) -> None:
        raw = self.current
        self.note(f"{raw.op} node {(raw.name or next((o for o in raw.outputs if o), '?'))!r}: {reason}")


def _reads(node: Any) -> Iterator[str]:
    """Names that a node or its bodies read, bodies' own names included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.HasField("g") else []:
            inner = {name for item in body.node for name in item.output} | {v.name for v in body.input}
            inner |= {t.name for t in body.initializer}
            for item in body.node:
                yield from (name for name in _reads(item) if name not in inner)
            yield from (v.name for v in body.output if v.name not in inner)


def _dim(proto: Any) -> Dim:
    if proto.HasField("dim_value"):
        return int(proto.dim_value) if proto.dim_value >= 0 else None
    name = proto.dim_param
    return None if not name or name.startswith(_AUTOMATIC_DIMS) else name


def _trim(names: Sequence[str]) -> list[str]:
    """Without missing optional names at the end."""
    trimmed = list(names)
    while trimmed and not trimmed[-1]:
        trimmed.pop()
    return trimmed


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
