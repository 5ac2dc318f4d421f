"""`rnnrt check` and `rnnrt.check`: every reason at once, with where, what and what to do instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.container import write_container
from rnnrt.ir import Graph, Node, Value
from rnnrt.models.reasons import reason_of
from tests.cli.test_verbs import DATA, DIGITS, call

F32 = np.dtype("float32")
RNG = np.random.default_rng(0)


def save(path: Path, inputs: list[tuple[str, Any]], outputs: list[str], nodes: list[Node], **constants: Any) -> Path:
    """A container of a graph with float32 inputs."""
    graph = Graph(
        tuple(Value(name, F32, shape) for name, shape in inputs),
        tuple(Value(name, F32) for name in outputs),
        tuple(nodes),
        {name: np.asarray(a) for name, a in constants.items()},
    )
    write_container(path, graph)
    return path


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """An ONNX file with four things that rnnrt has not."""
    onnx = pytest.importorskip("onnx")
    h = onnx.helper
    nodes = [
        h.make_node("DynamicQuantizeLSTM", ["x"], ["a"], name="quant", domain="com.microsoft"),
        h.make_node("OptionalHasElement", ["x"], ["b"], name="listed"),
        h.make_node("NonMaxSuppression", ["x", "x"], ["c"], name="boxes"),
        h.make_node("Tanh", ["x"], ["d"], name="fine"),
        h.make_node("LSTM", ["x", "x", "x"], ["e"], name="cell", hidden_size=3, activations=["Swoosh", "Tanh", "Tanh"]),
    ]
    value = h.make_tensor_value_info
    graph = h.make_graph(
        nodes,
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1, 2, 3])],
        [value(name, onnx.TensorProto.FLOAT, None) for name in "acde"],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("com.microsoft", 1)])
    path = tmp_path / "refused.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_every_reason_is_listed_with_place_and_workaround(refused: Path) -> None:
    report = rnnrt.check(refused)
    assert not report.supported
    places = {reason.place: reason for reason in report.reasons}
    assert set(places) == {
        "DynamicQuantizeLSTM node 'quant'",
        "OptionalHasElement node 'listed'",
        "NonMaxSuppression node 'boxes'",
        "LSTM node 'cell'",
    }
    assert "domain 'com.microsoft'" in places["DynamicQuantizeLSTM node 'quant'"].what
    assert "stack a list" in places["OptionalHasElement node 'listed'"].workaround
    assert "extract_model" in places["NonMaxSuppression node 'boxes'"].workaround
    assert "Swoosh" in places["LSTM node 'cell'"].what
    assert all(reason.workaround for reason in report.reasons)


def test_check_exits_with_1_and_writes_nothing(refused: Path) -> None:
    before = {p: p.read_bytes() for p in refused.parent.iterdir()}
    output = call("check", refused, ok=False).output
    assert "not supported, for 4 reasons" in output
    for name in ("quant", "listed", "boxes", "cell"):
        assert f"node '{name}'" in output
    assert output.count("instead:") == 4
    found = json.loads(call("check", refused, "--json", ok=False).output)
    assert not found["supported"]
    assert len(found["reasons"]) == 4
    assert set(found["reasons"][0]) == {"place", "what", "workaround"}
    assert {p: p.read_bytes() for p in refused.parent.iterdir()} == before


def test_types_do_not_hide_nodes(tmp_path: Path) -> None:
    """Strings and complex numbers, in inputs, weights and attributes, are named with the operators behind them."""
    onnx = pytest.importorskip("onnx")
    h, kinds = onnx.helper, onnx.TensorProto
    text = h.make_tensor("words", kinds.STRING, [1], [b"a"])
    nodes = [
        h.make_node("GridSample", ["x", "x"], ["z"], name="bigger"),
        h.make_node("Constant", [], ["k"], name="text", value=text),
        h.make_node("Tanh", ["x"], ["y"]),
    ]
    value = h.make_tensor_value_info
    inputs = [value("x", kinds.FLOAT, [1, 2]), value("s", kinds.STRING, [1]), value("c", kinds.COMPLEX64, [1])]
    graph = h.make_graph(nodes, "g", inputs, [value("y", kinds.FLOAT, None)], [text])
    path = tmp_path / "m.onnx"
    path.write_bytes(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)]).SerializeToString())
    found = {str(reason) for reason in rnnrt.check(path).reasons}
    assert any(text.startswith("GridSample node 'bigger'") for text in found)
    for place, kind in (
        ("value 's'", "STRING"),
        ("value 'c'", "COMPLEX64"),
        ("m.onnx", "STRING"),
        ("Constant node 'text', attribute 'value'", "STRING"),
    ):
        assert any(text.startswith(place) and f"type {kind} is not" in text for text in found), place


def test_keras_layers_are_named_all(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    import zipfile

    source = DATA / "digits.keras"
    target = tmp_path / "changed.keras"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                layers = config["config"]["layers"]
                for k in (-1, -2):
                    layers[k] = {**layers[k], "class_name": f"Mine{-k}", "registered_name": f"Mine{-k}", "module": None}
                data = json.dumps(config).encode()
            new.writestr(name, data)
    report = rnnrt.check(target)
    assert not report.supported
    assert len(report.reasons) >= 2
    text = "\n".join(map(str, report.reasons))
    assert "Mine1" in text
    assert "Mine2" in text
    assert all("ONNX" in reason.workaround or reason.workaround for reason in report.reasons)


def test_a_supported_file(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    report = rnnrt.check(DIGITS)
    assert report.supported
    assert not report.reasons
    assert [(i.name, i.shape) for i in report.inputs] == [("rows", (None, 8, 8))]
    assert report.compiled["LSTM"] == report.operators["LSTM"] == 2
    assert not report.interpreted
    assert report.untrainable == ()
    assert report.unstreamable == ()
    output = call("check", DIGITS).output
    assert "can be trained" in output
    assert "can be streamed" in output
    assert json.loads(call("check", DIGITS, "--json").output)["compiled"]["LSTM"] == 2


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "cut.onnx"
    path.write_bytes(Path(DIGITS).read_bytes()[:5000])
    with pytest.raises(rnnrt.ModelFormatError):
        rnnrt.check(path)
    assert call("check", path, ok=False).output.startswith("Error: ")


def test_everything_that_mixes_time_is_named(tmp_path: Path) -> None:
    """A bidirectional LSTM, a Softmax along time, and a sum over it: three reasons, not one."""
    lstm = {"W": weights(2, 12, 4), "R": weights(2, 12, 3)}
    nodes = [
        Node("LSTM", ("x", "W", "R"), ("y", "", ""), {"hidden_size": 3, "direction": "bidirectional"}, "both"),
        Node("Softmax", ("x",), ("s",), {"axis": 0}, "along"),
        Node("ReduceSum", ("x", "axes"), ("t",), {"keepdims": 0}, "total"),
    ]
    shape = (None, 1, 4)
    path = save(tmp_path / "m.rnnrt", [("x", shape)], ["y", "s", "t"], nodes, **lstm, axes=np.array([0]))
    reasons = rnnrt.check(path).unstreamable
    assert [reason.place for reason in reasons] == [
        "LSTM node 'both'",
        "Softmax node 'along'",
        "ReduceSum node 'total'",
    ]
    assert "bidirectional" in reasons[0].what
    assert all("run the whole sequence" in reason.workaround for reason in reasons)
    assert "cannot be streamed" in call("check", path).output  # and yet the exit code is 0


def loop(kind: str, source: str, result: str) -> Node:
    body = Graph(
        (Value(f"{kind}_i", np.dtype("int64"), ()), Value(f"{kind}_c", np.dtype(bool), ()), Value(f"{kind}_v", F32)),
        (Value(f"{kind}_c2", np.dtype(bool)), Value(f"{kind}_w", F32)),
        (
            Node("Identity", (f"{kind}_c",), (f"{kind}_c2",)),
            Node("Add", (f"{kind}_v", "one"), (f"{kind}_w",)),
        ),
    )
    return Node("Loop", ("count", "", source), (result,), {"body": body}, kind)


def test_loops_are_interpreted_and_all_are_named_that_stop_gradients(tmp_path: Path) -> None:
    nodes = [
        Node("MatMul", ("x", "w"), ("a",), {}, "product"),
        loop("first", "a", "b"),
        loop("second", "a", "c"),
    ]
    constants = {"w": weights(4, 4), "count": np.array(3), "one": np.ones((2, 4), np.float32)}
    path = save(tmp_path / "m.rnnrt", [("x", (2, 4))], ["b", "c"], nodes, **constants)
    report = rnnrt.check(path)
    assert report.interpreted == {"Loop": 2}
    assert [reason.place for reason in report.untrainable] == ["Loop node 'first'", "Loop node 'second'"]
    output = call("check", path).output
    assert "interpreted: Loop 2" in output
    assert "cannot be trained" in output


def test_what_runs_as_numpy_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "m.rnnrt", [("x", (2, 4))], ["y"], [Node("Det", ("x",), ("y",))])
    assert not rnnrt.check(path).supported
    path = save(tmp_path / "n.rnnrt", [("x", (2, 4))], ["y"], [Node("Einsum", ("x",), ("y",), {"equation": "ij->ji"})])
    assert rnnrt.check(path).hosted == {"Einsum": 1}
    assert "by numpy references: Einsum" in call("check", path).output


def test_states_that_a_file_passes_on_are_told(tmp_path: Path) -> None:
    lstm = {"W": weights(1, 12, 4), "R": weights(1, 12, 3)}
    nodes = [Node("LSTM", ("x", "W", "R", "", "", "h", "c"), ("y", "hn", "cn"), {"hidden_size": 3})]
    inputs = [("x", (None, 2, 4)), ("c", (1, 2, 3)), ("h", (1, 2, 3))]
    path = save(tmp_path / "m.rnnrt", inputs, ["y", "cn", "hn"], nodes, **lstm)
    report = rnnrt.check(path)
    assert report.states == {"h": "hn", "c": "cn"}
    assert report.unstreamable == ()  # a stream feeds them


def test_lifted_lines_are_printed(tmp_path: Path) -> None:
    graph = Graph(
        (Value("x", F32, (2,)),),
        (Value("y", F32),),
        (Node("Neg", ("x",), ("y",)),),
        metadata={
            "lifted": json.dumps(["LSTM 3 -> 4 from Loop node 'l'"]),
            "not_lifted": json.dumps(["Loop node 'm': is odd"]),
            "format": "onnx",
        },
    )
    path = tmp_path / "m.rnnrt"
    write_container(path, graph)
    line = "lifted: LSTM 3 -> 4 from Loop node 'l'"
    for arguments in (["check", path], ["inspect", path], ["convert", path, "-o", tmp_path / "n.rnnrt"]):
        output = call(*arguments).output
        assert line in output, arguments
        assert "not lifted: Loop node 'm': is odd" in output
        assert "lifted [" not in output
        assert json.loads(call(*arguments, "--json").output)["lifted"] == ["LSTM 3 -> 4 from Loop node 'l'"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "LSTM node 'a; b: c': clip=3: is odd; leave it away",
            ("LSTM node 'a; b: c'", "clip=3: is odd", "leave it away"),
        ),
        ("Foo node 'x': operator Foo is not supported", ("Foo node 'x'", "operator Foo is not supported", "cut the")),
        (
            "opset 6: versions 7 to 22 can be read; convert it",
            ("opset 6", "versions 7 to 22 can be read", "convert it"),
        ),
        (
            "If node 'i', attribute 'then_branch': GRU node 'g': no; do",
            ("If node 'i', attribute 'then_branch'", "no", "do"),
        ),
        ("it is stored [a; b]; save it again", ("model", "it is stored [a; b]", "save it again")),
    ],
)
def test_reasons_are_taken_apart(text: str, parts: tuple[str, str, str]) -> None:
    reason = reason_of(text)
    assert reason.place.startswith(parts[0])
    assert reason.what == parts[1]
    assert reason.workaround.startswith(parts[2])
