"""The generator behind everything random in rnnrt, and its seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError

_generator = np.random.default_rng()


def set_seed(seed: int) -> None:
    """Begin anew from a seed: what is drawn afterwards depends on it alone."""
    global _generator
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The generator in use; ask again after `set_seed`."""
    return _generator


def state() -> dict[str, Any]:
    """Where the generator stands; JSON can say it."""
    return dict(_generator.bit_generator.state)


def restore(state: dict[str, Any]) -> None:
    """Put the generator where it stood when `state` was taken.

    Raises
    ------
    RnnrtError
        `state` is not of this generator.
    """
    try:
        _generator.bit_generator.state = state
    except (TypeError, ValueError, KeyError) as error:
        raise RnnrtError(f"random: this is no state of the generator ({error}); give what state() returned") from None
