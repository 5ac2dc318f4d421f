"""What an exported .onnx file says of itself, the choices its writer has, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.errors import RnnrtError, UnsupportedModelError
from rnnrt.formats import read_model
from rnnrt.formats.onnx_export import write_onnx
from rnnrt.formats.onnx_import import graph_from_proto
from rnnrt.ir import Graph, Node, Value
from rnnrt.runtime import Session
from tests.conformance.test_onnx_export import F32, agrees, export
from tests.property.test_recurrent_kernels import FULL, make
from tests.support import assert_close, one_node

onnx = pytest.importorskip("onnx")


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
