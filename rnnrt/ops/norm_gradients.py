"""Backward rules of softmax and the normalisations, and the operator that most of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.adjoint import cast, channel_sum, name_at, per_channel, reshape, scalar, sum_over, unbroadcast
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present, same_dtype, size_of


def softmax_rule(node: Node, g: str, b: GradientContext, axis: int, log: bool) -> list[str]:
    """Softmax: y (g - sum(g y)); its logarithm: g - exp(y) sum(g)."""
    y = node.outputs[0]
    if log:
        return [b.op("Sub", [g, b.op("Mul", [b.op("Exp", [y]), sum_over(b, g, [axis], keepdims=True)])])]
    total = sum_over(b, b.op("Mul", [g, y]), [axis], keepdims=True)
    return [b.op("Mul", [y, b.op("Sub", [g, total])])]


def batch_norm_rule(node: Node, g: str, b: GradientContext, epsilon: float) -> list[str]:
    """The rule of the inference form, where the statistics are parameters like the others."""
    x, *parameters = node.inputs
    dtype, rank = b.spec(x).dtype, len(b.spec(x).known_shape)
    scale, _, mean, variance = (cast(b, name, dtype) for name in parameters)
    found = [""] * 5
    inverse = ""
    if any(b.wanted(name) for name in (x, parameters[0], *parameters[2:])):
        inverse = b.op("Reciprocal", [b.op("Sqrt", [b.op("Add", [variance, scalar(b, epsilon, x)])])])
    factor = b.op("Mul", [scale, inverse]) if b.wanted(x) or b.wanted(parameters[2]) else ""
    if b.wanted(x):
        found[0] = b.op("Mul", [g, per_channel(b, factor, rank)])
    total = channel_sum(b, g) if b.wanted(parameters[1]) or b.wanted(parameters[2]) else ""
    if b.wanted(parameters[1]):
        found[2] = total
    if b.wanted(parameters[2]):
        found[3] = b.op("Neg", [b.op("Mul", [total, factor])])
    if b.wanted(parameters[0]) or b.wanted(parameters[3]):
        centred = b.op("Sub", [x, per_channel(b, mean, rank)])
        along = b.op("Mul", [channel_sum(b, b.op("Mul", [g, centred])), inverse])
        if b.wanted(parameters[0]):
            found[1] = along
        if b.wanted(parameters[3]):
            half = b.op("Mul", [b.op("Mul", [along, scale]), b.op("Mul", [inverse, inverse])])
            found[4] = b.op("Mul", [half, scalar(b, -0.5, x)])
    return [cast(b, d, b.spec(name).dtype) if d else "" for d, name in zip(found, node.inputs, strict=True)]


def layer_norm_rule(node: Node, grads: Sequence[str], b: GradientContext, axis: int, epsilon: float) -> list[str]:
    """The rule of LayerNormalization, its further outputs mean and inverse deviation included."""
    x, scale, bias = node.inputs[0], node.inputs[1], name_at(node.inputs, 2)
    g, g_mean, g_inverse = (name_at(grads, i) for i in range(3))
    shape = b.spec(x).known_shape
    dx = dscale = dbias = ""
    needs_scale = b.wanted(scale) and bool(g)
    needs_unit = needs_scale or (b.wanted(x) and bool(g_inverse))
    through = b.op("Mul", [g, scale]) if g and b.wanted(x) else x
    want = [bool(g) and b.wanted(x), needs_unit]
    unit = ""
    if any(want):
        dx, unit = b.node("NormalizationGradient", [through, x], want, axis=axis, epsilon=epsilon)
    if needs_scale:
        dscale = unbroadcast(b, b.op("Mul", [g, unit]), b.spec(scale))
    if bias and b.wanted(bias) and g:
        dbias = unbroadcast(b, g, b.spec(bias))
    if b.wanted(x) and (g_mean or g_inverse):
        count = scalar(b, 1 / max(math.prod(shape[axis:]), 1), x)
        parts = [dx] if dx else []
        if g_mean:
            parts.append(b.op("Expand", [b.op("Mul", [g_mean, count]), b.constant(np.array(shape, np.int64))]))
        if g_inverse:
            square = b.op("Mul", [node.outputs[2], node.outputs[2]])
            share = b.op("Neg", [b.op("Mul", [b.op("Mul", [g_inverse, square]), count])])
            parts.append(b.op("Mul", [unit, share]))
        dx = b.op("Sum", parts)
    return [dx, dscale, dbias]


def group_norm_rule(node: Node, g: str, b: GradientContext, groups: int, epsilon: float) -> list[str]:
    """The rule of GroupNormalization and InstanceNormalization: X (N, C, ...), scale and bias (C)."""
    x, scale, bias = node.inputs
    shape = b.spec(x).known_shape
    rows = (shape[0], groups, math.prod(shape[1:]) // groups)
    dx = dscale = dbias = ""
    want = [b.wanted(x), b.wanted(scale)]
    if any(want):
        through = b.op("Mul", [g, per_channel(b, scale, len(shape))]) if b.wanted(x) else g
        operands = [reshape(b, through, rows), reshape(b, x, rows)]
        dx, unit = b.node("NormalizationGradient", operands, want, axis=2, epsilon=epsilon)
        dx = reshape(b, dx, shape) if dx else ""
        if b.wanted(scale):
            dscale = channel_sum(b, b.op("Mul", [g, reshape(b, unit, shape)]))
    if b.wanted(bias):
        dbias = channel_sum(b, g)
    return [dx, dscale, dbias]


@register
class NormalizationGradient(Operator):
    """The gradient through u = (x - mean) / sqrt(variance + epsilon) over the axes from `axis` on.

    Inputs: the gradient of u, and x. Outputs: the gradient of x, (g - mean(g) - u mean(g u)) / deviation, and u.
    """

    name = "NormalizationGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {"axis": -1, "epsilon": 1e-5}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        g, x = present(node, inputs), present(node, inputs, 1)
        return [TensorSpec(same_dtype(node, [g, x]), x.shape)] * len(node.outputs)

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        g, x = (np.asarray(v) for v in inputs)
        axes = tuple(range(normalise_axis(node, cls.attr(node, "axis"), x.ndim), x.ndim))
        centred = x - x.mean(axes, keepdims=True)
        variance = (centred * centred).mean(axes, keepdims=True)
        inverse = 1 / np.sqrt(variance + x.dtype.type(cls.attr(node, "epsilon")))
        unit = centred * inverse
        dx = (g - g.mean(axes, keepdims=True) - unit * (g * unit).mean(axes, keepdims=True)) * inverse
        return [dx, unit][: len(node.outputs)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x = present(node, inputs)
        if x.dtype not in (np.float32, np.float64):
            return None
        row = math.prod(x.known_shape[normalise_axis(node, cls.attr(node, "axis"), len(x.known_shape)) :])
        outs = (0 if node.outputs[0] else None, 1 if len(node.outputs) > 1 and node.outputs[1] else None)
        epsilon = float(cls.attr(node, "epsilon"))
        return [KernelCall("normalization_gradient", (0, 1), outs, ints=(row,), floats=(epsilon,))]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return 12 * size_of(present(node, inputs))
