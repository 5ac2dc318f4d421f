"""What versions of Keras wrote differently: files made by hand after each, against plain numpy."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.keras_import import read_keras
from tests.conformance.keras_files import (
    DENSE_NAMES,
    FEATURES,
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
from tests.support import assert_close


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(slope: float) -> Any:
    return lambda x: np.clip(slope * x + 0.5, 0, 1)


def lstm(x: np.ndarray, arrays: list[np.ndarray], gate: Any = sigmoid) -> np.ndarray:
    kernel, recurrent, bias = (a.astype(np.float64) for a in arrays)
    h = c = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
    return h


def gru_reset_after(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    h = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, axis=1)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
    return h


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1, (2, 5, FEATURES)).astype(np.float32)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    model = rnnrt.load(path)
    return model.run(None, {model.inputs[0].name: x})[0]


def expected(x: np.ndarray, groups: dict[str, list[np.ndarray]]) -> np.ndarray:
    kernel, bias = groups["layers/dense/vars"]
    return lstm(x, groups["layers/lstm/cell/vars"]) @ kernel + bias


@pytest.mark.parametrize("root", ["layers", "_layer_checkpoint_dependencies"])
def test_backslashes_of_windows(root: str, tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    groups = lstm_groups(rng)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, arrays in groups.items():
            group = file.create_group(path.replace("layers", root).removesuffix("/vars").replace("/", "\\"))
            for k, array in enumerate(arrays):
                group.create_dataset(f"vars/{k}", data=array)
    path = write_keras(tmp_path / "w.keras", lstm_model(), buffer.getvalue(), "2.12.0")
    assert_close(run(path, x), expected(x, groups))


def test_gaps_in_the_numbers_of_keras_2_12(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    sizes = [(FEATURES, 3), (3, 3), (3, 2)]
    arrays = [[rng.normal(0, 1, s).astype(np.float32), rng.normal(0, 1, s[1]).astype(np.float32)] for s in sizes]
    config = sequential(*[layer("Dense", f"d{k}", units=s[1]) for k, s in enumerate(sizes)])
    names = ["dense", "dense_2", "dense_4"]
    groups = {f"_layer_checkpoint_dependencies/{n}/vars": a for n, a in zip(names, arrays, strict=True)}
    path = write_keras(tmp_path / "g.keras", config, store(groups), "2.12.0")
    want: Any = x
    for kernel, bias in arrays:
        want = want @ kernel + bias
    assert_close(run(path, x), want)


def test_more_than_ten_layers_keep_their_order(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    kernels = [rng.normal(0, 0.7, (FEATURES, FEATURES)).astype(np.float32) for _ in range(12)]
    config = sequential(*[layer("Dense", f"d{9 - k}", units=FEATURES, use_bias=False) for k in range(12)])
    groups = {f"layers/dense{f'_{k}' if k else ''}/vars": [kernel] for k, kernel in enumerate(kernels)}
    want: Any = x
    for kernel in kernels:
        want = want @ kernel
    assert_close(run(write_keras(tmp_path / "o.keras", config, store(groups)), x), want)


@pytest.mark.parametrize("version", [None, "2.1.6", "2.2.4-tf"])
def test_sequential_as_a_bare_list(
    version: str | None, tmp_path: Path, x: np.ndarray, rng: np.random.Generator
) -> None:
    first, last = lstm_arrays(rng), dense_arrays(rng)
    options = {"recurrent_activation": "hard_sigmoid", "batch_input_shape": [None, 5, FEATURES]}
    config = {
        "class_name": "Sequential",
        "config": [layer("LSTM", "lstm_1", units=UNITS, **options), layer("Dense", "dense_1", units=2)],
    }
    arrays = {"lstm_1": named("lstm_1", first, LSTM_NAMES), "dense_1": named("dense_1", last, DENSE_NAMES)}
    path = write_h5(tmp_path / "m.h5", config, arrays, version)
    assert [v.name for v in read_keras(path).inputs] == ["lstm_1_input"]
    assert_close(run(path, x), lstm(x, first, hard_sigmoid(0.2)) @ last[0] + last[1])


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.0.0", 1 / 6)])
def test_hard_sigmoid(version: str, slope: float, tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    arrays = lstm_arrays(rng)
    first = layer("LSTM", "a", units=UNITS, recurrent_activation="hard_sigmoid")
    config = sequential(first, layer("Activation", "b", activation="hard_sigmoid"))
    want = hard_sigmoid(slope)(lstm(x, arrays, hard_sigmoid(slope)))
    path = write_keras(tmp_path / "h.keras", config, store({"layers/lstm/cell/vars": arrays}), version)
    assert_close(run(path, x), want)
    assert_close(run(write_h5(tmp_path / "h.h5", config, {"a": named("a", arrays, LSTM_NAMES)}, version), x), want)


def test_gru_without_reset_after_in_its_configuration(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    shapes = [(FEATURES, 3 * UNITS), (UNITS, 3 * UNITS), (3 * UNITS,)]
    kernel, recurrent, bias = arrays = [rng.normal(0, 0.5, s).astype(np.float32) for s in shapes]
    config = sequential(layer("GRU", "g", units=UNITS))
    path = write_h5(tmp_path / "g.h5", config, {"g": named("g", arrays, LSTM_NAMES)})
    h = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias, 3, axis=1)
        rz, rr, rh = np.split(recurrent, 3, axis=1)
        z, r = sigmoid(xz + h @ rz), sigmoid(xr + h @ rr)
        h = z * h + (1 - z) * np.tanh(xh + (r * h) @ rh)
    assert_close(run(path, x), h)


def _cudnn(kernel: np.ndarray, recurrent: np.ndarray, gates: int) -> list[np.ndarray]:
    """Keras's layouts as the cuDNN layers hold them."""
    kernels = [k.T.reshape(k.shape) for k in np.split(kernel, gates, axis=1)]
    return [np.concatenate(kernels, axis=1), np.concatenate([r.T for r in np.split(recurrent, gates, axis=1)], axis=1)]


