"""Convolution and pooling along time. B batch, T steps, C channels; Keras's default is (B, T, C)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import Extent, GraphBuilder, Layer, Tensor
from rnnrt.layers.core import ActivationLike, activate, checked_activation


def single(value: Any) -> int:
    """An argument that Keras takes as a number or as a list of one."""
    if isinstance(value, (list, tuple)):
        (value,) = value
    return int(value)


def steps_after(steps: Extent, window: int, stride: int, padding: str) -> Extent:
    """How many steps a window leaves."""
    if steps is None:
        return None
    if padding in ("same", "causal"):
        return -(-steps // stride)
    return max(0, (steps - window) // stride + 1)


class TimeWindow(Layer):
    """What layers share that slide a window along time."""

    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def _check(self, padding: str, data_format: str | None) -> None:
        self.padding = str(padding).lower()
        self.data_format = data_format
        if self.padding not in self.paddings:
            raise self.unsupported(f"padding={padding!r}", f"use one of {self.paddings}")

    @property
    def channels_first(self) -> bool:
        """Whether time is the last axis."""
        return self.data_format == "channels_first"

    def _enter(self, b: GraphBuilder, inputs: Any) -> Tensor:
        if inputs.rank != 3:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs three axes")
        x = b.cast(inputs, self.dtype)
        return x.with_mask(None) if self.channels_first else b.transpose(x.with_mask(None), (0, 2, 1))

    def _leave(self, b: GraphBuilder, y: Tensor) -> Tensor:
        return y if self.channels_first else b.transpose(y, (0, 2, 1))


class Conv1D(TimeWindow):
    """activation(convolution + bias); kernel (kernel_size, C / groups, filters), bias (filters,)."""

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
    paddings = ("valid", "same", "causal")

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
        self._check(padding, data_format)
        self.filters, self.groups, self.use_bias = int(filters), int(groups), bool(use_bias)
        self.kernel_size, self.strides, self.dilation_rate = single(kernel_size), single(strides), single(dilation_rate)
        self.activation = checked_activation(self, activation)
        if min(self.filters, self.groups, self.kernel_size, self.strides, self.dilation_rate) < 1:
            raise self.unsupported("has an extent below one", "correct its arguments")
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"activation": self.activation} if isinstance(self.activation, Layer) else {}

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._enter(b, inputs)
        channels = x.shape[1]
        per_group = None if channels is None else channels // self.groups
        kernel = b.variable(self, "kernel", (self.kernel_size, per_group, self.filters))
        operands: list[Tensor | str] = [x, b.transpose(kernel, (2, 1, 0))]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.filters,)))
        window = self.dilation_rate * (self.kernel_size - 1) + 1
        attrs: dict[str, Any] = {
            "kernel_shape": (self.kernel_size,),
            "strides": (self.strides,),
            "dilations": (self.dilation_rate,),
            "group": self.groups,
        }
        if self.padding == "same":
            attrs["auto_pad"] = "SAME_UPPER"
        else:
            attrs["pads"] = (window - 1 if self.padding == "causal" else 0, 0)
        shape = (x.shape[0], self.filters, steps_after(x.shape[2], window, self.strides, self.padding))
        y = self._leave(b, b.op("Conv", operands, shape, **attrs))
        return activate(b, y, self.activation)


class Pooling1D(TimeWindow):
    """A window's largest value or mean."""

    arguments = ("pool_size", "strides", "padding", "data_format")
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
        self._check(padding, data_format)
        self.pool_size = single(pool_size)
        self.strides = self.pool_size if strides is None else single(strides)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = self._enter(b, inputs)
        attrs: dict[str, Any] = {"kernel_shape": (self.pool_size,), "strides": (self.strides,)}
        attrs["auto_pad"] = "SAME_UPPER" if self.padding == "same" else "VALID"
        shape = (*x.shape[:2], steps_after(x.shape[2], self.pool_size, self.strides, self.padding))
        return self._leave(b, b.op(self.op, [x], shape, **attrs))


class MaxPooling1D(Pooling1D):
    """The largest value of each window."""

    op = "MaxPool"


class AveragePooling1D(Pooling1D):
    """The mean of each window; padding does not count."""

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


class GlobalPooling1D(Layer):
    """One value for all steps."""

    arguments = ("data_format", "keepdims")

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format
        self.keepdims = bool(keepdims)

    @property
    def axis(self) -> int:
        """The axis of time."""
        return 2 if self.data_format == "channels_first" else 1

    def _checked(self, b: GraphBuilder, inputs: Any) -> Tensor:
        if inputs.rank != 3:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs three axes")
        return b.cast(inputs, self.dtype)


class GlobalMaxPooling1D(GlobalPooling1D):
    """The largest value of each channel; masked steps take part, as in Keras."""

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return b.reduce("ReduceMax", self._checked(b, inputs), [self.axis], self.keepdims)


class GlobalAveragePooling1D(GlobalPooling1D):
    """The mean of each channel over the steps that count."""

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = self._checked(b, inputs)
        mask = mask or x.mask
        if mask is None:
            return b.reduce("ReduceMean", x, [self.axis], self.keepdims)
        counts = b.unsqueeze(b.cast(mask, np.dtype(bool)), 3 - self.axis)
        kept = b.op("Where", [counts, x, b.scalar(0.0, x.dtype)], x.shape, x.dtype)
        total = b.reduce("ReduceSum", kept, [self.axis], self.keepdims)
        count = b.reduce("ReduceSum", b.cast(counts, x.dtype), [self.axis], self.keepdims)
        return b.op("Div", [total, count], total.shape)
