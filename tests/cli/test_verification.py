"""What `rnnrt convert` compares before it writes: that faults are found, named, and keep it from writing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.container import read_container, read_vectors, write_container
from rnnrt.ir import Graph, Node, Value
from rnnrt.models import Model
from rnnrt.models.comparing import LOOSEST, beyond, largest_difference
from rnnrt.models.diverging import Divergence
from rnnrt.models.made_up import drawn_inputs
from rnnrt.models.stepping import by_steps
from rnnrt.models.verifying import verify
from rnnrt.ops import KernelCall, get_operator
from rnnrt.plan import PackCache
from rnnrt.runtime import Stream
from tests.cli.test_verbs import DIGITS, call, figures
from tests.support import shared_dir

F32 = np.dtype("float32")


def weights(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) / 2).astype(dtype)


def network(dtype: np.dtype = F32) -> Graph:
    """Batch-first LSTM of 4 units over 3 features, a Tanh, and a product."""
    constants = {"W": weights(1, 16, 3, dtype=dtype), "R": weights(1, 16, 4, dtype=dtype)}
    nodes = (
        Node("Transpose", ("x",), ("xt",), {"perm": (1, 0, 2)}, "turn"),
        Node("LSTM", ("xt", "W", "R"), ("y4", "", ""), {"hidden_size": 4}, "memory"),
        Node("Squeeze", ("y4", "one"), ("y3",), {}, "squeeze"),
        Node("Tanh", ("y3",), ("t",), {}, "bend"),
        Node("MatMul", ("t", "V"), ("v",), {}, "head"),
        Node("Transpose", ("v",), ("y",), {"perm": (1, 0, 2)}, "back"),
    )
    constants |= {"one": np.array([1]), "V": weights(4, 2, dtype=dtype)}
    return Graph((Value("x", dtype, ("batch", None, 3)),), (Value("y", dtype),), nodes, constants)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_container(tmp_path / "source.rnnrt", network())
    return tmp_path / "source.rnnrt"


def test_lengths_and_batches_are_many() -> None:
    found = verify(Model.from_graph(network()))
    assert found.passed
    shapes = {x["x"].shape[:2] for x in found.calls}
    assert {batch for batch, _ in shapes} == {1, 2, 3, 17}
    assert {1, 3, 7, 17, 35} <= {steps for _, steps in shapes}
    assert found.ways() == ["whole", "step by step"]
    assert all(0 <= c.difference < 2e-6 for c in found.comparisons)


def test_a_wrong_kernel_is_named_and_nothing_is_written(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = source.with_name("target.rnnrt")
    target.write_bytes(b"what was there before")
    right = get_operator("Tanh").lower

    def wrong(*arguments: Any) -> list[KernelCall]:
        (one,) = right(*arguments)
        return [KernelCall("unary", one.inputs, ints=(one.ints[0] - 1, *one.ints[1:]), floats=one.floats)]

    monkeypatch.setattr(get_operator("Tanh"), "lower", wrong)
    output = call("convert", source, "-o", target, ok=False).output
    assert "first diverging node: Tanh node 'bend', output 't'" in output
    assert "its inputs agree" in output
    assert "(3, 3, 4) -> (3, 3, 4)" in output
    assert f"{target} was not written" in output.replace("\n", "")
    assert target.read_bytes() == b"what was there before"
    report = call("convert", source, "-o", source.with_name("new.rnnrt"), "--json", ok=False).stdout
    divergence = json.loads(report)["verification"]["divergence"]
    assert divergence["node"] == "Tanh node 'bend'"
    assert divergence["inputs_agree"] is True
    assert json.loads(report)["written"] is False
    assert sorted(p.name for p in source.parent.iterdir()) == ["source.rnnrt", "target.rnnrt"]


def test_wrong_weights_of_a_plan_are_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PackCache.get

    def wrong(self: PackCache, array: np.ndarray, layout: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        def changed() -> np.ndarray:
            packed = np.array(make())
            if array.shape == (1, 16, 4):
                packed.reshape(-1)[:16] += np.float32(0.1)
            return packed

        return right(self, array, layout, changed)

    monkeypatch.setattr(PackCache, "get", wrong)
    found = verify(rnnrt.load(source))
    assert isinstance(found.divergence, Divergence)
    assert found.divergence.node == "LSTM node 'memory'"
    assert found.divergence.inputs_agree
    assert found.divergence.input_shapes == ((3, 3, 3), (1, 16, 3), (1, 16, 4))


def test_steps_that_forget_are_found(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetting(right: Any) -> Any:
        def forgets(self: Stream, x: Any) -> Any:
            self.reset()
            return right(self, x)

        return forgets

    for name in ("step", "run"):
        monkeypatch.setattr(Stream, name, forgetting(getattr(Stream, name)))
    output = call("convert", source, "-o", source.with_name("t.rnnrt"), ok=False).output
    assert "step by step" in output
    assert "do not go on from the states before" in output
    assert not source.with_name("t.rnnrt").exists()


def test_a_wrong_recognition_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recognised is compared with the loop that the file holds, not with itself."""
    pytest.importorskip("onnx")
    file = shared_dir("exports", "keras3") / "seed_gru.tf2onnx.onnx"
    loading = sys.modules["rnnrt.models.loading"]
    right = loading.recognise

    def wrong(graph: Graph) -> Graph:
        found = right(graph)
        second = [node for node in found.nodes if node.op == "GRU"][1]
        changed = found.constants[second.inputs[1]] * np.float32(1.5)
        return found.replace(constants={**found.constants, second.inputs[1]: changed})

    assert verify(rnnrt.load(file), original=loading.as_read(file)).passed
    monkeypatch.setattr(loading, "recognise", wrong)
    output = call("convert", file, "-o", tmp_path / "m.rnnrt", ok=False).output
    assert "first diverging node: GRU node" in output
    assert "its inputs agree" in output
    assert not (tmp_path / "m.rnnrt").exists()


