"""Every published Keras file against the outputs that Keras gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.keras_import import read_keras
from rnnrt.ops.evaluate import evaluate
from tests.support import assert_close, shared_dir

NAMES = ["bidir_concat", "embed_mask", "gru_reset_before", "return_state", "seed_gru", "seed_lstm", "time_distributed"]
EXPORTS = [f"{v}/{n}.{e}" for v in ("keras2", "keras3") for n in NAMES for e in ("h5", "keras")]
MODELS = ["aircraft/lstm_model.keras", "flight-delay/lstm_model.h5", "flight-delay/lstm_model.keras"]


def _numbered(case: np.lib.npyio.NpzFile, prefix: str) -> list[np.ndarray]:
    keys = sorted((k for k in case.files if k.startswith(prefix)), key=lambda k: int(k[len(prefix) :]))
    return [case[k] for k in keys]


def _check(path: Path, case: np.lib.npyio.NpzFile, given: str, wanted: str) -> None:
    graph = read_keras(path)
    inputs, want = _numbered(case, given), _numbered(case, wanted)
    assert [len(graph.inputs), len(graph.outputs)] == [len(inputs), len(want)]
    feeds = {value.name: x for value, x in zip(graph.inputs, inputs, strict=True)}
    for got, y in zip(evaluate(graph, feeds, dtype=np.float64), want, strict=True):
        assert_close(got, y, 2e-6, f"reference of {path.name}")
    model = rnnrt.load(path)
    assert [i.name for i in model.inputs] == [v.name for v in graph.inputs]
    for got, y in zip(model.run(None, feeds), want, strict=True):
        assert got.dtype == y.dtype
        assert_close(got, y, 2e-5, path.name)


@pytest.mark.parametrize("name", EXPORTS)
def test_exports(name: str) -> None:
    path = shared_dir("exports", name)
    _check(path, np.load(path.with_suffix(".npz")), "x", "y")


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    path = shared_dir("models", name)
    _check(path, np.load(f"{path}.case.npz"), "in__", "out__")
