"""Layers that normalise over groups of channels, by the root of the mean square, and by a weight's largest stretch."""

from __future__ import annotations

from typing import Any, ClassVar

from rnnrt.layers.base import GraphBuilder, Layer, product
from rnnrt.layers.norm import axes_of, normalised


class GroupNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, over each of `groups` groups of channels in each row.

    After Wu and He (2018). The groups are cut along `axis`; mean and variance are over the rest of the row. With
    groups=-1 every channel is a group.
    """

    arguments = (
        "groups",
        "axis",
        "epsilon",
        "center",
        "scale",
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
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.groups, self.axis, self.epsilon = int(groups), int(axis), float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        if self.groups != groups or (self.groups < 1 and self.groups != -1):
            raise self.unsupported(f"groups={groups}", "give a positive integer, or -1 for a group to each channel")
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("gamma",) * self.scale + ("beta",) * self.center

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype).with_mask(None)
        (axis,) = axes_of(self, self.axis, x.rank)
        channels = x.shape[axis]
        groups = channels if self.groups == -1 else self.groups
        if channels is None or groups is None or channels % groups:
            raise self.unsupported(
                f"groups={self.groups} for an input of shape {x.shape}", "let it divide axis's extent"
            )
        dims, split = b.dims_of(x), [groups, channels // groups]
        apart = b.reshape(x, [*dims[:axis], *split, *dims[axis + 1 :]], (*x.shape[:axis], *split, *x.shape[axis + 1 :]))
        over = [k for k in range(1, apart.rank) if k != axis]
        y = b.reshape(normalised(b, apart, over, self.epsilon), dims, x.shape)
        wide = [channels if k == axis else 1 for k in range(x.rank)]
        for name, op in (("gamma", "Mul"), ("beta", "Add")):
            if name in self.weight_names():
                factor = b.variable(self, name, (channels,))
                y = b.op(op, [y, b.reshape(factor, wide[axis:], tuple(wide[axis:]))], x.shape)
        return y


class RMSNormalization(Layer):
    """scale x / sqrt(mean of x^2 + epsilon) over `axis`, the last ones (Zhang and Sennrich, 2019)."""

    arguments: ClassVar[tuple[str, ...]] = ("axis", "epsilon")
    scale_initializer = "ones"

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, float(epsilon)

    def weight_names(self) -> tuple[str, ...]:
        return ("scale",)

    def is_stepwise(self) -> bool:
        return self.axis in (-1, [-1], (-1,))

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        axes = axes_of(self, self.axis, x.rank)
        if axes != list(range(axes[0], x.rank)) or product(x.shape[axes[0] :]) is None:
            raise self.unsupported(f"axis={self.axis} for an input of shape {x.shape}", "use the last axes")
        mean = b.reduce("ReduceMean", b.op("Mul", [x, x], x.shape), axes, keepdims=True)
        root = b.op("Sqrt", [b.op("Add", [mean, b.scalar(self.epsilon, x.dtype)], mean.shape)], mean.shape)
        normal = b.op("Div", [x, root], x.shape)
        return b.op("Mul", [normal, b.variable(self, "scale", x.shape[axes[0] :])], x.shape)


class SpectralNormalization(Layer):
    """A layer whose kernel training keeps at spectral norm one; outside training it is the layer itself.

    After Miyato et al. (2018). rnnrt runs such a layer, and does not train it.
    """

    arguments: ClassVar[tuple[str, ...]] = ("layer", "power_iterations")
    vector_u_initializer = "truncated_normal"

    def __init__(self, layer: Layer, power_iterations: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.layer, self.power_iterations = layer, int(power_iterations)
        if not isinstance(layer, Layer) or not {"kernel", "embeddings"} & set(layer.weight_names()):
            raise self.unsupported(f"wraps {layer!r}", "wrap a layer that has a kernel or embeddings")
        if self.power_iterations < 1:
            raise self.unsupported(f"power_iterations={power_iterations}", "give a positive integer")

    @property
    def wrapped(self) -> str:
        """The name of the weight that is normalised."""
        return "kernel" if "kernel" in self.layer.weight_names() else "embeddings"

    def state_names(self) -> tuple[str, ...]:
        return ("vector_u",)

    def stored(self) -> list[tuple[Any, str]]:
        return [(self.layer, self.wrapped), (self, "vector_u")]

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"layer": self.layer}

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if b.training and not b.create:
            raise self.unsupported("is to be trained", "train the layer that it wraps, without it")
        y = self.layer.apply(b, inputs)
        units = self.layer.own_variables[self.wrapped].shape[-1]
        b.variable(self, "vector_u", (1, units))
        return y
