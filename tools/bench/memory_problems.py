"""Two problems that can be solved only by remembering: the adding problem, and copying from memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SYMBOLS, COPIED = 8, 10
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1

Batch = tuple[np.ndarray, np.ndarray]


def adding(lag: int, rows: int, rng: np.random.Generator) -> Batch:
    """Sequences of `lag` steps with two features, and the sum of the two marked values (rows, 1).

    The first feature is uniform on [0, 1). The second is 1 at one step of the first half and at one of the second half,
    each drawn uniformly, and else 0: the problem of Hochreiter and Schmidhuber (1997) as Le, Jaitly and Hinton (2015)
    and Arjovsky, Shah and Bengio (2016) have it. Who always says 1 has a mean squared error of 1/6.
    """
    values = rng.random((rows, lag), dtype=np.float32)
    every, half = np.arange(rows), lag // 2
    marked = np.stack([rng.integers(0, half, rows), rng.integers(half, lag, rows)], axis=1)
    marks = np.zeros((rows, lag), np.float32)
    marks[every[:, None], marked] = 1
    return np.stack([values, marks], axis=2), values[every[:, None], marked].sum(axis=1, keepdims=True)


def copying(lag: int, rows: int, rng: np.random.Generator) -> Batch:
    """Sequences of `lag` + 20 steps of one-hot symbols (10 features), and the class to say at each step.

    Ten symbols out of eight, `lag` - 1 blanks, a delimiter, ten blanks; wanted are `lag` + 10 blanks and then the ten
    symbols: copying from memory as in Arjovsky, Shah and Bengio (2016), after Hochreiter and Schmidhuber (1997). Who
    says blanks, and then any symbol with equal probability, has a cross entropy of 10 ln 8 / (`lag` + 20).
    """
    symbols = rng.integers(0, SYMBOLS, (rows, COPIED))
    given = np.full((rows, lag + 2 * COPIED), BLANK)
    given[:, :COPIED] = symbols
    given[:, COPIED + lag - 1] = DELIMITER
    wanted = np.full_like(given, BLANK)
    wanted[:, -COPIED:] = symbols
    return np.eye(SYMBOLS + 2, dtype=np.float32)[given], wanted


@dataclass(frozen=True)
class Problem:
    """How a problem is made, and how an answer to it is judged."""

    title: str
    make: Callable[[int, int, np.random.Generator], Batch]
    features: int
    outputs: int
    activation: str | None
    every_step: bool
    loss: str
    baseline: Callable[[int], float]


PROBLEMS = {
    "adding": Problem("adding problem", adding, 2, 1, None, False, "mse", lambda lag: 1 / 6),
    "copy": Problem(
        "copying from memory",
        copying,
        SYMBOLS + 2,
        SYMBOLS + 2,
        "softmax",
        True,
        "sparse_categorical_crossentropy",
        lambda lag: COPIED * math.log(SYMBOLS) / (lag + 2 * COPIED),
    ),
}
"""`baseline` is the loss, by lag, of who remembers nothing."""
