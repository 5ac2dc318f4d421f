"""Networks that branch on a sampling rate, and inputs that become constants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rnnrt
from rnnrt import RnnrtError, ShapeError
from rnnrt.cli import main
from tests.conformance.onnx_files import (
    HIDDEN,
    RATES,
    Type,
    compare,
    detector,
    drawn,
    helper,
    model,
    node,
    outputs_of,
    value,
)
from tests.support import shared_dir

EXACT = 2e-5


def feeds(rate: int, batch: int = 1, windows: int = 4) -> dict[str, np.ndarray]:
    return {
        "x": drawn(batch, windows * RATES[rate]),
        "sr": np.array(rate),
        "state": drawn(2, batch, HIDDEN),
    }


def operators(loaded: rnnrt.Model, given: dict[str, np.ndarray]) -> list[str]:
    return [row.op for row in loaded.describe(given)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("batch", [1, 3])
def test_both_rates(rate: int, batch: int, tmp_path: Path) -> None:
    loaded = compare(detector(), feeds(rate, batch), tmp_path)
    found = operators(loaded, feeds(rate, batch))
    assert found.count("LSTM") == 1
    assert "If" not in found


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_that_is_constant(rate: int, tmp_path: Path) -> None:
    given = feeds(rate, 2)
    loaded = compare(detector(), given, tmp_path, constants={"sr": rate})
    assert [i.name for i in loaded.inputs] == ["x", "state"]
    rows = loaded.describe({name: x.shape for name, x in given.items() if name != "sr"})
    assert [row.op for row in rows if row.op in ("If", "LSTM")] == ["LSTM"]
    assert all(row.native for row in rows)
    everything = rnnrt.load(tmp_path / "model.onnx").graph
    assert sum(n.op == "LSTM" for n in loaded.graph.nodes) == 1
    assert sum(n.op == "LSTM" for g in everything.subgraphs() for n in g.nodes) == 2
    assert loaded.graph.metadata["constants"] == f"sr={rate}"


def test_stored_models_hold_the_constant(tmp_path: Path) -> None:
    given = feeds(8000)
    loaded = compare(detector(), given, tmp_path, constants={"sr": np.int64(8000)})
    del given["sr"]
    for name in ("m.rnnrt", "m.onnx"):
        loaded.save(tmp_path / name)
        again = rnnrt.load(tmp_path / name)
        assert [i.name for i in again.inputs] == ["x", "state"]
        for got, want in zip(again.run(None, given), loaded.run(None, given), strict=True):
            np.testing.assert_array_equal(got, want)
    rest = rnnrt.load(tmp_path / "m.rnnrt", constants={"state": given["state"]})
    assert [i.name for i in rest.inputs] == ["x"]
    np.testing.assert_array_equal(rest(given["x"])[0], loaded.run(None, given)[0])
    assert rest.graph.metadata["constants"] == "sr=8000, state=float32 (2, 1, 64)"


def test_a_stream_of_windows(tmp_path: Path) -> None:
    loaded = compare(detector(), feeds(16000), tmp_path, constants={"sr": 16000})
    state, theirs = (np.zeros((2, 1, HIDDEN), np.float32) for _ in range(2))
    for k in range(5):
        x = drawn(1, 4 * RATES[16000], seed=k)
        p, state = loaded(x, state)
        want, theirs = outputs_of(tmp_path / "model.onnx", {"x": x, "sr": np.array(16000), "state": theirs})
        np.testing.assert_allclose(p, want, atol=EXACT)
        np.testing.assert_allclose(state, theirs, atol=EXACT)


@pytest.mark.parametrize(
    ("constants", "match"),
    [
        ({"rate": 1, "sr": 16000}, r"constants: unknown inputs \['rate'\]; the model takes \['x', 'sr', 'state'\]"),
        ({"sr": 16000.5}, "input 'sr' takes int64, got float64"),
        ({"sr": "16k"}, "input 'sr' takes int64"),
        ({"sr": 1 << 70}, "input 'sr' takes int64"),
        ({"sr": [16000, 8000]}, r"input 'sr' takes shape \(\)"),
        ({"state": np.zeros((1, 2, HIDDEN))}, r"input 'state' takes shape \(2, None, 64\)"),
        ({"state": [[1.0], [1.0, 2.0]]}, "input 'state': .* is no array"),
        ({"state": np.full((2, 1, HIDDEN), 1e300)}, "input 'state': .* does not fit float32"),
    ],
)
def test_constants_that_are_refused(constants: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = tmp_path / "vad.onnx"
    path.write_bytes(detector().SerializeToString())
    with pytest.raises(ShapeError, match=match) as caught:
        rnnrt.load(path, constants=constants)
    assert "vad.onnx" in str(caught.value)


def test_numbers_suit_inputs_of_one_element(tmp_path: Path) -> None:
    proto = model(
        [node("Add", ["x", "k"], ["s"]), node("Cast", ["n"], ["m"], to=Type.FLOAT), node("Mul", ["s", "m"], ["y"])],
        [value("x", Type.FLOAT, [None]), value("k", Type.FLOAT, [1]), value("n", Type.INT8, [1, 1])],
        [value("y", Type.FLOAT, None)],
    )
    given = {"x": drawn(3), "k": np.array([2.5], np.float32), "n": np.array([[3]], np.int8)}
    compare(proto, given, tmp_path, constants={"k": 2.5, "n": 3})
    with pytest.raises(ShapeError, match="300 does not fit int8"):
        rnnrt.load(tmp_path / "model.onnx", constants={"n": 300})


def test_layers_have_no_constants() -> None:
    pytest.importorskip("h5py")
    path = Path(rnnrt.__file__).parent / "demo_data" / "digits.keras"
    with pytest.raises(RnnrtError, match=r"digits\.keras: constants=\['rows'\].*\.onnx"):
        rnnrt.load(path, constants={"rows": 1})


def branching(condition: str = "sr") -> Any:
    """Fixed extents that one of two branches cannot take; the condition is a rate, or a sum over the input."""
    fits, other = (
        helper.make_graph([node("MatMul", ["x", w], [w + "_y"])], w, [], [value(w + "_y", Type.FLOAT, None)])
        for w in ("narrow", "wide")
    )
    decide = {
        "sr": [node("Equal", ["sr", "rate"], ["c"])],
        "sum": [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["sr"], ["t"], to=Type.FLOAT),
                node("Less", ["s", "t"], ["c"])],
    }  # fmt: skip
    return model(
        [*decide[condition], node("If", ["c"], ["y"], then_branch=fits, else_branch=other)],
        [value("x", Type.FLOAT, [1, 4]), value("sr", Type.INT64, [])],
        [value("y", Type.FLOAT, None)],
        {"narrow": drawn(4, 2), "wide": drawn(5, 2), "rate": np.array(16000)},
    )


@pytest.mark.parametrize("condition", ["sr", "sum"])
def test_a_branch_that_does_not_fit_fails_where_it_is_taken(condition: str, tmp_path: Path) -> None:
    """onnxruntime refuses such a file while it loads it, so numpy says what the branch gives."""
    x = drawn(1, 4)
    (tmp_path / "model.onnx").write_bytes(branching(condition).SerializeToString())
    loaded = rnnrt.load(tmp_path / "model.onnx")
    want = x.astype(np.float64) @ drawn(4, 2)
    np.testing.assert_allclose(loaded(x, np.array(16000)), want, atol=EXACT)
    with pytest.raises(ShapeError, match="MatMul node 'wide_y'"):
        loaded(x, np.array(-100))
    np.testing.assert_allclose(loaded(x, np.array(16000)), want, atol=EXACT)
    assert any(row.op in ("If", "MatMul") for row in loaded.describe({"x": (1, 4), "sr": ()}))
    rnnrt.load(tmp_path / "model.onnx", constants={"sr": 16000}).save(tmp_path / "fixed.rnnrt")
    np.testing.assert_allclose(rnnrt.load(tmp_path / "fixed.rnnrt")(x), want, atol=EXACT)


def test_branches_that_both_do_not_fit(tmp_path: Path) -> None:
    proto = branching()
    proto.graph.initializer[0].CopyFrom(model([], [], [], {"narrow": drawn(7, 2)}).graph.initializer[0])
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ShapeError, match="MatMul node 'narrow_y'"):
        rnnrt.load(tmp_path / "model.onnx")


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "vad.onnx"
    path.write_bytes(detector().SerializeToString())
    given = feeds(8000, 2)
    np.savez(tmp_path / "in.npz", x=given["x"], state=given["state"])
    report = json.loads(call("inspect", path, "--constant", "sr=8000", "--sample", tmp_path / "in.npz", "--json"))
    assert [i["name"] for i in report["inputs"]] == ["x", "state"]
    assert [n["op"] for n in report["nodes"] if n["op"] in ("If", "LSTM")] == ["LSTM"]
    assert report["hosted"] == []
    call("run", path, tmp_path / "in.npz", "-o", tmp_path / "out.npz", "--constant", "sr=8000")
    call("convert", path, "-o", tmp_path / "vad.rnnrt", "--constant", "sr=8000", "--sample", tmp_path / "in.npz")
    call("verify", tmp_path / "vad.rnnrt")
    want = outputs_of(path, given)
    got = rnnrt.load(tmp_path / "vad.rnnrt").run(None, {"x": given["x"], "state": given["state"]})
    with np.load(tmp_path / "out.npz") as out:
        for k, name in enumerate(("p", "next")):
            np.testing.assert_allclose(out[name], want[k], atol=EXACT)
            np.testing.assert_allclose(got[k], want[k], atol=EXACT)


def test_constants_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "vad.onnx"
    path.write_bytes(detector().SerializeToString())
    np.save(tmp_path / "state.npy", drawn(2, 1, HIDDEN))
    report = call("inspect", path, "--constant", "sr=16000", "--constant", f"state={tmp_path / 'state.npy'}")
    assert "constants sr=16000, state=float32 (2, 1, 64)" in report
    for text, message in {
        "sr": "as in sr=16000", "sr=fast": "is no value", "state=absent.npy": "no such file",
    }.items():  # fmt: skip
        assert message in " ".join(call("inspect", path, "--constant", text, code=2).split())
    assert "given twice" in call("inspect", path, "--constant", "sr=1", "--constant", "sr=2", code=2)
    assert "vad.onnx: constants: input 'sr' takes int64" in call("inspect", path, "--constant", "sr=1.5", code=1)


def test_inspecting_needs_no_constant(tmp_path: Path) -> None:
    path = tmp_path / "vad.onnx"
    path.write_bytes(detector().SerializeToString())
    assert [n["op"] for n in json.loads(call("inspect", path, "--json"))["nodes"] if n["op"] == "If"] == []


def test_a_published_detector() -> None:
    path = shared_dir("models", "silero-vad") / "silero_vad_16k_op15.onnx"
    with np.load(path.with_suffix(".case.npz")) as arrays:
        given = {name[4:]: arrays[name] for name in arrays.files if name.startswith("in__")}
        want = {name[5:]: arrays[name] for name in arrays.files if name.startswith("out__")}
    loaded = rnnrt.load(path, constants={"sr": int(given.pop("sr"))})
    found = [row.op for row in loaded.describe({name: x.shape for name, x in given.items()})]
    assert "LSTM" in found
    assert "If" not in found
    for info, got in zip(loaded.outputs, loaded.run(None, given), strict=True):
        np.testing.assert_allclose(got, want[info.name], atol=EXACT)
