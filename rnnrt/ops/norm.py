"""Normalisation and softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node, Shape
from rnnrt.ops.base import REQUIRED, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present, size_of
from rnnrt.ops.norm_gradients import batch_norm_rule, group_norm_rule, layer_norm_rule, softmax_rule

_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


def _float_input(node: Node, inputs: Sequence[TensorSpec | None]) -> TensorSpec:
    x = present(node, inputs)
    if np.dtype(x.dtype).kind != "f":
        raise ShapeError(f"{node.label()}: takes floating point inputs, not {x.dtype}; cast them first")
    return x


def _check_channels(node: Node, inputs: Sequence[TensorSpec | None], first: int, last: int) -> None:
    """Refuse per-channel parameters whose length is not that of axis 1 of input 0."""
    x = present(node, inputs)
    if x.shape is None:
        return
    if len(x.shape) < 2:
        raise ShapeError(f"{node.label()}: input 0 has shape {x.shape}; it needs a batch and a channel axis")
    for index in range(first, last):
        spec = present(node, inputs, index)
        if spec.shape is None:
            continue
        length = spec.shape[0] if len(spec.shape) == 1 else None
        if len(spec.shape) != 1 or (isinstance(length, int) and isinstance(x.shape[1], int) and length != x.shape[1]):
            raise ShapeError(f"{node.label()}: input {index} has shape {spec.shape}; there are {x.shape[1]} channels")


def _stretches(shape: Shape, goal: Shape) -> bool:
    """Whether a shape broadcasts to exactly `goal`, as far as both are known."""
    pairs = zip(reversed(shape), reversed(goal), strict=False)
    return len(shape) <= len(goal) and all(
        a == 1 or a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in pairs
    )


class SoftmaxBase(Operator):
    """Softmax along one axis, or its logarithm."""

    attributes: ClassVar[Mapping[str, Any]] = {"axis": -1}
    log: ClassVar[bool]

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = _float_input(node, inputs)
        if x.shape is not None:
            normalise_axis(node, cls.attr(node, "axis"), len(x.shape))
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        axis = cls.attr(node, "axis")
        if x.size == 0:
            return [x.copy()]
        shifted = x - x.max(axis=axis, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(axis=axis, keepdims=True)
        return [shifted - np.log(total) if cls.log else e / total]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        if outputs[0].dtype not in _NATIVE:
            return None
        axis = normalise_axis(node, cls.attr(node, "axis"), len(outputs[0].known_shape))
        return [KernelCall("softmax", (0,), ints=(axis, int(cls.log)))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        axis = normalise_axis(node, cls.attr(node, "axis"), len(b.spec(node.inputs[0]).known_shape))
        return softmax_rule(node, grads[0], b, axis, cls.log)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return 5 * size_of(outputs[0])


@register
class Softmax(SoftmaxBase):
    """ONNX Softmax along `axis`."""

    name = "Softmax"
    log = False


@register
class LogSoftmax(SoftmaxBase):
    """ONNX LogSoftmax along `axis`."""

    name = "LogSoftmax"
    log = True


@register
class BatchNormalization(Operator):
    """ONNX BatchNormalization in its inference form: X (N,C,...), scale, B, mean, var (C)."""

    name = "BatchNormalization"
    attributes: ClassVar[Mapping[str, Any]] = {"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0}
    min_inputs = 5
    max_inputs = 5

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        if cls.attr(node, "training_mode"):
            raise ShapeError(f"{node.label()}: training_mode=1 is not run; export the model for inference")
        x = _float_input(node, inputs)
        _check_channels(node, inputs, 1, 5)
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        shape = (1, -1) + (1,) * (x.ndim - 2)
        scale, bias, mean, var = (np.asarray(p).astype(x.dtype, copy=False).reshape(shape) for p in inputs[1:5])
        return [(x - mean) * (scale / np.sqrt(var + x.dtype.type(cls.attr(node, "epsilon")))) + bias]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        dtype = outputs[0].dtype
        values = [present(node, inputs, k).value for k in range(1, 5)]
        scale, bias, mean, var = (None if v is None else np.asarray(v, np.float64) for v in values)
        if dtype not in _NATIVE or scale is None or bias is None or mean is None or var is None:
            return None
        factor = scale / np.sqrt(var + cls.attr(node, "epsilon"))
        return [KernelCall("batch_norm", (0, *(v.astype(dtype) for v in (mean, factor, bias))))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return batch_norm_rule(node, grads[0], b, cls.attr(node, "epsilon"))

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return 2 * size_of(outputs[0])


@register
class LayerNormalization(Operator):
    """ONNX LayerNormalization over axes `axis` to the last: X, Scale, B (optional) -> Y, Mean, InvStdDev."""

    name = "LayerNormalization"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": -1, "epsilon": 1e-5, "stash_type": 1}
    min_inputs = 2
    max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = _float_input(node, inputs)
        statistics: Shape | None = None
        if x.shape is not None:
            axis = normalise_axis(node, cls.attr(node, "axis"), len(x.shape))
            statistics = x.shape[:axis] + (1,) * (len(x.shape) - axis)
            for index in range(1, len(inputs)):
                spec = inputs[index]
                if spec is not None and spec.shape is not None and not _stretches(spec.shape, x.shape):
                    raise ShapeError(f"{node.label()}: input {index} of shape {spec.shape} does not fit {x.shape}")
        return [TensorSpec(x.dtype, x.shape), TensorSpec(x.dtype, statistics), TensorSpec(x.dtype, statistics)][
            : len(node.outputs)
        ]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, scale, bias = (*inputs, None)[:3]
        x = np.asarray(x)
        axis = normalise_axis(node, cls.attr(node, "axis"), x.ndim)
        axes = tuple(range(axis, x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        centred = x - mean
        epsilon = x.dtype.type(cls.attr(node, "epsilon"))
        inverse = 1 / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + epsilon)
        y = centred * inverse * scale
        return [y if bias is None else y + bias, mean, inverse][: len(node.outputs)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, scale, bias = (*inputs, None)[:3]
        assert x is not None and scale is not None
        row = x.known_shape[normalise_axis(node, cls.attr(node, "axis"), len(x.known_shape)) :]
        whole = all(s.known_shape == row and s.dtype == x.dtype for s in (scale, bias) if s is not None)
        if x.dtype not in _NATIVE or not whole or not node.outputs[0]:
            return None
        operands = (0, 1, None if bias is None else 2)
        epsilon = float(cls.attr(node, "epsilon"))
        return [KernelCall("layer_norm", operands, tuple(range(len(node.outputs))), floats=(epsilon,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        axis = normalise_axis(node, cls.attr(node, "axis"), len(b.spec(node.inputs[0]).known_shape))
        return layer_norm_rule(node, grads, b, axis, cls.attr(node, "epsilon"))

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return 8 * size_of(outputs[0])


def _normalise_groups(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    """Zero mean and unit variance over each of `groups` channel groups of X (N,C,...), then scale and bias (C)."""
    grouped = x.reshape(x.shape[0], groups, -1)
    mean = grouped.mean(axis=2, keepdims=True)
    centred = grouped - mean
    variance = (centred * centred).mean(axis=2, keepdims=True)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = (centred / np.sqrt(variance + x.dtype.type(epsilon))).reshape(x.shape)
    return y * scale.reshape(shape) + bias.reshape(shape)


@register
class InstanceNormalization(Operator):
    """ONNX InstanceNormalization: X (N,C,...), scale (C), B (C)."""

    name = "InstanceNormalization"
    attributes: ClassVar[Mapping[str, Any]] = {"epsilon": 1e-5}
    min_inputs = 3
    max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = _float_input(node, inputs)
        _check_channels(node, inputs, 1, 3)
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, scale, bias = (np.asarray(i) for i in inputs)
        return [_normalise_groups(x, scale, bias, x.shape[1], cls.attr(node, "epsilon"))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, scale, bias = (present(node, inputs, k) for k in range(3))
        groups = node.attrs.get("num_groups", x.known_shape[1])
        if x.dtype not in _NATIVE or not scale.dtype == bias.dtype == x.dtype:
            return None
        if groups < 1 or x.known_shape[1] % groups:
            return None
        return [KernelCall("group_norm", (0, 1, 2), ints=(groups,), floats=(float(cls.attr(node, "epsilon")),))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        groups = node.attrs.get("num_groups", b.spec(node.inputs[0]).known_shape[1])
        return group_norm_rule(node, grads[0], b, groups, cls.attr(node, "epsilon"))


@register
class GroupNormalization(InstanceNormalization):
    """ONNX GroupNormalization (opset 21): X (N,C,...), scale (C), bias (C)."""

    name = "GroupNormalization"
    attributes: ClassVar[Mapping[str, Any]] = {"epsilon": 1e-5, "num_groups": REQUIRED, "stash_type": 1}

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, scale, bias = (np.asarray(i) for i in inputs)
        return [_normalise_groups(x, scale, bias, cls.attr(node, "num_groups"), cls.attr(node, "epsilon"))]
