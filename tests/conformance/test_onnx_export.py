"""ONNX files that rnnrt writes: sound for onnx.checker, the same in onnxruntime, and bit for bit when read back."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import rnnrt
from rnnrt.errors import UnsupportedModelError
from rnnrt.formats import read_model
from rnnrt.formats.onnx_export import write_onnx
from rnnrt.formats.onnx_standard import to_standard
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.runtime import Session
from rnnrt.samples import suitable_inputs
from tests.conformance.test_onnx_node_cases import HALF, OPERATORS, array, cases, held, left_out, name_of
from tests.property.test_recurrent_kernels import FULL, make
from tests.property.test_recurrent_kernels import cases as recurrent_cases
from tests.support import assert_close, one_node, shared_dir

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ort_errors = ort.capi.onnxruntime_pybind11_state

SHARED = Path(os.environ.get("RNNRT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
SUFFIXES = (".onnx", ".keras", ".h5")
FILES = sorted(
    p.relative_to(SHARED).as_posix()
    for part in ("models", "exports")
    for p in SHARED.glob(f"{part}/*/*")
    if p.suffix in SUFFIXES
)
FOLDER = Path(__file__).resolve().parents[1] / "data" / "keras"
STORED = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".keras", ".h5"))
F32 = np.dtype("float32")


def export(graph: Graph, path: Path, **options: Any) -> Any:
    """Write, check in full, and load into onnxruntime."""
    write_onnx(path, graph, **options)
    onnx.checker.check_model(str(path), full_check=True)
    return session_of(path)


def session_of(path: Path) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def agrees(graph: Graph, feeds: Mapping[str, np.ndarray], path: Path, rtol: float = 2e-5) -> None:
    """Onnxruntime gives what rnnrt gives, and the file read back the same bits."""
    peer = export(graph, path)
    want = Session(graph).run([feeds[v.name] for v in graph.inputs])
    names = [v.name for v in graph.outputs]
    assert [o.name for o in peer.get_outputs()] == names
    got = peer.run(None, {v.name: feeds[v.name] for v in graph.inputs})
    back = read_model(path)
    assert [v.name for v in back.inputs] == [v.name for v in graph.inputs]
    again = Session(back).run([feeds[v.name] for v in graph.inputs])
    for name, a, b, c in zip(names, got, want, again, strict=True):
        assert a.dtype == b.dtype == c.dtype
        assert_close(a, b, rtol, f"onnxruntime, {name}")
        np.testing.assert_array_equal(c, b, f"read back, {name}")


def test_the_files_are_there() -> None:
    shared_dir("models")
    assert len(FILES) > 40


@pytest.mark.parametrize("name", FILES)
def test_published_file(name: str, tmp_path: Path) -> None:
    graph = read_model(shared_dir(*name.split("/")))
    session = Session(graph)
    feeds = suitable_inputs(graph, lambda f: session.run([f[v.name] for v in graph.inputs]), batch=2, steps=5)
    for value in graph.inputs:
        if value.dtype.kind == "i" and feeds[value.name].size > 4:  # a mask that is worth something
            feeds[value.name] = feeds[value.name] * (np.arange(feeds[value.name].size) % 3 > 0).reshape(
                feeds[value.name].shape
            ).astype(value.dtype)
    agrees(graph, feeds, tmp_path / "out.onnx")


@pytest.mark.parametrize("name", STORED)
def test_stored_keras_file(name: str, tmp_path: Path) -> None:
    """onnxruntime gives what Keras gave: masks, states and all."""
    graph, case = read_model(FOLDER / name), np.load(FOLDER / f"{name}.npz")
    peer = export(graph, tmp_path / "keras.onnx")
    got = peer.run(None, {v.name: case[f"x{k}"] for k, v in enumerate(graph.inputs)})
    for k, y in enumerate(got):
        assert_close(y, case[f"y{k}"], 2e-5, f"{name}, output {k}")


UNCHECKED = ("averagepool_2d_ceil_last_window_starts_on_pad", "maxpool_2d_ceil_output_size_reduce_by_one")
"""A window that begins in the padding counts for nothing, which ONNX's shape inference knows since opset 22."""

REFUSED = {r"mod_.*fmod_0.*": r"Mod node '.*': ONNX's Mod of floats has the sign of the dividend \(fmod=1\)"}
"""Cases that another opset than the IR's can say, by a pattern of their names, and what the refusal says."""


