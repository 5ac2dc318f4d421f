"""What files of real exporters bring along: odd names, domains, defaults, orders, functions and half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import ModelFormatError, ShapeError, UnsupportedModelError
from tests.conformance.onnx_files import Type, compare, drawn, helper, model, node, onnx, tensors, value
from tests.support import assert_close

X = value("x", Type.FLOAT, ["T", "N", 4])
Y = value("y", Type.FLOAT, None)
RELU = node("Relu", ["x"], ["y"])
GIVEN = {"x": drawn(5, 2, 4)}
WEIGHTS = {"W": drawn(1, 12, 4), "R": drawn(1, 12, 3), "B": drawn(1, 24)}
STATES = {"h": drawn(1, 2, 3), "c": drawn(1, 2, 3, seed=1)}


def load(proto: Any, folder: Path) -> rnnrt.Model:
    path = folder / "file.onnx"
    path.write_bytes(proto.SerializeToString())
    return rnnrt.load(path)


# Domains.


def test_domains_that_are_imported_and_not_used(tmp_path: Path) -> None:
    domains = ["ai.onnx.ml", "ai.onnx.training", "com.microsoft", "com.microsoft.nchwc", "org.pytorch.aten"]
    compare(model([RELU], [X], [Y], opset={"": 16, **dict.fromkeys(domains, 1)}), GIVEN, tmp_path)


def test_domains_that_are_used_are_all_named(tmp_path: Path) -> None:
    nodes = [
        node("Scaler", ["x"], ["a"], domain="ai.onnx.ml", offset=[0.0], scale=[1.0]),
        node("DynamicQuantizeLSTM", ["a"], ["b"], domain="com.microsoft", name="quick"),
        node("Own", ["b"], ["c"], domain="org.example"),
        node("QLinearConv", ["c"], ["y"]),
    ]
    proto = model(nodes, [X], [Y], opset={"": 16, "ai.onnx.ml": 3, "com.microsoft": 1, "org.example": 1})
    with pytest.raises(UnsupportedModelError) as caught:
        load(proto, tmp_path)
    assert [reason.split(" is not")[0] for reason in caught.value.reasons] == [
        "Scaler node 'a': domain 'ai.onnx.ml'",
        "DynamicQuantizeLSTM node 'quick': domain 'com.microsoft'",
        "Own node 'c': domain 'org.example'",
        "QLinearConv node 'y': operator QLinearConv",
    ]
    assert "before it was quantised" in caught.value.reasons[-1]


# Extents.


@pytest.mark.parametrize("name", ["?", "unk__12", "unknown_3", "dynamic_axes_1", "", "-1", "batch", "s0", "None", None])
def test_names_of_extents(name: str | None, tmp_path: Path) -> None:
    proto = model([RELU], [value("x", Type.FLOAT, [name, name, 4])], [value("y", Type.FLOAT, [name, name, 4])])
    loaded = compare(proto, GIVEN, tmp_path)
    assert loaded.inputs[0].shape == (None, None, 4)


@pytest.mark.parametrize("name", ["?", "unk__12", "-1", "None", "n"])
def test_one_name_for_extents_that_differ(name: str, tmp_path: Path) -> None:
    """Exporters lie; names are never held against what comes."""
    nodes = [node("Concat", ["x", "z"], ["xz"], axis=0), node("MatMul", ["xz", "w"], ["xw"]),
             node("Add", ["xw", "row"], ["y"])]  # fmt: skip
    inputs = [value(key, Type.FLOAT, [name, name]) for key in ("x", "z", "row")]
    given = {"x": drawn(3, 4), "z": drawn(2, 4), "row": drawn(1, 6)}
    compare(model(nodes, inputs, [value("y", Type.FLOAT, [name, name])], {"w": drawn(4, 6)}), given, tmp_path)


def test_different_names_for_one_extent(tmp_path: Path) -> None:
    nodes = [node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y", "hn"], hidden_size=3)]
    inputs = [X, value("h", Type.FLOAT, [1, "M", 3]), value("c", Type.FLOAT, ["D", "K", "H"])]
    compare(model(nodes, inputs, [Y, value("hn", Type.FLOAT, None)], WEIGHTS), {**GIVEN, **STATES}, tmp_path)


@pytest.mark.parametrize("fixed", [1, 0])
def test_an_extent_that_the_file_fixes(fixed: int, tmp_path: Path) -> None:
    """As onnxruntime has it: the file's word counts, even where no node depends on it."""
    loaded = load(model([RELU], [value("x", Type.FLOAT, [fixed, 4])], [Y]), tmp_path)
    with pytest.raises(ShapeError, match=rf"input 'x' takes shape \({fixed}, 4\).*got \(3, 4\)"):
        loaded(drawn(3, 4))
    assert loaded(np.ones((fixed, 4), np.float32)).shape == (fixed, 4)


