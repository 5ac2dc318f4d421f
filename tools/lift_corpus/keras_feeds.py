"""Weights, inputs and calls of Keras models, alike in all versions and backends."""

from __future__ import annotations

from typing import Any

import numpy as np

from lift_corpus.keras_cases import CASES, STEPS, TOKENS
from lift_corpus.record import draw, randomize


def build(k: Any, name: str) -> Any:
    """The model of a case, with random weights that depend on the shapes alone."""
    k.backend.clear_session()
    model = CASES[name][1](k)
    scale = 0.2 if name.startswith("gru128") else 1.0
    model.set_weights([(scale * w).astype(w.dtype) for w in randomize(model.get_weights())])
    reset(model)  # the states of stateful layers are among the weights, and exporters freeze them
    return model


def with_fixed_length(k: Any, model: Any) -> Any:
    """The same model over sequences of STEPS steps, where it leaves their length free."""
    inputs = []
    for x in model.inputs:
        _, *rest = shape_of(x)
        sizes = tuple(STEPS if n is None else n for n in rest)
        inputs.append(k.Input(sizes, dtype=str(getattr(x.dtype, "name", x.dtype))))
    return k.Model(inputs, model(inputs if len(inputs) > 1 else inputs[0]))


def feeds_of(model: Any, padded: bool = False) -> list[list[np.ndarray]]:
    """Two calls that differ in batch and length.

    Some steps are masked at the start, within, and at the end; with `padded` at the end alone, for exporters that
    make lengths of masks.
    """
    calls = []
    for seed, batch, steps in ((1, 2, 7), (2, 3, 5)):
        arrays = []
        for position, each in enumerate(model.inputs):
            shape = shape_of(each)
            dtype = str(getattr(each.dtype, "name", each.dtype))
            array = draw(shape, batch, steps, seed + 10 * position, TOKENS if "int" in dtype else None)
            if position == 0 and masks(model):
                array[0, -2:] = 0
                array[1, -1 if padded else 0] = 0
                array[-1, -1 if padded else 2] = 0
            arrays.append(array.astype(dtype))
        calls.append(arrays)
    return calls


def shape_of(tensor: Any) -> list[int | None]:
    """The declared shape, None for free axes; TensorFlow 1 has its own class for an axis."""
    return [getattr(n, "value", n) for n in tensor.shape]


def fits(model: Any, arrays: list[np.ndarray]) -> bool:
    """Whether Keras takes these shapes."""
    return all(
        all(n is None or n == m for n, m in zip(shape_of(x), a.shape))  # noqa: B905
        for x, a in zip(model.inputs, arrays)  # noqa: B905
    )


def masks(model: Any) -> bool:
    """Whether zeros are masked in a model, or in one within it."""
    return any(
        type(each).__name__ == "Masking" or getattr(each, "mask_zero", False) or masks(each)
        for each in getattr(model, "layers", [])
    )


def reset(model: Any) -> None:
    """Zero the states of stateful layers."""
    for each in model.layers:
        if getattr(each, "stateful", False):
            (each.reset_states if hasattr(each, "reset_states") else each.reset_state)()


def call(model: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs of `predict`, flat; a stateful model starts from zero states."""
    reset(model)
    out = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0, batch_size=len(arrays[0]))
    return flat(out)


def flat(out: Any) -> list[np.ndarray]:
    """Arrays within lists, in their order."""
    return [a for each in out for a in flat(each)] if isinstance(out, (list, tuple)) else [np.asarray(out)]