@pytest.mark.parametrize("operator", OPERATORS)
def test_cases_of(operator: str, tmp_path: Path) -> None:
    """ONNX's own cases: written again they check, give the same bits in rnnrt, and in onnxruntime what they gave."""
    for case in cases().get(operator, []):
        if left_out(case) is not None:
            continue
        onnx.save(case.model, tmp_path / "given.onnx")
        graph = read_model(tmp_path / "given.onnx")
        refused = next((why for pattern, why in REFUSED.items() if re.fullmatch(pattern, name_of(case))), None)
        if refused:
            with pytest.raises(UnsupportedModelError, match=refused):
                write_onnx(tmp_path / "out.onnx", graph)
            continue
        write_onnx(tmp_path / "out.onnx", graph)
        onnx.checker.check_model(str(tmp_path / "out.onnx"), full_check=name_of(case) not in UNCHECKED)
        inputs = [array(x) for x in case.data_sets[0][0]]
        feeds = {v.name: held(x) for v, x in zip(graph.inputs, inputs, strict=True)}
        again = rnnrt.load(tmp_path / "out.onnx").run(None, feeds)
        for a, b in zip(again, rnnrt.Model.from_graph(graph).run(None, feeds), strict=True):
            assert a.dtype == b.dtype, case.name
            np.testing.assert_array_equal(a, b, case.name)
        if any(x.dtype.name in HALF for x in [*inputs, *map(array, case.data_sets[0][1])]):
            continue
        if operator == "ConvInteger":
            continue  # written as a Conv of float64, which onnxruntime lacks
        try:
            want = session_of(tmp_path / "given.onnx").run(None, feeds)
        except (
            ort_errors.Fail,
            ort_errors.NotImplemented,
            ort_errors.InvalidGraph,
            ort_errors.InvalidArgument,
            ort_errors.RuntimeException,
        ):
            continue  # onnxruntime does not run it as it was
        got = session_of(tmp_path / "out.onnx").run(None, feeds)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=case.name)


SMALL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SMALL
@given(case=recurrent_cases)
def test_recurrent_layer(case: dict[str, Any], tmp_path: Path) -> None:
    """Every attribute and operand; onnxruntime has kernels for float32, and ends the process where no step is."""
    case = {**case, "dtype": "float32", "T": max(case["T"], 1)}
    operands, attrs = make(case)
    results = 3 if case["op"] == "LSTM" else 2
    graph, feeds = one_node(case["op"], operands, results, [1, 2, 3], **attrs)
    agrees(graph, feeds, tmp_path / "layer.onnx")


@SMALL
@given(case=recurrent_cases)
def test_standard_operators_mean_the_same(case: dict[str, Any]) -> None:
    """The rewritten graph against the masked node itself, by the references in float64; also without any step."""
    operands, attrs = make(case)
    graph, feeds = one_node(case["op"], operands, 3 if case["op"] == "LSTM" else 2, [1, 2, 3], **attrs)
    standard = to_standard(graph)
    (node,) = [n for n in standard.nodes if n.op == case["op"]]
    assert not {"layout", "zero_output_for_mask"} & {k for k, v in node.attrs.items() if v}
    assert len(node.inputs) <= (8 if case["op"] == "LSTM" else 6)
    for a, b in zip(evaluate(standard, feeds, np.float64), evaluate(graph, feeds, np.float64), strict=True):
        assert_close(a, b, 1e-12)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("zero", [False, True])
def test_any_mask(op: str, direction: str, zero: bool, tmp_path: Path) -> None:
    """Rows that begin, end or pause masked, and one in which no step counts."""
    case = {**FULL, "op": op, "direction": direction, "zero": zero, "mask": True, "B": 6, "T": 5, "layout": 1}
    operands, attrs = make(case)
    rows = ["11111", "00110", "11001", "01010", "00000", "10000"]
    operands[-1] = np.array([[c == "1" for c in row] for row in rows]).T
    graph, feeds = one_node(op, operands, 3 if op == "LSTM" else 2, [1, 2, 3], **attrs)
    agrees(graph, feeds, tmp_path / "mask.onnx")
    back = read_model(tmp_path / "mask.onnx")
    assert [n.op for n in back.nodes].count(op) == 1
    for got, want in zip(evaluate(back, feeds, np.float64), evaluate(graph, feeds, np.float64), strict=True):
        assert_close(got, want, 1e-12)


