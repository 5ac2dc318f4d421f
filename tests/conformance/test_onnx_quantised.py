"""Quantised ONNX models: weights that become floats as they are read, and integers that are computed with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.onnx_import import graph_from_proto
from rnnrt.ops.evaluate import evaluate
from tests.support import ISAS, assert_close, compiled

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(3)


def model(
    nodes: Sequence[Any],
    feeds: dict[str, np.ndarray],
    constants: Sequence[Any],
    outputs: Sequence[str],
    opset: int = 21,
) -> Any:
    """A model of these nodes; constants are TensorProtos."""
    make = onnx.helper
    inputs = [make.make_tensor_value_info(n, make.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in feeds.items()]
    results = [make.make_tensor_value_info(name, 0, None) for name in outputs]
    for value in results:
        value.type.Clear()
    graph = make.make_graph(nodes, "g", inputs, results, constants)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", opset)], ir_version=10)


def constant(name: str, x: np.ndarray) -> Any:
    return onnx.numpy_helper.from_array(x, name)


def node(op: str, inputs: Sequence[str], output: str, **attrs: Any) -> Any:
    return onnx.helper.make_node(op, list(inputs), [output], name=f"{op}_{output}", **attrs)


def folded(proto: Any) -> np.ndarray:
    """The one constant that a model consists of, with no node left."""
    graph = graph_from_proto(proto)
    assert not graph.nodes
    return graph.constants[graph.outputs[0].name]


SMALL = {"UINT4": (0, 16, 4), "INT4": (-8, 8, 4), "UINT2": (0, 4, 2), "INT2": (-2, 2, 2)}


def small_tensor(name: str, kind: str, values: np.ndarray, raw: bool) -> Any:
    """Integers of 4 or 2 bits, packed here from the lowest bits up."""
    bits = SMALL[kind][2]
    code = getattr(onnx.TensorProto, kind, None)
    if code is None:
        pytest.skip(f"the onnx package has no {kind}")
    per = 8 // bits
    flat = np.concatenate([values.ravel(), np.zeros(-values.size % per, values.dtype)]) & (2**bits - 1)
    data = sum(flat[k::per].astype(int) << (k * bits) for k in range(per))
    tensor = onnx.TensorProto(name=name, data_type=code, dims=values.shape)
    if raw:
        tensor.raw_data = np.asarray(data, np.uint8).tobytes()
    else:
        tensor.int32_data.extend(np.asarray(data).tolist())
    return tensor


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", SMALL)
def test_small_integers_per_axis(kind: str, raw: bool) -> None:
    low, high, _ = SMALL[kind]
    q, zero = RNG.integers(low, high, (3, 5)), RNG.integers(low, high, 3)
    scale = RNG.uniform(0.1, 1, 3).astype(np.float32)
    parts = [small_tensor("q", kind, q, raw), constant("s", scale), small_tensor("z", kind, zero, raw)]
    got = folded(model([node("DequantizeLinear", "qsz", "y", axis=0)], {}, parts, "y"))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, (q - zero[:, None]) * scale[:, None].astype(np.float64), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32"])
@pytest.mark.parametrize("how", ["tensor", "axis", "block"])
def test_constants_become_floats(dtype: str, how: str) -> None:
    q = RNG.integers(0, 100, (4, 7)).astype(dtype)
    shape = {"tensor": (), "axis": (7,), "block": (4, 3)}[how]
    scale, zero = RNG.uniform(0.1, 1, shape).astype(np.float32), RNG.integers(0, 100, shape).astype(dtype)
    names = "qs" if dtype == "int32" else "qsz"
    attrs = {"axis": -1} | ({"block_size": 3} if how == "block" else {})
    parts = [constant("q", q), constant("s", scale), *([constant("z", zero)] if "z" in names else [])]
    got = folded(model([node("DequantizeLinear", names, "y", **attrs)], {}, parts, "y"))
    wide_s, wide_z = scale.astype(np.float64), zero.astype(np.float64) * ("z" in names)
    if how == "block":
        wide_s, wide_z = (np.repeat(a, 3, 1)[:, :7] for a in (wide_s, wide_z))
    np.testing.assert_allclose(got, (q - wide_z) * wide_s, rtol=1e-6)


def lstm(bits: int) -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """An LSTM whose weights go through DequantizeLinear, its feeds, and its weights as floats."""
    x = RNG.standard_normal((5, 2, 12)).astype(np.float32)
    parts, nodes, floats = [], [], {}
    for name, shape in (("W", (1, 64, 12)), ("R", (1, 64, 16))):
        q = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape)
        scale = (RNG.uniform(0.2, 0.6, 64) / 2 ** (bits - 1)).astype(np.float32)
        parts += [constant(f"{name}q", q.astype(np.int8)) if bits == 8 else small_tensor(f"{name}q", "INT4", q, True)]
        parts += [constant(f"{name}s", scale)]
        nodes.append(node("DequantizeLinear", [f"{name}q", f"{name}s"], name, axis=1))
        floats[name] = (q * scale[:, None]).astype(np.float32)
    nodes.append(node("LSTM", "XWR", "Y", hidden_size=16))
    return model(nodes, {"X": x}, parts, "Y"), {"X": x}, floats


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_lstm_is_a_plain_lstm_with_packed_weights(bits: int, tmp_path: Path) -> None:
    proto, feeds, floats = lstm(bits)
    graph = graph_from_proto(proto)
    assert [n.op for n in graph.nodes] == ["LSTM"]
    plain = model([node("LSTM", "XWR", "Y", hidden_size=16)], feeds, [constant(n, w) for n, w in floats.items()], "Y")
    want = evaluate(graph_from_proto(plain), feeds, dtype=np.float64)[0]
    for isa in ISAS:
        assert_close(compiled(graph, feeds, isa)[0], want, 2e-5, isa)
    onnx.save(proto, tmp_path / "q.onnx")
    stream = rnnrt.load(tmp_path / "q.onnx").stream(batch_size=2)
    assert_close(np.concatenate([stream.run(feeds["X"][t : t + 1]) for t in range(5)]), want, 2e-5, "stream")
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert_close(session.run(None, feeds)[0], want, 2e-5, "onnxruntime")


def test_larger_weights_than_are_folded_at_run_time_become_floats() -> None:
    q = np.ones((2200, 2200), np.int8)
    got = folded(
        model([node("DequantizeLinear", "qs", "y")], {}, [constant("q", q), constant("s", np.float32(2))], "y")
    )
    assert got.nbytes > 1 << 24 and (got == 2).all()


def runs_as_in_onnxruntime(proto: Any, feeds: dict[str, np.ndarray], exact: bool = True) -> list[np.ndarray]:
    ort = pytest.importorskip("onnxruntime")
    graph = graph_from_proto(proto)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, feeds)
    for isa in ISAS:
        for a, b in zip(compiled(graph, feeds, isa, native=False), want, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)
    return want


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_round_trip_of_activations(dtype: str) -> None:
    x = np.concatenate([RNG.uniform(-9, 9, 40), [0.25, 0.75, -0.25, 1e9, -1e9]]).astype(np.float32).reshape(9, 5)
    parts = [constant("s", np.float32(0.5)), constant("z", np.array(3, dtype))]
    nodes = [node("QuantizeLinear", "xsz", "q"), node("DequantizeLinear", "qsz", "y")]
    runs_as_in_onnxruntime(model(nodes, {"x": x}, parts, "qy"), {"x": x})


def test_matmul_integer_is_exact() -> None:
    a, b = RNG.integers(0, 256, (3, 900)).astype(np.uint8), RNG.integers(-128, 128, (900, 20)).astype(np.int8)
    az, bz = np.uint8(250), RNG.integers(-128, 128, 20).astype(np.int8)
    parts = [constant("b", b), constant("c", np.array(az)), constant("d", bz)]
    proto = model([node("MatMulInteger", "abcd", "y")], {"a": a}, parts, "y")
    (got,) = runs_as_in_onnxruntime(proto, {"a": a})
    np.testing.assert_array_equal(got, (a.astype(np.int64) - az) @ (b.astype(np.int64) - bz))


@pytest.mark.parametrize("x", [RNG.uniform(-1, 3, (4, 6)), RNG.uniform(1, 2, 9), -RNG.uniform(1, 2, 9), np.zeros(3)])
def test_dynamic_quantisation(x: np.ndarray) -> None:
    feeds = {"x": x.astype(np.float32)}
    proto = model([onnx.helper.make_node("DynamicQuantizeLinear", ["x"], list("ysz"))], feeds, [], "ysz")
    runs_as_in_onnxruntime(proto, feeds)


def test_conv_integer_with_a_zero_point_for_each_channel() -> None:
    x, w = RNG.integers(0, 256, (2, 3, 11)).astype(np.uint8), RNG.integers(0, 256, (4, 3, 5)).astype(np.uint8)
    z = RNG.integers(0, 256, 4).astype(np.uint8)
    proto = model(
        [node("ConvInteger", "xwcz", "y", pads=[2, 2])],
        {"x": x},
        [constant("w", w), constant("c", np.array(7, np.uint8)), constant("z", z)],
        "y",
    )
    padded = np.pad(x.astype(np.int64) - 7, [(0, 0), (0, 0), (2, 2)])
    views = np.lib.stride_tricks.sliding_window_view(padded, 5, 2)
    want = np.einsum("bctk,ock->bot", views, w.astype(np.int64) - z.astype(np.int64)[:, None, None])
    for isa in ISAS:
        np.testing.assert_array_equal(compiled(graph_from_proto(proto), {"x": x}, isa)[0], want)


def test_refusals(tmp_path: Path) -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    float8 = onnx.TensorProto(name="q", data_type=onnx.TensorProto.FLOAT8E4M3FN, dims=(2,), raw_data=b"\0\0")
    one = constant("s", np.float32(1))
    with pytest.raises(rnnrt.UnsupportedModelError, match="'q': element type FLOAT8E4M3FN is not supported"):
        graph_from_proto(model([node("DequantizeLinear", "qs", "y")], {}, [float8, one], "y"))
    small = small_tensor("q", "INT4", np.arange(4), True)
    with pytest.raises(rnnrt.UnsupportedModelError, match=r"Identity node .*: reads 'q', whose element type INT4 only"):
        graph_from_proto(model([node("Identity", "q", "y")], {}, [small], "y"))
    zero = small_tensor("z", "INT4", np.array(0), True)
    with pytest.raises(rnnrt.UnsupportedModelError, match="reads 'z', whose element type INT4 only DequantizeLinear"):
        graph_from_proto(model([node("QuantizeLinear", "xsz", "y")], x, [one, zero], "y"))
    short = small_tensor("q", "INT4", np.arange(4), True)
    short.raw_data = b"\0"
    with pytest.raises(rnnrt.ModelFormatError, match=r"holds 1 bytes, shape \(4,\)"):
        graph_from_proto(model([node("DequantizeLinear", "qs", "y")], {}, [short, one], "y"))
    wrong = [constant("q", np.zeros((2, 3), np.int8)), constant("s", np.ones(2, np.float32))]
    with pytest.raises(
        rnnrt.ShapeError, match=r"scale or zero point of shape \(2,\); one value or 3 values, for axis 1"
    ):
        graph_from_proto(model([node("DequantizeLinear", "qs", "y")], {}, wrong, "y"))
    with pytest.raises(rnnrt.UnsupportedModelError, match=r"RandomNormalLike node .*: draws random numbers"):
        graph_from_proto(model([node("RandomNormalLike", "x", "y")], x, [], "y"))
