"""Convolutions that act on each channel apart, and their way back. C channels, k kernel_size, S axes of space."""

from __future__ import annotations

from typing import Any, ClassVar

from rnnrt.layers.base import Extent, GraphBuilder, Tensor
from rnnrt.layers.conv import turned
from rnnrt.layers.core import ActivationLike, activate, checked_activation, positive
from rnnrt.layers.spatial import Spatial, extents


class DepthwiseConv1D(Spatial):
    """Each channel with its own kernels; kernel (*k, C, depth_multiplier), bias (C * depth_multiplier,)."""

    arguments: ClassVar[tuple[str, ...]] = (
        "kernel_size",
        "strides",
        "padding",
        "depth_multiplier",
        "data_format",
        "dilation_rate",
        "activation",
        "use_bias",
        "depthwise_initializer",
        "bias_initializer",
        "depthwise_regularizer",
        "bias_regularizer",
        "depthwise_constraint",
        "bias_constraint",
    )
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same", "causal")
    stems: ClassVar[dict[str, str]] = {"kernel": "depthwise"}

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        groups: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        if groups != 1:
            raise self.unsupported(f"groups={groups}", "leave it at 1")
        self.check_padding(padding)
        self.check_format(data_format)
        self.kernel_size = extents(self, "kernel_size", kernel_size)
        self.strides = extents(self, "strides", strides)
        self.dilation_rate = extents(self, "dilation_rate", dilation_rate)
        self.depth_multiplier = positive(self, "depth_multiplier", depth_multiplier)
        self.use_bias = bool(use_bias)
        self.activation = checked_activation(self, activation)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        y = self._depthwise(b, self.enter(b, inputs), "kernel", "bias" if self.use_bias else None)
        return activate(b, self.leave(b, y), self.activation)

    def _depthwise(self, b: GraphBuilder, x: Tensor, kernel: str, bias: str | None) -> Tensor:
        channels = x.shape[1]
        if channels is None:
            raise self.unsupported(f"its input has shape {x.shape}", "declare the channels")
        filters = channels * self.depth_multiplier
        given = b.variable(self, kernel, (*self.kernel_size, channels, self.depth_multiplier))
        flat = b.reshape(given, [*self.kernel_size, 1, filters], (*self.kernel_size, 1, filters))
        operands: list[Tensor | str] = [x, turned(b, flat)]
        if bias:
            operands.append(b.variable(self, bias, (filters,)))
        attrs, places = self.window(x, self.kernel_size, self.strides, self.dilation_rate)
        return b.op("Conv", operands, (x.shape[0], filters, *places), group=channels, **attrs)


class DepthwiseConv2D(DepthwiseConv1D):
    """Each channel with its own kernels over two axes; kernel (rows, columns, C, depth_multiplier)."""

    space = 2
    paddings = ("valid", "same")


class SeparableConv1D(DepthwiseConv1D):
    """A depthwise convolution, then one across channels; pointwise kernel (*1, C * depth_multiplier, filters)."""

    arguments = ("filters", "pointwise_initializer", "pointwise_regularizer", "pointwise_constraint")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            depthwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            bias_regularizer,
            activity_regularizer,
            depthwise_constraint,
            bias_constraint,
            **options,
        )
        self.filters = positive(self, "filters", filters)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("depthwise_kernel", "pointwise_kernel") + ("bias",) * self.use_bias

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._depthwise(b, self.enter(b, inputs), "depthwise_kernel", None)
        width = x.shape[1]
        ones = (1,) * self.space
        pointwise = b.variable(self, "pointwise_kernel", (*ones, width, self.filters))
        operands: list[Tensor | str] = [x, turned(b, pointwise)]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.filters,)))
        y = b.op("Conv", operands, (x.shape[0], self.filters, *x.shape[2:]), kernel_shape=ones)
        return activate(b, self.leave(b, y), self.activation)


class SeparableConv2D(SeparableConv1D):
    """A depthwise convolution over two axes, then one across channels."""

    space = 2
    paddings = ("valid", "same")


class Conv1DTranspose(Spatial):
    """The transpose of a convolution; kernel (*k, filters, C)."""

    arguments = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
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
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        groups: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        if groups != 1:
            raise self.unsupported(f"groups={groups}", "leave it at 1")
        self.check_padding(padding)
        self.check_format(data_format)
        self.filters, self.use_bias = positive(self, "filters", filters), bool(use_bias)
        self.kernel_size = extents(self, "kernel_size", kernel_size)
        self.strides = extents(self, "strides", strides)
        self.activation = checked_activation(self, activation)
        if output_padding is not None or max(extents(self, "dilation_rate", dilation_rate)) > 1:
            raise self.unsupported("output_padding or dilation_rate is set", "leave both at their defaults")
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self.enter(b, inputs)
        kernel = b.variable(self, "kernel", (*self.kernel_size, self.filters, x.shape[1]))
        operands: list[Tensor | str] = [x, turned(b, kernel)]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.filters,)))
        surplus = [k - s for k, s in zip(self.kernel_size, self.strides, strict=True)]
        cuts = [max(n, 0) if self.padding == "same" else 0 for n in surplus]
        extra = tuple(max(-n, 0) for n in surplus)
        places: tuple[Extent, ...] = tuple(
            None if extent is None else (extent - 1) * stride + size - cut + more
            for extent, stride, size, cut, more in zip(
                x.shape[2:], self.strides, self.kernel_size, cuts, extra, strict=True
            )
        )
        attrs: dict[str, Any] = {"kernel_shape": self.kernel_size, "strides": self.strides}
        attrs["pads"] = (*(cut // 2 for cut in cuts), *(cut - cut // 2 for cut in cuts))
        if any(extra):
            attrs["output_padding"] = extra
        y = b.op("ConvTranspose", operands, (x.shape[0], self.filters, *places), **attrs)
        return activate(b, self.leave(b, y), self.activation)


class Conv2DTranspose(Conv1DTranspose):
    """The transpose of a convolution over two axes; kernel (rows, columns, filters, C)."""

    space = 2


class Conv3DTranspose(Conv1DTranspose):
    """The transpose of a convolution over three axes; kernel (k1, k2, k3, filters, C)."""

    space = 3
