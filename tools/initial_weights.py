"""Random weights of stacked recurrent layers and a Dense layer, in Keras's order and layouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}


def initial_weights(
    kind: str, features: int, units: Sequence[int], classes: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Uniform float32, biases among them, so that a bias in the wrong place shows.

    For each layer kernel (I, G*H), recurrent kernel (H, G*H) and bias (G*H,), where a GRU's has two rows (reset_after);
    then the Dense layer's kernel and bias.
    """

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(units[-1]))

    weights, inputs, gates = [], features, GATES[kind]
    for hidden in units:
        bias = (2, gates * hidden) if kind == "GRU" else (gates * hidden,)
        weights += [uniform(inputs, gates * hidden), uniform(hidden, gates * hidden), uniform(*bias)]
        inputs = hidden
    return [*weights, uniform(inputs, classes), uniform(classes)]
