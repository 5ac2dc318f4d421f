"""One network in the spelling of every opset that is read, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.onnx_graph import OLDEST_OPSET
from tests.conformance.onnx_files import Type, compare, drawn, model, node, onnx, outputs_of, value
from tests.support import assert_close

NEWEST = onnx.defs.onnx_opset_version()
OPSETS = range(OLDEST_OPSET, NEWEST + 1)
KNOWN_TO_PEER = 21
"""An opset that every onnxruntime in use can read."""
FEEDS = {"x": drawn(6, 3, 4), "h": drawn(1, 3, 5), "lens": np.array([6, 2, 4], np.int32)}


def spelled(opset: int, cell: str) -> Any:
    """A recurrent layer among operators whose attributes became inputs, or that changed their meaning."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[cell]
    arrays: dict[str, Any] = {
        "W": drawn(1, gates * 5, 8), "R": drawn(1, gates * 5, 5), "B": drawn(1, 2 * gates * 5),
        "scale": np.abs(drawn(4)) + 0.5, "shift": drawn(4), "mean": drawn(4), "var": np.abs(drawn(4)) + 0.5,
        "w": drawn(5, 7),
    }  # fmt: skip
    nodes: list[Any] = []

    def add(op: str, inputs: list[str], output: str, since: int = 0, **moved: Any) -> None:
        """A node whose attributes `moved` are inputs from opset `since` on."""
        if since and opset >= since:
            for key, given in moved.items():
                arrays[f"{output}.{key}"] = np.asarray(given, np.float32 if op == "Clip" else np.int64)
            nodes.append(node(op, [*inputs, *(f"{output}.{key}" for key in moved)], [output]))
        else:
            nodes.append(node(op, inputs, [output], **moved))

    nodes.append(node("Transpose", ["x"], ["moved"], perm=[1, 2, 0]))
    nodes.append(node("BatchNormalization", ["moved", "scale", "shift", "mean", "var"], ["normal"]))
    nodes.append(node("Transpose", ["normal"], ["steps"], perm=[2, 0, 1]))
    nodes.append(node("Softmax", ["steps"], ["soft"], axis=2))
    nodes.append(node("Concat", ["steps", "soft"], ["wide"], axis=2))
    add("Clip", ["wide"], "clipped", 11, min=-1.5, max=1.5)
    nodes.append(node("Dropout", ["clipped"], ["kept"]))
    outputs = ["Y", "Y_h", "Y_c"] if cell == "LSTM" else ["Y", "Y_h"]
    more = {"linear_before_reset": 1} if cell == "GRU" else {}
    nodes.append(node(cell, ["kept", "W", "R", "B", "lens", "h"], outputs, hidden_size=5, **more))
    add("Squeeze", ["Y"], "out", 13, axes=[1])
    add("Slice", ["out"], "late", 10, starts=[1], ends=[99], axes=[0])
    nodes.append(node("MatMul", ["late", "w"], ["logits"]))
    add("Unsqueeze", ["logits"], "apart", 13, axes=[0])
    add("ReduceSum", ["apart"], "summed", 13, axes=[0])
    add("ReduceMean", ["summed"], "averaged", 18, axes=[2])
    add("Pad", ["averaged"], "padded", 11, pads=[0, 1, 0, 0, 0, 0, 0, 2])
    nodes.append(node("LogSoftmax", ["summed"], ["y"], axis=3))
    inputs = [value("x", Type.FLOAT, ["T", "N", 4]), value("h", Type.FLOAT, [1, "N", 5]),
              value("lens", Type.INT32, ["N"])]  # fmt: skip
    results = [value(name, Type.FLOAT, None) for name in ("y", "padded", "Y_h")]
    return model(nodes, inputs, results, arrays, opset, ir=min(8, 3 + (opset >= 9) * 5))


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset(opset: int, cell: str, tmp_path: Path) -> None:
    proto = spelled(opset, cell)
    if opset <= KNOWN_TO_PEER:
        loaded = compare(proto, FEEDS, tmp_path)
        assert loaded.graph.metadata["opset"] == str(opset)
        return
    (tmp_path / "new.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "known.onnx").write_bytes(spelled(KNOWN_TO_PEER, cell).SerializeToString())
    for got, want in zip(
        rnnrt.load(tmp_path / "new.onnx").run(None, FEEDS), outputs_of(tmp_path / "known.onnx", FEEDS), strict=True
    ):
        assert_close(got, want)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [7, 11, 12, 13])
def test_softmax_over_several_axes(opset: int, op: str, axis: int, tmp_path: Path) -> None:
    proto = model(
        [node(op, ["x"], ["y"], axis=axis)], [value("x", Type.FLOAT, [None, 3, 4])],
        [value("y", Type.FLOAT, None)], opset=opset,
    )  # fmt: skip
    compare(proto, {"x": FEEDS["x"]}, tmp_path)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_what_the_version_converter_makes(cell: str, tmp_path: Path) -> None:
    """It does not manage every step; most it does. What it makes must give what the source gives."""
    source, done, path = spelled(9, cell), [], tmp_path / "model.onnx"
    path.write_bytes(source.SerializeToString())
    expected = outputs_of(path, FEEDS)
    for opset in OPSETS:
        try:
            proto = onnx.version_converter.convert_version(source, opset)
        except RuntimeError:
            continue
        path.write_bytes(proto.SerializeToString())
        for got, want in zip(rnnrt.load(path).run(None, FEEDS), expected, strict=True):
            assert_close(got, want, what=f"opset {opset}")
        done.append(opset)
    assert len(done) > 8
