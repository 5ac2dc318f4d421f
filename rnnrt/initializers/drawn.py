"""Initializers that draw numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.initializers.base import Initializer, checked
from rnnrt.random import generator

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "compute_fans",
]

# Standard deviation of a standard normal that is cut off at -2 and 2.
_TRUNCATED_STD = 0.8796256610342398


class _Random(Initializer):
    """Base of those that draw numbers."""

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0):
            raise RnnrtError(f"{type(self).__name__}: seed must be an int of 0 or more, or None; it is {seed!r}")
        self.seed = None if seed is None else int(seed)

    def _generator(self) -> np.random.Generator:
        return generator() if self.seed is None else np.random.default_rng(self.seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A standard normal of which values beyond -2 and 2 are drawn again."""
    flat = rng.standard_normal(math.prod(shape))
    (beyond,) = np.nonzero(np.abs(flat) >= 2)
    while beyond.size:
        flat[beyond] = rng.standard_normal(beyond.size)
        beyond = beyond[np.abs(flat[beyond]) >= 2]
    return flat.reshape(shape)


class RandomNormal(_Random):
    """Normal with mean `mean` and standard deviation `stddev`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        return (self.mean + self.stddev * self._generator().standard_normal(extents)).astype(kind)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """As `RandomNormal`, with values more than two `stddev` from the mean drawn again."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        return (self.mean + self.stddev * _truncated_normal(self._generator(), extents)).astype(kind)


class RandomUniform(_Random):
    """Uniform from `minval` to below `maxval`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        return self._generator().uniform(self.minval, self.maxval, extents).astype(kind)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"minval": self.minval, "maxval": self.maxval}


def compute_fans(
    shape: Sequence[int], input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """How many inputs feed an output of a kernel of that shape, and how many outputs an input feeds.

    The last two axes are inputs and outputs, and those before them the window of a convolution, unless axes are given.
    """
    shape = tuple(int(n) for n in shape)
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


class VarianceScaling(_Random):
    """Zero mean, and the variance `scale` over a fan.

    Parameters
    ----------
    scale : float
        More than 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        "normal" is the truncated one.
    seed : int, optional
    input_axes, output_axes : sequence of int, optional
        Which axes make the fans; see `compute_fans`.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        distribution = "truncated_normal" if distribution.lower() == "normal" else distribution.lower()
        if scale <= 0:
            raise RnnrtError(f"{type(self).__name__}: scale must be more than 0; it is {scale!r}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise RnnrtError(f"{type(self).__name__}: mode must be fan_in, fan_out or fan_avg; it is {mode!r}")
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise RnnrtError(
                f"{type(self).__name__}: distribution must be uniform, truncated_normal or untruncated_normal; "
                f"it is {distribution!r}"
            )
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        fan_in, fan_out = compute_fans(extents, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        rng = self._generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, extents).astype(kind)
        if self.distribution == "untruncated_normal":
            return (math.sqrt(variance) * rng.standard_normal(extents)).astype(kind)
        return (math.sqrt(variance) / _TRUNCATED_STD * _truncated_normal(rng, extents)).astype(kind)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Scaled(VarianceScaling):
    """A `VarianceScaling` whose first three arguments are fixed."""

    _fixed: tuple[float, str, str]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._fixed, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "input_axes": self.input_axes, "output_axes": self.output_axes}


class GlorotUniform(_Scaled):
    """Uniform, variance 2 / (fan in + fan out)."""

    _fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal, variance 2 / (fan in + fan out)."""

    _fixed = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform, variance 2 / fan in."""

    _fixed = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal, variance 2 / fan in."""

    _fixed = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform, variance 1 / fan in."""

    _fixed = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal, variance 1 / fan in."""

    _fixed = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    Axes before the last count as rows. The sign of R's diagonal makes the distribution uniform (Haar).
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        if len(extents) < 2:
            raise ShapeError(f"Orthogonal makes arrays of rank 2 or more; the shape {extents} has rank {len(extents)}")
        rows, columns = math.prod(extents[:-1]), extents[-1]
        q, r = np.linalg.qr(self._generator().standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return np.ascontiguousarray(self.gain * (q.T if rows < columns else q), kind).reshape(extents)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"gain": self.gain}
