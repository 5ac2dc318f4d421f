"""Layers that act in training alone: they drop, add noise, or add to the loss. B batch, T steps, F features."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor, add_penalty

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


class Identity(Layer):
    """Gives its input."""

    supports_masking = True

    def is_stepwise(self) -> bool:
        return True

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs


class Random(Identity):
    """What changes its input at random in training, and gives it unchanged otherwise."""

    def __init__(self, strength: float, least_wrong: float, key: str, seed: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.seed = seed
        self.strength = float(strength)
        if not self.strength >= 0 or not self.strength < least_wrong:
            raise self.unsupported(f"{key}={strength}", f"give a number from 0 to below {least_wrong:g}")

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not b.training or self.strength == 0 or not isinstance(inputs, Tensor) or inputs.dtype.kind != "f":
            return inputs
        return self.disturb(b, inputs).with_mask(inputs.mask)

    def disturb(self, b: GraphBuilder, x: Tensor) -> Tensor:
        """What training makes of the input."""
        raise NotImplementedError(type(self).__name__)  # abstract


class Dropout(Random):
    """Sets a fraction `rate` of the elements to zero, and divides the others by 1 - rate.

    Parameters
    ----------
    rate : float
        From 0 to below 1.
    noise_shape : tuple, optional
        The shape that is drawn, the batch first; elements along an axis of extent 1 fall together. None: as the input.
    seed : int, optional
        Kept; in training all random numbers follow from the seed of the whole model.
    """

    arguments: ClassVar[tuple[str, ...]] = ("rate", "noise_shape", "seed")

    def __init__(self, rate: float, noise_shape: Any = None, seed: Any = None, **options: Any) -> None:
        super().__init__(rate, 1.0 + 1e-12, "rate", seed, **options)
        self.rate = self.strength
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def is_stepwise(self) -> bool:
        return self.noise_shape is None  # which counts all axes of one step

    def drawn(self, b: GraphBuilder, x: Tensor) -> tuple[list[int | str], tuple[int | None, ...]]:
        """The extents of the random numbers, and as far as they are known."""
        dims = b.dims_of(x)
        if self.noise_shape is None:
            return dims, x.shape
        if len(self.noise_shape) != x.rank:
            raise self.unsupported(f"noise_shape={self.noise_shape} for an input of shape {x.shape}", "name all axes")
        return (
            [d if n is None else int(n) for n, d in zip(self.noise_shape, dims, strict=True)],
            tuple(d if n is None else int(n) for n, d in zip(self.noise_shape, x.shape, strict=True)),
        )

    def disturb(self, b: GraphBuilder, x: Tensor) -> Tensor:
        if self.rate == 1:
            return b.op("Mul", [x, b.scalar(0.0, x.dtype)], x.shape)
        dims, shape = self.drawn(b, x)
        return b.op("Mul", [x, b.random("dropout", dims, shape, x.dtype, self.rate)], x.shape)


class SpatialDropout1D(Dropout):
    """Sets whole features of a sequence (B, T, F) to zero."""

    space: ClassVar[int] = 1
    data_format: str | None = None

    def __init__(self, rate: float, seed: Any = None, **options: Any) -> None:
        options.pop("noise_shape", None)
        super().__init__(rate, seed=seed, **options)

    def is_stepwise(self) -> bool:
        return False

    def drawn(self, b: GraphBuilder, x: Tensor) -> tuple[list[int | str], tuple[int | None, ...]]:
        if x.rank != self.space + 2:
            raise self.unsupported(f"its input has shape {x.shape}", f"it needs {self.space + 2} axes")
        kept = (0, 1 if self.data_format == "channels_first" else x.rank - 1)
        dims, shape = b.dims_of(x), x.shape
        return [d if k in kept else 1 for k, d in enumerate(dims)], tuple(
            d if k in kept else 1 for k, d in enumerate(shape)
        )

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "noise_shape"}


class SpatialDropout2D(SpatialDropout1D):
    """Sets whole channels over two axes of space to zero."""

    arguments = ("data_format",)
    space = 2

    def __init__(self, rate: float, data_format: str | None = None, seed: Any = None, **options: Any) -> None:
        super().__init__(rate, seed, **options)
        if data_format not in (None, "channels_last", "channels_first"):
            raise self.unsupported(f"data_format={data_format!r}", "use 'channels_last' or 'channels_first'")
        self.data_format = data_format


class SpatialDropout3D(SpatialDropout2D):
    """Sets whole channels over three axes of space to zero."""

    space = 3


class GaussianDropout(Random):
    """Multiplies by random numbers of mean 1 and variance rate / (1 - rate)."""

    arguments = ("rate", "seed")

    def __init__(self, rate: float, seed: Any = None, **options: Any) -> None:
        super().__init__(rate, 1.0, "rate", seed, **options)
        self.rate = self.strength

    def disturb(self, b: GraphBuilder, x: Tensor) -> Tensor:
        noise = b.random("normal", b.dims_of(x), x.shape, x.dtype)
        spread = b.scalar(math.sqrt(self.rate / (1 - self.rate)), x.dtype)
        factor = b.op("Add", [b.op("Mul", [noise, spread], x.shape), b.scalar(1.0, x.dtype)], x.shape)
        return b.op("Mul", [x, factor], x.shape)


class GaussianNoise(Random):
    """Adds random numbers of mean 0 and standard deviation `stddev`."""

    arguments = ("stddev", "seed")

    def __init__(self, stddev: float, seed: Any = None, **options: Any) -> None:
        super().__init__(stddev, 1.0 + 1e-12, "stddev", seed, **options)
        self.stddev = self.strength

    def disturb(self, b: GraphBuilder, x: Tensor) -> Tensor:
        noise = b.random("normal", b.dims_of(x), x.shape, x.dtype)
        return b.op("Add", [x, b.op("Mul", [noise, b.scalar(self.stddev, x.dtype)], x.shape)], x.shape)


class AlphaDropout(Dropout):
    """Sets elements to selu's lower bound and rescales, so that mean and variance stay (Klambauer et al., 2017)."""

    def disturb(self, b: GraphBuilder, x: Tensor) -> Tensor:
        low = -_SELU_ALPHA * _SELU_SCALE
        if self.rate == 1:
            raise self.unsupported("rate=1", "drop less than everything")
        scale = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5
        shift = -scale * low * self.rate
        dims, shape = self.drawn(b, x)
        uniform = b.random("uniform", dims, shape, x.dtype)
        kept = b.op("GreaterOrEqual", [uniform, b.scalar(self.rate, x.dtype)], shape, np.dtype(bool))
        y = b.op("Where", [kept, x, b.scalar(low, x.dtype)], x.shape, x.dtype)
        return b.op("Add", [b.op("Mul", [y, b.scalar(scale, x.dtype)], x.shape), b.scalar(shift, x.dtype)], x.shape)


class ActivityRegularization(Identity):
    """Adds l1 times the sum of |x| and l2 times that of x^2, divided by the rows of the batch, to the loss."""

    arguments = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.l1, self.l2 = float(l1), float(l2)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if b.training and isinstance(inputs, Tensor):
            add_penalty(b, inputs, self.l1, self.l2)
        return inputs
