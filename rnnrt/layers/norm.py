"""Layers that normalise over axes: BatchNormalization, LayerNormalization and Normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor

_KERAS_EPSILON = 1e-7


def axes_of(layer: Layer, axis: Any, rank: int) -> list[int]:
    """`axis` as a sorted list of axes behind the batch."""
    axes = sorted({int(a) % rank for a in (axis if isinstance(axis, (list, tuple)) else [axis])})
    if not axes or axes[0] == 0:
        raise layer.unsupported(f"axis={axis} for {rank} axes", "name axes behind the batch")
    return axes


def normalised(b: GraphBuilder, x: Tensor, axes: Sequence[int], epsilon: float, centred: bool = True) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) over axes; x / sqrt(variance + epsilon) where not `centred`."""
    mean = b.reduce("ReduceMean", x, axes, keepdims=True)
    far = b.op("Sub", [x, mean], x.shape)
    variance = b.reduce("ReduceMean", b.op("Mul", [far, far], x.shape), axes, keepdims=True)
    root = b.op("Sqrt", [b.op("Add", [variance, b.scalar(epsilon, x.dtype)], mean.shape)], mean.shape)
    return b.op("Div", [far if centred else x, root], x.shape)


class BatchNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta along `axis` (Ioffe and Szegedy, 2015).

    Mean and variance are the moving ones, and in training those of the batch, over the steps that count where there is
    a mask; the moving ones then follow: m = momentum m + (1 - momentum) (the batch's). A layer that is not trainable
    works as outside training.
    """

    arguments = (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )
    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis  # as Keras 2 writes it
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self.keep(locals())
        if renorm or synchronized:
            raise self.unsupported("renorm=True or synchronized=True", "leave both at False")

    def weight_names(self) -> tuple[str, ...]:
        return ("gamma",) * self.scale + ("beta",) * self.center

    def state_names(self) -> tuple[str, ...]:
        return ("moving_mean", "moving_variance")

    def is_stepwise(self) -> bool:
        return self.axis in (-1, [-1], (-1,))

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = axes_of(self, self.axis, x.rank)
        if len(axes) > 1:
            raise self.unsupported(f"axis={self.axis}", "normalise along one axis")
        size = x.shape[axes[0]]
        kept = {name: b.variable(self, name, (size,)) for name in (*self.weight_names(), *self.state_names())}
        mask = mask if isinstance(mask, Tensor) else inputs.mask
        wide = [size if k == axes[0] else 1 for k in range(x.rank)]
        if b.training and self.trainable:
            mean, variance = self._moments(b, x, mask, axes[0])
            self._follow(b, "moving_mean", kept["moving_mean"], b.reshape(mean, [-1], (size,)))
            self._follow(b, "moving_variance", kept["moving_variance"], b.reshape(variance, [-1], (size,)))
        else:
            mean, variance = kept["moving_mean"], kept["moving_variance"]
        root = b.op("Add", [variance, b.scalar(self.epsilon, x.dtype)], variance.shape)
        root = b.op("Sqrt", [root], variance.shape)

        def along(f: Tensor) -> Tensor:
            dims = [-1, *wide[axes[0] + 1 :]]
            return f if len(dims) == 1 else b.reshape(f, [d or 1 for d in dims], (size, *wide[axes[0] + 1 :]))

        if mean.rank > 1:
            # Less is lost by subtracting the batch's mean first; outside training both factors are constants.
            y = b.op("Div", [b.op("Sub", [x, mean], x.shape), root], x.shape)
            y = b.op("Mul", [y, along(kept["gamma"])], x.shape) if self.scale else y
            return b.op("Add", [y, along(kept["beta"])], x.shape) if self.center else y
        slope = b.op("Div", [kept["gamma"] if self.scale else b.scalar(1.0, x.dtype), root], (size,), x.dtype)
        offset = b.op("Mul", [mean, slope], (size,))
        offset = b.op("Sub", [kept["beta"], offset], (size,)) if self.center else b.op("Neg", [offset], (size,))
        return b.op("Add", [b.op("Mul", [x, along(slope)], x.shape), along(offset)], x.shape)

    def _moments(self, b: GraphBuilder, x: Tensor, mask: Tensor | None, axis: int) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of the batch along every other axis, which stay with extent one."""
        others = [k for k in range(x.rank) if k != axis]
        if mask is None:
            mean = b.reduce("ReduceMean", x, others, keepdims=True)
            far = b.op("Sub", [x, mean], x.shape)
            return mean, b.reduce("ReduceMean", b.op("Mul", [far, far], x.shape), others, keepdims=True)
        if mask.rank != x.rank - 1:
            raise self.unsupported(f"a mask of shape {mask.shape} on {x.shape}", "give one value for each step")
        counts = b.unsqueeze(b.cast(mask, np.dtype(bool)), mask.rank)
        zero = b.scalar(0.0, x.dtype)
        shape = b.op("Shape", [x], (x.rank,), np.dtype(np.int64))
        total = b.reduce("ReduceSum", b.op("Expand", [b.cast(counts, x.dtype), shape], x.shape), others, keepdims=True)
        total = b.op("Add", [total, b.scalar(_KERAS_EPSILON, x.dtype)], total.shape)
        seen = b.op("Where", [counts, x, zero], x.shape, x.dtype)
        mean = b.op("Div", [b.reduce("ReduceSum", seen, others, keepdims=True), total], total.shape)
        far = b.op("Where", [counts, b.op("Sub", [x, mean], x.shape), zero], x.shape, x.dtype)
        spread = b.reduce("ReduceSum", b.op("Mul", [far, far], x.shape), others, keepdims=True)
        return mean, b.op("Div", [spread, total], total.shape)

    def _follow(self, b: GraphBuilder, name: str, moving: Tensor, value: Tensor) -> None:
        variable = self.own_variables[name]
        before = b.updates.get(variable, moving)
        kept = b.op("Mul", [before, b.scalar(self.momentum, moving.dtype)], moving.shape)
        new = b.op("Mul", [value, b.scalar(1 - self.momentum, moving.dtype)], moving.shape)
        b.updates[variable] = b.op("Add", [kept, new], moving.shape)


class LayerNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over `axis` of each row.

    After Ba, Kiros and Hinton (2016). With `rms_scaling` it is gamma x / sqrt(variance + epsilon), as Keras has it.
    """

    arguments = (
        "axis",
        "epsilon",
        "center",
        "scale",
        "rms_scaling",
        "beta_initializer",
        "gamma_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )
    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        *,
        rms_scaling: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis, self.epsilon, self.rms_scaling = axis, float(epsilon), bool(rms_scaling)
        self.center, self.scale = bool(center), bool(scale)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        if self.rms_scaling:
            return ("gamma",)
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
        gamma = b.variable(self, "gamma", shape) if "gamma" in self.weight_names() else None
        beta = b.variable(self, "beta", shape) if "beta" in self.weight_names() else None
        if not self.rms_scaling and axes == list(range(axes[0], x.rank)):
            operands = [
                f if f is not None else b.constant(np.full(sizes, value, self.dtype), "fill")
                for f, value in ((gamma, 1), (beta, 0))
            ]
            return b.op("LayerNormalization", [x, *operands], x.shape, axis=axes[0], epsilon=self.epsilon)
        wide = [d if k in axes and d else 1 for k, d in enumerate(x.shape)]
        normal = normalised(b, x, axes, self.epsilon, centred=not self.rms_scaling)
        if gamma is not None:
            normal = b.op("Mul", [normal, b.reshape(gamma, wide, tuple(wide))], x.shape)
        if beta is not None:
            normal = b.op("Add", [normal, b.reshape(beta, wide, tuple(wide))], x.shape)
        return normal


class Normalization(Layer):
    """(x - mean) / sqrt(variance) along `axis`, with what `adapt` learnt or the given mean and variance."""

    arguments = ("axis", "mean", "variance", "invert")
    weight_dtypes: ClassVar[dict[str, str]] = {"count": "int32"}
    mean_initializer, variance_initializer, count_initializer = "zeros", "ones", "zeros"

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
        wide = [d if k in axes and d else 1 for k, d in enumerate(x.shape)]
        if self.mean is None:
            b.variable(self, "count", ())
            mean, variance = (b.reshape(b.variable(self, n, sizes), wide, tuple(wide)) for n in ("mean", "variance"))
        else:
            mean, variance = (self._given(b, v, sizes, wide) for v in (self.mean, self.variance))
        root = b.op("Sqrt", [variance], variance.shape)
        spread = b.op("Max", [root, b.scalar(_KERAS_EPSILON, x.dtype)], variance.shape)
        if self.invert:
            return b.op("Add", [b.op("Mul", [x, spread], x.shape), mean], x.shape)
        return b.op("Div", [b.op("Sub", [x, mean], x.shape), spread], x.shape)

    def _given(self, b: GraphBuilder, value: Any, sizes: Sequence[int | None], wide: list[int]) -> Tensor:
        full = np.broadcast_to(np.asarray(value, self.dtype), [d or 1 for d in sizes]).reshape(wide)
        return Tensor(b.constant(full, "given"), tuple(wide), self.dtype)
