"""Backward rules of the convolutions.

Each of the two is the gradient of the other with respect to its input, up to the padding; both share the operator that
makes the gradient of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.adjoint import channel_sum, ints, name_at, wants
from rnnrt.ops.base import REQUIRED, GradientContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, same_dtype
from rnnrt.ops.window import Window


def conv_rule(node: Node, g: str, b: GradientContext, group: int) -> list[str]:
    """The rule of Conv."""
    x, w, bias = node.inputs[0], node.inputs[1], name_at(node.inputs, 2)
    window = Window.of(node, b.spec(w).known_shape[2:])
    extents, counts = b.spec(x).known_shape[2:], b.spec(g).known_shape[2:]
    pads = window.padding(extents)
    dx = ""
    if b.wanted(x):
        sizes = zip(extents, counts, pads, window.strides, window.spans, strict=True)
        extra = tuple(d + sum(pad) - (n - 1) * s - span for d, n, pad, s, span in sizes)
        geometry = _geometry(window, pads, group)
        dx = b.op("ConvTranspose", [g, w], **geometry, output_padding=extra)
    dw = _weights(b, x, g, window, pads, group) if b.wanted(w) else ""
    return [dx, dw, channel_sum(b, g) if bias and wants(b, bias) else ""]


def conv_transpose_rule(
    node: Node, g: str, b: GradientContext, group: int, cuts: Sequence[tuple[int, int]]
) -> list[str]:
    """The rule of ConvTranspose; `cuts`: how much of the full result is missing before and after each axis."""
    x, w, bias = node.inputs[0], node.inputs[1], name_at(node.inputs, 2)
    window = Window.of(node, b.spec(w).known_shape[2:])
    extents, counts = b.spec(x).known_shape[2:], b.spec(g).known_shape[2:]
    pads = []
    for d, n, (before, _), s, span in zip(extents, counts, cuts, window.strides, window.spans, strict=True):
        # What no element of x reaches, behind the last one, is cut off.
        pads.append((before, (d - 1) * s + span - before - n))
    trimmed = g
    if any(after < 0 for _, after in pads):
        trimmed = b.op("Pad", [g, ints(b, [0] * (len(pads) + 4) + [min(after, 0) for _, after in pads])])
        pads = [(before, max(after, 0)) for before, after in pads]
    dx = b.op("Conv", [trimmed, w], **_geometry(window, pads, group)) if b.wanted(x) else ""
    dw = _weights(b, trimmed, x, window, pads, group) if b.wanted(w) else ""
    return [dx, dw, channel_sum(b, g) if bias and wants(b, bias) else ""]


def _geometry(window: Window, pads: Sequence[tuple[int, int]], group: int) -> dict[str, Any]:
    flat = (*(before for before, _ in pads), *(after for _, after in pads))
    return {"strides": window.strides, "dilations": window.dilations, "pads": flat, "group": group}


def _weights(b: GradientContext, x: str, g: str, window: Window, pads: Sequence[tuple[int, int]], group: int) -> str:
    return b.op("ConvWeightGradient", [x, g], kernel_shape=window.kernel, **_geometry(window, pads, group))


@register
class ConvWeightGradient(Operator):
    """The gradient of a convolution's weights: X (N, C, *extents) and dY (N, M, *counts) to (M, C / group, *kernel).

    dW[m, c, k] = sum over n and positions p of dY[n, m, p] X[n, c, p * stride + k * dilation - pad].
    """

    name = "ConvWeightGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {
        "dilations": (), "group": 1, "kernel_shape": REQUIRED, "pads": (), "strides": ()
    }  # fmt: skip
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, g = present(node, inputs), present(node, inputs, 1)
        kernel = tuple(node.attrs["kernel_shape"])
        if x.shape is None or g.shape is None or not isinstance(x.shape[1], int):
            return [TensorSpec(x.dtype, (None, None, *kernel))]
        return [TensorSpec(same_dtype(node, [x, g]), (g.shape[1], x.shape[1] // cls.attr(node, "group"), *kernel))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, g = (np.asarray(v) for v in inputs)
        window, group = Window.of(node, node.attrs["kernel_shape"]), cls.attr(node, "group")
        views = window.views(x, g.shape[2:], 0)
        over = [0, *range(2, g.ndim)]
        pieces = [
            np.tensordot(rows, part, (over, over))
            for rows, part in zip(np.split(g, group, 1), np.split(views, group, 1), strict=True)
        ]
        return [np.concatenate(pieces, 0)]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        g, w = present(node, inputs, 1), outputs[0]
        sizes = [d for d in (*(g.shape or ()), *(w.shape or ())[1:]) if isinstance(d, int)]
        return 2 * math.prod(sizes)
