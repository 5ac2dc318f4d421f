"""The IR to ONNX files that any runtime reads; onnx is imported where it is used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnnrt.errors import RnnrtError, UnsupportedModelError
from rnnrt.formats.files import replacing
from rnnrt.formats.onnx_recurrent import compact_activations
from rnnrt.formats.onnx_standard import to_standard
from rnnrt.formats.onnx_types import Specs, infer_types
from rnnrt.ir import IR_OPSET, Graph, Node, Value
from rnnrt.ops import get_operator
from rnnrt.ops.recurrent import Recurrent

EXTERNAL_BYTES = 1_900_000_000
"""Models with more bytes of weights than this keep them in a second file: protobuf ends at 2 GB."""

_INLINE_BYTES = 1024
_OF_THE_SOURCE = {"format", "opset"}
"""What a graph's metadata says about the file that it came from, and is not so of the one that is written."""

_ALIGNMENT = 4096
"""Where arrays begin in the second file, so that readers can map them."""


def write_onnx(
    path: str | os.PathLike[str],
    graph: Graph,
    *,
    opset: int = IR_OPSET,
    producer_name: str = "rnnrt",
    producer_version: str = "",
    external_bytes: int = EXTERNAL_BYTES,
) -> None:
    """Write a graph as an .onnx file in ONNX's own operators; the file appears whole or not at all.

    Recurrent nodes stay LSTM, GRU and RNN nodes. Masks become sequence_lens over the steps that count, with the
    outputs put back in their places; batch-first nodes get Transposes. `graph.metadata` goes to metadata_props. ONNX
    keeps attributes in single precision, so those of a float64 network, such as an activation's alpha, are rounded.

    Parameters
    ----------
    path : path-like
        Weights of more than `external_bytes` in all go to a file beside it, named like it with ".data" behind.
    graph : Graph
    opset : int
        The version of ONNX's operators. Another than the IR's can be had where all operators of the graph mean the
        same there.
    producer_name, producer_version : str
        What the file says about who wrote it.
    external_bytes : int

    Raises
    ------
    UnsupportedModelError
        Something cannot be said in ONNX, or not in this opset; every reason is listed.
    RnnrtError
        The onnx package is not installed.
    OSError
        The file cannot be written; what was there before is left as it was.
    """
    standard = to_standard(graph)
    writer = _Writer(_onnx(), opset, infer_types(standard))
    if reasons := writer.misfits(standard):
        raise UnsupportedModelError(Path(path).name, reasons, "written as ONNX")
    total = sum(np.asarray(a).nbytes for g in (standard, *standard.subgraphs()) for a in g.constants.values())
    model = writer.model(standard, producer_name, producer_version)
    if total <= external_bytes:
        with replacing(path) as stream:
            stream.write(model.SerializeToString())
        return
    data = Path(os.path.realpath(path)).with_name(Path(path).name + ".data")
    with replacing(data) as beside:
        writer.move_out(model.graph, data.name, beside)
    with replacing(path) as stream:
        stream.write(model.SerializeToString())


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise RnnrtError('writing .onnx files needs the onnx package: pip install "rnnrt[convert]"') from None
    return onnx


