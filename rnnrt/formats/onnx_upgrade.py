"""Older spellings of ONNX operators rewritten to the IR's one form.

A rule gets the node and the opset version that governs it, and emits the nodes that take its place. An operator
without a rule has had its present form since opset 7, or is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rnnrt.formats.onnx_compose import COMPOSED, dequantize, dft, half_types, refuse
from rnnrt.formats.onnx_recurrent import expand_activations
from rnnrt.formats.onnx_resize import resize
from rnnrt.formats.onnx_sequence_rules import SEQUENCES
from rnnrt.formats.onnx_sequences import Sequence_

_HALF_TYPES = (10, 16)
_FLOAT = 1


@dataclass
class RawNode:
    """A node as read, names already those of the IR."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def input(self, index: int) -> str:
        """Input `index`, or the empty name."""
        return self.inputs[index] if index < len(self.inputs) else ""


class Emitter(Protocol):
    """Where rules put what they make.

    `sequences` holds what is known of the values that are sequences of tensors.
    """

    sequences: dict[str, Sequence_]

    @property
    def has_refused(self) -> bool:
        """Whether anything in the model has been refused so far."""
        ...

    def emit(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> None:
        """Add a node."""

    def constant(self, array: np.ndarray, hint: str) -> str:
        """Add a constant; returns its name."""

    def fresh(self, hint: str) -> str:
        """A name that is not in use."""

    def value_of(self, name: str) -> np.ndarray | None:
        """The array behind a name when it is a constant, or a small integer that follows from constants."""

    def rank_of(self, name: str) -> int | None:
        """How many axes a value has, as far as that is known."""

    def extent_of(self, name: str, axis: int) -> int | None:
        """How long an axis of a value is, as far as that is known."""

    def refuse(self, reason: str) -> None:
        """Note why the node cannot be read; all reasons come in one error."""


Rule = Callable[[RawNode, int, Emitter], None]


def _keep(node: RawNode, to: Emitter) -> None:
    to.emit(node.op, node.inputs, node.outputs, **node.attrs)


def _move(node: RawNode, key: str, to: Emitter, dtype: Any = np.int64) -> str:
    """Make an attribute a constant; the empty name when it is absent."""
    if key not in node.attrs:
        return ""
    return to.constant(np.asarray(node.attrs.pop(key), dtype), f"{node.name or node.outputs[0]}.{key}")


def _axes_input(since: int) -> Rule:
    """`axes` was an attribute before opset `since`."""

    def rule(node: RawNode, opset: int, to: Emitter) -> None:
        if opset < since and "axes" in node.attrs:
            node.inputs = [node.inputs[0], _move(node, "axes", to)]
        _keep(node, to)

    return rule


def _split(node: RawNode, opset: int, to: Emitter) -> None:
    if opset < 13 and "split" in node.attrs:
        node.inputs = [node.inputs[0], _move(node, "split", to)]
    _keep(node, to)


def _clip(node: RawNode, opset: int, to: Emitter) -> None:
    if opset < 11:
        bounds = [_move(node, key, to, np.float32) for key in ("min", "max")]
        node.inputs = [node.inputs[0], *bounds]
    _keep(node, to)


def _slice(node: RawNode, opset: int, to: Emitter) -> None:
    if opset < 10:
        node.inputs = [node.inputs[0], *(_move(node, key, to) for key in ("starts", "ends", "axes"))]
    _keep(node, to)


def _pad(node: RawNode, opset: int, to: Emitter) -> None:
    if opset < 11:
        pads = _move(node, "pads" if "pads" in node.attrs else "paddings", to)
        value = node.attrs.pop("value", 0.0)
        node.inputs = [
            node.inputs[0],
            pads,
            to.constant(np.array(value, np.float32), f"{node.outputs[0]}.value") if value else "",
        ]
    _keep(node, to)


def _topk(node: RawNode, opset: int, to: Emitter) -> None:
    if opset < 10:
        node.inputs = [node.inputs[0], to.constant(np.array([node.attrs.pop("k")], np.int64), f"{node.outputs[0]}.k")]
    _keep(node, to)


def _softmax(node: RawNode, opset: int, to: Emitter) -> None:
    """Before opset 13 the axes from `axis` on were flattened into one."""
    if opset >= 13:
        _keep(node, to)
        return
    axis = node.attrs.get("axis", 1)
    if axis == -1:
        _keep(node, to)
        return
    flat, soft, shape = (to.fresh(f"{node.outputs[0]}.{part}") for part in ("flat", "soft", "shape"))
    to.emit("Flatten", [node.inputs[0]], [flat], axis=axis)
    to.emit(node.op, [flat], [soft], axis=-1)
    to.emit("Shape", [node.inputs[0]], [shape])
    to.emit("Reshape", [soft, shape], node.outputs)


def _dropout(node: RawNode, opset: int, to: Emitter) -> None:
    """At inference the input itself; the mask, where asked for, is all true."""
    training = node.input(2)
    if training:
        value = to.value_of(training)
        if value is None or bool(np.any(value)):
            to.refuse("training_mode is set or computed; export the model for inference")
    to.emit("Identity", [node.inputs[0]], node.outputs[:1])
    if len(node.outputs) > 1 and node.outputs[1]:
        shape = to.fresh(f"{node.outputs[1]}.shape")
        to.emit("Shape", [node.inputs[0]], [shape])
        to.emit("ConstantOfShape", [shape], [node.outputs[1]], value=np.ones(1, np.bool_))


def _batch_norm(node: RawNode, opset: int, to: Emitter) -> None:
    if node.attrs.pop("spatial", 1) != 1:
        to.refuse("attribute spatial=0 (statistics for each position) is not supported; export with opset 9 or newer")
    if node.attrs.get("training_mode", 0) or any(node.outputs[1:]):
        to.refuse("it computes batch statistics (training); export the model for inference")
    node.attrs.pop("training_mode", None)
    node.outputs = node.outputs[:1]
    _keep(node, to)


def _cast(node: RawNode, opset: int, to: Emitter) -> None:
    for key in ("saturate", "round_mode"):
        node.attrs.pop(key, None)
    if node.attrs.get("to") in _HALF_TYPES:
        node.attrs["to"] = _FLOAT
    _keep(node, to)


def _constant(node: RawNode, opset: int, to: Emitter) -> None:
    forms = {
        "value": None, "value_float": np.float32, "value_floats": np.float32,
        "value_int": np.int64, "value_ints": np.int64,
    }  # fmt: skip
    found = [key for key in node.attrs if key in forms]
    if len(found) != 1 or len(node.attrs) != 1:
        to.refuse(f"attributes {sorted(node.attrs)}: a constant needs one of {sorted(forms)}")
        return
    array = np.asarray(node.attrs[found[0]], forms[found[0]])
    to.emit("Constant", [], node.outputs, value=array)


def _recurrent(node: RawNode, opset: int, to: Emitter) -> None:
    node.attrs, reasons = expand_activations(node.op, node.attrs)
    node.attrs.pop("output_sequence", None)
    for reason in reasons:
        to.refuse(reason)
    _keep(node, to)


def _scatter(node: RawNode, opset: int, to: Emitter) -> None:
    node.op = "ScatterElements"
    _keep(node, to)


def _max_pool(node: RawNode, opset: int, to: Emitter) -> None:
    if node.attrs.pop("storage_order", 0) and any(node.outputs[1:]):
        to.refuse("attribute storage_order=1 with an Indices output is not supported; use storage_order=0")
    _keep(node, to)


def _scan(node: RawNode, opset: int, to: Emitter) -> None:
    if opset < 9:
        to.refuse("Scan of opset 8 (with a batch axis) is not supported; export with opset 9 or newer")
    _keep(node, to)


def _cast_like(node: RawNode, opset: int, to: Emitter) -> None:
    node.attrs.pop("saturate", None)
    _keep(node, to)


_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
_REDUCTIONS = ("Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")

RULES: dict[str, Rule] = {
    "Squeeze": _axes_input(13),
    "Unsqueeze": _axes_input(13),
    "ReduceSum": _axes_input(13),
    **{f"Reduce{kind}": _axes_input(18) for kind in _REDUCTIONS},
    "Split": _split,
    "Clip": _clip,
    "Slice": _slice,
    "Pad": _pad,
    "TopK": _topk,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Dropout": _dropout,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Constant": _constant,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Scatter": _scatter,
    "MaxPool": _max_pool,
    "Resize": resize,
    "Upsample": resize,
    "Scan": _scan,
    "QuantizeLinear": half_types("output_dtype", "precision"),
    "DequantizeLinear": dequantize,
    "DFT": dft,
    **dict.fromkeys(
        ("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix"), half_types("output_datatype")
    ),
    **dict.fromkeys(_RANDOM, refuse("draws random numbers, which no two runtimes share; feed them as an input")),
    **COMPOSED,
    **SEQUENCES,
}


def upgrade(node: RawNode, opset: int, to: Emitter) -> None:
    """Emit the node in the IR's form."""
    rule = RULES.get(node.op)
    if rule is None:
        _keep(node, to)
    else:
        rule(node, opset, to)
