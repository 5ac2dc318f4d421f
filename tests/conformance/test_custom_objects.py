"""Keras files with custom layers and activations, against what Keras gave; tools/make_custom_fixtures.py made them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import layers as L
from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.models import Sequential, load_model, model_from_json
from rnnrt.utils import custom_object_scope, get_custom_objects, register_keras_serializable
from tests.support import assert_close

pytest.importorskip("h5py")

FOLDER = Path(__file__).resolve().parents[1] / "data" / "keras_custom"
FILES = ("custom.keras", "custom.h5")
CASE = np.load(FOLDER / "custom.npz")


class Gated(L.Layer):
    """As the file's layer: two attributes of the same names."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.value, self.gate = L.Dense(units, activation="tanh"), L.Dense(units, activation="sigmoid")

    def call(self, x: Any) -> Any:
        return self.value(x) * self.gate(x)


class Pooled(L.Layer):
    """The file's layer has its two weights itself; here they lie in a Dense."""

    def __init__(self, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.score = scale, L.Dense(1, activation="tanh")

    def call(self, x: Any) -> Any:
        weights = L.Softmax(axis=1)(self.score(x) * self.scale)
        return L.Flatten()(L.Dot(axes=1)([weights, x]))


def doubled() -> Any:
    return lambda x: x + x


def swish2(x: Any) -> Any:
    return x * L.Activation("sigmoid")(x * 2.0)


def cube(x: Any) -> Any:
    return x * x * x


OBJECTS = {"Gated": Gated, "Pooled": Pooled, "Doubled": doubled, "swish2": swish2, "cube": cube}


def check(model: Any) -> None:
    assert_close(model(CASE["x"]), CASE["y"], 2e-5, "a model with custom layers")


@pytest.mark.parametrize("name", FILES)
def test_classes_and_functions(name: str) -> None:
    check(rnnrt.load(FOLDER / name, custom_objects=OBJECTS))
    check(load_model(FOLDER / name, OBJECTS))


@pytest.mark.parametrize("name", FILES)
def test_a_function_that_builds_a_layer(name: str) -> None:
    """By keywords, without those that every layer has; and by the whole configuration."""
    seen: list[Any] = []

    def pooled(scale: float) -> Any:
        seen.append(scale)
        return Pooled(scale)

    def gated(config: dict[str, Any]) -> Any:
        seen.append(config["name"])
        return Gated(config["units"])

    model = rnnrt.load(FOLDER / name, custom_objects={**OBJECTS, "shop>Gated": gated, "Pooled": pooled})
    assert seen == ["gated", 2.0]
    assert [layer.name for layer in model.layers][1:3] == ["gated", "doubled"]
    check(model)


@pytest.mark.parametrize("name", FILES)
def test_a_scope_and_the_register(name: str) -> None:
    with custom_object_scope({"Pooled": Pooled, "Doubled": doubled, "swish2": swish2}):
        try:
            register_keras_serializable(package="shop")(Gated)
            register_keras_serializable("shop", name="cube")(cube)
            check(rnnrt.load(FOLDER / name))
        finally:
            get_custom_objects().clear()
        with pytest.raises(UnsupportedModelError, match="Gated"):
            rnnrt.load(FOLDER / name)


def test_a_configuration(tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / "custom.keras") as archive:
        text = archive.read("config.json").decode()
    model = model_from_json(text, OBJECTS)
    assert [v.shape for v in model.weights] == [v.shape for v in rnnrt.load(FILES_PATH, custom_objects=OBJECTS).weights]
    with pytest.raises(UnsupportedModelError, match="custom_objects"):
        model_from_json(text)
    assert "Pooled" in json.dumps(json.loads(text))


FILES_PATH = FOLDER / "custom.keras"


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_given_is_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(UnsupportedModelError) as error:
        rnnrt.load(FOLDER / name)
    text = str(error.value)
    assert len(error.value.reasons) == 5
    for word in ("Gated", "Doubled", "Pooled", "swish2", "cube"):
        assert word in text
    assert text.count("custom_objects=") == 5


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"Pooled": lambda: Pooled()}, r"it takes \[\], the configuration also has \['scale'\]"),
        ({"Pooled": lambda scale: 3}, "gives int; let it give a layer"),
        ({"Pooled": lambda scale: 1 / 0}, "ZeroDivisionError"),
        ({"Pooled": "Dense"}, "are no classes or functions"),
        ({"Pooled": lambda scale: L.LSTM(3)}, "kernel"),
        ({"Pooled": lambda scale: Sequential([L.Dense(4), L.Flatten()])}, r"weight 'kernel' has shape \(3, 1\)"),
        ({"Doubled": lambda: lambda x: L.Dense(3)(x)}, "uses layers"),
        ({"Gated": lambda units: Sequential([L.Flatten()])}, "gated"),
        ({"Gated": lambda units: lambda x: x}, "gated"),
    ],
)
def test_what_does_not_fit(name: str, given: Any, match: str) -> None:
    with pytest.raises(RnnrtError, match=match):
        rnnrt.load(FOLDER / name, custom_objects={**OBJECTS, **given})


def test_a_file_without_layers_takes_none(tmp_path: Path) -> None:
    model = rnnrt.load(FILES_PATH, custom_objects=OBJECTS)
    model.save(tmp_path / "plain.rnnrt")
    check(rnnrt.load(tmp_path / "plain.rnnrt"))
    with pytest.raises(RnnrtError, match="this file has no layers"):
        rnnrt.load(tmp_path / "plain.rnnrt", custom_objects=OBJECTS)


def test_layers_inside_need_their_names() -> None:
    """A .keras file keeps layers inside a layer by attribute; their order says nothing."""
    with pytest.raises(ModelFormatError, match=r"arrays in \['gate/vars', 'value/vars'\].*attributes have these names"):
        rnnrt.load(
            FILES_PATH, custom_objects={**OBJECTS, "Gated": lambda units: Sequential([L.Dense(units), L.Dense(units)])}
        )


def test_a_model_with_custom_layers_trains() -> None:
    model = rnnrt.load(FILES_PATH, custom_objects=OBJECTS)
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(CASE["x"], CASE["y"] + 1.0, epochs=2, verbose=0)
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
