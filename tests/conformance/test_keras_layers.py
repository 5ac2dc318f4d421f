"""Small models of every supported layer, built and saved by Keras 3 and Keras 2, against their own outputs."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.keras_import import read_keras
from rnnrt.ops.evaluate import evaluate
from tests.conformance.keras_cases import CASES, VOCABULARY, worth_trying
from tests.support import assert_close

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH, FREE_STEPS = 3, 7


def framework(major: int) -> Any:
    module = pytest.importorskip("keras" if major == 3 else "tf_keras")
    if not module.__version__.startswith(f"{major}."):
        pytest.skip(f"needs Keras {major}")
    return module


def randomise(model: Any, rng: np.random.Generator) -> None:
    """Weights that no initialiser gives: biases are not zero, variances not one."""
    fresh = [rng.uniform(0.3, 1.0, w.shape) if "variance" in str(name) else rng.normal(0, 0.5, w.shape)
             for w, name in zip(model.get_weights(), (v.name for v in model.weights), strict=True)]  # fmt: skip
    model.set_weights(fresh)


def feeds_for(model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    feeds = []
    for tensor in model.inputs:
        shape = [BATCH, *(FREE_STEPS if d is None else d for d in tensor.shape[1:])]
        kind = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
        if "int" in kind:
            ids = rng.integers(1, VOCABULARY, shape)
            ids[0, 4:], ids[1, :2], ids[2, 3] = 0, 0, 0
            feeds.append(ids.astype(kind))
            continue
        x = rng.normal(0, 1, shape).astype(kind)
        if x.ndim == 3:
            x[0, -2:] = 0
            x[1, 1] = 0
        feeds.append(np.abs(x) * 3 if tensor.name.startswith("ids") else x)
    return feeds


def outputs_of(model: Any, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """What the model gives, in the order of its outputs."""
    names = model.get_config().get("input_layers")
    if isinstance(names, dict):
        return leaves(model(dict(zip(sorted(names), feeds, strict=True)), training=False))
    return leaves(model(feeds if len(feeds) > 1 else feeds[0], training=False))


def leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in leaves(v)]
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return [np.asarray(value)]


def compare(path: Path, feeds: list[np.ndarray], want: list[np.ndarray]) -> None:
    graph = read_keras(path)
    named = {value.name: x for value, x in zip(graph.inputs, feeds, strict=True)}
    exact = evaluate(graph, named, dtype=np.float64)
    assert len(exact) == len(want)
    for k, (got, y) in enumerate(zip(exact, want, strict=True)):
        assert_close(got, y, 1e-5, f"reference of {path.name}, output {k}")
    for value, got in zip(graph.outputs, exact, strict=True):
        declared = value.shape or ()
        assert len(declared) == got.ndim, value
        assert all(d in (g, None) or isinstance(d, str) for d, g in zip(declared, got.shape, strict=True)), value
    for k, (got, y) in enumerate(zip(rnnrt.load(path).run(None, named), want, strict=True)):
        assert_close(got, y, 2e-5, f"{path.name}, output {k}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "major"), [(n, m) for m in (3, 2) for n in sorted(CASES) if worth_trying(n, m)])
def test_layer(name: str, major: int, tmp_path: Path) -> None:
    keras = framework(major)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    model = CASES[name](keras)
    randomise(model, rng)
    feeds = feeds_for(model, rng)
    want = outputs_of(model, feeds)
    for suffix in ("keras", "h5"):
        path = tmp_path / f"model.{suffix}"
        model.save(path)
        compare(path, feeds, want)
