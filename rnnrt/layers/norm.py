"""BatchNormalization and LayerNormalization, as they work outside training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor


def axes_of(layer: Layer, axis: Any, rank: int) -> list[int]:
    """`axis` as a sorted list of axes behind the batch."""
    axes = sorted({int(a) % rank for a in (axis if isinstance(axis, (list, tuple)) else [axis])})
    if not axes or axes[0] == 0:
        raise layer.unsupported(f"axis={axis} for {rank} axes", "name axes behind the batch")
    return axes


class BatchNormalization(Layer):
    """gamma (x - moving_mean) / sqrt(moving_variance + epsilon) + beta along `axis`."""

    arguments = ("axis", "momentum", "epsilon", "center", "scale")
    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis, self.momentum, self.epsilon = axis, float(momentum), float(epsilon)
        self.center, self.scale = bool(center), bool(scale)

    def weight_names(self) -> tuple[str, ...]:
        return ("gamma",) * self.scale + ("beta",) * self.center

    def state_names(self) -> tuple[str, ...]:
        return ("moving_mean", "moving_variance")

    def is_stepwise(self) -> bool:
        return self.axis in (-1, [-1], (-1,))

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = axes_of(self, self.axis, x.rank)
        if len(axes) > 1:
            raise self.unsupported(f"axis={self.axis}", "normalise along one axis")
        size = x.shape[axes[0]]

        def along(array: np.ndarray) -> np.ndarray:
            return array.astype(self.dtype).reshape(-1, *[1] * (x.rank - 1 - axes[0]))

        def factors() -> tuple[np.ndarray, np.ndarray]:
            mean, variance = (self.array(n, (size,)).astype(np.float64) for n in self.state_names())
            slope = 1 / np.sqrt(variance + self.epsilon)
            if self.scale:
                slope = slope * self.array("gamma", (size,))
            beta = self.array("beta", (size,)).astype(np.float64) if self.center else np.zeros_like(mean)
            return slope, beta - mean * slope

        slope = b.weight(self, f"slope{x.rank}", lambda: along(factors()[0]))
        offset = b.weight(self, f"offset{x.rank}", lambda: along(factors()[1]))
        return b.op("Add", [b.op("Mul", [x, slope], x.shape), offset], x.shape)


class LayerNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over `axis` of each row."""

    arguments = ("axis", "epsilon", "center", "scale")
    supports_masking = True

    def __init__(
        self, axis: Any = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, float(epsilon)
        self.center, self.scale = bool(center), bool(scale)

    def weight_names(self) -> tuple[str, ...]:
        return ("gamma",) * self.scale + ("beta",) * self.center

    def is_stepwise(self) -> bool:
        return self.axis in (-1, [-1], (-1,))

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = axes_of(self, self.axis, x.rank)
        shape = tuple(x.shape[a] for a in axes)
        if None in shape:
            raise self.unsupported(f"normalises over a free axis of {x.shape}", "declare its extent")
        sizes = tuple(d for d in shape if d is not None)

        def weight(name: str, present: bool, default: float) -> np.ndarray:
            return self.array(name, shape) if present else np.full(sizes, default, self.dtype)

        if axes == list(range(axes[0], x.rank)):
            gamma = b.weight(self, "gamma", lambda: weight("gamma", self.scale, 1))
            beta = b.weight(self, "beta", lambda: weight("beta", self.center, 0))
            return b.op("LayerNormalization", [x, gamma, beta], x.shape, axis=axes[0], epsilon=self.epsilon)
        wide = [d if k in axes else 1 for k, d in enumerate(x.shape)]
        normal = self._normal(b, x, axes)
        if self.scale:
            gamma = b.weight(self, "gamma", lambda: weight("gamma", True, 1).reshape([d or 1 for d in wide]))
            normal = b.op("Mul", [normal, gamma], x.shape)
        if self.center:
            beta = b.weight(self, "beta", lambda: weight("beta", True, 0).reshape([d or 1 for d in wide]))
            normal = b.op("Add", [normal, beta], x.shape)
        return normal

    def _normal(self, b: GraphBuilder, x: Tensor, axes: Sequence[int]) -> Tensor:
        mean = b.reduce("ReduceMean", x, axes, keepdims=True)
        centred = b.op("Sub", [x, mean], x.shape)
        variance = b.reduce("ReduceMean", b.op("Mul", [centred, centred], x.shape), axes, keepdims=True)
        root = b.op("Sqrt", [b.op("Add", [variance, b.scalar(self.epsilon, x.dtype)], mean.shape)], mean.shape)
        return b.op("Div", [centred, root], x.shape)


class Normalization(Layer):
    """(x - mean) / sqrt(variance) along `axis`, with what `adapt` learnt or the given mean and variance."""

    arguments = ("axis", "mean", "variance", "invert")

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis, self.mean, self.variance, self.invert = axis, mean, variance, bool(invert)

    def state_names(self) -> tuple[str, ...]:
        return () if self.mean is not None else ("mean", "variance", "count")

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = [] if self.axis is None else axes_of(self, self.axis, x.rank)
        sizes = tuple(x.shape[a] for a in axes)
        wide = [d if k in axes else 1 for k, d in enumerate(x.shape)]

        def factors() -> tuple[np.ndarray, np.ndarray]:
            pair = (
                (self.mean, self.variance)
                if self.mean is not None
                else tuple(self.array(n, sizes) for n in ("mean", "variance"))
            )
            full = [1 if d is None else d for d in wide]
            shaped = [np.broadcast_to(np.asarray(v, np.float64), [d or 1 for d in sizes]).reshape(full) for v in pair]
            return shaped[0], np.maximum(np.sqrt(shaped[1]), 1e-7)

        mean = b.weight(self, "mean", lambda: factors()[0].astype(self.dtype))
        spread = b.weight(self, "spread", lambda: factors()[1].astype(self.dtype))
        if self.invert:
            return b.op("Add", [b.op("Mul", [x, spread], x.shape), mean], x.shape)
        return b.op("Div", [b.op("Sub", [x, mean], x.shape), spread], x.shape)
