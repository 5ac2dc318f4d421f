"""Random Functional models with masks, nesting and both directions, against Keras 3."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.keras_cases import VOCABULARY
from tests.conformance.test_keras_layers import compare, feeds_for, framework, outputs_of

SEEDS = range(int(os.environ.get("RNNRT_RANDOM_MODELS", "12")))


def recurrent(k: Any, r: random.Random, sequences: bool, backwards: bool) -> Any:
    kind = r.choice(["LSTM", "GRU", "SimpleRNN"])
    options: dict[str, Any] = {"units": r.randint(1, 6), "use_bias": r.random() < 0.8, "return_sequences": sequences}
    options["go_backwards"] = backwards and r.random() < 0.3
    options["activation"] = r.choice(["tanh", "sigmoid", "hard_sigmoid", "softsign"])
    if kind != "SimpleRNN":
        options["recurrent_activation"] = r.choice(["sigmoid", "hard_sigmoid", "tanh"])
    if kind == "GRU":
        options["reset_after"] = r.random() < 0.5
    return getattr(k.layers, kind)(**options)


def cells(k: Any, r: random.Random) -> Any:
    kinds = [k.layers.LSTMCell, k.layers.GRUCell, k.layers.SimpleRNNCell]
    made = [r.choice(kinds)(r.randint(1, 4)) for _ in range(r.randint(1, 3))]
    return k.layers.RNN(made if len(made) > 1 else made[0], return_sequences=True, go_backwards=r.random() < 0.3)


def grown(k: Any, r: random.Random, x: Any) -> Any:
    """`x` through one more layer."""
    g, width = k.layers, x.shape[-1]
    both = g.Bidirectional
    choice = r.choice(
        [
            lambda: recurrent(k, r, True, True)(x),
            lambda: both(recurrent(k, r, True, False), merge_mode=r.choice(["sum", "mul", "concat", "ave"]))(x),
            lambda: g.Dense(r.randint(1, 6), activation=r.choice([None, "relu", "tanh", "softmax"]))(x),
            lambda: r.choice([g.Dropout(0.2), g.BatchNormalization(), g.LayerNormalization(), g.LeakyReLU()])(x),
            lambda: g.TimeDistributed(g.Dense(r.randint(1, 5)))(x),
            lambda: r.choice([g.Add, g.Multiply, g.Maximum])()([x, g.Dense(width)(x)]),
            lambda: g.Concatenate()([x, g.Dense(2)(x)]),
            lambda: cells(k, r)(x),
            lambda: nested(k, r, x),
        ]
    )
    return choice()


def nested(k: Any, r: random.Random, x: Any) -> Any:
    inner = k.Input((x.shape[1], x.shape[-1]))
    return k.Model(inner, grown(k, r, grown(k, r, inner)))(x)


def random_model(k: Any, r: random.Random) -> Any:
    steps, g = r.choice([None, 7]), k.layers
    if r.random() < 0.4:
        source = k.Input((steps,), dtype="int32")
        x = g.Embedding(VOCABULARY, r.randint(1, 5), mask_zero=r.random() < 0.8)(source)
    else:
        source = k.Input((steps, r.randint(1, 5)))
        x = g.Masking()(source) if r.random() < 0.5 else source
    for _ in range(r.randint(1, 5)):
        x = grown(k, r, x)
    ends = [
        lambda: [recurrent(k, r, False, True)(x)],
        lambda: [x, g.GlobalAveragePooling1D()(x)],
        lambda: [g.Bidirectional(recurrent(k, r, False, False))(x)],
        lambda: [g.Dense(2)(recurrent(k, r, False, True)(x)), x],
    ]
    return k.Model(source, r.choice(ends)())


def weight(v: Any, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.3, 1, v.shape) if "variance" in v.name else rng.normal(0, 0.4, v.shape)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", SEEDS)
def test_random_model(seed: int, tmp_path: Path) -> None:
    keras = framework(3)
    rng = np.random.default_rng(seed)
    model = random_model(keras, random.Random(seed))
    model.set_weights([weight(v, rng) for v in model.weights])
    feeds = feeds_for(model, rng)
    want = outputs_of(model, feeds)
    path = tmp_path / f"model.{'keras' if seed % 2 else 'h5'}"
    model.save(path)
    compare(path, feeds, want)
