"""Convolutions along time that act on each channel apart, and their way back. C channels, k kernel_size."""

from __future__ import annotations

from typing import Any, ClassVar

from rnnrt.layers.base import Extent, GraphBuilder, Tensor
from rnnrt.layers.conv import TimeWindow, single, steps_after
from rnnrt.layers.core import ActivationLike, activate, checked_activation


class DepthwiseConv1D(TimeWindow):
    """Each channel with its own kernels; kernel (k, C, depth_multiplier), bias (C * depth_multiplier,)."""

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
    paddings = ("valid", "same", "causal")
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
        self._check(padding, data_format)
        self.kernel_size, self.strides, self.dilation_rate = single(kernel_size), single(strides), single(dilation_rate)
        self.depth_multiplier, self.use_bias = int(depth_multiplier), bool(use_bias)
        self.activation = checked_activation(self, activation)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        y = self._depthwise(b, self._enter(b, inputs), "kernel", "bias" if self.use_bias else None)
        return activate(b, self._leave(b, y), self.activation)

    def _depthwise(self, b: GraphBuilder, x: Tensor, kernel: str, bias: str | None) -> Tensor:
        channels = x.shape[1]
        if channels is None:
            raise self.unsupported(f"its input has shape {x.shape}", "declare the channels")
        filters = channels * self.depth_multiplier
        given = b.variable(self, kernel, (self.kernel_size, channels, self.depth_multiplier))
        flat = b.reshape(given, [self.kernel_size, filters, 1], (self.kernel_size, filters, 1))
        operands: list[Tensor | str] = [x, b.transpose(flat, (1, 2, 0))]
        if bias:
            operands.append(b.variable(self, bias, (filters,)))
        window = self.dilation_rate * (self.kernel_size - 1) + 1
        attrs: dict[str, Any] = {
            "kernel_shape": (self.kernel_size,),
            "strides": (self.strides,),
            "dilations": (self.dilation_rate,),
            "group": channels,
        }
        if self.padding == "same":
            attrs["auto_pad"] = "SAME_UPPER"
        else:
            attrs["pads"] = (window - 1 if self.padding == "causal" else 0, 0)
        shape = (x.shape[0], filters, steps_after(x.shape[2], window, self.strides, self.padding))
        return b.op("Conv", operands, shape, **attrs)


class SeparableConv1D(DepthwiseConv1D):
    """A depthwise convolution, then one across channels; pointwise kernel (1, C * depth_multiplier, filters)."""

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
        self.filters = int(filters)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("depthwise_kernel", "pointwise_kernel") + ("bias",) * self.use_bias

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._depthwise(b, self._enter(b, inputs), "depthwise_kernel", None)
        width = x.shape[1]
        pointwise = b.variable(self, "pointwise_kernel", (1, width, self.filters))
        operands: list[Tensor | str] = [x, b.transpose(pointwise, (2, 1, 0))]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.filters,)))
        y = b.op("Conv", operands, (x.shape[0], self.filters, x.shape[2]), kernel_shape=(1,))
        return activate(b, self._leave(b, y), self.activation)


class Conv1DTranspose(TimeWindow):
    """The transpose of a convolution; kernel (k, filters, C)."""

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
        self._check(padding, data_format)
        self.filters, self.use_bias = int(filters), bool(use_bias)
        self.kernel_size, self.strides = single(kernel_size), single(strides)
        self.activation = checked_activation(self, activation)
        if output_padding is not None or single(dilation_rate) != 1:
            raise self.unsupported("output_padding or dilation_rate is set", "leave both at their defaults")
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._enter(b, inputs)
        kernel = b.variable(self, "kernel", (self.kernel_size, self.filters, x.shape[1]))
        operands: list[Tensor | str] = [x, b.transpose(kernel, (2, 1, 0))]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.filters,)))
        surplus = self.kernel_size - self.strides
        cut = max(surplus, 0) if self.padding == "same" else 0
        extra = max(-surplus, 0)
        steps: Extent = None
        if x.shape[2] is not None:
            steps = (x.shape[2] - 1) * self.strides + self.kernel_size - cut + extra
        attrs: dict[str, Any] = {"kernel_shape": (self.kernel_size,), "strides": (self.strides,)}
        attrs["pads"] = (cut // 2, cut - cut // 2)
        if extra:
            attrs["output_padding"] = (extra,)
        y = b.op("ConvTranspose", operands, (x.shape[0], self.filters, steps), **attrs)
        return activate(b, self._leave(b, y), self.activation)
