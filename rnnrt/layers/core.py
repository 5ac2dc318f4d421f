"""Dense, Embedding, Masking, Activation and shape changes. B batch, T steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers import activations
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape, product

ActivationLike = str | Layer | None


def checked_activation(layer: Layer, activation: ActivationLike) -> ActivationLike:
    """The activation, or a refusal that names it."""
    by_name = isinstance(activation, (str, type(None))) and activations.is_known(activation)
    if isinstance(activation, Layer) or by_name:
        return activation
    raise layer.unsupported(f"activation {activation!r} is not known to rnnrt", "use one of Keras's own")


def activate(b: GraphBuilder, x: Tensor, activation: ActivationLike) -> Tensor:
    """`x` through a function by name, or a layer."""
    return activation.apply(b, x) if isinstance(activation, Layer) else activations.apply(b, x, activation)


def positive(layer: Layer, key: str, value: Any) -> int:
    """An argument that counts something."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise layer.unsupported(f"{key}={value!r}", "give a positive integer")
    return int(value)


class Dense(Layer):
    """activation(x kernel + bias) along the last axis; kernel (inputs, units), bias (units,)."""

    arguments = (
        "units",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )
    supports_masking = True

    def __init__(
        self,
        units: int,
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
        self.units, self.use_bias = positive(self, "units", units), bool(use_bias)
        self.activation = checked_activation(self, activation)
        self.keep(locals())

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.use_bias else ("kernel",)

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"activation": self.activation} if isinstance(self.activation, Layer) else {}

    def is_stepwise(self) -> bool:
        return not isinstance(self.activation, Layer) or self.activation.is_stepwise()

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        operands: list[Tensor | str] = [x, b.variable(self, "kernel", (x.shape[-1], self.units))]
        if self.use_bias:
            operands.append(b.variable(self, "bias", (self.units,)))
        shape = (*x.shape[:-1], self.units)
        if x.rank == 2:
            y = b.op("Gemm", operands, shape)
        else:
            y = b.op("MatMul", operands[:2], shape)
            if self.use_bias:
                y = b.op("Add", [y, operands[2]], shape)
        return activate(b, y.with_mask(x.mask), self.activation)


class Activation(Layer):
    """A function of Keras by name."""

    arguments = ("activation",)
    supports_masking = True

    def __init__(self, activation: ActivationLike, **options: Any) -> None:
        super().__init__(**options)
        self.activation = checked_activation(self, activation)

    def is_stepwise(self) -> bool:
        return not isinstance(self.activation, Layer) or self.activation.is_stepwise()

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return activate(b, inputs, self.activation)


class Embedding(Layer):
    """Rows of a table (input_dim, output_dim) by integer; with `mask_zero`, steps that hold 0 are masked."""

    arguments = (
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "embeddings_regularizer",
        "embeddings_constraint",
        "mask_zero",
    )

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.input_dim = positive(self, "input_dim", input_dim)
        self.output_dim = positive(self, "output_dim", output_dim)
        self.mask_zero = bool(mask_zero)
        self.keep(locals())
        if weights is not None:
            table = np.asarray(weights[0] if isinstance(weights, (list, tuple)) else weights)
            self.put_array("embeddings", table)
            self.variable("embeddings", (self.input_dim, self.output_dim))

    def weight_names(self) -> tuple[str, ...]:
        return ("embeddings",)

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        table = b.variable(self, "embeddings", (self.input_dim, self.output_dim))
        x = inputs if inputs.dtype.kind in "iu" else b.cast(inputs, np.dtype(np.int32))
        y = b.op("Gather", [table, x], (*x.shape, self.output_dim), self.dtype, axis=0)
        if self.mask_zero:
            zero = b.op("Equal", [x, b.scalar(0, x.dtype)], x.shape, np.dtype(bool))
            y = y.with_mask(b.op("Not", [zero], x.shape))
        return y


class Masking(Layer):
    """Steps all of whose features equal `mask_value` are masked, and set to zero."""

    arguments = ("mask_value",)

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = float(mask_value)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        same = b.op("Equal", [x, b.scalar(self.mask_value, x.dtype)], x.shape, np.dtype(bool))
        differs = b.cast(b.op("Not", [same], x.shape), x.dtype)
        counts = b.reduce("ReduceMax", differs, [-1], keepdims=True)
        mask = b.cast(b.squeeze(counts, -1), np.dtype(bool))
        return b.op("Mul", [x, counts], x.shape).with_mask(mask)


class Reshape(Layer):
    """Another shape, the batch left as it is; one extent of `target_shape` may be -1."""

    arguments = ("target_shape",)

    def __init__(self, target_shape: TensorShape, **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(-1 if d is None else int(d) for d in target_shape)
        if any(d < -1 or d == 0 for d in self.target_shape) or self.target_shape.count(-1) > 1:
            raise self.unsupported(f"target_shape={self.target_shape}", "use positive extents and at most one -1")

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        total = product(inputs.shape[1:])
        known = product(tuple(d for d in self.target_shape if d >= 0)) or 1
        if total is not None and (total % known or (-1 not in self.target_shape and total != known)):
            raise self.unsupported(f"{inputs.shape[1:]} does not fit {self.target_shape}", "correct target_shape")
        free = total // known if total is not None else None
        shape = tuple(free if d < 0 else d for d in self.target_shape)
        if None in shape:
            return b.reshape(inputs, [b.extent(inputs, 0), *self.target_shape], (inputs.shape[0], *shape))
        return b.reshape(inputs, [-1, *(d for d in shape if d is not None)], (inputs.shape[0], *shape))


class Flatten(Layer):
    """(B, ...) to (B, all the rest)."""

    arguments = ("data_format",)

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = inputs
        if self.data_format == "channels_first" and x.rank > 2:
            x = b.transpose(x, (0, *range(2, x.rank), 1))
        total = product(x.shape[1:])
        if total is None:
            return b.reshape(x, [b.extent(x, 0), -1], (x.shape[0], None))
        return b.reshape(x, [-1, total], (x.shape[0], total))


class Permute(Layer):
    """Axes in another order; `dims` counts from 1, the batch stays first."""

    arguments = ("dims",)

    def __init__(self, dims: TensorShape, **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(int(d or 0) for d in dims)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if sorted(self.dims) != list(range(1, inputs.rank)):
            raise self.unsupported(f"dims={self.dims} for an input of shape {inputs.shape}", "name every axis once")
        return b.transpose(inputs, (0, *self.dims)).with_mask(None)


class RepeatVector(Layer):
    """(B, F) to (B, n, F)."""

    arguments = ("n",)

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = int(n)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if inputs.rank != 2:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs (batch, features)")
        wide = b.unsqueeze(inputs, 1)
        return b.op("Tile", [wide, b.ints(1, self.n, 1)], (inputs.shape[0], self.n, inputs.shape[1]))


class Lambda(Layer):
    """Refused: code can neither be stored nor differentiated."""

    def __init__(self, function: Any, *args: Any, **options: Any) -> None:
        super().__init__(name=options.get("name"))
        raise self.unsupported(
            "wraps Python code, which can neither be stored nor differentiated",
            "use layers, arithmetic on symbolic tensors, or a class of your own derived from Layer",
        )