@pytest.mark.parametrize("case", [{"op": "LSTM", "mask": True, "ragged": True}, {"op": "GRU", "mask": True}])
def test_float64_by_the_reference(case: dict[str, Any], tmp_path: Path) -> None:
    """onnxruntime has no float64 recurrence; the reference runs what the file says."""
    operands, attrs = make({**FULL, **case, "dtype": "float64", "direction": "bidirectional"})
    graph, feeds = one_node(case["op"], operands, 2, [1, 2, 3], **attrs)
    write_onnx(tmp_path / "double.onnx", graph)
    onnx.checker.check_model(str(tmp_path / "double.onnx"), full_check=True)
    back = read_model(tmp_path / "double.onnx")
    for got, want in zip(evaluate(back, feeds), evaluate(graph, feeds), strict=True):
        assert got.dtype == np.float64
        assert_close(got, want, 1e-12)


def scan_and_if() -> Graph:
    """A running sum by Scan, a Loop of a carried value, and a choice; bodies capture outer values."""
    inner = Graph(
        (Value("total", F32, ("n",)), Value("x_t", F32, ("n",))),
        (Value("total_next", F32, ("n",)), Value("seen", F32, ("n",))),
        (
            Node("Add", ("total", "x_t"), ("total_next",)),
            Node("Mul", ("total_next", "scale"), ("seen",)),
        ),
    )
    loop = Graph(
        (Value("k", np.dtype("int64"), ()), Value("going", np.dtype(bool), ()), Value("c", F32, ("n",))),
        (Value("going_on", np.dtype(bool), ()), Value("c_next", F32, ("n",))),
        (Node("Identity", ("going",), ("going_on",)), Node("Add", ("c", "one"), ("c_next",))),
        {"one": np.ones((), np.float32)},
    )
    then = Graph((), (Value("a", F32, ("n",)),), (Node("Neg", ("looped",), ("a",)),))
    other = Graph((), (Value("b", F32, ("n",)),), (Node("Add", ("looped", "two"), ("b",)),), {"two": np.float32(2)})
    return Graph(
        (Value("x", F32, ("steps", "n")), Value("flag", np.dtype(bool), ()), Value("trips", np.dtype("int64"), ())),
        (Value("sums", F32, None), Value("chosen", F32, ("n",))),
        (
            Node("ReduceMin", ("x", "axis"), ("low",), {"keepdims": 0}),
            Node("Scan", ("low", "x"), ("last", "sums"), {"body": inner, "num_scan_inputs": 1}),
            Node("Loop", ("trips", "", "last"), ("looped",), {"body": loop}),
            Node("If", ("flag",), ("chosen",), {"then_branch": then, "else_branch": other}),
        ),
        {"axis": np.array([0]), "scale": np.full((), 0.5, np.float32)},
    )


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("trips", [0, 3])
def test_control_flow(flag: bool, trips: int, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    feeds = {"x": x, "flag": np.array(flag), "trips": np.array(trips)}
    agrees(scan_and_if(), feeds, tmp_path / "control.onnx")


def test_a_masked_layer_in_a_body(tmp_path: Path) -> None:
    operands, attrs = make({**FULL, "op": "GRU", "mask": True, "layout": 1})
    layer, feeds = one_node("GRU", operands, 2, [1, 2, 3], **attrs)
    zeros = {"zeros": np.zeros(np.shape(operands[0]), np.float32)}
    other = Graph((), (Value("z", F32),), (Node("Identity", ("zeros",), ("z",)),), zeros)
    body = Graph((), layer.outputs[1:], layer.nodes, layer.constants)
    graph = Graph(
        (*layer.inputs, Value("flag", np.dtype(bool), ())),
        (Value("out", F32, (None, None, None)),),
        (Node("If", ("flag",), ("out",), {"then_branch": body, "else_branch": other}),),
    )
    for flag in (True, False):
        agrees(graph, {**feeds, "flag": np.array(flag)}, tmp_path / "body.onnx")


def test_outputs_that_are_inputs_or_constants(tmp_path: Path) -> None:
    x = np.arange(3, dtype=np.float32)
    graph = Graph(
        (Value("x", F32, ("n",)),),
        (Value("x", F32, ("n",)), Value("k", F32, (2,)), Value("y", F32, ("n",))),
        (Node("Neg", ("x",), ("y",)),),
        {"k": np.ones(2, np.float32)},
    )
    agrees(graph, {"x": x}, tmp_path / "plain.onnx")
