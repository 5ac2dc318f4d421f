"""Twenty updates with Adam give the losses that PyTorch recorded; tools/make_torch_curves.py wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt import layers
from rnnrt.models import Sequential
from rnnrt.optimizers import Adam
from rnnrt.utils import set_random_seed, to_categorical
from tests.support import ISAS

FILE = Path(__file__).parents[1] / "data" / "training" / "torch_curves.npz"
KINDS = ("LSTM", "GRU", "SimpleRNN")
CLASSES = 4


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(FILE) as arrays:
        return dict(arrays)


def network(kind: str, units: tuple[int, int], dtype: str, rate: float, threads: int) -> Sequential:
    """Two recurrent layers and a classifier."""
    recurrent = getattr(layers, kind)
    model = Sequential(
        [
            recurrent(units[0], return_sequences=True, dtype=dtype),
            recurrent(units[1], dtype=dtype),
            layers.Dense(CLASSES, activation="softmax", dtype=dtype),
        ],
        threads=threads,
    )
    model.compile(optimizer=Adam(rate), loss="categorical_crossentropy")
    return model


def curve(kind: str, recorded: Mapping[str, np.ndarray], dtype: str, threads: int) -> tuple[np.ndarray, list[Any]]:
    """The losses of as many updates as were recorded, and the weights after them."""
    weights = [recorded[f"{kind}/weight/{k}"].astype(dtype) for k in range(8)]
    model = network(kind, (len(weights[1]), len(weights[4])), dtype, float(recorded["learning_rate"]), threads)
    xs, labels = recorded["x"].astype(dtype), recorded["labels"]
    model.build((None, *xs.shape[2:]))
    model.set_weights(weights)
    losses = []
    for k in range(len(recorded[f"{kind}/losses/{dtype}"])):
        model.reset_metrics()
        batch = k % len(xs)
        losses.append(model.train_on_batch(xs[batch], to_categorical(labels[batch], CLASSES).astype(dtype)))
    return np.array(losses), model.get_weights()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision(
    kind: str, isa: str, recorded: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNRT_ISA", isa)
    losses, weights = curve(kind, recorded, "float32", 1)
    np.testing.assert_allclose(losses, recorded[f"{kind}/losses/float32"], rtol=1e-4)
    again, others = curve(kind, recorded, "float32", 2)
    np.testing.assert_array_equal(losses, again)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
def test_double_precision(
    kind: str, isa: str, recorded: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNRT_ISA", isa)
    losses, weights = curve(kind, recorded, "float64", 2)
    assert all(w.dtype == np.float64 for w in weights)
    np.testing.assert_allclose(losses, recorded[f"{kind}/losses/float64"], rtol=1e-9)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_share_the_work(kind: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded networks are too small for a second thread; this one is not, and an update has the same bits."""
    monkeypatch.setenv("RNNRT_ISA", isa)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, 70, 40, 12)).astype(np.float32)
    y = to_categorical(rng.integers(0, CLASSES, (3, 70)), CLASSES)
    results, plans = [], []
    for threads in (1, 2):
        set_random_seed(5)
        model = network(kind, (96, 70), "float32", 0.01, threads)
        losses = [model.train_on_batch(*batch) for batch in zip(x, y, strict=True)]
        results.append([np.array(losses), *model.get_weights()])
        plans.append(model._trainer.program(True, [x[0]]).bound.plan)
    word = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}[kind]
    recurrent = [[step[4] for step in plan.instructions if str(step[1]).startswith(word)] for plan in plans]
    assert len(recurrent[0]) >= 4, "two layers, forward and backward"
    assert all(one != two for one, two in zip(*recurrent, strict=True)), "both plans share the work alike"
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
