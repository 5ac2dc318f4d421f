"""Streams of .keras files against what Keras gave; tools/make_stream_fixtures.py has recorded it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from tests.support import assert_close

DATA = Path(__file__).parents[1] / "data" / "streaming"


@pytest.mark.parametrize("name", ["stateful", "causal", "strides"])
@pytest.mark.parametrize("pieces", ["recorded", "steps", "halves"])
def test_pieces_give_what_keras_gave(name: str, pieces: str) -> None:
    pytest.importorskip("h5py")
    model, case = rnnrt.load(DATA / f"{name}.keras"), np.load(DATA / f"{name}.npz")
    x = case["x"]
    lengths = {"recorded": case["pieces"].tolist(), "steps": [1] * 24, "halves": [12, 0, 12]}[pieces]
    ends = np.cumsum([0, *lengths])
    stream = model.stream(len(x))
    got = np.concatenate([stream.run(x[:, a:b]) for a, b in pairwise(ends)], 1)
    assert_close(got, case["y"], rtol=1e-5)
    np.testing.assert_array_equal(got, model(x))


def test_stateful_layers_are_named() -> None:
    pytest.importorskip("h5py")
    model = rnnrt.load(DATA / "stateful.keras")
    named = json.loads(model.graph.metadata["stateful_layers"])
    kept = {name.split("/")[0] for name in model.stream(2).state}
    assert kept == set(named) == {"lstm", "gru", "simple_rnn"}
