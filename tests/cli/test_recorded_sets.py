"""Calls recorded beside an ONNX file, in the layout of ONNX's own tests: found, replayed, and kept by `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt.formats.container import read_vectors
from tests.cli.test_verbs import call, figures

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT = onnx.TensorProto.FLOAT


def make_model(folder: Path, kind: int = FLOAT, name: str = "model.onnx") -> Path:
    """y = a - b, z = 2 a."""
    value = helper.make_tensor_value_info
    two = helper.make_tensor("two", kind, [], [2.0])
    graph = helper.make_graph(
        [helper.make_node("Sub", ["a", "b"], ["y"]), helper.make_node("Mul", ["a", "two"], ["z"])],
        "g",
        [value("a", kind, ["n", 3]), value("b", kind, ["n", 3])],
        [value("y", kind, ["n", 3]), value("z", kind, ["n", 3])],
        [two],
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return path


def write(folder: Path, kind: str, k: int, array: np.ndarray, name: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}_{k}.pb").write_bytes(numpy_helper.from_array(array, name).SerializeToString())


def record(folder: Path, number: int, rows: int, error: float = 0.0) -> Path:
    """A call with its right answer, or one that is off by `error`."""
    rng = np.random.default_rng(number)
    a, b = (rng.standard_normal((rows, 3)).astype(np.float32) for _ in range(2))
    place = folder / f"test_data_set_{number}"
    for kind, k, array in (("input", 0, a), ("input", 1, b), ("output", 0, a - b + np.float32(error))):
        write(place, kind, k, array)
    write(place, "output", 1, 2 * a)
    return place


def test_all_sets_are_replayed(tmp_path: Path) -> None:
    path = make_model(tmp_path)
    for number, rows in ((0, 1), (1, 4), (10, 2)):
        record(tmp_path, number, rows)
    for given in (path, tmp_path):
        report = figures("verify", given)
        assert report["recorded"]
        assert report["passed"]
        cases = [row["case"] for row in report["comparisons"]]
        assert cases == [f"test_data_set_{k}" for k in (0, 0, 1, 1, 10, 10)]
        assert all(row["difference"] == 0 for row in report["comparisons"])
    assert "recorded calls were replayed" in call("verify", tmp_path).output


def test_wrong_records_fail_and_keep_convert_from_writing(tmp_path: Path) -> None:
    make_model(tmp_path)
    record(tmp_path, 0, 2)
    record(tmp_path, 1, 2, error=0.5)
    output = call("verify", tmp_path, ok=False).output
    assert "output 'y', recorded, test_data_set_1" in output
    assert "the compiled result and the float64 reference agree" in output
    output = call("convert", tmp_path, "-o", tmp_path / "m.rnnrt", ok=False).output
    assert "was not written" in output
    assert not (tmp_path / "m.rnnrt").exists()


def test_convert_records_the_sets(tmp_path: Path) -> None:
    make_model(tmp_path)
    for number in (0, 1):
        record(tmp_path, number, number + 1)
    call("convert", tmp_path)
    vectors = read_vectors(tmp_path / "model.rnnrt")
    assert [v.inputs["a"].shape for v in vectors] == [(1, 3), (2, 3)]
    for vector in vectors:
        np.testing.assert_array_equal(vector.outputs["y"], vector.inputs["a"] - vector.inputs["b"])
    assert figures("verify", tmp_path / "model.rnnrt")["passed"]
    call("convert", tmp_path, "--no-check", "-o", tmp_path / "n.rnnrt")
    assert len(read_vectors(tmp_path / "n.rnnrt")) == 2


def test_names_decide_where_there_are_some(tmp_path: Path) -> None:
    """Files in another order than the model's inputs, named after them; and outputs of which one is left out."""
    make_model(tmp_path)
    place = tmp_path / "test_data_set_0"
    a, b = np.full((1, 3), 5, np.float32), np.full((1, 3), 3, np.float32)
    write(place, "input", 0, b, "b")
    write(place, "input", 1, a, "a")
    write(place, "output", 0, a * 2, "z")
    report = figures("verify", tmp_path)
    assert report["passed"]
    assert [row["output"] for row in report["comparisons"]] == ["z"]
    write(place, "input", 0, a, "foreign")  # other names say nothing: position does
    write(place, "input", 1, b, "words")
    assert figures("verify", tmp_path)["passed"]


