"""One graph of an ONNX model, or the body of a node or a function, to the IR."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.formats.onnx_loops import loop_with_sequences
from rnnrt.formats.onnx_order import in_order
from rnnrt.formats.onnx_scope import OLDEST_OPSET, ModelScope, domain_name, opset_versions
from rnnrt.formats.onnx_sequence_rules import SEQUENCES
from rnnrt.formats.onnx_sequences import Grown, Sequence_
from rnnrt.formats.onnx_tensors import PACKED, declared_rank, declared_value, tensor_to_array, type_name
from rnnrt.formats.onnx_types import learn
from rnnrt.formats.onnx_upgrade import RawNode, upgrade
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import REQUIRED, TensorSpec, get_operator, is_readable, operator_names

_BORROWED = {("com.microsoft", "Gelu")}
"""Operators of other domains that mean what ONNX's own of that name means."""
_MAX_DEPTH = 64
_MAX_UNFOLDED = 100_000
"""Nodes of functions; functions that call functions can grow without end."""


class GraphReader:
    """Reads one graph or body.

    Parameters
    ----------
    model : ModelScope
    scope : mapping of str to str
        The file's names of the enclosing graphs to the IR's.
    opsets : mapping of str to int
    place : str
        How messages name the graph.
    depth : int
    given : mapping of str to object
        Values of the attributes that the nodes of a function's body refer to.
    around : GraphReader, optional
        The reader of the enclosing graph.
    """

    def __init__(
        self,
        model: ModelScope,
        scope: Mapping[str, str],
        opsets: Mapping[str, int],
        place: str,
        depth: int = 0,
        given: Mapping[str, Any] | None = None,
        around: GraphReader | None = None,
    ) -> None:
        if depth > _MAX_DEPTH:
            raise ModelFormatError(f"{model.source}: graphs are nested more than {_MAX_DEPTH} deep")
        self.model, self.scope, self.opsets, self.place, self.depth = model, dict(scope), opsets, place, depth
        self.given: Mapping[str, Any] = given or {}
        self.own: set[str] = set()
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.current = RawNode("", [], [])
        self.around = around
        self.sequences = model.sequences
        self.collected: dict[int, Sequence_] = {}
        self.infos: dict[str, Any] = {}
        self._learned = 0

    def read(self, proto: Any, sequences: Collection[int] = ()) -> Graph:
        """The graph of an onnx.GraphProto.

        The inputs at the positions in `sequences` are those that a loop carries; they are no inputs of the graph.
        Outputs that are sequences are no outputs of it either, and stand in `collected` by their position.
        """
        self.infos = {v.name: v for v in (*proto.value_info, *proto.output)}
        for tensor in proto.initializer:
            if not tensor.name:
                raise ModelFormatError(f"{self.place}: an initializer has no name")
            self.tensor(tensor, self.define(tensor.name), self.place)
        for sparse in proto.sparse_initializer:
            self.note(f"sparse initializer {sparse.values.name!r} is not supported; store it as a dense tensor")
            self.define(sparse.values.name)
        defaults = {t.name for t in proto.initializer}
        inputs = []
        for k, info in enumerate(proto.input):
            if k in sequences:
                name = self.define(info.name)
                self.sequences[name] = (Grown(name),)
            elif info.name not in defaults:
                inputs.append(self.value(info, self.define(info.name)))
                if inputs[-1].shape is not None:
                    self.model.specs[inputs[-1].name] = TensorSpec(inputs[-1].dtype, inputs[-1].shape)
        for node in in_order(proto.node, self.scope, self.place):
            self.read_node(node)
        outputs = []
        for k, info in enumerate(proto.output):
            name = self.lookup(info.name, f"output {info.name!r}")
            if name not in self.sequences and k + 1 in sequences:
                outputs.append(Value(name, np.dtype(np.float32)))  # no sequence: for the loop to refuse
            elif name not in self.sequences:
                outputs.append(self.value(info, name, output=True))
            elif sequences:
                self.collected[k] = self.sequences[name]
            else:
                self.note(f"{info.name!r} is of type sequence_type; only tensors are supported")
        return Graph(tuple(inputs), tuple(outputs), tuple(self.nodes), self.constants, proto.name or "model")

    def tensor(self, proto: Any, name: str, where: str) -> None:
        """Make a tensor a constant of this IR name; where rnnrt has no such type, note that instead."""
        try:
            self.hold(name, tensor_to_array(proto, self.model.folder, where, packed=True))
        except UnsupportedModelError as error:
            self.model.reasons += error.reasons
        if proto.data_type in PACKED:
            self.model.packed[name] = type_name(proto.data_type)

    def hold(self, name: str, array: np.ndarray) -> None:
        """Make an array a constant of this IR name."""
        self.constants[name] = array
        self.model.specs[name] = TensorSpec(array.dtype, array.shape, array)

    def define(self, name: str) -> str:
        """A new name of this graph; returns its name in the IR."""
        if name in self.own:
            raise ModelFormatError(f"{self.place}: {name!r} is defined twice; names must be unique")
        self.own.add(name)
        self.scope[name] = self.model.unique(name)
        rank = declared_rank(self.infos[name]) if name in self.infos else None
        if rank is not None:
            self.model.ranks[self.scope[name]] = rank
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
        return declared_value(info, name, self.note, optional=output or bool(self.depth))

    def read_node(self, proto: Any) -> None:
        label = f"{proto.op_type} node {(proto.name or next(iter(proto.output), '?'))!r}"
        if not proto.op_type:
            raise ModelFormatError(f"{self.place}: node {proto.name!r} has no operator")
        domain = domain_name(proto.domain)
        function = self.model.functions.get((domain, proto.op_type, getattr(proto, "overload", "")))
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
        if raw.op == "Constant" and [a.name for a in proto.attribute if a.HasField("t")] == ["value"]:
            self.tensor(proto.attribute[0].t, outputs[0], f"{label}, attribute 'value'")
            return
        self.current = raw
        if any(name in self.sequences for name in inputs) and self.reads_sequences(raw, proto):
            return
        raw.attrs.update(self.attributes(proto.attribute, label))
        self.current = raw
        upgrade(raw, self.opsets.get(domain, OLDEST_OPSET), self)

    def reads_sequences(self, raw: RawNode, proto: Any) -> bool:
        """Deal with a node that reads sequences and is no operator of theirs; False where it is one, or unknown."""
        if raw.op == "Loop":
            loop_with_sequences(raw, proto, self)
        elif raw.op == "Identity":
            self.sequences[raw.outputs[0]] = self.sequences[raw.inputs[0]]
        elif raw.op in SEQUENCES or not is_readable(raw.op):
            return False
        else:
            name = next(name for name in raw.inputs if name in self.sequences)
            self.refuse(f"reads {name!r}, which is a sequence; only tensors are supported")
        return True

    def body(self, where: str) -> GraphReader:
        """A reader for the body of a node."""
        return GraphReader(self.model, self.scope, self.opsets, where, self.depth + 1, self.given, self)

    def attributes(self, protos: Any, label: str) -> dict[str, Any]:
        """Values by name; an attribute that refers to one which the function's caller left out is left out too."""
        found = {}
        for proto in protos:
            if not proto.ref_attr_name:
                found[proto.name] = self.attribute(proto, label)
            elif proto.ref_attr_name in self.given:
                found[proto.name] = self.given[proto.ref_attr_name]
        return found

    def attribute(self, proto: Any, label: str) -> Any:
        """An attribute's value in the IR's types."""
        kinds = self.model.kinds
        where = f"{label}, attribute {proto.name!r}"
        if proto.type == kinds.GRAPH:
            return self.body(where).read(proto.g)
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
        given = {**self.attributes(function.attribute_proto, label), **self.attributes(call.attribute, label)}
        opsets = {**self.opsets, **opset_versions(function.opset_import)}
        body = GraphReader(self.model, inner_scope, opsets, label, self.depth + 1, given, self)
        self.model.unfolded += len(function.node)
        if self.model.unfolded > _MAX_UNFOLDED:
            raise ModelFormatError(f"{self.model.source}: its functions unfold to more than {_MAX_UNFOLDED} nodes")
        for node in in_order(function.node, body.scope, label):
            body.read_node(node)
        self.nodes += body.nodes
        self.constants.update(body.constants)
        for name, inner in zip(call.output, function.output, strict=False):
            found = body.lookup(inner, label)
            if name and found in self.sequences:
                self.sequences[self.define(name)] = self.sequences[found]
            elif name:
                self.nodes.append(Node("Identity", (found,), (self.define(name),), {}, call.name))

    # What upgrade rules call.

    def emit(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> None:
        raw, label = self.current, self.label(outputs)
        inputs, outputs = _trim(inputs), _trim(outputs)
        if op == "Constant":
            self.hold(outputs[0], attrs["value"])
            return
        if not is_readable(op):
            close = [name for name in operator_names() if name.lower() == op.lower()]
            hint = f"; {close[0]} is" if close else ""
            if any(word in op for word in ("Quant", "QLinear", "Integer")):
                hint = "; use the model from before it was quantised"
            self.note(f"{label}: operator {op} is not supported{hint}")
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
        self.hold(name, np.asarray(array))
        return name

    def fresh(self, hint: str) -> str:
        return self.model.unique(hint)

    def spec_of(self, name: str) -> TensorSpec | None:
        """What is known of a value; nothing is inferred before the first question."""
        if name not in self.model.specs:
            self._learn()
        return self.model.specs.get(name)

    def _learn(self) -> None:
        if self.around is not None:
            self.around._learn()
        for node in self.nodes[self._learned :]:
            learn(node, self.model.specs)
        self._learned = len(self.nodes)

    def value_of(self, name: str) -> np.ndarray | None:
        spec = self.spec_of(name)
        return None if spec is None else spec.value

    def rank_of(self, name: str) -> int | None:
        spec = self.spec_of(name)
        return self.model.ranks.get(name) if spec is None or spec.shape is None else len(spec.shape)

    def extent_of(self, name: str, axis: int) -> int | None:
        spec = self.spec_of(name)
        shape = () if spec is None or spec.shape is None else spec.shape
        extent = shape[axis] if -len(shape) <= axis < len(shape) else None
        return extent if isinstance(extent, int) else None

    @property
    def has_refused(self) -> bool:
        return bool(self.model.reasons)

    def refuse(self, reason: str) -> None:
        self.note(f"{self.label(self.current.outputs)}: {reason}")

    def label(self, outputs: Sequence[str]) -> str:
        """How messages name the node that is being read."""
        return f"{self.current.op} node {(self.current.name or next((o for o in outputs if o), '?'))!r}"


def _trim(names: Sequence[str]) -> list[str]:
    """Without missing optional names at the end."""
    trimmed = list(names)
    while trimmed and not trimmed[-1]:
        trimmed.pop()
    return trimmed


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
