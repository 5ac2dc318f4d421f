"""ONNX files as exporters write them, made here, and the comparison with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from tests.support import assert_close

onnx = pytest.importorskip("onnx")
helper, Type = onnx.helper, onnx.TensorProto
node, value = helper.make_node, helper.make_tensor_value_info

HIDDEN = 64
RATES = {16000: 64, 8000: 32}
"""Samples that the network below takes at once, by sampling rate: a multiple of what its first layer spans."""


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * 0.4).astype(np.float32)


def tensors(arrays: Mapping[str, Any]) -> list[Any]:
    return [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()]


def model(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], arrays: Mapping[str, Any] | None = None,
    opset: int | Mapping[str, int] = 17, ir: int = 8, **more: Any,
) -> Any:  # fmt: skip
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), tensors(arrays or {}))
    versions = {"": opset} if isinstance(opset, int) else opset
    imports = [helper.make_opsetid(*item) for item in versions.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir, **more)


def outputs_of(path: Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What onnxruntime gives."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def compare(proto: Any, feeds: Mapping[str, np.ndarray], folder: Path, rtol: float = 2e-5, **given: Any) -> rnnrt.Model:
    """Load `proto` with `given`, and hold every output against onnxruntime; both take `feeds`."""
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    loaded = rnnrt.load(path, **given)
    own = {name: x for name, x in feeds.items() if name not in given.get("constants", {})}
    results = loaded.run(None, own)
    expected = outputs_of(path, feeds)
    assert [o.name for o in loaded.outputs] == [o.name for o in proto.graph.output]
    for info, got, want in zip(loaded.outputs, results, expected, strict=True):
        assert got.dtype == want.dtype == info.dtype, info.name
        assert_close(got.astype(np.float64), want.astype(np.float64), rtol, info.name)
    return loaded


def detector() -> Any:
    """A voice detector with the structure of silero-vad's exports: a branch a sampling rate, each with an LSTM.

    Both branches keep their weights under the same names, read the output layer's from outside, and hold branches
    of their own whose conditions are computed from shapes; of these, the two sides have different ranks.
    """
    rate = node("Equal", ["sr", "rate"], ["is_16k"])
    choice = node("If", ["is_16k"], ["p", "next"], then_branch=_rate(64, 1), else_branch=_rate(32, 2), name="rates")
    return model(
        [rate, choice],
        [value("x", Type.FLOAT, ["batch", "samples"]), value("sr", Type.INT64, []),
         value("state", Type.FLOAT, [2, "batch", HIDDEN])],
        [value("p", Type.FLOAT, ["batch", 1]), value("next", Type.FLOAT, [2, "batch", HIDDEN])],
        {"rate": np.array(16000), "out_w": drawn(HIDDEN, 1), "out_b": drawn(1)},
        opset=16,
    )  # fmt: skip


def _rate(span: int, seed: int) -> Any:
    arrays = {
        "kernel": drawn(8, 1, span, seed=seed), "W": drawn(1, 4 * HIDDEN, 8, seed=seed),
        "R": drawn(1, 4 * HIDDEN, HIDDEN, seed=seed) / 4, "B": drawn(1, 8 * HIDDEN, seed=seed),
        "one": np.array([1]), "zero": np.array([0]), "two": np.array([2]), "three": np.array(3, np.int32),
        "last": np.array(-1),
    }  # fmt: skip
    nodes = [
        node("Unsqueeze", ["x", "one"], ["channel"]),
        node("Conv", ["channel", "kernel"], ["framed"], strides=[span // 2]),
        node("Relu", ["framed"], ["features"]),
        node("Transpose", ["features"], ["steps"], perm=[2, 0, 1]),
        node("Slice", ["state", "zero", "one"], ["h"]),
        node("Slice", ["state", "one", "two"], ["c"]),
        node("LSTM", ["steps", "W", "R", "B", "", "h", "c"], ["Y", "h_last", "c_last"], hidden_size=HIDDEN),
        # Is the axis of directions one? The exporter asks at run time before it squeezes.
        node("Shape", ["Y"], ["Y_shape"]),
        node("Gather", ["Y_shape", "one"], ["directions"], axis=0),
        node("Equal", ["directions", "one"], ["single"]),
        node("If", ["single"], ["hidden"], then_branch=_side("Squeeze", ["Y", "one"], "squeezed"),
             else_branch=_side("Identity", ["Y"], "whole")),
        # How many axes are left? The sum of the ones among them says; with three the last step is taken.
        node("Shape", ["hidden"], ["left"]),
        node("Greater", ["left", "zero"], ["there"]),
        node("Cast", ["there"], ["there_int"], to=Type.INT32),
        node("ReduceSum", ["there_int"], ["axes_left"], keepdims=0),
        node("Equal", ["axes_left", "three"], ["is_3"]),
        node("Not", ["is_3"], ["is_other"]),
        node("Cast", ["is_other"], ["other_int"], to=Type.INT32),
        node("Cast", ["other_int"], ["other"], to=Type.BOOL),
        node("If", ["other"], ["step"], then_branch=_side("Identity", ["hidden"], "as_is"),
             else_branch=_side("Gather", ["hidden", "last"], "taken", axis=0)),
        node("MatMul", ["step", "out_w"], ["product"]),
        node("Add", ["product", "out_b"], ["logit"]),
        node("Sigmoid", ["logit"], ["p_here"]),
        node("Concat", ["h_last", "c_last"], ["next_here"], axis=0),
    ]  # fmt: skip
    results = [value(name, Type.FLOAT, None) for name in ("p_here", "next_here")]
    return helper.make_graph(nodes, f"span {span}", [], results, tensors(arrays))


def _side(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    body = [node(op, list(inputs), [output], **attributes)]
    return helper.make_graph(body, output, [], [value(output, Type.FLOAT, None)])