@pytest.mark.parametrize(("kind", "step"), [(onnx.TensorProto.FLOAT16, 2.0**-10), (onnx.TensorProto.BFLOAT16, 2.0**-7)])
def test_half_precision_has_its_tolerance(tmp_path: Path, kind: int, step: float) -> None:
    make_model(tmp_path, kind)
    a, b = np.full((1, 3), 1.5), np.full((1, 3), 0.5)

    def save(y: np.ndarray) -> None:
        rows: list[tuple[str, Any]] = [("input_0", a), ("input_1", b), ("output_0", y), ("output_1", 2 * a)]
        for name, array in rows:
            tensor = helper.make_tensor("", kind, array.shape, array.ravel())
            (tmp_path / "test_data_set_0" / f"{name}.pb").write_bytes(tensor.SerializeToString())

    (tmp_path / "test_data_set_0").mkdir()
    save(a - b + step)
    assert figures("verify", tmp_path)["passed"]
    save(a - b + 16 * step)
    assert "results differ" in call("verify", tmp_path, ok=False).output


def test_what_is_no_tensor_is_refused_by_name(tmp_path: Path) -> None:
    make_model(tmp_path)
    place = record(tmp_path, 0, 2)
    tensor = numpy_helper.from_array(np.zeros((2, 3), np.float32))
    sequence = onnx.SequenceProto(name="list", elem_type=onnx.SequenceProto.TENSOR, tensor_values=[tensor])
    optional = onnx.OptionalProto(name="maybe", elem_type=onnx.OptionalProto.TENSOR, tensor_value=tensor)
    strings = helper.make_tensor("s", onnx.TensorProto.STRING, [1], [b"word"])
    cases = {
        "a sequence or an optional": [sequence.SerializeToString(), optional.SerializeToString()],
        "holds strings": [strings.SerializeToString()],
        "copy it again": [tensor.SerializeToString()[:-3], b"\xff\xff\xff"],
        "git lfs pull": [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
    }
    for message, contents in cases.items():
        for content in contents:
            (place / "input_1.pb").write_bytes(content)
            output = call("verify", tmp_path, ok=False).output
            assert message in output
            assert "input_1.pb" in output


def test_incomplete_sets_are_refused(tmp_path: Path) -> None:
    make_model(tmp_path)
    place = record(tmp_path, 0, 2)
    (place / "input_1.pb").unlink()
    assert "holds 1 inputs, the model takes 2" in call("verify", tmp_path, ok=False).output
    write(place, "input", 2, np.zeros((2, 3), np.float32))
    assert "there is no input_1.pb before it" in call("verify", tmp_path, ok=False).output
    write(place, "input", 1, np.zeros((2, 4), np.float32))
    (place / "input_2.pb").unlink()
    assert "takes shape (None, 3)" in call("verify", tmp_path, ok=False).output
    for file in place.glob("output_*"):
        file.unlink()
    assert "holds 0 outputs" in call("verify", tmp_path, ok=False).output


def test_folders_without_one_model(tmp_path: Path) -> None:
    for verb in ("verify", "convert", "check"):
        assert "holds no .onnx file" in call(verb, tmp_path, ok=False).output
    make_model(tmp_path, name="one.onnx")
    path = make_model(tmp_path, name="two.onnx")
    for verb in ("verify", "convert", "check"):
        assert "one.onnx, two.onnx" in call(verb, tmp_path, ok=False).output
    record(tmp_path, 0, 2, error=0.5)
    report = figures("verify", path)
    assert not report["recorded"]
    assert any("several .onnx files" in note for note in report["notes"])


def test_check_takes_a_folder(tmp_path: Path) -> None:
    make_model(tmp_path)
    assert figures("check", tmp_path)["path"] == str(tmp_path / "model.onnx")
