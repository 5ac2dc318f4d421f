"""Record what Keras gives for sequences that arrive in pieces, for tests/streaming/test_keras_streams.py.

    KERAS_BACKEND=torch python tools/make_stream_fixtures.py tests/data/streaming

Needs Keras 3. Each case is a .keras file and an .npz with the input `x`, and `y`, what Keras gives for it: of stateful
layers piece by piece with batches of `pieces` steps, of the others for the whole sequence.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
from keras import layers

BATCH, STEPS = 2, 24
PIECES = [1, 5, 2, 9, 7]


def stateful() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((None, 3), batch_size=BATCH),
            layers.LSTM(5, return_sequences=True, stateful=True),
            layers.GRU(4, return_sequences=True, stateful=True, reset_after=False),
            layers.SimpleRNN(3, return_sequences=True, stateful=True),
            layers.Dense(2),
        ]
    )


def causal() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((None, 3)),
            layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu"),
            layers.DepthwiseConv1D(2, padding="valid"),
            layers.BatchNormalization(),
            layers.LSTM(5, return_sequences=True),
            layers.SeparableConv1D(4, 3, padding="valid"),
            layers.LayerNormalization(),
        ]
    )


def strides() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((None, 3)),
            layers.Conv1D(4, 3, strides=2, padding="causal", activation="elu"),
            layers.GRU(5, return_sequences=True),
            layers.MaxPooling1D(3, 2),
            layers.AveragePooling1D(1, 2),
            layers.LSTM(3, return_sequences=True),
        ]
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    for build in (stateful, causal, strides):
        keras.utils.set_random_seed(3)
        model = build()
        for weight in model.weights:
            if "seed" not in weight.path and "variance" not in weight.path:
                weight.assign(rng.normal(0, 0.6, weight.shape))
        x = rng.standard_normal((BATCH, STEPS, 3)).astype(np.float32)
        if build is stateful:
            ends = np.cumsum([0, *PIECES])
            parts = [keras.ops.convert_to_numpy(model(x[:, a:b])) for a, b in pairwise(ends)]
            y = np.concatenate(parts, 1)
        else:
            y = keras.ops.convert_to_numpy(model(x))
        model.save(folder / f"{build.__name__}.keras")
        np.savez(folder / f"{build.__name__}.npz", x=x, y=y, pieces=PIECES)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
