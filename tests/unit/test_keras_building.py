"""Layers and models built here, against what Keras 3 makes of the same code (tools/make_layer_fixtures.py)."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.ops.evaluate import evaluate
from rnnrt.registry import reset_names
from tests.keras_models import LAYERS, MODELS, SIGNATURES, TRAINING
from tests.support import assert_close

FOLDER = Path(__file__).resolve().parents[1] / "data" / "training"
RECORD = json.loads((FOLDER / "layers.json").read_text())

NOT_KEPT = {"lora_rank", "lora_alpha", "quantization_config"}
"""Arguments of Keras for what rnnrt does not do."""

DRAWN = {"kernel", "embeddings", "depthwise_kernel", "pointwise_kernel"}


@pytest.fixture(autouse=True)
def names_from_the_beginning() -> None:
    reset_names()


def arrays(name: str, key: str) -> list[np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as file:
        count = sum(k.rstrip("0123456789") == key for k in file.files)
        return [file[f"{key}{k}"] for k in range(count)]


def described(variables: list[Any]) -> list[list[Any]]:
    return [[v.name, v.path, list(v.shape), v.trainable] for v in variables]


def numbers(w: np.ndarray) -> dict[str, float]:
    return {"low": w.min(), "high": w.max(), "spread": w.std()} if w.size else {}


def check_initial(names: list[str], weights: list[np.ndarray], statistics: list[dict[str, float]]) -> None:
    """What is drawn lies in about the same range, where there are enough numbers to tell; what is not is equal."""
    for name, w, want in zip(names, weights, statistics, strict=True):
        got = numbers(np.asarray(w, np.float64))
        if name in DRAWN:
            if w.size > 500:
                assert got["spread"] == pytest.approx(want["spread"], rel=0.1), name
                assert (got["low"], got["high"]) == pytest.approx((want["low"], want["high"]), rel=0.05), name
        elif name == "recurrent_kernel":
            product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
            np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)
        else:
            assert got == pytest.approx(want, abs=1e-6), name


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layer(name: str) -> None:
    make, shape = LAYERS[name]
    want = RECORD["layers"][name]
    layer = make(rnnrt.layers)
    y = layer(rnnrt.Input(batch_shape=shape, dtype="int32" if "embedding" in name else "float32"))
    outputs = y if isinstance(y, list) else [y]
    assert layer.name == want["name"]
    assert [list(o.shape) for o in outputs] == want["outputs"]
    assert described(layer.weights) == want["weights"]
    assert layer.count_params() == want["params"]
    check_initial([v.name for v in layer.weights], layer.get_weights(), want["statistics"])
    config = layer.get_config()
    json.dumps(config)
    assert not (set(config) - set(want["config"])) - {"seed"}
    again = type(layer).from_config(config)
    assert again.get_config() == config


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    parameters = list(inspect.signature(getattr(rnnrt.layers, name).__init__).parameters.values())[1:]
    found = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    got = [[p.name, "required" if p.default is p.empty else repr(p.default)] for p in found]
    # What every layer takes stands in the base class; what Keras 2 had beyond Keras 3 may follow.
    left_out = NOT_KEPT | (set() if name == "InputLayer" else {"name", "dtype"})
    want = [pair for pair in RECORD["signatures"][name] if pair[0] not in left_out]
    assert got[: len(want)] == want
    assert {p for p, _ in got[len(want) :]} <= {"groups", "time_major", "alpha", "data_format"}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_model(name: str) -> None:
    want = RECORD["models"][name]
    model = MODELS[name](rnnrt)
    assert model.name == want["name"]
    assert [layer.name for layer in model.layers] == want["layers"]
    assert described(model.weights) == want["weights"]
    assert model.count_params() == want["params"]
    assert len(model.trainable_weights) == want["trainable"]
    check_initial([v.name for v in model.weights], model.get_weights(), want["initial"])
    check_outputs(model, name)


def check_outputs(model: Any, name: str) -> None:
    """Keras's weights give Keras's outputs."""
    model.set_weights(arrays(name, "w"))
    x, want = arrays(name, "x"), arrays(name, "y")
    got = model.predict(x if len(x) > 1 else x[0], batch_size=2)
    for a, b in zip(got if isinstance(got, list) else [got], want, strict=True):
        assert_close(a, b, 1e-5, name)
    direct = model(*x)
    for a, b in zip(direct if isinstance(direct, tuple) else [direct], want, strict=True):
        assert_close(a, b, 1e-5, name)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_model_of_keras_json(name: str) -> None:
    model = rnnrt.models.model_from_json(json.dumps(RECORD["models"][name]["json"]))
    assert [list(v.shape) for v in model.weights] == [w[2] for w in RECORD["models"][name]["weights"]]
    check_outputs(model, name)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_configuration_goes_round(name: str) -> None:
    model = MODELS[name](rnnrt)
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    assert [v.path for v in again.weights] == [v.path for v in model.weights]
    copy = rnnrt.models.clone_model(model)
    assert copy.to_json() == model.to_json()
    check_outputs(copy, name)


@pytest.mark.parametrize("ending", [".weights.h5", ".safetensors"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_weights_go_round(name: str, ending: str, tmp_path: Path) -> None:
    model, other = MODELS[name](rnnrt), MODELS[name](rnnrt)
    model.save_weights(tmp_path / f"w{ending}")
    # Another build of the model has other names, which a .weights.h5 does not look at.
    other = other if ending == ".weights.h5" else rnnrt.models.clone_model(model)
    other.load_weights(tmp_path / f"w{ending}")
    for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_training_graph(name: str) -> None:
    model = TRAINING[name](rnnrt)
    model.set_weights(arrays(f"training_{name}", "w"))
    training = model.training_graph(training=True)
    (x,), (want,) = arrays(f"training_{name}", "x"), arrays(f"training_{name}", "y")
    feeds = {training.data[0]: x, **{key: v.value for key, v in training.variables.items()}}
    assert [v.name for v in training.graph.inputs] == [*training.data, *training.variables]
    names = [v.name for v in training.graph.outputs]
    found = dict(zip(names, evaluate(training.graph, feeds, dtype=np.float64), strict=True))
    assert_close(found[training.outputs[0]], want, 1e-5, name)
    for update, variable in training.updates.items():
        variable.assign(found[update])
    for v, after in zip(model.weights, arrays(f"training_{name}", "after"), strict=True):
        assert_close(v.numpy(), after, 1e-5, v.path)
    losses = [found[loss] for loss in training.losses]
    assert sum(losses) == pytest.approx(sum(RECORD["training"][name]["losses"]), rel=1e-5)
    assert set(training.trainable) == {key for key, v in training.variables.items() if v.trainable}


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_graph_with_variables_is_the_same_network(name: str) -> None:
    model = TRAINING[name](rnnrt)
    model.set_weights(arrays(f"training_{name}", "w"))
    graph = model.training_graph(training=False)
    (x,) = arrays(f"training_{name}", "x")
    feeds = {graph.data[0]: x, **{key: v.value for key, v in graph.variables.items()}}
    got = evaluate(graph.graph, feeds)[0]
    assert_close(got, evaluate(model.graph, {graph.data[0]: x}, dtype=np.float64)[0], 1e-5, name)
    assert not graph.updates