def test_outputs_declared_otherwise_than_they_are(tmp_path: Path) -> None:
    loaded = load(model([RELU], [X], [value("y", Type.FLOAT, [1, "N", 4])]), tmp_path)
    np.testing.assert_array_equal(loaded(GIVEN["x"]), np.maximum(GIVEN["x"], 0))


# Inputs, outputs, names.


def test_lengths_and_states(tmp_path: Path) -> None:
    nodes = [node("LSTM", ["x", "W", "R", "B", "l", "h", "c"], ["y", "hn", "cn"], hidden_size=3)]
    states = [value(key, Type.FLOAT, [1, "N", 3]) for key in STATES]
    results = [Y, value("hn", Type.FLOAT, None), value("cn", Type.FLOAT, None)]
    lengths = {"l": np.array([3, 5], np.int32)}
    proto = model(nodes, [X, value("l", Type.INT32, ["N"]), *states], results, WEIGHTS)
    first = compare(proto, {**GIVEN, **lengths, **STATES}, tmp_path)
    wide = model(nodes, [X, value("l", Type.INT64, ["N"]), *states], results, WEIGHTS)
    again = load(wide, tmp_path)  # onnxruntime takes int32 alone
    feeds = {**GIVEN, "l": np.array([3, 5]), **STATES}
    for got, want in zip(again.run(None, feeds), first.run(None, {**feeds, **lengths}), strict=True):
        np.testing.assert_array_equal(got, want)


def test_inputs_that_nothing_reads(tmp_path: Path) -> None:
    loaded = compare(model([RELU], [value("idle", Type.FLOAT, [3]), X], [Y]), {**GIVEN, "idle": drawn(3)}, tmp_path)
    assert [i.name for i in loaded.inputs] == ["idle", "x"]


def test_outputs_that_are_inputs_constants_or_given_twice(tmp_path: Path) -> None:
    outputs = [Y, value("x", Type.FLOAT, None), value("k", Type.FLOAT, [2]), Y]
    compare(model([RELU], [X], outputs, {"k": drawn(2)}), GIVEN, tmp_path)


@pytest.mark.parametrize("ir", [3, 8])
def test_weights_that_are_also_inputs(ir: int, tmp_path: Path) -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])], [X, value("w", Type.FLOAT, [4, 3])], [Y], {"w": drawn(4, 3)}, 8, ir
    )
    loaded = compare(proto, GIVEN, tmp_path)
    assert [i.name for i in loaded.inputs] == ["x"]
    with pytest.raises(ShapeError, match=r"unknown \['w'\]"):
        loaded.run(None, {**GIVEN, "w": drawn(4, 3)})


def test_nodes_in_no_order_and_without_names(tmp_path: Path) -> None:
    nodes = [node("Add", ["b", "a"], ["y"]), node("Tanh", ["a"], ["b"], name=""), node("Relu", ["x"], ["a"])]
    in_order = compare(model(nodes[::-1], [X], [Y]), GIVEN, tmp_path)
    np.testing.assert_array_equal(load(model(nodes, [X], [Y]), tmp_path)(GIVEN["x"]), in_order(GIVEN["x"]))


def test_nodes_of_one_name(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["a"], name="n"), node("Tanh", ["a"], ["y"], name="n")]
    np.testing.assert_allclose(
        load(model(nodes, [X], [Y]), tmp_path)(GIVEN["x"]), np.tanh(np.maximum(GIVEN["x"], 0)), atol=1e-6
    )


def test_metadata_is_kept(tmp_path: Path) -> None:
    proto = model([RELU], [X], [Y], producer_name="maker", producer_version="2")
    helper.set_model_props(proto, {"labels": "a,b", "rate": "16000"})
    metadata = load(proto, tmp_path).graph.metadata
    assert metadata == {"labels": "a,b", "rate": "16000", "format": "onnx", "opset": "17", "producer": "maker 2"}


# Functions.


def function(name: str, inputs: list[str], *nodes: Any, attributes: Any = (), defaults: Any = ()) -> Any:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, inputs, ["b"], list(nodes), imports, list(attributes), list(defaults))


def refer(target: Any, key: str, to: str, kind: int) -> Any:
    """A node whose attribute is that of the function's call."""
    attribute = target.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = key, to, kind
    return target


