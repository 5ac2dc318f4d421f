"""Networks made by hand as .keras files: what is converted, what is kept for training, and what is refused."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import layers as L
from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats.keras_export import write_keras
from rnnrt.layers import Call, Chain, InputSpec, Layer, Network, Ref
from tests.conformance.test_keras_export import F32, goes_round
from tests.conformance.test_keras_layers import framework
from tests.support import assert_close


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
    with pytest.raises(ModelFormatError, match=r"layer 'top' \(Dense\): weight 'kernel' is missing"):
        write_keras(tmp_path / "no.keras", chain(L.Dense(2, name="top")))
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


def built_here() -> Any:
    """A Functional model of Keras's building API: shared layers, arithmetic, a nested Sequential, two outputs."""
    inner = rnnrt.Sequential([L.Input((6, 4)), L.GRU(4, return_sequences=True), L.LayerNormalization()])
    x, y = L.Input((6, 4)), L.Input((6, 4))
    dense = L.Dense(4, activation="tanh", kernel_regularizer="l2")
    z = dense(inner(x)) + 2.0 * dense(y)
    last = L.Bidirectional(L.LSTM(3, kernel_initializer="he_normal", dropout=0.2))(z)
    return rnnrt.models.Model([x, y], [L.Dense(2)(L.Dropout(0.5)(last)), L.GlobalAveragePooling1D()(z)])


@pytest.mark.filterwarnings("ignore")
def test_a_model_built_here(tmp_path: Path) -> None:
    model = built_here()
    goes_round(model.network, tmp_path / "built.keras")
    keras = framework(3)
    again = keras.models.load_model(tmp_path / "built.keras", compile=False)
    rng = np.random.default_rng(0)
    feeds = [rng.normal(size=(3, 6, 4)).astype(np.float32) for _ in range(2)]
    for a, b in zip(again(feeds, training=False), model.predict(feeds, verbose=0), strict=True):
        assert_close(np.asarray(a.detach().cpu() if hasattr(a, "detach") else a), b, 1e-5)


class Doubled(L.Layer):
    """A layer of one's own."""

    def call(self, x: Any) -> Any:
        return L.Add(name="twice")([x, x])


def test_layers_of_python_code_are_refused(tmp_path: Path) -> None:
    network = chain(Doubled(name="own"), fill(L.Dense(2), (4, 2), (2,)))
    with pytest.raises(UnsupportedModelError, match=r"layer 'own' \(Doubled\): is made by Python code"):
        write_keras(tmp_path / "no.keras", network)
