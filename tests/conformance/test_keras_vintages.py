"""Files that versions of Keras from 1.2.2 on wrote, and what these versions answered themselves.

tools/make_keras_vintages.py made the archives, one for each version and backend.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import layers
from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.models.loading import clone_model, model_from_json
from tests.support import assert_close

pytest.importorskip("h5py")

FOLDER = Path(__file__).resolve().parents[1] / "data" / "keras" / "vintages"
VERSIONS = sorted(p.stem for p in FOLDER.glob("*.zip"))
FEATURES, STEPS = 3, 6


def contents(version: str) -> list[str]:
    with zipfile.ZipFile(FOLDER / f"{version}.zip") as archive:
        return sorted(n.removesuffix(".npz") for n in archive.namelist() if n.endswith(".npz"))


CASES = [(version, name) for version in VERSIONS for name in contents(version)]


def unpacked(version: str, name: str, folder: Path) -> tuple[Path, dict[str, np.ndarray], Path]:
    """A file, its recorded inputs and outputs, and where its architecture is, if apart."""
    with zipfile.ZipFile(FOLDER / f"{version}.zip") as archive:
        for member in archive.namelist():
            if member.startswith(name):
                archive.extract(member, folder)
    with np.load(folder / f"{name}.npz") as case:
        return folder / name, dict(case), folder / f"{name}.json"


def answers(model: Any, case: dict[str, np.ndarray]) -> None:
    """The model gives what was recorded."""
    feeds = {info.name: case[f"x{k}"] for k, info in enumerate(model.inputs)}
    outputs = model.run(None, feeds)
    assert len(outputs) + len(feeds) == len(case)
    for k, got in enumerate(outputs):
        assert np.isfinite(case[f"y{k}"]).all()
        assert_close(got, case[f"y{k}"], 2e-5, f"output {k}")


def test_the_versions_are_there() -> None:
    majors = [v.split(".")[0] for v in VERSIONS]
    assert {"1", "2", "3"} <= set(majors)
    assert {"2.0.8", "2.0.8-theano", "2.2.4", "2.2.4-tf", "2.3.1", "2.13.1", "2.15.0"} <= set(VERSIONS)


@pytest.mark.parametrize(("version", "name"), CASES)
def test_what_keras_answered(version: str, name: str, tmp_path: Path) -> None:
    path, case, architecture = unpacked(version, name, tmp_path)
    model = rnnrt.load(path, architecture=architecture) if architecture.exists() else rnnrt.load(path)
    answers(model, case)


WEIGHTS = [(version, name) for version, name in CASES if name.endswith(".weights.h5")]


@pytest.mark.parametrize(("version", "name"), WEIGHTS)
def test_weights_into_a_model_of_the_text(version: str, name: str, tmp_path: Path) -> None:
    path, case, architecture = unpacked(version, name, tmp_path)
    model = model_from_json(architecture.read_text())
    model.load_weights(path)
    answers(model, case)


@pytest.mark.parametrize("version", ["1.2.2", "2.15.0", "3.15.1"])
def test_architecture_as_text_and_as_a_dictionary(version: str, tmp_path: Path) -> None:
    path, case, architecture = unpacked(version, "tokens.weights.h5", tmp_path)
    text = architecture.read_text()
    answers(rnnrt.load(path, architecture=text), case)
    answers(rnnrt.load(path, architecture=json.loads(text)), case)


@pytest.mark.parametrize("version", ["2.2.4", "2.3.1", "2.15.0"])
def test_a_clone_keeps_what_its_version_does_with_masks(version: str, tmp_path: Path) -> None:
    name = next(n for v, n in CASES if v == version and n.startswith("tokens."))
    path, case, architecture = unpacked(version, name, tmp_path)
    model = rnnrt.load(path, architecture=architecture) if architecture.exists() else rnnrt.load(path)
    clone = clone_model(model)
    clone.set_weights(model.get_weights())
    answers(clone, case)


def test_weights_by_the_order_of_layers(tmp_path: Path) -> None:
    path, case, _ = unpacked("2.10.0", "strange.h5", tmp_path)
    model = rnnrt.Sequential([
        rnnrt.Input((STEPS, FEATURES)),
        layers.SimpleRNN(3, go_backwards=True, name="another"),
        layers.Dropout(0.5),
        layers.Dense(2, name="last"),
    ])  # fmt: skip
    model.load_weights(path.rename(tmp_path / "weights"))  # the content tells what it is
    answers(model, case)
    path = tmp_path / "weights"
    short = rnnrt.Sequential([rnnrt.Input((STEPS, FEATURES)), layers.SimpleRNN(3)])
    with pytest.raises(ModelFormatError, match=r"holds 2 layers with weights.*the model has 1"):
        short.load_weights(path)


def test_weights_by_the_names_of_layers(tmp_path: Path) -> None:
    path, _, _ = unpacked("2.10.0", "strange.h5", tmp_path)
    theirs = {layer.name: layer.get_weights() for layer in rnnrt.load(path).layers}
    model = rnnrt.Sequential([
        rnnrt.Input((FEATURES,)),
        layers.Dense(3, name="first"),
        layers.Dense(2, name="odd"),
    ])  # fmt: skip
    before = model.layers[0].get_weights()
    model.load_weights(path, by_name=True)
    for got, want in zip(model.layers[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(model.layers[1].get_weights(), theirs["odd"], strict=True):
        np.testing.assert_array_equal(got, want)
    wide = rnnrt.Sequential([rnnrt.Input((4,)), layers.Dense(2, name="odd")])
    with pytest.raises(ModelFormatError, match=r"shape \(3, 2\), the model has \(4, 2\)"):
        wide.load_weights(path, by_name=True)
    before = wide.get_weights()
    wide.load_weights(path, by_name=True, skip_mismatch=True)
    for got, want in zip(wide.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(ModelFormatError, match="goes with by_name"):
        wide.load_weights(path, skip_mismatch=True)


def test_by_name_needs_names(tmp_path: Path) -> None:
    path, _, architecture = unpacked("3.15.1", "tokens.weights.h5", tmp_path)
    model = model_from_json(architecture.read_text())
    with pytest.raises(ModelFormatError, match="no names of layers"):
        model.load_weights(path, by_name=True)


@pytest.mark.parametrize(
    ("version", "name", "reason"),
    [
        ("2.2.4", "tokens.h5", "slope 0.2"),
        ("2.2.4", "states.h5", "treats the mask"),
        ("2.15.0", "time_major.keras", "has the time first"),
        ("1.2.2", "old_layers.h5", "layer 'highway_1'"),
    ],
)
def test_what_keras_3_would_compute_otherwise_is_not_written_for_it(
    version: str, name: str, reason: str, tmp_path: Path
) -> None:
    path, _, _ = unpacked(version, name, tmp_path)
    with pytest.raises(UnsupportedModelError, match=reason):
        rnnrt.load(path).save(tmp_path / "out.keras")


def test_time_first_in_pieces() -> None:
    options: dict[str, Any] = {"return_sequences": True, "time_major": True}
    model = rnnrt.Sequential([rnnrt.Input((None, FEATURES)), layers.LSTM(2, **options)])
    x = np.random.default_rng(0).normal(size=(5, 2, FEATURES)).astype(np.float32)
    whole = model(x)
    usual = rnnrt.Sequential([rnnrt.Input((None, FEATURES)), layers.LSTM(2, return_sequences=True)])
    usual.set_weights(model.get_weights())
    np.testing.assert_array_equal(whole, usual(x.transpose(1, 0, 2)).transpose(1, 0, 2))
    stream = model.stream(batch_size=2)
    np.testing.assert_array_equal(np.stack([stream.step(x_t) for x_t in x]), whole)


@pytest.mark.parametrize("version", ["2.2.4", "2.2.4-tf", "2.3.1"])
def test_plain_weights_into_layers_for_cudnn(version: str, tmp_path: Path) -> None:
    path, case, _ = unpacked(version, "cudnn.h5", tmp_path)
    x = rnnrt.Input((STEPS, FEATURES), name="x")
    memory = layers.LSTM(2, return_sequences=True)
    plain = rnnrt.Model(x, layers.GRU(3)(layers.Bidirectional(memory)(x)))
    plain.load_weights(path)
    answers(plain, case)
    before = layers.GRU(3, reset_after=False)
    other = rnnrt.Model(x, before(layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x)))
    with pytest.raises(ModelFormatError, match=r"use GRU\(reset_after=True\)"):
        other.load_weights(path)


def test_what_is_custom_is_noted_and_stops_training_alone(tmp_path: Path) -> None:
    path, case, _ = unpacked("2.15.0", "strange.keras", tmp_path)
    model = rnnrt.load(path)
    answers(model, case)
    (note,) = json.loads(model.metadata["notes"])
    assert "kernel_regularizer is custom code" in note and "L2" in note
    model.compile("sgd", "mse")
    with pytest.raises(RnnrtError, match="L2 of"):
        model.fit(case["x0"], case["y0"], verbose=0)


def test_old_words_that_only_training_reads(tmp_path: Path) -> None:
    path, _, _ = unpacked("1.2.2", "tokens.h5", tmp_path)
    model = rnnrt.load(path)
    assert any("dropout=0.1" in note for note in json.loads(model.metadata["notes"]))
    gru = model.layers[1]
    assert (gru.dropout, gru.recurrent_dropout) == (0.1, 0.2)
    assert gru.kernel_regularizer["class_name"] == "L1L2"
    assert gru.kernel_regularizer["config"]["l2"] == pytest.approx(0.01)
    assert model.layers[3].unit_forget_bias is False
    with pytest.raises(RnnrtError, match="EigenvalueRegularizer"):
        model.layers[3].cell.setting("recurrent_kernel", "regularizer")


def keras_1(*specs: dict[str, Any]) -> str:
    return json.dumps({"class_name": "Sequential", "keras_version": "1.2.2", "config": list(specs)})


def spec(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": kind.lower(), "trainable": True, **config}}


@pytest.mark.parametrize(
    ("old", "match"),
    [
        (spec("BatchNormalization", mode=1, axis=-1, epsilon=0.1), "mode=1"),
        (spec("BatchNormalization", mode=2, axis=-1, epsilon=0.1), "mode=2"),
        (spec("Merge", mode="<bytes>", mode_type="lambda"), "Python code, which is never run"),
        (spec("SReLU"), "rnnrt has no such layer"),
        (spec("Convolution1D", nb_filter=2, filter_length=2, border_mode="full"), "padding='full'"),
    ],
)
def test_what_of_keras_1_is_refused(old: dict[str, Any], match: str) -> None:
    first = spec("Dense", output_dim=3, batch_input_shape=[None, 6, 3])
    with pytest.raises(UnsupportedModelError, match=match):
        model_from_json(keras_1(first, old))


def test_an_architecture_that_is_none(tmp_path: Path) -> None:
    path, _, architecture = unpacked("2.2.4", "tokens.weights.h5", tmp_path)
    with pytest.raises(ModelFormatError, match=r"no-such\.json.*cannot be read"):
        rnnrt.load(path, architecture=tmp_path / "no-such.json")
    with pytest.raises(ModelFormatError, match="not valid JSON"):
        rnnrt.load(path, architecture="{no")
    with pytest.raises(ModelFormatError, match="architecture is a int"):
        rnnrt.load(path, architecture=3)  # type: ignore[arg-type]
    with pytest.raises(ModelFormatError, match="no class_name"):
        rnnrt.load(path, architecture={})
    with pytest.raises(ModelFormatError, match=r"architecture='model\.json'"):
        rnnrt.load(path)
    (tmp_path / "other.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(ModelFormatError, match="is no HDF5 file"):
        rnnrt.load(tmp_path / "other.onnx", architecture=architecture)
    other, _, _ = unpacked("2.2.4", "nested.weights.h5", tmp_path)
    with pytest.raises(ModelFormatError, match="holds 2 layers with weights"):
        rnnrt.load(other, architecture=architecture)


@pytest.mark.parametrize(("size", "stride", "fine"), [(3, 1, True), (2, 1, False), (3, 2, False)])
def test_padding_of_theano_is_refused_where_it_differs(size: int, stride: int, fine: bool) -> None:
    options = {"kernel_size": [size], "strides": [stride], "padding": "same", "batch_input_shape": [None, 6, 3]}
    config = [spec("Conv1D", filters=2, **options)]
    text = json.dumps({"class_name": "Sequential", "keras_version": "2.0.8", "backend": "theano", "config": config})
    if fine:
        model_from_json(text)
        return
    with pytest.raises(UnsupportedModelError, match="Theano"):
        model_from_json(text)


def test_a_file_of_theano_without_its_backend_would_be_another(tmp_path: Path) -> None:
    """What the kernels' turning changes can be seen in the outputs."""
    import h5py

    path, case, _ = unpacked("2.0.8-theano", "conv_valid.h5", tmp_path)
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["backend"] = b"tensorflow"
    (got,) = rnnrt.load(path).run(None, {"conv1d_1_input": case["x0"]})
    assert np.abs(got - case["y0"]).max() > 1e-3