def test_layers_for_cudnn(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    kernel, recurrent, bias = lstm_arrays(rng)
    stored = [*_cudnn(kernel, recurrent, 4), np.concatenate([bias, 2 * bias])]
    config = sequential(layer("CuDNNLSTM", "l", units=UNITS))
    path = write_h5(tmp_path / "l.h5", config, {"l": named("l", stored, LSTM_NAMES)})
    assert_close(run(path, x), lstm(x, [kernel, recurrent, 3 * bias]))
    kernel, recurrent, bias = kernel[:, :9], recurrent[:, :9], rng.normal(0, 1, (2, 9)).astype(np.float32)
    stored = [*_cudnn(kernel, recurrent, 3), bias.reshape(-1)]
    config = sequential(layer("CuDNNGRU", "g", units=UNITS))
    path = write_h5(tmp_path / "g.h5", config, {"g": named("g", stored, LSTM_NAMES)})
    assert_close(run(path, x), gru_reset_after(x, kernel, recurrent, bias))


def test_attributes_in_chunks(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    first, last = lstm_arrays(rng), dense_arrays(rng)
    arrays = {"first": named("first", first, LSTM_NAMES), "last": named("last", last, DENSE_NAMES)}
    path = write_h5(tmp_path / "c.h5", lstm_model(), arrays)
    with h5py.File(path, "a") as file:
        root = file["model_weights"]
        for where, name in ((root, "layer_names"), (root["first"], "weight_names")):
            values = where.attrs[name]
            del where.attrs[name]
            for k, value in enumerate(values):
                where.attrs[f"{name}{k}"] = [value]
        file.attrs["model_config"] = file.attrs["model_config"].encode()
    assert_close(run(path, x), lstm(x, first) @ last[0] + last[1])


POLICY = {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", POLICY])
def test_half_precision_is_computed_in_float32(
    policy: Any, tmp_path: Path, x: np.ndarray, rng: np.random.Generator
) -> None:
    groups = {path: [a.astype(np.float16) for a in arrays] for path, arrays in lstm_groups(rng).items()}
    config = sequential(layer("LSTM", "a", units=UNITS, dtype=policy), layer("Dense", "b", units=2, dtype=policy))
    config["config"]["layers"][0]["config"]["dtype"] = "float16"
    path = write_keras(tmp_path / "f.keras", config, store(groups))
    got = run(path, x)
    assert got.dtype == np.float32
    assert_close(got, expected(x, groups))


def test_metadata_of_stateful_models(tmp_path: Path, rng: np.random.Generator) -> None:
    config = sequential(layer("LSTM", "a", units=UNITS, stateful=True), shape=(8, 5, FEATURES))
    graph = read_keras(write_keras(tmp_path / "s.keras", config, store({"layers/lstm/cell/vars": lstm_arrays(rng)})))
    assert graph.metadata["stateful_layers"] == '["a"]'
    assert graph.metadata["keras_version"] == "3.9.0"
    assert graph.inputs[0].shape == ("batch", 5, FEATURES), "the batch is free whatever was declared"


def test_gates_of_keras_1_lie_apart(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    old = layer(
        "LSTM", "lstm_1", output_dim=UNITS, inner_activation="hard_sigmoid", batch_input_shape=[None, 5, FEATURES]
    )
    arrays = lstm_arrays(rng)
    blocks = [dict(zip("ifco", np.split(a, 4, axis=-1), strict=True)) for a in arrays]
    apart = [(f"lstm_1_{w}_{gate}", block[gate]) for gate in "icfo" for w, block in zip("WUb", blocks, strict=True)]
    config = {"class_name": "Sequential", "config": [old]}
    path = write_h5(tmp_path / "k1.h5", config, {"lstm_1": apart}, "1.2.2")
    assert_close(run(path, x), lstm(x, arrays, hard_sigmoid(0.2)))
    few = write_h5(tmp_path / "few.h5", config, {"lstm_1": apart[:-1]}, "1.2.2")
    with pytest.raises(rnnrt.ModelFormatError, match="has 11 arrays"):
        read_keras(few)


def test_weights_in_bfloat16(tmp_path: Path, x: np.ndarray, rng: np.random.Generator) -> None:
    short = {
        path: [(a.view(np.uint32) >> 16).astype(np.uint16) for a in arrays] for path, arrays in lstm_groups(rng).items()
    }
    stored = {path: [a.view("V2") for a in arrays] for path, arrays in short.items()}
    path = write_keras(tmp_path / "b.keras", lstm_model(), store(stored))
    whole = {path: [(a.astype(np.uint32) << 16).view(np.float32) for a in arrays] for path, arrays in short.items()}
    assert_close(run(path, x), expected(x, whole))


@pytest.mark.parametrize(
    "policy",
    [
        "int8_from_float32",
        {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}},
        {"class_name": "DTypePolicyMap", "config": {"default_policy": "float32", "policy_map": {}}},
    ],
)
def test_quantised_layers_are_refused(policy: Any, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "q.keras", sequential(layer("Dense", "d", units=2, dtype=policy)), store({}))
    with pytest.raises(rnnrt.UnsupportedModelError, match="without quantisation"):
        read_keras(path)