def test_float64_is_held_to_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of 1e-8 passes in float32 and not in float64."""
    right = Model.run

    def wrong(self: Model, *arguments: Any) -> list[np.ndarray]:
        return [y + y.dtype.type(1e-8) for y in right(self, *arguments)]

    models = {dtype: Model.from_graph(network(np.dtype(dtype))) for dtype in ("float32", "float64")}
    assert all(verify(model, cases=[(2, 3)]).passed for model in models.values())
    monkeypatch.setattr(Model, "run", wrong)
    assert verify(models["float32"], cases=[(2, 3)]).passed
    assert not verify(models["float64"], cases=[(2, 3)]).passed


def test_what_rounding_enlarges_is_allowed_and_no_more() -> None:
    exact = np.array([1.0])
    rough, good, bad = (np.array([1 + d], np.float32) for d in (1e-4, 7e-4, 2e-3))
    for got, passes in ((good, True), (bad, False), (rough, True)):
        difference, allowed = beyond(got, exact, rough, 2e-5)
        assert (difference <= allowed) is passes
    difference, allowed = beyond(np.array([np.inf]), exact, np.array([5.0]), 2e-5)
    assert allowed == LOOSEST
    assert difference == np.inf


def test_differences_are_relative_and_see_everything() -> None:
    assert largest_difference(np.array([100.0, 1.0]), np.array([100.0, 2.0])) == pytest.approx(0.01)
    assert largest_difference(np.array([0.5]), np.array([0.25])) == 0.25
    assert largest_difference(np.array([np.nan]), np.array([np.nan])) == 0
    assert largest_difference(np.array([np.nan]), np.array([1.0])) == np.inf
    assert largest_difference(np.zeros((2, 1)), np.zeros((1, 2))) == np.inf
    step = np.spacing(np.float16(1))
    assert largest_difference(np.array([1 + step], np.float16), np.array([1], np.float16)) == 0
    assert largest_difference(np.array([1 + 3 * step], np.float16), np.array([1], np.float16)) > 1e-3


def test_indices_and_masks_are_valid_and_varied() -> None:
    """An Embedding of 9 rows with mask_zero: ids below 9, zeros at the ends of rows alone."""
    nodes = (
        Node("Cast", ("ids",), ("k",), {"to": 6}),
        Node("Gather", ("table", "k"), ("e",), {"axis": 0}),
        Node("Equal", ("k", "zero"), ("z",)),
        Node("Not", ("z",), ("mask",)),
    )
    constants = {"table": weights(9, 3), "zero": np.array(0, np.int32)}
    outputs = (Value("e", F32), Value("mask", np.dtype(bool)))
    graph = Graph((Value("ids", F32, ("batch", None)),), outputs, nodes, constants)
    ids = drawn_inputs(graph, {"ids": np.ones((17, 35), np.float32)}, 1)["ids"]
    assert ids.dtype == np.float32
    assert set(np.unique(ids)) == set(range(9))
    assert (ids[0] > 0).all()
    assert (np.diff((ids == 0).astype(int), axis=1) >= 0).all()
    assert len(set((ids == 0).sum(1))) > 4
    found = verify(Model.from_graph(graph))
    assert found.passed
    assert {len(c["ids"]) for c in found.calls} == {1, 2, 3, 17}


def test_sequence_lengths_are_valid_and_varied() -> None:
    constants = {"W": weights(1, 12, 3), "R": weights(1, 12, 4)}
    node = Node("GRU", ("x", "W", "R", "", "lens"), ("y", "last"), {"hidden_size": 4}, "gru")
    inputs = (Value("x", F32, (None, "batch", 3)), Value("lens", np.dtype("int32"), ("batch",)))
    graph = Graph(inputs, (Value("y", F32), Value("last", F32)), (node,), constants)
    feeds = {"x": np.ones((8, 17, 3), np.float32), "lens": np.ones(17, np.int32)}
    lens = drawn_inputs(graph, feeds, 3)["lens"]
    assert lens[0] == lens.max() == 8
    assert lens.min() >= 1
    assert len(set(lens)) > 3
    found = verify(Model.from_graph(graph))
    assert found.passed
    assert any("takes sequence lengths" in note for note in found.notes)


def test_states_passed_by_hand_equal_the_whole() -> None:
    """The loop over steps finds hn though outputs stand in another order than inputs, and it finds a fault."""
    constants = {"W": weights(1, 16, 3), "R": weights(1, 16, 4)}
    node = Node("LSTM", ("x", "W", "R", "", "", "h", "c"), ("y4", "hn", "cn"), {"hidden_size": 4})
    squeeze = Node("Squeeze", ("y4", "one"), ("y",))
    inputs = (Value("x", F32, (None, 2, 3)), Value("h", F32, (1, 2, 4)), Value("c", F32, (1, 2, 4)))
    outputs = tuple(Value(name, F32) for name in ("cn", "y", "hn"))
    graph = Graph(inputs, outputs, (node, squeeze), {**constants, "one": np.array([1])})
    model = Model.from_graph(graph)
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((6, 2, 3)).astype(np.float32)}
    feeds |= {name: rng.standard_normal((1, 2, 4)).astype(np.float32) for name in "hc"}
    for got, want in zip(by_steps(model, feeds).outputs, model.run(None, feeds), strict=True):
        np.testing.assert_array_equal(got, want)
    assert verify(model).ways() == ["whole", "step by step"]
    turned = Node("LSTM", node.inputs, node.outputs, {"hidden_size": 4, "direction": "reverse"})
    assert "reverse" in by_steps(Model.from_graph(graph.replace(nodes=(turned, squeeze))), feeds).why


def test_fixed_extents_are_kept(tmp_path: Path) -> None:
    graph = network().replace(inputs=(Value("x", F32, (2, 5, 3)),))
    write_container(tmp_path / "m.rnnrt", graph)
    found = verify(rnnrt.load(tmp_path / "m.rnnrt"))
    assert {x["x"].shape for x in found.calls} == {(2, 5, 3)}
    assert 1 < len(found.calls) < 5
    assert not np.array_equal(found.calls[0]["x"], found.calls[1]["x"])


def test_a_budget_bounds_the_calls() -> None:
    found = verify(Model.from_graph(network()), budget=0.0)
    assert len(found.calls) == 1
    assert any("were left out" in note for note in found.notes)


def test_recorded_calls_are_those_that_were_compared(source: Path) -> None:
    target = source.with_name("t.rnnrt")
    report = figures("convert", source, "-o", target)
    assert report["written"]
    assert report["verification"]["passed"]
    assert [v.inputs["x"].shape for v in read_vectors(target)] == [(1, 1, 3), (3, 3, 3)]
    assert read_container(target).nodes == network().nodes
    assert figures("verify", target)["recorded"]


def test_beside_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rows = figures("verify", DIGITS, "--against", "onnxruntime")["comparisons"]
    peer = [row for row in rows if row["how"] == "onnxruntime"]
    assert len(peer) == len([row for row in rows if row["how"] == "whole"])
    assert all(0 <= row["difference"] < 1e-5 for row in peer)
    output = call("convert", DIGITS, "-o", tmp_path / "m.rnnrt", "--against", "onnxruntime").output
    assert "compared with onnxruntime" in output
    right = Model.run
    monkeypatch.setattr(Model, "run", lambda *a: [y + np.float32(5e-4) for y in right(*a)])
    output = call("convert", DIGITS, "-o", tmp_path / "n.rnnrt", "--against", "onnxruntime", ok=False).output
    assert "onnxruntime" in output
    assert not (tmp_path / "n.rnnrt").exists()


def test_where_onnxruntime_cannot_help(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    assert (
        "a container of rnnrt, which onnxruntime cannot read"
        in call("verify", source, "--against", "onnxruntime", ok=False).output
    )
    keras = str(DIGITS).replace(".onnx", ".keras")
    for verb in ("verify", "convert"):
        assert (
            "a Keras file, which onnxruntime cannot read"
            in call(verb, keras, "--against", "onnxruntime", ok=False).output
        )

    def refuses(*_: Any, **__: Any) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : no kernel\nmore lines")

    with monkeypatch.context() as patch:
        patch.setattr(ort, "InferenceSession", refuses)
        output = call("verify", DIGITS, "--against", "onnxruntime").output
    assert "onnxruntime does not load the model" in output
    assert "that is no failure of rnnrt" in output
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        output = call("verify", DIGITS, "--against", "onnxruntime", ok=False).output
    assert "pip install onnxruntime" in output
