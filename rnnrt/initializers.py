"""Initializers: what weights begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError

_RNG = np.random.default_rng()


class Initializer:
    """Base of all initializers: called with a shape, it gives an array."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        """An array of that shape, float32 unless told."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal initializer."""
        return dict(vars(self))


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        return np.zeros(shape, dtype or np.float32)


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        return np.ones(shape, dtype or np.float32)


class RandomUniform(Initializer):
    """Evenly distributed between `minval` and `maxval`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        rng = _RNG if self.seed is None else np.random.default_rng(self.seed)
        return rng.uniform(self.minval, self.maxval, shape).astype(dtype or np.float32)


class GlorotUniform(Initializer):
    """Evenly distributed within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        rng = _RNG if self.seed is None else np.random.default_rng(self.seed)
        window = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
        fans = (shape[-2] + shape[-1]) * window if len(shape) > 1 else 2 * sum(shape) or 2
        bound = np.sqrt(6.0 / fans)
        return rng.uniform(-bound, bound, shape).astype(dtype or np.float32)


class Orthogonal(Initializer):
    """`gain` times a matrix with orthonormal rows or columns (Saxe et al., 2013)."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        rng = _RNG if self.seed is None else np.random.default_rng(self.seed)
        rows, columns = int(np.prod(shape[:-1])), shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype or np.float32)


_NAMES: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "uniform": RandomUniform,
    "random_uniform": RandomUniform,
    "glorot_uniform": GlorotUniform,
    "orthogonal": Orthogonal,
    **{cls.__name__: cls for cls in (Zeros, Ones, RandomUniform, GlorotUniform, Orthogonal)},
}


def get(identifier: Any) -> Any:
    """The initializer of a name or configuration; a callable is given back.

    Raises
    ------
    RnnrtError
        The name is not known.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    name, config = identifier, {}
    if isinstance(identifier, Mapping):
        name, config = identifier.get("class_name"), dict(identifier.get("config", {}))
        config = {k: v for k, v in config.items() if k not in ("input_axes", "output_axes")}
    if name not in _NAMES:
        raise RnnrtError(f"initializer {identifier!r} is not known; use one of {sorted(_NAMES)}")
    return _NAMES[name](**config)
