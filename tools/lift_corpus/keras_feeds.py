"""Weights, inputs and calls of Keras models, alike in all versions and backends."""

from __future__ import annotations

from typing import Any

import numpy as np
from lift_corpus.keras_cases import CASES, TOKENS
from lift_corpus.record import draw, randomize


def build(k: Any, name: str) -> Any:
    """The model of a case, with random weights that depend on the shapes alone."""
    k.backend.clear_session()
    model = CASES[name][1](k)
    scale = 0.2 if name.startswith("gru128") else 1.0
    model.set_weights([(scale * w).astype(w.dtype) for w in randomize(model.get_weights())])
    return model


def feeds_of(model: Any) -> list[list[np.ndarray]]:
    """Two calls that differ in batch and length; some steps are masked at the start, within, and at the end."""
    calls = []
    for seed, batch, steps in ((1, 2, 7), (2, 3, 5)):
        arrays = []
        for position, each in enumerate(model.inputs):
            shape = [None if n is None else int(n) for n in each.shape]
            dtype = str(getattr(each.dtype, "name", each.dtype))
            array = draw(shape, batch, steps, seed + 10 * position, TOKENS if "int" in dtype else None)
            if position == 0 and masks(model):
                array[0, -2:] = 0
                array[1, 0] = 0
                array[-1, 2] = 0
            arrays.append(array.astype(dtype))
        calls.append(arrays)
    return calls


def masks(model: Any) -> bool:
    """Whether zeros are masked in a model."""
    return any(type(each).__name__ == "Masking" or getattr(each, "mask_zero", False) for each in model.layers)


def call(model: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs of `predict`, flat; a stateful model starts from zero states."""
    for each in model.layers:
        if getattr(each, "stateful", False) and hasattr(each, "reset_states"):
            each.reset_states()
        elif getattr(each, "stateful", False):
            each.reset_state()
    if len(arrays[0]) == 0:
        raise ValueError("a call needs at least one sequence")
    out = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0, batch_size=len(arrays[0]))
    return [np.asarray(a) for a in (out if isinstance(out, (list, tuple)) else [out])]