def test_functions_within_functions(tmp_path: Path) -> None:
    inner = function("Inner", ["a"], node("Tanh", ["a"], ["b"]))
    outer = function(
        "Outer", ["a", "q"], node("Add", ["t", "q"], ["b"]), node("Inner", ["a"], ["t"], domain="own")
    )  # nodes in no order
    calls = [node("Outer", ["x", "x"], ["m"], domain="own"), node("Outer", ["m", "x"], ["y"], domain="own")]
    loaded = load(model(calls, [X], [Y], opset={"": 17, "own": 1}, functions=[outer, inner]), tmp_path)
    x = GIVEN["x"].astype(np.float64)
    np.testing.assert_allclose(loaded(GIVEN["x"]), np.tanh(np.tanh(x) + x) + x, atol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_attributes_of_functions(alpha: float | None, tmp_path: Path) -> None:
    """Passed on to a call within, into the branches of an If, and with a default where the caller gives none."""
    leaky = refer(node("LeakyRelu", ["a"], ["t"]), "alpha", "slope", onnx.AttributeProto.FLOAT)
    bodies = [helper.make_graph([leaky], "leaky", [], [value("t", Type.FLOAT, None)])]
    bodies.append(helper.make_graph([node("Neg", ["a"], ["u"])], "neg", [], [value("u", Type.FLOAT, None)]))
    mean = [node("ReduceMean", ["a"], ["m"], keepdims=0), node("Sub", ["m", "m"], ["o"]),
            node("Equal", ["m", "m"], ["same"])]  # fmt: skip
    branch = node("If", ["same"], ["b"], then_branch=bodies[0], else_branch=bodies[1])
    default = helper.make_attribute("slope", 0.125)
    inner = function("Inner", ["a"], *mean, branch, defaults=[default])
    call = refer(node("Inner", ["a"], ["b"], domain="own"), "slope", "k", onnx.AttributeProto.FLOAT)
    outer = function("Outer", ["a"], call, attributes=["k"])
    given = {} if alpha is None else {"k": alpha}
    proto = model(
        [node("Outer", ["x"], ["y"], domain="own", **given)], [X], [Y], opset={"": 17, "own": 1},
        functions=[outer, inner],
    )  # fmt: skip
    x = GIVEN["x"]
    want = np.where(x < 0, x * np.float32(0.125 if alpha is None else alpha), x)
    np.testing.assert_allclose(load(proto, tmp_path)(x), want, atol=1e-7)


def test_overloaded_functions(tmp_path: Path) -> None:
    pair = [function("F", ["a"], node(op, ["a"], ["b"])) for op in ("Neg", "Abs")]
    call = node("F", ["x"], ["y"], domain="own")
    if not hasattr(call, "overload"):
        pytest.skip("this onnx has no overloads")
    pair[1].overload = call.overload = "positive"
    proto = model([call], [X], [Y], opset={"": 17, "own": 1}, ir=10, functions=pair)
    np.testing.assert_array_equal(load(proto, tmp_path)(GIVEN["x"]), np.abs(GIVEN["x"]))


# Half precision.


def half_lstm(kind: int, boundary: int) -> Any:
    """Weights of a half type, and inputs and outputs of the type `boundary`, with Casts where these differ."""
    raw = {name: helper.make_tensor(name, kind, a.shape, a.ravel().tolist()) for name, a in WEIGHTS.items()}
    nodes = [node("Cast", [key], [f"{key}_half"], to=kind) for key in ("x", "h", "c")]
    nodes.append(
        node("LSTM", ["x_half", "W", "R", "B", "", "h_half", "c_half"], ["Y", "", "C"], hidden_size=3, name="lstm")
    )
    nodes += [node("Cast", ["Y"], ["y"], to=boundary), node("Cast", ["C"], ["cn"], to=boundary)]
    states = [value(key, boundary, [1, "N", 3]) for key in STATES]
    proto = model(nodes, [value("x", boundary, ["T", "N", 4]), *states], [value("y", boundary, None),
                  value("cn", boundary, None)])  # fmt: skip
    proto.graph.initializer.extend(raw.values())
    return proto


@pytest.mark.parametrize("boundary", [np.float16, np.float32])
def test_float16(boundary: Any, tmp_path: Path) -> None:
    feeds = {key: a.astype(boundary) for key, a in {**GIVEN, **STATES}.items()}
    proto = half_lstm(Type.FLOAT16, helper.np_dtype_to_tensor_dtype(np.dtype(boundary)))
    loaded = compare(proto, feeds, tmp_path, rtol=2e-3)
    assert [o.dtype for o in loaded.outputs] == [boundary, boundary]
    # Between the boundaries everything is float32: as near to exact as float32 weights would be.
    rounded = {name: a.astype(np.float16).astype(np.float64) for name, a in WEIGHTS.items()}
    want = lstm({key: a.astype(np.float64) for key, a in feeds.items()}, rounded)
    for got, exact in zip(loaded.run(None, feeds), want, strict=True):
        assert_close(
            got.astype(np.float64), exact.astype(boundary).astype(np.float64), 1e-6 if boundary is np.float32 else 1e-3
        )
    rows = loaded.describe({key: a.shape for key, a in feeds.items()})
    assert [row.native for row in rows if row.op == "LSTM"] == [True]


def lstm(feeds: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The equations of ONNX's LSTM, gates i o f c, in float64: Y and Y_c."""
    w, r, b = weights["W"][0], weights["R"][0], weights["B"][0]
    h, c, steps = feeds["h"][0], feeds["c"][0], []
    for x in feeds["x"]:
        i, o, f, g = np.split(x @ w.T + h @ r.T + b[:12] + b[12:], 4, axis=-1)
        i, o, f = (1 / (1 + np.exp(-gate)) for gate in (i, o, f))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        steps.append(h[None])
    return np.stack(steps), c[None]


@pytest.mark.parametrize("boundary", [Type.BFLOAT16, Type.FLOAT])
def test_bfloat16(boundary: int, tmp_path: Path) -> None:
    """onnxruntime has no such kernels here, and numpy no such type: inputs and outputs are float32."""
    loaded = load(half_lstm(Type.BFLOAT16, boundary), tmp_path)
    feeds = {**GIVEN, **STATES}
    rounded = {name: onnx.numpy_helper.to_array(helper.make_tensor(name, Type.BFLOAT16, a.shape, a.ravel().tolist()))
               for name, a in WEIGHTS.items()}  # fmt: skip
    want = lstm(*({key: a.astype(np.float64) for key, a in part.items()} for part in (feeds, rounded)))
    for info, got, exact in zip(loaded.outputs, loaded.run(None, feeds), want, strict=True):
        assert got.dtype == info.dtype == np.float32
        assert_close(got, exact, 1e-6)


def test_float16_keeps_its_type_where_it_is_stored(tmp_path: Path) -> None:
    proto = half_lstm(Type.FLOAT16, Type.FLOAT16)
    feeds = {key: a.astype(np.float16) for key, a in {**GIVEN, **STATES}.items()}
    loaded = load(proto, tmp_path)
    for name in ("m.rnnrt", "m.onnx"):
        loaded.save(tmp_path / name)
        for got, want in zip(rnnrt.load(tmp_path / name).run(None, feeds), loaded.run(None, feeds), strict=True):
            assert got.dtype == np.float16
            np.testing.assert_array_equal(got, want)


def test_float16_outputs_that_are_inputs_or_constants(tmp_path: Path) -> None:
    halves = [value(key, Type.FLOAT16, [2]) for key in ("x", "k", "y")]
    proto = model([node("Relu", ["x"], ["y"])], halves[:1], [halves[1], halves[2], halves[2]],
                  {"k": drawn(2).astype(np.float16)})  # fmt: skip
    compare(proto, {"x": drawn(2).astype(np.float16)}, tmp_path)


def test_a_branch_computes_in_float32(tmp_path: Path) -> None:
    """What would overflow in float16 within the network does not; what comes out of it may."""
    scale = {"big": np.array(300, np.float16), "small": np.array(0.001, np.float16)}
    nodes = [node("Mul", ["x", "big"], ["a"]), node("Mul", ["a", "big"], ["b"]), node("Mul", ["b", "small"], ["y"])]
    halves = [value("x", Type.FLOAT16, [1]), value("y", Type.FLOAT16, [1]), value("b", Type.FLOAT16, [1])]
    y, b = load(model(nodes, halves[:1], halves[1:], scale), tmp_path).run(None, {"x": np.ones(1, np.float16)})
    np.testing.assert_allclose(y, 300 * 300 * float(scale["small"]), rtol=1e-3)
    assert np.isinf(b)


def test_names_that_are_taken_within_bodies(tmp_path: Path) -> None:
    """A body's own weights may bear names that other bodies and the outer graph have too."""
    bodies = [
        helper.make_graph(
            [node("Mul", ["x", "w"], ["out"])],
            name,
            [],
            [value("out", Type.FLOAT, None)],
            tensors({"w": drawn(4, seed=k)}),
        )
        for k, name in enumerate(("then", "else"))
    ]
    nodes = [node("If", ["flag"], ["y"], then_branch=bodies[0], else_branch=bodies[1]), node("Neg", ["y"], ["out"])]
    proto = model(nodes, [X, value("flag", Type.BOOL, [])], [value("out", Type.FLOAT, None)])
    for flag, seed in ((True, 0), (False, 1)):
        got = load(proto, tmp_path)(GIVEN["x"], np.array(flag))
        np.testing.assert_array_equal(got, -(GIVEN["x"] * drawn(4, seed=seed)))


def test_a_message_too_large_for_protobuf(tmp_path: Path) -> None:
    with (tmp_path / "large.onnx").open("wb") as stream:
        stream.truncate(1 << 31)  # a hole, which takes no space on the disk
    with pytest.raises(ModelFormatError, match=r"large\.onnx: has 2147483648 bytes.*save_as_external_data=True"):
        rnnrt.load(tmp_path / "large.onnx")
