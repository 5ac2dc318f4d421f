""".keras files that rnnrt writes: read back bit for bit, of Keras's own structure, and the same when Keras runs."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt.errors import UnsupportedModelError
from rnnrt.formats import keras_import
from rnnrt.formats.keras_export import write_keras
from rnnrt.ir import Graph
from rnnrt.layers import Network
from rnnrt.runtime import Session
from rnnrt.samples import suitable_inputs
from tests.conformance import keras_files
from tests.conformance.keras_cases import CASES, worth_trying
from tests.conformance.test_keras_fixtures import FILES, FOLDER
from tests.conformance.test_keras_layers import feeds_for, framework, outputs_of, randomise
from tests.conformance.test_shared_keras import EXPORTS, MODELS
from tests.conformance.test_shared_keras import _numbered as numbered
from tests.support import assert_close, shared_dir

h5py = pytest.importorskip("h5py")

RECORDED = Path(__file__).resolve().parents[1] / "data" / "keras_export"
RECORDS = sorted(p.stem for p in RECORDED.glob("*.json"))
F32 = np.dtype("float32")


def results(graph: Graph, feeds: list[np.ndarray]) -> list[np.ndarray]:
    return Session(graph).run(feeds)


def feeds_of(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    session = Session(graph)
    made = suitable_inputs(graph, lambda f: session.run([f[v.name] for v in graph.inputs]), 2, 5, seed)
    return [made[v.name] for v in graph.inputs]


def goes_round(network: Network, path: Path, made_by: str = "3", **options: Any) -> None:
    """Written and read back it is the same network, to the bit and by the names of its inputs and outputs."""
    graph = keras_import.to_graph(network, made_by, "before")
    write_keras(path, network, made_by=made_by, **options)
    back = keras_import.read_keras(path)
    assert [v.name for v in back.inputs] == [v.name for v in graph.inputs]
    assert [(v.name, v.shape) for v in back.outputs] == [(v.name, v.shape) for v in graph.outputs]
    feeds = feeds_of(graph)
    for a, b in zip(results(back, feeds), results(graph, feeds), strict=True):
        np.testing.assert_array_equal(a, b)


IN_KERAS_2_ALONE = {
    "gru_and_dense_hard_sigmoid": "hard_sigmoid has the slope 0.2 in Keras 2 and 1/6 in Keras 3",
    "masked_rescaling": "Keras 3 treats the mask",
    "merged_masks": "Keras 3 treats the mask",
    "time_distributed_tokens": "Keras 3 treats the mask",
}
"""Stored models that are another network in Keras 3, and what the refusal says."""


@pytest.mark.parametrize("name", FILES)
def test_stored_file(name: str, tmp_path: Path) -> None:
    network, version = keras_import.read_network(FOLDER / name)
    reason = IN_KERAS_2_ALONE.get(name.split(".")[0])
    if ".2." in name and reason:
        with pytest.raises(UnsupportedModelError, match=r"cannot be written for Keras 3 exactly") as caught:
            write_keras(tmp_path / "no.keras", network, made_by=version)
        assert any(reason in r for r in caught.value.reasons)
        assert all(r.startswith("layer '") and "save the network as .rnnrt or .onnx" in r for r in caught.value.reasons)
        assert not list(tmp_path.iterdir())
        return
    goes_round(network, tmp_path / "out.keras", version)


@pytest.mark.parametrize("name", [f"exports/{n}" for n in EXPORTS] + [f"models/{n}" for n in MODELS])
def test_published_file(name: str, tmp_path: Path) -> None:
    network, version = keras_import.read_network(shared_dir(*name.split("/")))
    goes_round(network, tmp_path / "out.keras", version)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(n for n in CASES if worth_trying(n, 3)))
def test_keras_runs_it(name: str, tmp_path: Path) -> None:
    keras = framework(3)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    model = CASES[name](keras)
    randomise(model, rng)
    feeds = feeds_for(model, rng)
    want = outputs_of(model, feeds)
    model.save(tmp_path / "first.keras")
    network, version = keras_import.read_network(tmp_path / "first.keras")
    batch_size = len(feeds[0]) if name == "stateful" else None
    write_keras(tmp_path / "second.keras", network, made_by=version, batch_size=batch_size)
    again = keras.models.load_model(tmp_path / "second.keras", compile=False)
    for a, b in zip(outputs_of(again, feeds), want, strict=True):
        assert_close(a, b, 1e-6, name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in FILES if ".2." in n and n.split(".")[0] not in IN_KERAS_2_ALONE])
def test_keras_3_runs_what_keras_2_wrote(name: str, tmp_path: Path) -> None:
    keras = framework(3)
    network, version = keras_import.read_network(FOLDER / name)
    write_keras(tmp_path / "new.keras", network, made_by=version)
    model = keras.models.load_model(tmp_path / "new.keras", compile=False)
    case = np.load(FOLDER / f"{name}.npz")
    got = outputs_of(model, [case[f"x{k}"] for k in range(len(network.inputs))])
    for k, y in enumerate(got):
        assert_close(y, case[f"y{k}"], 2e-5, name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [f"exports/{n}" for n in EXPORTS] + [f"models/{n}" for n in MODELS])
def test_keras_3_runs_published_files(name: str, tmp_path: Path) -> None:
    path = shared_dir(*name.split("/"))
    keras = framework(3)
    network, version = keras_import.read_network(path)
    write_keras(tmp_path / "new.keras", network, made_by=version)
    model = keras.models.load_model(tmp_path / "new.keras", compile=False)
    recorded, given, wanted = (
        (path.with_suffix(".npz"), "x", "y") if name.startswith("exports") else (f"{path}.case.npz", "in__", "out__")
    )
    case = np.load(recorded)
    got = outputs_of(model, numbered(case, given))
    for a, b in zip(got, numbered(case, wanted), strict=True):
        assert_close(a, b, 2e-5, name)


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{name}.json").read_text())


def with_weights(name: str, path: Path) -> Path:
    """A file of the recorded structure and made-up weights."""
    record, rng = recorded(name), np.random.default_rng(zlib.crc32(name.encode()))
    groups = {
        group: [rng.uniform(0.1, 0.9, shape).astype(dtype) for shape, dtype in arrays]
        for group, (_, arrays) in record["groups"].items()
    }
    return keras_files.write_keras(path, record["config"], keras_files.store(groups))


def batch_of(name: str) -> int | None:
    return 3 if name == "stateful" else None


@pytest.mark.parametrize("wanted", ["int32", "bool"])
def test_casts_say_to_what(wanted: str, tmp_path: Path) -> None:
    """A cast between layers keeps its dtype, read and written."""
    tensor = {"shape": [None, 4], "dtype": "float32", "keras_history": ["x", 0, 0]}
    cast = {
        "module": "keras.src.ops.core", "class_name": "Cast", "config": {"name": "cast", "dtype": wanted},
        "registered_name": "Cast", "name": "cast",
        "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}],
    }  # fmt: skip
    first = keras_files.layer("InputLayer", "x", batch_shape=[None, 4], dtype="float32")
    config = {
        "name": "m", "layers": [{**first, "name": "x", "inbound_nodes": []}, cast],
        "input_layers": ["x", 0, 0], "output_layers": ["cast", 0, 0],
    }  # fmt: skip
    path = tmp_path / "cast.keras"
    keras_files.write_keras(path, {"class_name": "Functional", "config": config}, keras_files.store({}))
    network, version = keras_import.read_network(path)
    x = np.array([[0.0, 0.6, -1.7, 2.5]], np.float32)
    (got,) = results(keras_import.to_graph(network, version, "m"), [x])
    np.testing.assert_array_equal(got, x.astype(wanted))
    write_keras(tmp_path / "again.keras", network, made_by=version)
    (again,) = results(keras_import.read_keras(tmp_path / "again.keras"), [x])
    assert again.dtype == np.dtype(wanted)
    np.testing.assert_array_equal(again, got)


def test_the_records_are_there() -> None:
    assert len(RECORDS) == 28


@pytest.mark.parametrize("name", RECORDS)
def test_structure_is_that_of_keras(name: str, tmp_path: Path) -> None:
    network, version = keras_import.read_network(with_weights(name, tmp_path / "keras.keras"))
    write_keras(tmp_path / "ours.keras", network, made_by=version, batch_size=batch_of(name))
    with zipfile.ZipFile(tmp_path / "ours.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert set(json.loads(archive.read("metadata.json"))) == {"keras_version", "date_saved"}
        config = json.loads(archive.read("config.json"))
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    differing = list(differences(config, recorded(name)["config"], ""))
    assert not differing, "\n".join(differing)
    want = {g: arrays for g, (_, arrays) in recorded(name)["groups"].items() if arrays}
    assert set(want) == set(groups_with_arrays(weights))
    for group, arrays in want.items():
        found = [weights[group][str(k)] for k in range(len(weights[group]))]
        assert [[list(a.shape), a.dtype.name] for a in found] == arrays, group
        if "cell" not in group:  # cells have names of their own in Keras, which nothing reads
            assert weights[group].attrs["name"] == recorded(name)["groups"][group][0]


def groups_with_arrays(file: Any) -> list[str]:
    found: list[str] = []
    file.visititems(lambda path, item: found.append(path.rpartition("/")[0]) if hasattr(item, "shape") else None)
    return found


@pytest.mark.parametrize("name", RECORDS)
def test_recorded_structure_goes_round(name: str, tmp_path: Path) -> None:
    network, version = keras_import.read_network(with_weights(name, tmp_path / "keras.keras"))
    goes_round(network, tmp_path / "ours.keras", version, batch_size=batch_of(name))


LEFT_OUT = {"renorm_momentum": 0.99, "dilation_rate": [1]}
"""Keras's default, where it is written down by Keras and left out here."""


def differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Where two configurations differ, apart from what Keras takes for granted where it is left out."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() | theirs.keys():
            if key not in ours:
                # A build_config may be left out: Keras builds the layer by calling it, or with the layer around it.
                if theirs[key] not in (None, False, LEFT_OUT.get(key)) and key != "build_config":
                    yield f"{path}/{key}: Keras has {theirs[key]!r:.200}"
            elif key not in theirs and key != "build_config" and ours[key] is not None:
                yield f"{path}/{key}: Keras has no such key, it is {ours[key]!r:.200}"
            elif key in theirs:
                yield from differences(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(a, b, f"{path}/{k}")
    elif path.endswith("/dtype") and isinstance(ours, dict):
        if ours["config"]["name"] != theirs:
            yield f"{path}: Keras has {theirs!r}, it is {ours!r}"
    elif ours is None and "build_config/input_shape" in path:
        pass  # Keras may have seen the extent in a run
    elif ours != theirs:
        yield f"{path}: Keras has {theirs!r:.200}, it is {ours!r:.200}"
