"""ONNX files that are damaged or malicious: each ends in a `RnnrtError` that says what, where, and what to do."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import ModelFormatError, RnnrtError, ShapeError, UnsupportedModelError

onnx = pytest.importorskip("onnx")
helper, numpy_helper, FLOAT = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT
node = helper.make_node
Arrays = dict[str, Any]


def model(*nodes: Any, constants: Arrays | None = None, opset: int = 17, shape: Any = (None, 4), **more: Any) -> Any:
    """x (None, 4) in, y out, with constants by name."""
    initializers = [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()]
    inputs, outputs = ([helper.make_tensor_value_info(name, FLOAT, dims)] for name, dims in (("x", shape), ("y", None)))
    graph = helper.make_graph(list(nodes), "graph", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **more)


def run(proto: Any, folder: Path) -> Any:
    path = folder / "model.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    loaded = rnnrt.load(path)
    return loaded(np.ones([d or 2 for d in loaded.inputs[0].shape or ()], np.float32))


def test_a_sound_model_is_none_of_these(tmp_path: Path) -> None:
    proto = model(node("MatMul", ["x", "w"], ["y"]), constants={"w": np.ones((4, 3), np.float32)})
    np.testing.assert_array_equal(run(proto, tmp_path), np.full((2, 3), 4, np.float32))


LSTM = {"w": np.ones((1, 12, 4), np.float32), "r": np.ones((1, 12, 3), np.float32)}
STEPS = (5, 1, 4)


@pytest.mark.parametrize(
    ("proto", "kind", "match"),
    [
        (model(node("Frobnicate", ["x"], ["y"])), UnsupportedModelError, "Frobnicate node 'y'"),
        (model(node("Python", ["x"], ["y"], call="f")), UnsupportedModelError, "operator Python is not supported"),
        (model(node("Relu", ["x"], ["y"], slope=2.0)), UnsupportedModelError, "Relu node 'y': attribute slope=2.0"),
        (model(node("Foo", ["x"], ["z"]), node("Bar", ["z"], ["y"])), UnsupportedModelError, "(?s)Foo.*Bar"),
        (model(node("Relu", ["x"], ["y"], domain="com.else")), UnsupportedModelError, "domain 'com.else'"),
        (model(node("Concat", ["x", "x"], ["y"])), UnsupportedModelError, "attribute axis is missing"),
        (model(node("Concat", ["x", "x"], ["y"], axis="one")), UnsupportedModelError, "axis='one'"),
        (model(node("Relu", ["x"], ["y"]), opset=99), UnsupportedModelError, "opset 99.*install a newer onnx"),
        (model(node("Relu", ["x"], ["y"]), opset=1), UnsupportedModelError, "opset 1.*version_converter"),
        (model(node("CastLike", ["", "x"], ["y"])), UnsupportedModelError, "CastLike node 'y': its input 0 is missing"),
        (model(node("Relu", ["q"], ["y"])), ModelFormatError, "reads 'q', which nothing defines"),
        (model(node("Relu", ["x"], ["z"])), ModelFormatError, "'y', which nothing defines"),
        (model(node("Add", ["x", "y"], ["z"]), node("Relu", ["z"], ["y"])), ModelFormatError, "in a circle"),
        (model(node("Relu", ["x"], ["y"]), node("Relu", ["x"], ["y"])), ModelFormatError, "'y' is defined twice"),
        (model(node("Concat", ["x", "x"], ["y"], axis=7)), ShapeError, "axis 7 is out of range"),
        (model(node("Gather", ["x", "i"], ["y"], axis=1), constants={"i": [9]}), RnnrtError, "Gather node 'y'.*range"),
        (model(node("ScatterND", ["x", "i", "u"], ["y"]), constants={"i": [[9]], "u": np.ones((1, 4), np.float32)}),
         RnnrtError, "ScatterND node .y.: an index is out of range"),
        (model(node("ConstantOfShape", ["s"], ["y"]), constants={"s": [-4]}), ShapeError, "not a shape"),
        (model(node("Cast", ["s"], ["i"], to=7), node("Reshape", ["x", "i"], ["y"]), constants={"s": [np.nan, 4.0]}),
         ShapeError, "Reshape node 'y'.*not a shape"),
        (model(node("Cast", ["x"], ["i"], to=7), node("OneHot", ["i", "d", "v"], ["y"]),
               constants={"d": -5, "v": [0.0, 1.0]}), ShapeError, "OneHot node 'y': the depth is -5"),
        (model(node("LSTM", ["x", "w", "r"], ["y"], hidden_size=-3), constants=LSTM, shape=STEPS), ShapeError, "LSTM"),
        (model(node("LSTM", ["x", "w", "r"], ["y"], hidden_size=3, direction="sideways"), constants=LSTM, shape=STEPS),
         UnsupportedModelError, "direction='sideways'"),
        (model(node("LSTM", ["x", "w", "r", "", "l"], ["y"], hidden_size=3),
               constants={**LSTM, "l": np.array([99], np.int32)}, shape=STEPS), RnnrtError, "LSTM node 'y'"),
    ],
)  # fmt: skip
def test_refused(proto: Any, kind: type[RnnrtError], match: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=match):
        run(proto, tmp_path)


@pytest.mark.parametrize(
    "bad", [node("Concat", ["x", "x"], ["y"], axis="one"), node("Concat", ["x", "x"], ["y"], axis=7)]
)
def test_what_checking_the_graph_finds_names_the_file(bad: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model(bad).SerializeToString())
    with pytest.raises(RnnrtError, match=r"model\.onnx.*(?s:.*)Concat node 'y'"):
        rnnrt.load(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "proto",
    [
        model(node("ConstantOfShape", ["s"], ["y"]), constants={"s": [1 << 50]}),
        model(node("Tile", ["x", "s"], ["y"]), constants={"s": [1 << 50, 1]}),
        model(node("Pad", ["x", "s"], ["y"]), constants={"s": [0, 1 << 50, 0, 0]}),
        model(node("Range", ["a", "b", "c"], ["y"]), constants={"a": 0, "b": 1 << 50, "c": 1}),
        model(node("ConstantOfShape", ["s"], ["y"]), constants={"s": [1 << 32, 1 << 32]}),  # 2**64: 0 in 64 bits
        model(node("Expand", ["x", "s"], ["y"]), constants={"s": [1 << 62, 1, 4]}),
        model(node("Relu", ["x"], ["y"]), shape=(None, 1 << 61)),
    ],
)
def test_results_that_no_memory_holds(proto: Any, tmp_path: Path) -> None:
    with pytest.raises(RnnrtError, match=r"(?s)node 'y'.*more memory than there is"):
        run(proto, tmp_path)


@pytest.mark.parametrize(
    "proto",
    [
        model(node("ConstantOfShape", ["s"], ["y"]), constants={"s": [1 << 40]}),
        model(node("Tile", ["x", "s"], ["y"]), constants={"s": [1 << 38, 1]}),
        model(node("ConstantOfShape", ["s"], ["z"]), node("ReduceSum", ["z"], ["y"]), constants={"s": [1 << 40]}),
    ],
)
def test_results_that_this_memory_does_not_hold_are_named_with_their_size(proto: Any, tmp_path: Path) -> None:
    with pytest.raises(RnnrtError, match=r"node '[yz]'.*\d+ bytes.*more memory than there is"):
        run(proto, tmp_path)


def body_of(*nodes: Any) -> Any:
    """The body of a Loop that always goes on, with nodes that make `b` of the carried `a`."""
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [node("Identity", ["on"], ["still"]), *nodes],
        "body",
        [value("k", onnx.TensorProto.INT64, []), value("on", onnx.TensorProto.BOOL, []), value("a", FLOAT, None)],
        [value("still", onnx.TensorProto.BOOL, []), value("b", FLOAT, None)],
    )


@pytest.mark.parametrize(("trips", "match"), [("", "never ends"), ("n", "9223372036854775807 steps")])
def test_a_loop_without_end(trips: str, match: str, tmp_path: Path) -> None:
    body = body_of(node("Identity", ["a"], ["b"]))
    proto = model(node("Loop", [trips, "", "x"], ["y"], body=body), constants={"n": np.array((1 << 63) - 1)})
    with pytest.raises(ModelFormatError, match=f"Loop node '[yb]': .*{match}"):
        run(proto, tmp_path)


@pytest.mark.parametrize("condition", [[True], None])
def test_a_branch_with_inputs(condition: Any, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    branch = helper.make_graph([node("Relu", ["a"], ["b"])], "branch", [value("a", FLOAT, None)], [value("b", 1, None)])
    choose = node("If", ["c" if condition else "d"], ["y"], then_branch=branch, else_branch=branch)
    truth = [node("ReduceMax", ["x"], ["m"], keepdims=0), node("Greater", ["m", "zero"], ["d"])]
    proto = model(*truth, choose, constants={"c": [True], "zero": np.float32(0)})
    with pytest.raises(UnsupportedModelError, match="If node 'y': then_branch takes 1 inputs; branches take none"):
        run(proto, tmp_path)


def test_a_long_loop_can_be_interrupted(tmp_path: Path) -> None:
    body = body_of(node("Identity", ["a"], ["b"]))
    proto = model(node("Loop", ["n", "", "x"], ["y"], body=body), constants={"n": np.array(1 << 30)})
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    loaded = rnnrt.load(tmp_path / "model.onnx")
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            loaded(np.ones((2, 4), np.float32))
    finally:
        signal.signal(signal.SIGINT, before)


def test_loops_in_loops_that_grow(tmp_path: Path) -> None:
    nodes = [node("Concat", ["a", "a"], ["b"], axis=1)]
    for _ in range(20):
        nodes = [node("Loop", ["n", "", "x"], ["b"], body=body_of(*nodes))]  # each infers the next one anew
    with pytest.raises(ModelFormatError, match="loops nested in loops"):
        run(model(node("Loop", ["n", "", "x"], ["y"], body=body_of(*nodes)), constants={"n": np.array(1)}), tmp_path)


def function(name: str, *nodes: Any) -> Any:
    return helper.make_function("own", name, ["a"], ["b"], list(nodes), [helper.make_opsetid("", 17)])


def call(name: str, source: str, result: str) -> Any:
    return node(name, [source], [result], domain="own")


def test_functions_that_unfold_without_end(tmp_path: Path) -> None:
    itself = function("F", call("F", "a", "b"))
    with pytest.raises(ModelFormatError, match="nested more than"):
        run(model(call("F", "x", "y"), functions=[itself]), tmp_path)
    doubling = [function(f"F{k}", call(f"F{k + 1}", "a", "t"), call(f"F{k + 1}", "t", "b")) for k in range(30)]
    with pytest.raises(ModelFormatError, match="functions unfold to more than"):
        run(model(call("F0", "x", "y"), functions=[*doubling, function("F30", node("Relu", ["a"], ["b"]))]), tmp_path)


def external(**entries: str) -> Any:
    proto = model(node("MatMul", ["x", "w"], ["y"]), constants={"w": np.ones((4, 4), np.float32)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return proto


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"location": "absent.bin"}, "'absent.bin' cannot be read"),
        ({"location": "/etc/hostname"}, "outside the model's folder"),
        ({"location": "../data.bin"}, "outside the model's folder"),
        ({}, "outside the model's folder"),
        ({"location": "link.bin"}, "outside the model's folder"),
        ({"location": "a\0b"}, "no valid name"),
        ({"location": "short.bin"}, "ends early: 3 of 64"),
        ({"location": "short.bin", "offset": "9" * 30}, "ends early: 0 of 64"),
        ({"location": "short.bin", "offset": "-5"}, "64 bytes at -5"),
        ({"location": "short.bin", "length": "7"}, "of 7 bytes"),
        ({"location": "short.bin", "length": "many"}, "no number"),
        ({"location": "pointer.bin"}, "git lfs pull"),
        ({"location": "folder"}, "folder, pipe or device"),
        ({"location": "pipe"}, "folder, pipe or device"),
    ],
)
def test_external_data(entries: dict[str, str], match: str, tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(b"abc")
    (tmp_path / "pointer.bin").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 64\n"
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.bin").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFormatError, match=match) as caught:
        run(external(**entries), tmp_path)
    assert "model.onnx: tensor 'w'" in str(caught.value)


def test_pipes_and_devices_are_no_models(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", Path("/dev/zero")):
        with pytest.raises(ModelFormatError, match="pipe, socket or device"):
            rnnrt.load(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dims": [1 << 40, 4]}, "needs 17592186044416"),
        ({"dims": [-4, 4]}, "is negative"),
        ({"raw_data": bytes(61)}, "holds 61 bytes"),
        ({"data_type": 77}, "number 77"),
        ({"data_type": 8}, "STRING"),
    ],
)
def test_tensors(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    proto = model(node("MatMul", ["x", "w"], ["y"]), constants={"w": np.ones((4, 4), np.float32)})
    tensor = proto.graph.initializer[0]
    if "dims" in change:
        tensor.dims[:] = change.pop("dims")
    for key, value in change.items():
        setattr(tensor, key, value)
    with pytest.raises(RnnrtError, match=match):
        run(proto, tmp_path)


def test_bytes_that_are_no_model(tmp_path: Path) -> None:
    whole = model(node("MatMul", ["x", "w"], ["y"]), constants={"w": np.ones((4, 4), np.float32)}).SerializeToString()
    for data in (whole[:-30], bytes(1000), b"\x08", np.random.default_rng(3).bytes(500)):
        with pytest.raises(ModelFormatError, match=r"model\.onnx: is not an ONNX model"):
            run(data, tmp_path)
