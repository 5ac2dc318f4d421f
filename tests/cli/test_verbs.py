"""The verbs as their user meets them: what they print, what they write, and how they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import rnnrt
from rnnrt.cli import main
from rnnrt.formats.container import Vector, read_container, read_vectors, write_container
from rnnrt.ir import Graph, Node, Value
from rnnrt.models.comparing import largest_difference
from tests.support import shared_dir

ROOT = Path(rnnrt.__file__).parents[1]
DATA = Path(rnnrt.__file__).parent / "demo_data"
DIGITS = str(DATA / "digits.onnx")
F32 = np.dtype("float32")
VERBS = ("convert", "check", "inspect", "verify", "run", "bench", "train", "demo")


def call(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert (result.exit_code == 0) == ok, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def figures(*arguments: object) -> dict[str, Any]:
    return json.loads(call(*arguments, "--json").output)


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    call("convert", DIGITS, "-o", tmp_path / "digits.rnnrt")
    return tmp_path / "digits.rnnrt"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    assert f"Usage: main {verb}" in call(verb, "--help").output


def test_convert_tells_what_it_read_and_recognised(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    output = call("convert", DIGITS, "-o", tmp_path / "m.rnnrt").output
    assert "format onnx" in output
    assert "producer tf2onnx" in output
    assert "input rows: float32 (?, 8, 8)" in output
    assert "LSTM 8 -> 128, forward" in output
    assert "LSTM 128 -> 64, forward" in output
    assert "largest difference" in output
    assert f"wrote {tmp_path / 'm.rnnrt'}" in output.replace("\n", "")


@pytest.mark.parametrize("name", ["digits.onnx", "digits.keras"])
def test_convert_keeps_the_answers(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnx" if name.endswith("onnx") else "h5py")
    report = figures("convert", DATA / name, "-o", tmp_path / "m.rnnrt")
    assert 0 < max(report["largest_difference"].values()) < 2e-5
    with np.load(DATA / "digits.npz") as kept:
        y = rnnrt.load(tmp_path / "m.rnnrt")(kept["pictures"].astype(np.float32) / 16)
        np.testing.assert_allclose(y, kept["outputs"], atol=2e-5)


def test_convert_writes_beside_the_source_by_default(tmp_path: Path) -> None:
    source = tmp_path / "a.onnx"
    source.write_bytes(Path(DIGITS).read_bytes())
    pytest.importorskip("onnx")
    call("convert", source, "--no-check")
    assert read_container(tmp_path / "a.rnnrt").inputs[0].name == "rows"


def test_a_sample_is_compared_and_recorded(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    rows = np.random.default_rng(1).random((5, 8, 8), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    call("convert", DIGITS, "-o", tmp_path / "m.rnnrt", "--sample", tmp_path / "rows.npy")
    (vector,) = read_vectors(tmp_path / "m.rnnrt")
    np.testing.assert_array_equal(vector.inputs["rows"], rows)


def test_inspect_counts(converted: Path) -> None:
    report = figures("inspect", converted)
    assert report["parameters"] == 4 * 128 * (8 + 128 + 2) + 4 * 64 * (128 + 64 + 2) + 64 * 10 + 10
    assert report["shapes"] == {"rows": [1, 8, 8]}
    products = 2 * 8 * (4 * 128 * (8 + 128) + 4 * 64 * (128 + 64))
    assert products <= report["flops"] <= products * 1.1
    native = {row["op"] for row in report["nodes"] if row["native"]}
    assert "LSTM" in native
    assert "LSTM 8 -> 128, forward" in call("inspect", converted, "--nodes").output


def test_inspect_and_convert_find_what_a_network_takes(tmp_path: Path) -> None:
    """A published network of 512 samples a call, whose integer input selects the sampling rate."""
    pytest.importorskip("onnx")
    file = shared_dir("models", "silero-vad") / "silero_vad_16k_op15.onnx"
    report = figures("convert", file, "-o", tmp_path / "vad.rnnrt")
    assert set(report["largest_difference"]) == {"output", "stateN"}
    assert "LSTM 128 -> 128, forward" in report["recurrent"]
    assert len(read_vectors(tmp_path / "vad.rnnrt")) == 2
    call("verify", tmp_path / "vad.rnnrt")
    assert figures("inspect", file)["shapes"]["state"] == [2, 1, 128]


def test_verify_replays(converted: Path) -> None:
    report = figures("verify", converted)
    assert report["recorded"]
    assert report["passed"]
    assert len(report["differences"]) == 2
    assert "verified" in call("verify", DIGITS).output
    assert not figures("verify", DIGITS)["recorded"]


def test_verify_fails_on_other_answers(converted: Path) -> None:
    graph, vectors = read_container(converted), read_vectors(converted)
    wrong = [Vector(v.inputs, {k: y + np.float32(1e-3) for k, y in v.outputs.items()}) for v in vectors]
    write_container(converted, graph, wrong)
    assert "results differ by 1.0e-03" in call("verify", converted, ok=False).output
    write_container(converted, graph)
    assert "holds no recorded calls" in call("verify", converted, ok=False).output


def test_run_gives_kept_outputs(converted: Path, tmp_path: Path) -> None:
    with np.load(DATA / "digits.npz") as kept:
        rows, want = kept["pictures"].astype(np.float32) / 16, kept["outputs"]
    np.savez(tmp_path / "in.npz", rows=rows)
    np.save(tmp_path / "in.npy", rows)
    for given in ("in.npz", "in.npy"):
        call("run", converted, tmp_path / given, "-o", tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz") as out:
            (name,) = out.files
            np.testing.assert_allclose(out[name], want, atol=2e-5)


def test_run_refuses_what_is_no_input(converted: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "names.npz", colour=np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", rows=np.array([{}], dtype=object))
    np.save(tmp_path / "shape.npy", np.zeros((1, 8, 9), np.float32))
    (tmp_path / "cut.npz").write_bytes((DATA / "digits.npz").read_bytes()[:5000])
    (tmp_path / "empty.npy").write_bytes(b"")
    expected = {
        "names.npz": "missing ['rows']; unknown ['colour']",
        "objects.npy": "plain arrays",
        "objects.npz": "cannot be read",
        "shape.npy": "takes shape (None, 8, 8)",
        "cut.npz": "plain arrays",
        "empty.npy": "plain arrays",
        "absent.npz": "no such file",
    }
    for name, message in expected.items():
        assert message in call("run", converted, tmp_path / name, "-o", tmp_path / "o.npz", ok=False).output, name
    assert ".npz; give a path" in call("run", converted, tmp_path / "names.npz", "-o", "o.txt", ok=False).output
    assert not (tmp_path / "o.npz").exists()


def test_bench_prints_figures(converted: Path) -> None:
    report = figures("bench", converted, "--batch", 2, "--seconds", 0.02)
    assert report["shapes"] == {"rows": [2, 8, 8]}
    row = report["figures"]["rnnrt"]
    assert 0 < row["p50_us"] <= row["p99_us"]
    assert row["calls_per_second"] > 0
    assert "rnnrt" in call("bench", converted, "--seconds", 0.02).output


def test_bench_shows_where_the_time_goes(converted: Path) -> None:
    rows = figures("bench", converted, "--seconds", 0.02, "--nodes")["nodes"]
    assert sum("LSTM node" in row["node"] for row in rows) == 2
    assert all(row["us"] >= 0 for row in rows)
    assert "LSTM node" in call("bench", converted, "--seconds", 0.02, "--nodes").output


def test_bench_sets_onnxruntime_beside(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert set(figures("bench", DIGITS, "--seconds", 0.02)["figures"]) == {"rnnrt", "onnxruntime"}


def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    name = "[red]x[/nonsense]"
    write_container(
        tmp_path / "m.rnnrt", Graph((Value(name, F32, (2,)),), (Value("y", F32),), (Node("Neg", (name,), ("y",)),))
    )
    assert name in call("inspect", tmp_path / "m.rnnrt", "--nodes").output
    assert name in call("convert", tmp_path / "m.rnnrt", "-o", tmp_path / "n.rnnrt").output


@pytest.mark.parametrize("verb", ["convert", "check", "inspect", "verify", "bench"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x80\x04\x95junk", "pickle"),
        (b"<!DOCTYPE html><html>", "is text"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", ".rnnrt"),
        (b"PK\x03\x04 and no more", "zip"),
    ],
)
def test_bad_files_end_in_a_message(tmp_path: Path, verb: str, content: bytes | None, message: str) -> None:
    path = tmp_path / "model.bin"
    if content is not None:
        path.write_bytes(content)
    output = call(verb, path, ok=False).output
    assert output.startswith("Error: ")
    assert path.name in output
    assert message in output


def test_folders_are_no_models(tmp_path: Path) -> None:
    assert "is a folder" in call("inspect", tmp_path, ok=False).output


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    output = call("convert", DIGITS, "--no-check", "-o", tmp_path / "absent" / "m.rnnrt", ok=False).output
    assert "No such file" in output
    assert "ends so" in call("convert", DIGITS, "--no-check", "-o", tmp_path / "m.txt", ok=False).output


@pytest.mark.parametrize("start", [["-m", "rnnrt", "convert"], ["tools/convert.py"]])
def test_both_converters_are_one(tmp_path: Path, start: list[str]) -> None:
    pytest.importorskip("onnx")
    if not (ROOT / "tools").exists():
        pytest.skip("tools/ is part of the checkout, not of the installed package")
    target = tmp_path / "m.rnnrt"
    done = subprocess.run(
        [sys.executable, *start, DIGITS, "-o", str(target)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "LSTM 8 -> 128" in done.stdout
    failed = subprocess.run(
        [sys.executable, *start, "absent.onnx"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert failed.stderr.strip() == "Error: absent.onnx: no such file"


def test_tensors_are_converted_with_their_layers(tmp_path: Path) -> None:
    data = Path(__file__).resolve().parents[1] / "data" / "torch"
    listed = [
        {"type": "Embedding", "name": "embed"}, {"type": "GRU", "name": "gru", "batch_first": True},
        {"type": "Linear", "name": "out"}, "LogSoftmax",
    ]  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "object.json").write_text(json.dumps({"layers": listed, "prefix": ""}))
    (tmp_path / "other.json").write_text(json.dumps({"modules": listed}))
    for name in ("list", "object"):
        target = tmp_path / f"{name}.rnnrt"
        call("convert", data / "tied.safetensors", "--layers", tmp_path / f"{name}.json", "-o", target)
        recorded = np.load(data / "tied.npz")
        np.testing.assert_allclose(rnnrt.load(target)(recorded["x0"]), recorded["y0"], rtol=0, atol=1e-5)
    wrong = call("convert", data / "tied.safetensors", "--layers", tmp_path / "other.json", ok=False).output
    assert "has the keys ['modules']; give a list, or layers, input_shape" in wrong
    assert "perhaps GRU" in call("inspect", data / "tied.safetensors", ok=False).output


def test_float16_is_compared_as_such(tmp_path: Path) -> None:
    """Results that are rounded to float16 on different sides are equal; a difference of two steps is one."""
    one = np.array([1, 2], np.float16)
    assert largest_difference(np.nextafter(one, np.float16(9)), one) == 0
    assert largest_difference(one + np.float16(2**-8), one) > 1e-3
    assert largest_difference(np.array([np.nan], np.float16), one[:1]) == float("inf")
    value = Value("x", F32, (700,))
    graph = Graph((value,), (Value("y", np.dtype("float16")),), (Node("Cast", ("x",), ("y",), {"to": 10}),))
    write_container(tmp_path / "half.rnnrt", graph)
    call("convert", tmp_path / "half.rnnrt", "-o", tmp_path / "again.rnnrt")
    call("verify", tmp_path / "again.rnnrt")
