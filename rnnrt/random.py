"""The one generator from which everything random is drawn that has no seed of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import StateError

__all__ = ["generator", "restore", "set_seed", "state"]

_GENERATOR = np.random.Generator(np.random.PCG64())


def generator() -> np.random.Generator:
    """The generator; always the same object, so that it may be kept."""
    return _GENERATOR


def set_seed(seed: int) -> None:
    """Start the generator anew from `seed`, an int of at least 0."""
    _GENERATOR.bit_generator.state = np.random.PCG64(seed).state


def state() -> dict[str, Any]:
    """Where the generator is: a dictionary of plain values, for `restore` and for JSON."""
    now: dict[str, Any] = dict(_GENERATOR.bit_generator.state)
    return now | {"state": dict(now["state"])}


def restore(state: Mapping[str, Any]) -> None:
    """Put the generator where it was when `state()` gave `state`.

    Raises
    ------
    StateError
        `state` is not of this generator.
    """
    try:
        _GENERATOR.bit_generator.state = dict(state)
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(f"this is no state of rnnrt.random, which is a PCG64 generator: {error}") from error
