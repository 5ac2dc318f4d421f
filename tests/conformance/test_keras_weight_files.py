"""Weights alone in files, there and back between Keras 3 and rnnrt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnnrt
from tests.conformance.test_keras_layers import framework
from tests.keras_models import MODELS

pytest.importorskip("h5py")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_from_keras(name: str, tmp_path: Path) -> None:
    theirs, ours = MODELS[name](framework(3)), MODELS[name](rnnrt)
    theirs.save_weights(tmp_path / "k.weights.h5")
    ours.load_weights(tmp_path / "k.weights.h5")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_to_keras(name: str, tmp_path: Path) -> None:
    theirs, ours = MODELS[name](framework(3)), MODELS[name](rnnrt)
    ours.save_weights(tmp_path / "r.weights.h5")
    theirs.load_weights(tmp_path / "r.weights.h5")
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_keras_makes_the_model_of_our_json(name: str) -> None:
    keras = framework(3)
    ours = MODELS[name](rnnrt)
    theirs = keras.models.model_from_json(ours.to_json())
    assert [tuple(w.shape) for w in theirs.weights] == [w.shape for w in ours.weights]
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in ours.layers]
