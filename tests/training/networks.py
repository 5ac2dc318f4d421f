"""What tests of training share: sequences to tell apart, and networks for them."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnnrt
from rnnrt.models import Sequential
from rnnrt.optimizers import Adam
from rnnrt.utils import to_categorical


def sums(rows: int = 64, steps: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequences, and which of their two features has the larger sum."""
    x = np.random.default_rng(seed).normal(size=(rows, steps, 2)).astype(np.float32)
    return x, to_categorical((x[:, :, 0].sum(1) > x[:, :, 1].sum(1)).astype(int), 2)


def network(*layers: Any, optimizer: Any = None, **options: Any) -> Sequential:
    model = Sequential([rnnrt.Input((None, 2)), *layers])
    options.setdefault("loss", "categorical_crossentropy")
    model.compile(optimizer=optimizer or Adam(0.02), **options)
    return model
