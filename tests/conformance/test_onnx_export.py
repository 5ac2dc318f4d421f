"""ONNX files that rnnrt writes: sound for onnx.checker, the same in onnxruntime, and bit for bit when read back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import rnnrt
from rnnrt.errors import RnnrtError, UnsupportedModelError
from rnnrt.formats import read_model
from rnnrt.formats.onnx_export import write_onnx
from rnnrt.formats.onnx_import import graph_from_proto
from rnnrt.formats.onnx_standard import to_standard
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.runtime import Session
from rnnrt.samples import suitable_inputs
from tests.property.test_recurrent_kernels import FULL, cases, make
from tests.support import assert_close, one_node, shared_dir

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

SHARED = Path(os.environ.get("RNNRT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
SUFFIXES = (".onnx", ".keras", ".h5")
FILES = sorted(
    p.relative_to(SHARED).as_posix()
    for part in ("models", "exports")
    for p in SHARED.glob(f"{part}/*/*")
    if p.suffix in SUFFIXES
)
F32 = np.dtype("float32")


def export(graph: Graph, path: Path, **options: Any) -> Any:
    """Write, check in full, and load into onnxruntime."""
    write_onnx(path, graph, **options)
    onnx.checker.check_model(str(path), full_check=True)
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


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


SMALL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SMALL
@given(case=cases)
def test_recurrent_layer(case: dict[str, Any], tmp_path: Path) -> None:
    """Every attribute and operand; onnxruntime has kernels for float32, and ends the process where no step is."""
    case = {**case, "dtype": "float32", "T": max(case["T"], 1)}
    operands, attrs = make(case)
    results = 3 if case["op"] == "LSTM" else 2
    graph, feeds = one_node(case["op"], operands, results, [1, 2, 3], **attrs)
    agrees(graph, feeds, tmp_path / "layer.onnx")


@SMALL
@given(case=cases)
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


def plain() -> tuple[Graph, dict[str, np.ndarray]]:
    operands, attrs = make({**FULL, "op": "LSTM"})
    graph, feeds = one_node("LSTM", operands, 3, [1, 2, 3], **attrs)
    return graph, feeds


def test_what_the_file_says(tmp_path: Path) -> None:
    graph, _ = plain()
    value = graph.inputs[0]
    free = (Value(value.name, value.dtype, ("steps", None, 5)), *graph.inputs[1:])
    graph = graph.replace(inputs=free, metadata={"keras_version": "3.9", "stateful_layers": '["a"]'}, name="net")
    write_onnx(tmp_path / "a.onnx", graph, producer_name="someone", producer_version="7")
    proto = onnx.load(tmp_path / "a.onnx")
    assert (proto.producer_name, proto.producer_version, proto.graph.name) == ("someone", "7", "net")
    assert {p.key: p.value for p in proto.metadata_props} == dict(graph.metadata)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in dims] == ["steps", None, 5]
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 21)]
    (node,) = proto.graph.node
    written = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert written == {"hidden_size": 35, "activations": [b"Sigmoid", b"Tanh", b"Tanh"]}
    assert read_model(tmp_path / "a.onnx").metadata["stateful_layers"] == '["a"]'


def test_alphas_of_those_that_take_them(tmp_path: Path) -> None:
    operands, attrs = make({**FULL, "op": "LSTM"})
    attrs |= {
        "activations": ("HardSigmoid", "Tanh", "LeakyRelu"),
        "activation_alpha": (0.25, 9.0, 0.125),
        "activation_beta": (0.5, 9.0, 9.0),
    }
    graph, feeds = one_node("LSTM", operands, 3, [1, 2, 3], **attrs)
    agrees(graph, feeds, tmp_path / "alpha.onnx")
    (node,) = onnx.load(tmp_path / "alpha.onnx").graph.node
    found = {a.name: list(a.floats) for a in node.attribute if a.floats}
    assert found == {"activation_alpha": [0.25, 0.125], "activation_beta": [0.5]}


@pytest.mark.parametrize("opset", [14, 17, 22])
def test_other_opsets(opset: int, tmp_path: Path) -> None:
    graph, feeds = plain()
    got = export(graph, tmp_path / "old.onnx", opset=opset).run(None, feeds)
    assert onnx.load(tmp_path / "old.onnx").opset_import[0].version == opset
    for a, b in zip(got, Session(graph).run([feeds[v.name] for v in graph.inputs]), strict=True):
        assert_close(a, b)


def test_weights_in_a_file_beside(tmp_path: Path) -> None:
    graph, feeds = plain()
    peer = export(graph, tmp_path / "large.onnx", external_bytes=1000)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["large.onnx", "large.onnx.data"]
    assert (tmp_path / "large.onnx").stat().st_size < 10_000 < (tmp_path / "large.onnx.data").stat().st_size
    want = Session(graph).run([feeds[v.name] for v in graph.inputs])
    again = Session(read_model(tmp_path / "large.onnx")).run([feeds[v.name] for v in graph.inputs])
    for a, b, c in zip(peer.run(None, feeds), want, again, strict=True):
        assert_close(a, b)
        np.testing.assert_array_equal(c, b)


def test_every_reason_is_listed(tmp_path: Path) -> None:
    operands, attrs = make({**FULL, "op": "GRU"})
    graph, _ = one_node("GRU", operands, 2, [1, 2, 3], **{**attrs, "activations": ("Swish", "Gelu")})
    path = tmp_path / "refused.onnx"
    path.write_bytes(b"before")
    with pytest.raises(UnsupportedModelError) as caught:
        write_onnx(path, graph)
    assert str(caught.value).startswith("refused.onnx cannot be written as ONNX exactly:\n")
    assert len(caught.value.reasons) == 2
    for reason, name in zip(caught.value.reasons, ("Swish", "Gelu"), strict=True):
        assert reason.startswith(f"GRU node 'node': activation {name} is not among those of ONNX's GRU; save")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("opset", "reason"),
    [
        (13, "LSTM node 'node': means another thing in opset 13; write opset 21"),
        (6, "LSTM node 'node': "),
        (99, "opset=99: this onnx package knows 1 to "),
    ],
)
def test_opsets_that_cannot_be(opset: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="cannot be written") as caught:
        write_onnx(tmp_path / "no.onnx", plain()[0], opset=opset)
    assert caught.value.reasons[0].startswith(reason)


def test_operators_that_are_not_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnrt.ops import Operator, base

    class Own(Operator):
        name = "OnlyHere"

    monkeypatch.setitem(base._REGISTRY, "OnlyHere", Own)
    graph = Graph((Value("x", F32, (1,)),), (Value("y", F32, (1,)),), (Node("OnlyHere", ("x",), ("y",), {}, "n"),))
    with pytest.raises(UnsupportedModelError, match="OnlyHere node 'n': the operator is rnnrt's own"):
        write_onnx(tmp_path / "own.onnx", graph)


def test_without_the_onnx_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(RnnrtError, match=r"needs the onnx package: pip install"):
        write_onnx(tmp_path / "no.onnx", plain()[0])


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        write_onnx(tmp_path / "missing" / "a.onnx", plain()[0])


def test_a_loaded_model_goes_round(tmp_path: Path) -> None:
    graph, feeds = plain()
    write_onnx(tmp_path / "first.onnx", graph)
    write_onnx(tmp_path / "second.onnx", rnnrt.load(tmp_path / "first.onnx").graph)
    first, second = (onnx.load(tmp_path / f"{n}.onnx") for n in ("first", "second"))
    assert first.graph.node[0].SerializeToString() == second.graph.node[0].SerializeToString()
    assert graph_from_proto(second).constants.keys() == graph.constants.keys()
    want = Session(graph).run([feeds[v.name] for v in graph.inputs])
    for a, b in zip(rnnrt.load(tmp_path / "second.onnx").run(None, feeds), want, strict=True):
        np.testing.assert_array_equal(a, b)
