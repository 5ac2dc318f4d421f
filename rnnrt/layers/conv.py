"""Convolution and pooling. B batch, S axes of space (time, or two or three), C channels: (B, *S, C) unless told."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.core import ActivationLike, activate, checked_activation, positive
from rnnrt.layers.spatial import Spatial, extents


def turned(b: GraphBuilder, kernel: Tensor) -> Tensor:
    """A kernel of Keras (*k, first, second) as ONNX has it: (second, first, *k)."""
    n = kernel.rank
    return b.transpose(kernel, (n - 1, n - 2, *range(n - 2)))


class Conv(Spatial):
    """activation(convolution + bias); kernel (*kernel_size, C / groups, filters), bias (filters,)."""

    arguments = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
        "dilation_rate",
        "groups",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.check_padding(padding)
        self.check_format(data_format)
        self.filters, self.groups = positive(self, "filters", filters), positive(self, "groups", groups)
        self.kernel_size = extents(self, "kernel_size", kernel_size)
        self.strides = extents(self, "strides", strides)
        self.dilation_rate = extents(self, "dilation_rate", dilation_rate)
        self.use_bias = bool(use_bias)
        self.activation = checked_activation(self, activation)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"activation": self.activation} if isinstance(self.activation, Layer) else {}

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self.enter(b, inputs)
        channels = x.shape[1]
        if channels is not None and (channels % self.groups or self.filters % self.groups):
            what = f"groups={self.groups} for {channels} channels and {self.filters} filters"
            raise self.unsupported(what, "let it divide both")
        per_group = None if channels is None else channels // self.groups
        kernel = b.variable(self, "kernel", (*self.kernel_size, per_group, self.filters))
        operands: list[Tensor | str] = [x, turned(b, kernel)]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.filters,)))
        attrs, places = self.window(x, self.kernel_size, self.strides, self.dilation_rate)
        y = b.op("Conv", operands, (x.shape[0], self.filters, *places), group=self.groups, **attrs)
        return activate(b, self.leave(b, y), self.activation)


class Conv1D(Conv):
    """activation(convolution along time + bias); kernel (kernel_size, C / groups, filters)."""

    paddings = ("valid", "same", "causal")


class Conv2D(Conv):
    """activation(convolution over two axes + bias); kernel (rows, columns, C / groups, filters)."""

    space = 2


class Conv3D(Conv):
    """activation(convolution over three axes + bias); kernel (k1, k2, k3, C / groups, filters)."""

    space = 3


class Pooling(Spatial):
    """A window's largest value or mean."""

    arguments: ClassVar[tuple[str, ...]] = ("pool_size", "strides", "padding", "data_format")
    op: ClassVar[str]

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.check_padding(padding)
        self.check_format(data_format)
        self.pool_size = extents(self, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else extents(self, "strides", strides)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self.enter(b, inputs)
        attrs, places = self.window(x, self.pool_size, self.strides, (1,) * self.space)
        return self.leave(b, b.op(self.op, [x], (*x.shape[:2], *places), **attrs))


class MaxPooling1D(Pooling):
    """The largest value of each window along time."""

    op = "MaxPool"


class MaxPooling2D(MaxPooling1D):
    """The largest value of each window over two axes."""

    space = 2


class MaxPooling3D(MaxPooling1D):
    """The largest value of each window over three axes."""

    space = 3


class AveragePooling1D(Pooling):
    """The mean of each window along time; padding does not count."""

    op = "AveragePool"

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)


class AveragePooling2D(AveragePooling1D):
    """The mean of each window over two axes."""

    space = 2


class AveragePooling3D(AveragePooling1D):
    """The mean of each window over three axes."""

    space = 3


class GlobalPooling(Spatial):
    """One value for each channel; with `keepdims` the axes of space stay with extent one."""

    arguments: ClassVar[tuple[str, ...]] = ("data_format", "keepdims")
    op: ClassVar[str]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.check_format(data_format)
        self.keepdims = bool(keepdims)

    @property
    def axes(self) -> list[int]:
        """The axes of space."""
        return list(range(self.first_axis, self.first_axis + self.space))

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return b.reduce(self.op, b.cast(self.checked(b, inputs), self.dtype), self.axes, self.keepdims)


class GlobalMaxPooling1D(GlobalPooling):
    """The largest value of each channel; masked steps take part, as in Keras."""

    op = "ReduceMax"


class GlobalMaxPooling2D(GlobalMaxPooling1D):
    """The largest value of each channel over two axes."""

    space = 2


class GlobalMaxPooling3D(GlobalMaxPooling1D):
    """The largest value of each channel over three axes."""

    space = 3


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel over two axes."""

    op = "ReduceMean"
    space = 2


class GlobalAveragePooling3D(GlobalAveragePooling2D):
    """The mean of each channel over three axes."""

    space = 3


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each channel over the steps that count."""

    op = "ReduceMean"

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        mask = mask or inputs.mask
        if mask is None:
            return super().emit(b, inputs)
        x = b.cast(self.checked(b, inputs), self.dtype)
        counts = b.unsqueeze(b.cast(mask, np.dtype(bool)), 3 - self.first_axis)
        kept = b.op("Where", [counts, x, b.scalar(0.0, x.dtype)], x.shape, x.dtype)
        total = b.reduce("ReduceSum", kept, self.axes, self.keepdims)
        count = b.reduce("ReduceSum", b.cast(counts, x.dtype), self.axes, self.keepdims)
        return b.op("Div", [total, count], total.shape)
