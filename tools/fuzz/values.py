"""Values that have broken readers before, and the draws that all mutations share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

INTS = (
    *range(-3, 6), 7, 8, 16, 17, 64, 100, 127, 128, 255, 256, 1000, 4096, 65535, 65536, 10**6, -(10**6),
    2**24, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**53, 2**61, 2**62, 2**63 - 1, -(2**63) + 1, -(2**63),
)  # fmt: skip
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e30, 3.4e38, 1e39, 1e300, -1e300,
    float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
STRINGS = ("", "a", "\0", "x" * 300, "é", "%s{}", "NaN", "None", "/etc/passwd", "../x", "forward", "reverse", "Tanh")


def near(value: int, rng: random.Random) -> int:
    """An integer that is close to another, or one of `INTS`."""
    kind = rng.randrange(4)
    if kind == 0:
        return value + rng.choice((-1, 1))
    if kind == 1:
        return rng.choice((-value, value * 2, value << 16, ~value))
    return rng.choice(INTS)


def pick(pool: Sequence[Any], rng: random.Random, default: Any) -> Any:
    """One of a pool, or a default where the pool is empty."""
    return pool[rng.randrange(len(pool))] if pool else default
