"""One seed for everything random."""

from __future__ import annotations

import random

import numpy as np

from rnnrt.errors import RnnrtError


def set_random_seed(seed: int) -> None:
    """Seed Python's `random`, NumPy's global generator and rnnrt's own (weights, dropout, shuffling).

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1

    Raises
    ------
    RnnrtError
        It is no such number.
    """
    from rnnrt.random import set_seed

    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise RnnrtError(f"seed={seed!r}: give a whole number from 0 to 2**32 - 1")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  users' code may draw from it
    set_seed(seed)
