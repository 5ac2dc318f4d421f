"""Keras's initializers: what a weight is before training.

Each is called with a shape and a dtype and gives an array. Numbers are not those of Keras, their distributions are.
With an int `seed` every call gives the same array; without one, numbers come from `rnnrt.random`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import ShapeError
from rnnrt.initializers.base import Constant, Identity, Initializer, Ones, Zeros, checked
from rnnrt.initializers.drawn import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)
from rnnrt.registry import Registry

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "deserialize",
    "get",
    "serialize",
]

IdentityInitializer = Identity
OrthogonalInitializer = Orthogonal

_REGISTRY = Registry(
    "initializers",
    (
        Constant,
        GlorotNormal,
        GlorotUniform,
        HeNormal,
        HeUniform,
        Identity,
        LecunNormal,
        LecunUniform,
        Ones,
        Orthogonal,
        RandomNormal,
        RandomUniform,
        TruncatedNormal,
        VarianceScaling,
        Zeros,
    ),
    {
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
        "normal": RandomNormal,
        "one": Ones,
        "uniform": RandomUniform,
        "zero": Zeros,
    },
)


def serialize(initializer: Initializer) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`."""
    return _REGISTRY.serialize(initializer)


def deserialize(config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that a name or a dictionary describes."""
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier: Any) -> Callable[..., np.ndarray] | None:
    """An initializer from a name, a dictionary, a class, a function, or the array itself; None stays None."""
    if not isinstance(identifier, np.ndarray | np.generic):
        return _REGISTRY.get(identifier)

    def given(shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        if extents != identifier.shape:
            raise ShapeError(f"the initial array has the shape {identifier.shape}; {extents} is needed")
        return identifier.astype(kind)

    return given
