""".keras files that rnnrt writes: read back bit for bit, of Keras's own structure, and the same when Keras runs."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt import layers as L
from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats import keras_import
from rnnrt.formats.keras_export import write_keras
from rnnrt.ir import Graph
from rnnrt.layers import Call, Chain, InputSpec, Layer, Network, Ref
from rnnrt.runtime import Session
from rnnrt.samples import suitable_inputs
from tests.conformance import keras_files
from tests.conformance.keras_cases import CASES, worth_trying
from tests.conformance.test_keras_fixtures import FILES, FOLDER
from tests.conformance.test_keras_layers import feeds_for, framework, outputs_of, randomise
from tests.conformance.test_shared_keras import EXPORTS, MODELS
from tests.support import assert_close, shared_dir

h5py = pytest.importorskip("h5py")

RECORDED = Path(__file__).resolve().parents[1] / "data" / "keras_export"
RECORDS = sorted(p.stem for p in RECORDED.glob("*.json"))
F32 = np.dtype("float32")


def network_of(path: Path) -> tuple[Network, str]:
    """The network of a Keras file and the version that wrote it, before it becomes a graph."""
    read = keras_import._read_zip if path.suffix == ".keras" else keras_import._read_h5
    return read(path, path.name)


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
    network, version = network_of(FOLDER / name)
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
    network, version = network_of(shared_dir(*name.split("/")))
    goes_round(network, tmp_path / "out.keras", version)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(n for n in CASES if worth_trying(n, 3)))
def test_keras_runs_it(name: str, tmp_path: Path) -> None:
    keras = framework(3)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    model = CASES[name](keras)
    randomise(model, rng)
    feeds = feeds_for(model, rng)
    model.save(tmp_path / "first.keras")
    network, version = network_of(tmp_path / "first.keras")
    batch_size = len(feeds[0]) if name == "stateful" else None
    write_keras(tmp_path / "second.keras", network, made_by=version, batch_size=batch_size)
    again = keras.models.load_model(tmp_path / "second.keras", compile=False)
    for a, b in zip(outputs_of(again, feeds), outputs_of(model, feeds), strict=True):
        assert_close(a, b, 1e-6, name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in FILES if ".2." in n and n.split(".")[0] not in IN_KERAS_2_ALONE])
def test_keras_3_runs_what_keras_2_wrote(name: str, tmp_path: Path) -> None:
    keras = framework(3)
    network, version = network_of(FOLDER / name)
    write_keras(tmp_path / "new.keras", network, made_by=version)
    model = keras.models.load_model(tmp_path / "new.keras", compile=False)
    case = np.load(FOLDER / f"{name}.npz")
    got = outputs_of(model, [case[f"x{k}"] for k in range(len(network.inputs))])
    for k, y in enumerate(got):
        assert_close(y, case[f"y{k}"], 2e-5, name)


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
    network, version = network_of(path)
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
    network, version = network_of(with_weights(name, tmp_path / "keras.keras"))
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
    network, version = network_of(with_weights(name, tmp_path / "keras.keras"))
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
            elif key not in theirs and key != "build_config":
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


def chain(*layers: Layer, shape: tuple[int | None, ...] = (None, 6, 4), dtype: np.dtype = F32) -> Network:
    """A Sequential by hand."""
    return Chain(layers, [InputSpec("x", shape, dtype)], name="chain")


def fill(layer: Layer, *shapes: tuple[int, ...]) -> Layer:
    """Made-up weights for the layer and those inside it, in order."""
    rng, left = np.random.default_rng(1), list(shapes)
    for part in layer.walk():
        for name in (*part.weight_names(), *part.state_names()):
            part.put_array(name, rng.uniform(0.1, 0.6, left.pop(0)).astype(np.float32))
    assert not left
    return layer


def config_of(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def test_layers_of_cudnn_become_those_of_keras_3(tmp_path: Path) -> None:
    network = chain(
        fill(L.CuDNNLSTM(3, return_sequences=True, name="first"), (4, 12), (3, 12), (24,)),
        fill(L.CuDNNGRU(2, return_sequences=True, name="second"), (3, 6), (2, 6), (12,)),
        L.ThresholdedReLU(theta=0.1),
        fill(L.LSTM(2, name="third"), (2, 8), (2, 8), (8,)),
    )
    goes_round(network, tmp_path / "new.keras", "2.2.4")
    layers = config_of(tmp_path / "new.keras")["config"]["layers"]
    assert [layer["class_name"] for layer in layers] == ["InputLayer", "LSTM", "GRU", "ReLU", "LSTM"]


def test_training_options_are_kept(tmp_path: Path) -> None:
    options = {
        "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": 3}},
        "recurrent_regularizer": {"class_name": "L2", "config": {"l2": 0.01}},
        "bias_constraint": {"class_name": "NonNeg", "config": {}},
        "dropout": 0.25,
        "recurrent_dropout": 0.5,
        "seed": 7,
        "unit_forget_bias": False,
        "implementation": 2,
    }
    network = chain(fill(L.LSTM(3, trainable=False, **options), (4, 12), (3, 12), (12,)), L.Dropout(0.5, seed=4))
    goes_round(network, tmp_path / "a.keras")
    lstm, dropout = (layer["config"] for layer in config_of(tmp_path / "a.keras")["config"]["layers"][1:])
    assert lstm["kernel_initializer"] == {
        "module": "keras.initializers", "class_name": "HeNormal", "config": {"seed": 3}, "registered_name": None,
    }  # fmt: skip
    assert lstm["recurrent_regularizer"]["module"] == "keras.regularizers"
    assert lstm["bias_constraint"]["module"] == "keras.constraints"
    kept = {key: lstm[key] for key in ("dropout", "recurrent_dropout", "seed", "unit_forget_bias", "trainable")}
    assert kept == {"dropout": 0.25, "recurrent_dropout": 0.5, "seed": 7, "unit_forget_bias": False, "trainable": False}
    assert "implementation" not in lstm
    assert (dropout["rate"], dropout["seed"]) == (0.5, 4)
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND"):
        keras = framework(3)
        layer = keras.models.load_model(tmp_path / "a.keras", compile=False).layers[0]
        assert (layer.cell.dropout, layer.unit_forget_bias, layer.kernel_initializer.seed) == (0.25, False, 3)


def test_an_activation_without_a_name_in_keras(tmp_path: Path) -> None:
    network = chain(fill(L.Dense(2, activation="gelu_approximate"), (4, 2), (2,)))
    with pytest.raises(UnsupportedModelError, match="activation 'gelu_approximate' has no name in Keras 3"):
        write_keras(tmp_path / "no.keras", network)


def test_a_stateful_layer_needs_a_batch_size(tmp_path: Path) -> None:
    network = chain(fill(L.LSTM(3, stateful=True, name="memory"), (4, 12), (3, 12), (12,)))
    with pytest.raises(UnsupportedModelError, match=r"layer 'memory' \(LSTM\): is stateful.*give batch_size"):
        write_keras(tmp_path / "no.keras", network)
    write_keras(tmp_path / "yes.keras", network, batch_size=5)
    first = config_of(tmp_path / "yes.keras")["config"]["layers"][0]["config"]
    assert first["batch_shape"] == [5, 6, 4]


def test_every_reason_is_listed(tmp_path: Path) -> None:
    network = chain(
        fill(L.GRU(2, recurrent_activation="hard_sigmoid", return_sequences=True, name="a"), (4, 6), (2, 6), (2, 6)),
        fill(L.LSTM(2, activation="hard_sigmoid", stateful=True, name="b"), (2, 8), (2, 8), (8,)),
    )
    path = tmp_path / "old.keras"
    path.write_bytes(b"before")
    with pytest.raises(UnsupportedModelError) as caught:
        write_keras(path, network, made_by="2.15.0")
    assert [r.split(":")[0] for r in caught.value.reasons] == ["layer 'a'", "layer 'b'", "layer 'b' (LSTM)"]
    assert str(caught.value).startswith("old.keras cannot be written for Keras 3 exactly:\n")
    assert path.read_bytes() == b"before"
    write_keras(path, network, batch_size=1)
    assert path.read_bytes().startswith(b"PK")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"layer 'dense' \(Dense\): weight 'kernel' is missing"):
        write_keras(tmp_path / "no.keras", chain(L.Dense(2, name="dense")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keras_version": "2.15.0"}, "keras_version='2.15.0': files are written for Keras 3"),
        ({"batch_size": 0}, "batch_size=0: give a positive number"),
        ({"batch_size": True}, "batch_size=True: give a positive number"),
    ],
)
def test_arguments(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RnnrtError, match=message):
        write_keras(tmp_path / "no.keras", chain(fill(L.Dense(2), (4, 2), (2,))), **options)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RnnrtError, match=r"writing Keras files needs h5py: pip install"):
        write_keras(tmp_path / "no.keras", chain(fill(L.Dense(2), (4, 2), (2,))))
    assert not list(tmp_path.iterdir())


def test_a_functional_network_by_hand(tmp_path: Path) -> None:
    """Without layers that stand for the inputs; one layer is called twice, calls are numbered with a gap."""
    dense, add = fill(L.Dense(4, name="both"), (4, 4), (4,)), L.Add(name="sum")
    calls = [
        Call("both", 0, (Ref("p"),)),
        Call("both", 2, (Ref("q"),)),
        Call("sum", 0, ([Ref("both"), Ref("both", 2)],)),
    ]
    specs = [InputSpec(n, (None, 5, 4), F32) for n in ("p", "q")]
    network = Network([dense, add], specs, calls, [Ref("sum"), Ref("both", 2)], name="net")
    goes_round(network, tmp_path / "f.keras")
    layers = config_of(tmp_path / "f.keras")["config"]["layers"]
    assert [layer["name"] for layer in layers] == ["p", "q", "both", "sum"]
    assert len(layers[2]["inbound_nodes"]) == 2