class _Writer:
    """Makes the protobuf of one model."""

    def __init__(self, onnx: Any, opset: int, types: Specs) -> None:
        self.onnx, self.helper, self.opset, self.types = onnx, onnx.helper, opset, types

    def misfits(self, graph: Graph) -> list[str]:
        """Why nodes cannot be said in this opset."""
        newest = self.onnx.defs.onnx_opset_version()
        if not 1 <= self.opset <= newest:
            return [f"opset={self.opset}: this onnx package knows 1 to {newest}; the IR speaks {IR_OPSET}"]
        nodes = [n for g in (graph, *graph.subgraphs()) for n in g.nodes]
        return [f"{node.label()}: {reason}" for node in nodes for reason in self._misfits_of(node)]

    def _misfits_of(self, node: Node) -> list[str]:
        if not self.onnx.defs.has(node.op):
            return ["the operator is rnnrt's own; ONNX has none like it: save the network as .rnnrt"]
        ours = self.onnx.defs.get_schema(node.op, IR_OPSET)
        attrs, reasons = self._attributes(node)
        unknown = sorted(set(attrs) - set(ours.attributes))
        if unknown:
            reasons.append(f"ONNX has no attributes {unknown} here: save the network as .rnnrt")
        try:
            theirs = self.onnx.defs.get_schema(node.op, self.opset)
        except self.onnx.defs.SchemaError:
            return [*reasons, f"opset {self.opset} has no such operator; write opset {IR_OPSET}"]
        if not _mean_the_same(ours, theirs):
            reasons.append(f"means another thing in opset {self.opset}; write opset {IR_OPSET}")
        return reasons

    def model(self, graph: Graph, producer_name: str, producer_version: str) -> Any:
        opsets = [self.helper.make_opsetid("", self.opset)]
        model = self.helper.make_model(
            self.graph(graph, main=True),
            opset_imports=opsets,
            ir_version=self.helper.find_min_ir_version_for(opsets),
            producer_name=producer_name,
            producer_version=producer_version,
        )
        kept = {str(k): str(v) for k, v in graph.metadata.items() if k not in _OF_THE_SOURCE}
        self.helper.set_model_props(model, kept)
        return model

    def graph(self, graph: Graph, main: bool = False) -> Any:
        nodes = [self.node(node) for node in graph.nodes]
        return self.helper.make_graph(
            nodes,
            graph.name or "model",
            [self.value(v, main) for v in graph.inputs],
            [self.value(v, main, output=True) for v in graph.outputs],
            [self.tensor(a, name) for name, a in graph.constants.items()],
        )

    def value(self, value: Value, main: bool, output: bool = False) -> Any:
        """A graph's input or output. In bodies and for outputs the dtype that was inferred is surer than the declared.

        An output's shape is inferred where none is declared, for checkers ask for one; in bodies they do not.
        """
        dtype, shape = value.dtype, value.shape
        found = self.types.get(value.name)
        if found is not None and (output or not main):
            dtype = found.dtype
            shape = found.shape if shape is None and main else shape
        code = self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.helper.make_tensor_value_info(value.name, code, shape)

    def tensor(self, array: np.ndarray, name: str) -> Any:
        """The numbers as raw bytes, least significant byte first."""
        array = np.asarray(array)
        tensor = self.onnx.TensorProto(name=name, dims=array.shape)
        tensor.data_type = self.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return tensor

    def node(self, node: Node) -> Any:
        schema = self.onnx.defs.get_schema(node.op, self.opset)
        inputs = [*node.inputs, *[""] * (schema.min_input - len(node.inputs))]  # Loop's may be absent
        made = self.helper.make_node(node.op, inputs, node.outputs, name=node.name or None)
        for key, value in self._attributes(node)[0].items():
            made.attribute.append(self.attribute(key, value, schema.attributes[key].type))
        return made

    def _attributes(self, node: Node) -> tuple[dict[str, Any], list[str]]:
        """Attributes that say something, those at their default left out, and what they say that ONNX cannot."""
        operator = get_operator(node.op)
        attrs = {key: v for key, v in node.attrs.items() if not _same(v, operator.attributes.get(key))}
        if node.op == "Mod" and not attrs.get("fmod") and self._is_float(node.inputs[0]):
            return attrs, ["ONNX's Mod of floats has the sign of the dividend (fmod=1); write x - y * floor(x / y)"]
        if not issubclass(operator, Recurrent):
            return attrs, []
        found = self.types.get(node.inputs[2])
        if "hidden_size" not in attrs and found is not None and found.shape is not None:
            attrs["hidden_size"] = found.shape[-1]  # onnxruntime asks for it
        return compact_activations(node.op, attrs)

    def _is_float(self, name: str) -> bool:
        return name in self.types and self.types[name].dtype.kind == "f"

    def attribute(self, key: str, value: Any, kind: Any) -> Any:
        """An attribute of the type that ONNX declares, whatever Python's type of the value is."""
        kinds = self.onnx.defs.OpSchema.AttrType
        if isinstance(value, Graph):
            value = self.graph(value)
        elif isinstance(value, np.ndarray) and kind == kinds.TENSOR:
            value = self.tensor(value, "")
        elif kind in (kinds.FLOAT, kinds.INT):
            value = float(value) if kind == kinds.FLOAT else int(value)
        elif kind in (kinds.FLOATS, kinds.INTS):
            value = [float(v) if kind == kinds.FLOATS else int(v) for v in value]
        elif kind == kinds.STRINGS:
            value = list(value)
        return self.helper.make_attribute(key, value, attr_type=int(kind))

    def move_out(self, graph: Any, name: str, stream: BinaryIO) -> None:
        """Move the weights of a graph's protobuf, and of its bodies, to the stream of a file called `name`."""
        for tensor in _initializers(graph):
            if len(tensor.raw_data) < _INLINE_BYTES:  # readers want small ones, shapes for instance, at hand
                continue
            stream.write(bytes(-stream.tell() % _ALIGNMENT))
            entries = {"location": name, "offset": str(stream.tell()), "length": str(len(tensor.raw_data))}
            stream.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = self.onnx.TensorProto.EXTERNAL
            for key, text in entries.items():
                tensor.external_data.add(key=key, value=text)


def _initializers(graph: Any) -> Iterable[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _initializers(attribute.g)


def _same(value: Any, default: Any) -> bool:
    """Whether an attribute has its default, which the IR and ONNX share."""
    if isinstance(value, Graph):
        return False
    if isinstance(value, np.ndarray) or isinstance(default, np.ndarray):
        a, b = np.asarray(value), np.asarray(default)
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(value, list | tuple):
        return isinstance(default, tuple) and tuple(value) == default
    return bool(value == default)


def _mean_the_same(ours: Any, theirs: Any) -> bool:
    """Whether two definitions of an operator differ in the types they take, at most."""
    if ours.since_version == theirs.since_version:
        return True

    def facts(schema: Any) -> tuple[Any, ...]:
        def parameters(items: Iterable[Any]) -> list[Any]:
            return [(p.name, p.option, p.is_homogeneous) for p in items]

        attributes: Mapping[str, Any] = schema.attributes
        kept = sorted((k, a.required, str(a.type), a.default_value.SerializeToString()) for k, a in attributes.items())
        return schema.doc, kept, parameters(schema.inputs), parameters(schema.outputs)

    return facts(ours) == facts(theirs)
