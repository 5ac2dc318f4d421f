"""Damaged, hostile and unsupported Keras files: each gives an error that says what is wrong, and never a crash."""

from __future__ import annotations

import contextlib
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats.keras_import import read_keras
from tests.conformance.keras_files import (
    DENSE_NAMES,
    LSTM_NAMES,
    UNITS,
    dense_arrays,
    h5py,
    layer,
    lstm_arrays,
    lstm_groups,
    lstm_model,
    named,
    sequential,
    store,
    write_h5,
    write_keras,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def good(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_keras(tmp_path / "good.keras", lstm_model(), store(lstm_groups(rng)))


@pytest.fixture
def good_h5(tmp_path: Path, rng: np.random.Generator) -> Path:
    arrays = {
        "first": named("first", lstm_arrays(rng), LSTM_NAMES),
        "last": named("last", dense_arrays(rng), DENSE_NAMES),
    }
    return write_h5(tmp_path / "good.h5", lstm_model(), arrays)


def refused(path: Path, match: str, kind: type[RnnrtError] = ModelFormatError) -> None:
    with pytest.raises(kind, match=match) as caught:
        read_keras(path)
    assert path.name in str(caught.value)


def test_the_files_these_tests_start_from_are_good(good: Path, good_h5: Path) -> None:
    for path in (good, good_h5):
        assert rnnrt.load(path).run(None, {"input": np.ones((2, 5, 4), np.float32)})[0].shape == (2, 2)


@pytest.mark.parametrize("kind", ["good", "good_h5"])
def test_every_truncation(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind).read_bytes()
    path = tmp_path / "cut.keras"
    for size in sorted({0, 1, 4, 8, 30, 100, *np.linspace(0, len(data) - 1, 25).astype(int).tolist()}):
        path.write_bytes(data[:size])
        with pytest.raises(RnnrtError):
            rnnrt.load(path)


@pytest.mark.parametrize("kind", ["good", "good_h5"])
def test_flipped_bytes_never_escape_as_other_errors(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = bytearray(request.getfixturevalue(kind).read_bytes())
    rng = np.random.default_rng(1)
    path = tmp_path / "bad.keras"
    for _ in range(120):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(RnnrtError):
            read_keras(path)


def test_reasons_come_all_at_once(tmp_path: Path, rng: np.random.Generator) -> None:
    config = sequential(
        layer("Lambda", "code", function={"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}),
        layer("StringLookup", "look"),
        layer("MyLayer", "mine", module="my_package"),
        layer("Dense", "head", units=2, activation="my_activation"),
        layer("LSTM", "rec", units=2, activation="softmax"),
        layer("Dense", "tuned", units=2, lora_rank=4),
    )
    path = write_keras(tmp_path / "many.keras", config, store({}))
    with pytest.raises(UnsupportedModelError) as caught:
        read_keras(path)
    text = str(caught.value)
    for word in ("code", "look", "mine", "my_activation", "softmax", "lora_rank=4"):
        assert word in text, text
    assert len(caught.value.reasons) == 6
    assert all(";" in reason for reason in caught.value.reasons), "every reason tells what to do"


@pytest.mark.parametrize(
    "spec",
    [
        layer("Dense", "d", units=2, activation={"class_name": "function", "config": "f", "registered_name": "p>f"}),
        {**layer("Dense", "d", units=2), "registered_name": "package>Dense"},
        {**layer("LSTM", "d", units=2), "module": "os.path"},
    ],
)
def test_custom_code(spec: dict[str, Any], tmp_path: Path) -> None:
    refused(write_keras(tmp_path / "c.keras", sequential(spec), store({})), "custom code", UnsupportedModelError)


def test_subclassed_model(tmp_path: Path) -> None:
    config = {"class_name": "Functional", "config": {"name": "mine", "units": 3}}
    refused(write_keras(tmp_path / "s.keras", config, store({})), "rebuild it as a Functional", UnsupportedModelError)


def test_weights_of_wrong_shape(tmp_path: Path, rng: np.random.Generator) -> None:
    groups = lstm_groups(rng)
    groups["layers/dense/vars"][0] = groups["layers/dense/vars"][0].T
    refused(
        write_keras(tmp_path / "w.keras", lstm_model(), store(groups)), r"'last' \(Dense\): weight 'kernel' has shape"
    )
    groups = {**lstm_groups(rng), "layers/lstm/cell/vars": lstm_arrays(rng, 7)}
    refused(write_keras(tmp_path / "v.keras", lstm_model(), store(groups)), r"need \(4, 12\)")


def test_missing_weights(tmp_path: Path, rng: np.random.Generator) -> None:
    groups = lstm_groups(rng)
    del groups["layers/dense/vars"]
    refused(write_keras(tmp_path / "m.keras", lstm_model(), store(groups)), "'last'.*0 arrays")
    refused(write_keras(tmp_path / "n.keras", lstm_model(), store({})), "holds no layers")
    arrays = {"first": named("first", lstm_arrays(rng), LSTM_NAMES)}
    refused(write_h5(tmp_path / "m.h5", lstm_model(), arrays), "no weights for layer 'last'")
    arrays["last"] = named("last", dense_arrays(rng)[:1], DENSE_NAMES[:1])
    refused(write_h5(tmp_path / "n.h5", lstm_model(), arrays), "has 1 arrays")


def test_weights_only(tmp_path: Path, rng: np.random.Generator) -> None:
    refused(write_h5(tmp_path / "only.h5", None, {}), "weights only")
    path = tmp_path / "model.weights.h5"
    path.write_bytes(store(lstm_groups(rng)))
    refused(path, "weights only")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(3))
    refused(tmp_path / "data.h5", "no Keras model")


def test_links_out_of_the_file(tmp_path: Path, rng: np.random.Generator, good_h5: Path) -> None:
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file.create_dataset("secret", data=np.zeros((UNITS, 2), np.float32))
    for link in (h5py.ExternalLink(str(outside), "secret"), h5py.SoftLink("/model_weights/first")):
        path = tmp_path / f"{type(link).__name__}.h5"
        path.write_bytes(good_h5.read_bytes())
        with h5py.File(path, "a") as file:
            del file["model_weights/last/last/kernel:0"]
            file["model_weights/last/last/kernel:0"] = link
        refused(path, "links are not followed")


def test_link_in_a_keras_archive(tmp_path: Path, rng: np.random.Generator) -> None:
    weights = tmp_path / "w.h5"
    weights.write_bytes(store(lstm_groups(rng)))
    with h5py.File(weights, "a") as file:
        del file["layers/dense"]
        file["layers/dense"] = h5py.ExternalLink("/etc/passwd", "/")
    refused(write_keras(tmp_path / "l.keras", lstm_model(), weights.read_bytes()), "links are not followed")


def test_external_and_virtual_data(tmp_path: Path, good_h5: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(4 * UNITS * 2))
    external, virtual = tmp_path / "external.h5", tmp_path / "virtual.h5"
    for path in (external, virtual):
        path.write_bytes(good_h5.read_bytes())
        with h5py.File(path, "a") as file:
            group = file["model_weights/last/last"]
            del group["kernel:0"]
            if path == external:
                group.create_dataset("kernel:0", (UNITS, 2), "f4", external=[(str(raw), 0, 4 * UNITS * 2)])
            else:
                layout = h5py.VirtualLayout((UNITS, 2), "f4")
                layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (UNITS, 2))
                group.create_virtual_dataset("kernel:0", layout)
        refused(path, "another file")


def test_array_larger_than_the_file(tmp_path: Path, good_h5: Path) -> None:
    with h5py.File(good_h5, "a") as file:
        group = file["model_weights/last/last"]
        del group["kernel:0"]
        group.create_dataset("kernel:0", (1 << 17, 1 << 17), "f4", chunks=(1024, 1024), compression="gzip")
    refused(good_h5, "more than a file of this size can hold")


def test_arrays_that_are_not_numbers(tmp_path: Path, good_h5: Path) -> None:
    with h5py.File(good_h5, "a") as file:
        group = file["model_weights/last/last"]
        del group["kernel:0"]
        group.create_dataset("kernel:0", data=["a", "b"], dtype=h5py.string_dtype())
    refused(good_h5, "not numbers")


def test_a_heap_without_end(good_h5: Path) -> None:
    with h5py.File(good_h5, "a") as file:
        file.attrs["note"] = "kept in a global heap"
    data = bytearray(good_h5.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 16 : heap + 32] = bytes(16)  # free space of no size, which the HDF5 library walks for ever
    good_h5.write_bytes(data)
    refused(good_h5, "heap of the HDF5 data is damaged")


def test_groups_in_a_circle(tmp_path: Path, rng: np.random.Generator) -> None:
    weights = tmp_path / "w.h5"
    weights.write_bytes(store(lstm_groups(rng)))
    with h5py.File(weights, "a") as file:
        file["layers/lstm/again"] = file["layers"]
    assert read_keras(write_keras(tmp_path / "o.keras", lstm_model(), weights.read_bytes())).nodes


def test_zip_bombs(tmp_path: Path, good: Path) -> None:
    for name in ("model.weights.h5", "config.json"):
        path = tmp_path / f"{name}.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
            if name != "config.json":
                archive.writestr("config.json", json.dumps(lstm_model()))
            archive.writestr(name, bytes(80 << 20))
            if name == "config.json":
                archive.writestr("model.weights.h5", b"")
        refused(path, "zip bomb")


def test_pickles(tmp_path: Path) -> None:
    torch_like = tmp_path / "model.pt"
    with zipfile.ZipFile(torch_like, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    refused(torch_like, "pickles can run code")


def test_packed_data_that_no_packer_wrote(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "packed.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(lstm_model()))
    data = bytearray(path.read_bytes())
    start = data.index(b"config.json") + len("config.json")
    data[start] = 0xFF  # a block of a kind that there is not
    path.write_bytes(data)
    refused(path, "damaged or truncated")


def test_other_archives(tmp_path: Path) -> None:
    for member, match in (("readme.txt", "without config.json"), ("model/saved_model.pb", "SavedModel")):
        path = tmp_path / f"{len(member)}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, b"x")
        refused(path, match)
    path = tmp_path / "no_weights.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(lstm_model()))
    refused(path, "incomplete")


def test_lfs_pointer(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(ModelFormatError, match="git lfs pull"):
        rnnrt.load(path)
    with pytest.raises(ModelFormatError, match="git lfs pull"):
        read_keras(path)


@pytest.mark.parametrize(
    "config",
    [
        "{", "[]", "null", "3", '{"class_name": 3}', '{"class_name": "Sequential", "config": {"layers": [7]}}',
        '{"class_name": "Sequential", "config": {"layers": []}}',
        '{"class_name": "Functional", "config": {"layers": []}}',
        '{"class_name": "Dense", "config": {"units": 3, "name": "d"}}', "[" * 100_000,
        json.dumps(sequential(layer("Dense", "d", units="many"))), json.dumps(sequential(layer("Dense", "d"))),
        json.dumps(sequential(layer("LSTM", "d", units=-3))), json.dumps(sequential(layer("Bidirectional", "d"))),
        json.dumps(sequential(layer("RNN", "d", cell=layer("Dense", "c", units=2)))),
        json.dumps(sequential(layer("Dense", "d", units=2), shape=(None, float("nan")))),
        json.dumps(sequential(layer("Dense", "d", units=2), shape=(None, -3))),
        json.dumps(sequential(layer("Reshape", "d", target_shape=[3, 3]))),
        json.dumps(sequential(layer("Reshape", "d", target_shape=[0, -1]))),
        json.dumps(sequential(layer("Permute", "d", dims=[5, 6]))),
        json.dumps(sequential(layer("Conv1D", "d", filters=2, kernel_size=[2, 2]))),
        json.dumps(sequential(layer("LSTM", "d", units=2, dtype="complex64"))),
        json.dumps(sequential(layer("Dense", "d", units=2), layer("Dense", "d", units=2))),
        json.dumps(sequential(layer("TimeDistributed", "d", layer="none"))),
        json.dumps(sequential(layer("BatchNormalization", "d", axis=0))),
        json.dumps(sequential(layer("BatchNormalization", "d", axis=9))),
        json.dumps(sequential(layer("Concatenate", "d"))), json.dumps(sequential(layer("Dot", "d", axes=1))),
        json.dumps(sequential(layer("Dense", "d", units=10**12))),
    ],
)  # fmt: skip
def test_malformed_configurations(config: str, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "c.keras", config, store({}))
    with pytest.raises(RnnrtError) as caught:
        read_keras(path)
    assert path.name in str(caught.value)


def functional(calls: Any, outputs: Any = (("d", 0, 0),)) -> dict[str, Any]:
    source = {**layer("InputLayer", "i", batch_shape=[None, 3]), "name": "i", "inbound_nodes": []}
    dense = {**layer("Dense", "d", units=3, use_bias=False), "name": "d", "inbound_nodes": calls}
    return {
        "class_name": "Functional",
        "config": {"name": "f", "layers": [source, dense], "input_layers": [["i", 0, 0]], "output_layers": outputs},
    }


@pytest.mark.parametrize(
    ("calls", "outputs", "match"),
    [
        ([[["d", 0, 0, {}]]], [["d", 0, 0]], "wait for inputs"),
        ([[["nobody", 0, 0, {}]]], [["d", 0, 0]], "wait for inputs"),
        ([[["i", 0, 5, {}]]], [["d", 0, 0]], "does not exist"),
        ([[["i", 0, 0, {}]]], [["d", 4, 0]], "does not exist"),
        ([[["i", 0, 0, {}]]], [], "no outputs"),
        ([[["i", 0, 0, {}]]], {"a": 3}, "malformed"),
        ([7], [["d", 0, 0]], "malformed"),
        ("x", [["d", 0, 0]], "not a list"),
        ([{"args": [{"class_name": "__keras_tensor__", "config": {}}], "kwargs": {}}], [["d", 0, 0]], "malformed"),
    ],
)
def test_malformed_wiring(calls: Any, outputs: Any, match: str, tmp_path: Path) -> None:
    groups = {"layers/dense/vars": [np.eye(3, dtype=np.float32)]}
    refused(write_keras(tmp_path / "f.keras", functional(calls, outputs), store(groups)), match)


def test_deep_nesting(tmp_path: Path) -> None:
    spec = layer("Dense", "d", units=2)
    for k in range(200):
        spec = layer("TimeDistributed", f"t{k}", layer=spec)
    refused(write_keras(tmp_path / "deep.keras", sequential(spec), store({})), "deeper")


def test_input_shape_unknown(tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer("Dense", "d", units=2)]}}
    refused(write_keras(tmp_path / "u.keras", config, store({})), r"Input\(shape=...\)", UnsupportedModelError)


def test_ragged_and_text_inputs(tmp_path: Path) -> None:
    for options, match in (({"ragged": True}, "ragged"), ({"dtype": "string"}, "string")):
        source = layer("InputLayer", "i", **{"batch_shape": [None, 3], **options})
        config = {"class_name": "Sequential", "config": {"name": "m", "layers": [source, layer("Dense", "d", units=2)]}}
        refused(write_keras(tmp_path / "r.keras", config, store({})), match, UnsupportedModelError)


def test_without_h5py(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(RnnrtError, match=r'pip install "rnnrt\[convert\]"'):
        read_keras(good)
