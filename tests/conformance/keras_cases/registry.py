"""Small models for comparison with Keras: each case takes keras or tf_keras and gives a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Case = Callable[[Any], Any]
CASES: dict[str, Case] = {}
KERAS3_ONLY: set[str] = set()
KERAS2_ONLY: set[str] = set()
VOCABULARY = 11


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def chain(k: Any, shape: tuple[int | None, ...], *layers: Any, dtype: str = "float32") -> Any:
    return k.Sequential([k.Input(shape=shape, dtype=dtype), *layers])


def tokens(k: Any, steps: int | None = 7) -> tuple[Any, Any]:
    """An integer input and its embedding, masked where it is 0."""
    x = k.Input(shape=(steps,), dtype="int32")
    return x, k.layers.Embedding(VOCABULARY, 5, mask_zero=True)(x)


def add(name: str, build: Case, only: int = 0) -> None:
    CASES[name] = build
    if only:
        (KERAS3_ONLY if only == 3 else KERAS2_ONLY).add(name)


WITH_KERAS_2 = {
    "GRU_plain", "LSTM_return_sequences_go_backwards", "activation_is_a_layer", "bidirectional_GRU_sum",
    "bidirectional_of_two_kinds", "bidirectional_states", "conv_same_2_1_2", "encoder_decoder", "frozen_layers",
    "global_pools", "gru_and_dense_hard_sigmoid", "gru_reset_before", "half_masked_concatenate", "initial_state",
    "masked_products_and_extremes", "masked_rescaling", "output_of_a_nested_model", "zeros_for_masked_steps",
    "lstm_recurrent_hard_sigmoid", "masked_LSTM_back", "masked_SimpleRNN_forth", "masked_with_initial_state",
    "merged_masks", "nested", "nested_in_sequential", "no_mask_after_the_last_step", "shared_layers", "stacked_cells",
    "stacked_cells_masked_backwards", "stateful", "time_distributed_masked", "time_distributed_tokens",
}  # fmt: skip
"""Building models takes Keras 2 long; the cases in which it may differ from Keras 3. RNNRT_ALL_CASES=1 runs all."""


def worth_trying(name: str, major: int) -> bool:
    if name in (KERAS2_ONLY if major == 3 else KERAS3_ONLY):
        return False
    return major == 3 or name in WITH_KERAS_2 | KERAS2_ONLY or "RNNRT_ALL_CASES" in os.environ
