"""Exports in which a recurrence is a loop or written out: lifted, and their own framework's results.

The files and the recorded results are made by tools/make_lift_corpus.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.errors import UnsupportedModelError

FOLDER = Path(__file__).parents[1] / "data" / "lift"
FILES = sorted(path for path in FOLDER.glob("*.onnx") if "scripted" not in path.stem)

UNKNOWN = ("cell_layer_norm", "cell_peephole", "jax2onnx_fori_gru")
"""Cells that no recurrent operator computes, and a loop that computes its index in a way of its own; they stay."""


def calls(path: Path) -> list[tuple[dict[str, np.ndarray], list[np.ndarray]]]:
    """The recorded calls of a file: inputs and outputs."""
    held = np.load(path.with_suffix(".npz"))
    found = []
    for prefix in ("", "b_"):
        inputs = {k.removeprefix(f"{prefix}in_"): held[k] for k in held.files if k.startswith(f"{prefix}in_")}
        names = sorted((k for k in held.files if k.startswith(f"{prefix}out_")), key=lambda k: int(k.split("_")[-1]))
        if inputs:
            found.append((inputs, [held[name] for name in names]))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_results_are_those_of_the_framework(path: Path) -> None:
    model = rnnrt.load(path)
    for inputs, outputs in calls(path):
        for got, want in zip(model.run(None, inputs), outputs, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_loop_is_left(path: Path) -> None:
    model = rnnrt.load(path)
    operators = Counter(node.op for node in model.graph.nodes)
    if path.stem.endswith(UNKNOWN):
        assert operators["Loop"] and "not_lifted" in model.graph.metadata
        return
    assert operators["LSTM"] + operators["GRU"] + operators["RNN"] > 0
    assert not operators["Loop"] and not operators["Scan"] and operators["Sigmoid"] <= 1


def test_lifted_models_train() -> None:
    """Loops cannot be trained through; what they are lifted to can."""
    path = next(p for p in FILES if "gru" in p.stem and "masked" not in p.stem and p.stem.startswith("tf2onnx"))
    model = rnnrt.load(path)
    (inputs, outputs), *_ = calls(path)
    model.compile("sgd", "mse")
    before = model.evaluate(next(iter(inputs.values())), outputs[0] + 0.1, verbose=0)
    model.fit(next(iter(inputs.values())), outputs[0] + 0.1, epochs=3, verbose=0)
    assert model.evaluate(next(iter(inputs.values())), outputs[0] + 0.1, verbose=0) < before


def test_why_a_loop_stays_is_told() -> None:
    path = next(p for p in FILES if p.stem.endswith("cell_layer_norm") or p.stem.endswith("cell_peephole"))
    assert "are the states of no LSTM, GRU or RNN" in rnnrt.load(path).graph.metadata["not_lifted"]


def test_every_file_loads() -> None:
    assert len(FILES) >= 20
    for path in FILES:
        try:
            rnnrt.load(path)
        except UnsupportedModelError as error:
            raise AssertionError(f"{path.name}: {error.reasons}") from None
