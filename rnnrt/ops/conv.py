"""Convolutions over any number of spatial axes: X (N, C, *extents), W (M, C / group, *kernel)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, same_dtype, size_of
from rnnrt.ops.conv_gradients import conv_rule, conv_transpose_rule
from rnnrt.ops.conv_lower import Axis, convolution
from rnnrt.ops.dense import fits
from rnnrt.ops.window import Window

_GEOMETRY: dict[str, Any] = {
    "auto_pad": "NOTSET", "dilations": (), "group": 1, "kernel_shape": (), "pads": (), "strides": ()
}  # fmt: skip


class _Convolution(Operator):
    min_inputs = 2
    max_inputs = 3

    @classmethod
    def operands(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> tuple[TensorSpec, TensorSpec]:
        """X and W. Raises `ShapeError` where dtypes, ranks or the kernel_shape attribute do not fit."""
        x, w = present(node, inputs), present(node, inputs, 1)
        same_dtype(node, [s for s in inputs if s is not None])
        if x.shape is not None and w.shape is not None and (len(x.shape) != len(w.shape) or len(w.shape) < 3):
            raise ShapeError(f"{node.label()}: X of shape {x.shape} and W of shape {w.shape} do not fit together")
        declared = tuple(cls.attr(node, "kernel_shape"))
        if declared and w.shape is not None and declared != tuple(w.shape[2:]):
            raise ShapeError(f"{node.label()}: kernel_shape {declared} is not that of W, {w.shape}")
        if cls.attr(node, "group") < 1:
            raise ShapeError(f"{node.label()}: attribute group={cls.attr(node, 'group')} is not positive")
        return x, w

    @classmethod
    def check_bias(cls, node: Node, inputs: Sequence[TensorSpec | None], channels: Dim) -> None:
        """Raise `ShapeError` unless B, where there is one, holds a number for each channel of Y."""
        b = inputs[2] if len(inputs) > 2 else None
        if b is not None and b.shape is not None and (len(b.shape) != 1 or not fits(b.shape[0], channels)):
            raise ShapeError(f"{node.label()}: B has shape {b.shape}, Y has {channels} channels")

    @classmethod
    def as_convolution(cls, node: Node, x: TensorSpec, w: np.ndarray) -> tuple[str, np.ndarray, list[Axis]]:
        """How the weights of a plain convolution come from W, under which name they are packed, and its axes."""
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, w, b = (*inputs, None)[:3]
        if x is None or w is None or w.value is None or (b is not None and b.value is None):
            return None
        layout, weights, axes = cls.as_convolution(node, x, w.value)
        bias = None if b is None else b.value
        return convolution(ctx, x, outputs[0], w.value, layout, weights, bias, cls.attr(node, "group"), axes)


@register
class Conv(_Convolution):
    """Y[n, m] = sum over c and the kernel of W[m, c] X[n, c], cross-correlation; plus B[m]."""

    name = "Conv"
    attributes: ClassVar[Mapping[str, Any]] = _GEOMETRY

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, w = cls.operands(node, inputs)
        if x.shape is None or w.shape is None or not w.is_static:
            return [TensorSpec(x.dtype, None if x.shape is None else (None,) * len(x.shape))]
        group = cls.attr(node, "group")
        if not fits(x.shape[1], w.shape[1] * group) or w.shape[0] % group:  # type: ignore[operator]
            raise ShapeError(f"{node.label()}: X of shape {x.shape} and W of shape {w.shape} do not fit {group} groups")
        cls.check_bias(node, inputs, w.shape[0])
        window = Window.of(node, w.shape[2:])
        return [TensorSpec(x.dtype, (x.shape[0], w.shape[0], *window.output(node, x.shape[2:])))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, w, b = (*(None if v is None else np.asarray(v) for v in inputs), None)[:3]
        assert x is not None and w is not None
        window, group = Window.of(node, w.shape[2:]), cls.attr(node, "group")
        counts: Any = window.output(node, x.shape[2:])
        views = window.views(x, counts, 0)
        rank = len(counts)
        pieces = []
        for part, weights in zip(np.split(views, group, 1), np.split(w, group, 0), strict=True):
            over = [1, *range(2 + rank, 2 + 2 * rank)]
            pieces.append(np.moveaxis(np.tensordot(part, weights, (over, [1, *range(2, 2 + rank)])), -1, 1))
        y = np.concatenate(pieces, 1)
        return [y if b is None else y + b.reshape((1, -1) + (1,) * rank)]

    @classmethod
    def as_convolution(cls, node: Node, x: TensorSpec, w: np.ndarray) -> tuple[str, np.ndarray, list[Axis]]:
        window = Window.of(node, w.shape[2:])
        pads = window.padding(x.known_shape[2:])
        axes = zip(window.kernel, window.strides, window.dilations, pads, strict=True)
        return "conv", w, [Axis(k, s, d, before) for k, s, d, (before, _) in axes]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return conv_rule(node, grads[0], b, cls.attr(node, "group"))

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        kernel = (present(node, inputs, 1).shape or ())[1:]
        return 2 * size_of(outputs[0]) * math.prod(d for d in kernel if isinstance(d, int))


@register
class ConvTranspose(_Convolution):
    """Each X[n, c] spreads W[c, m] over Y[n, m]; W is (C, M / group, *kernel)."""

    name = "ConvTranspose"
    attributes: ClassVar[Mapping[str, Any]] = {**_GEOMETRY, "output_padding": (), "output_shape": ()}

    @classmethod
    def _extents(cls, node: Node, window: Window, extents: Sequence[Dim]) -> tuple[list[Dim], list[tuple[int, int]]]:
        """Extents of Y, and how much is cut before and after each axis."""
        rank = len(extents)
        extra = tuple(cls.attr(node, "output_padding")) or (0,) * rank
        wanted = tuple(cls.attr(node, "output_shape"))
        result: list[Dim] = []
        cuts: list[tuple[int, int]] = []
        for i, extent in enumerate(extents):
            if not isinstance(extent, int):
                result.append(wanted[i] if wanted else None)
                cuts.append((0, 0))
                continue
            full = (extent - 1) * window.strides[i] + window.spans[i] + extra[i]
            if wanted or window.auto_pad.startswith("SAME"):
                goal = wanted[-rank:][i] if wanted else extent * window.strides[i]
                total = max(full - goal, 0)
                small, large = total // 2, total - total // 2
                before, after = (small, large) if window.auto_pad == "SAME_UPPER" else (large, small)
                # ONNX: without SAME_UPPER the larger half is cut in front
                result.append(goal)
            else:
                before, after = (window.pads[i], window.pads[rank + i]) if window.auto_pad == "NOTSET" else (0, 0)
                result.append(full - before - after)
                if full < before + after:
                    raise ShapeError(f"{node.label()}: pads {window.pads} cut more than the {full} elements there are")
            cuts.append((before, after))
        return result, cuts

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, w = cls.operands(node, inputs)
        if x.shape is None or w.shape is None or not w.is_static:
            return [TensorSpec(x.dtype, None if x.shape is None else (None,) * len(x.shape))]
        group = cls.attr(node, "group")
        if not fits(x.shape[1], w.shape[0]) or w.shape[0] % group:  # type: ignore[operator]
            raise ShapeError(f"{node.label()}: X of shape {x.shape} and W of shape {w.shape} do not fit {group} groups")
        cls.check_bias(node, inputs, w.shape[1] * group)  # type: ignore[operator]
        window = Window.of(node, w.shape[2:])
        extents, _ = cls._extents(node, window, x.shape[2:])
        return [TensorSpec(x.dtype, (x.shape[0], w.shape[1] * group, *extents))]  # type: ignore[operator]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, w, b = (*(None if v is None else np.asarray(v) for v in inputs), None)[:3]
        assert x is not None and w is not None
        window, group = Window.of(node, w.shape[2:]), cls.attr(node, "group")
        goal, cuts = cls._extents(node, window, x.shape[2:])
        extents = zip(goal, cuts, x.shape[2:], window.strides, window.spans, strict=True)
        room = [max(before + int(g), (n - 1) * s + span) for g, (before, _), n, s, span in extents]  # type: ignore[arg-type]
        y = np.zeros((x.shape[0], w.shape[1] * group, *room), x.dtype)
        outputs = np.split(y, group, 1)
        for part, weights, out in zip(np.split(x, group, 1), np.split(w, group, 0), outputs, strict=True):
            for place in np.ndindex(*window.kernel):
                spread = np.moveaxis(np.tensordot(part, weights[(slice(None), slice(None), *place)], (1, 0)), -1, 1)
                target = tuple(
                    slice(k * d, k * d + (n - 1) * s + 1, s)
                    for k, d, n, s in zip(place, window.dilations, x.shape[2:], window.strides, strict=True)
                )
                out[(slice(None), slice(None), *target)] += spread
        y = y[(slice(None), slice(None), *(slice(a, a + int(g)) for g, (a, _) in zip(goal, cuts, strict=True)))]  # type: ignore[arg-type]
        return [np.ascontiguousarray(y if b is None else y + b.reshape((1, -1) + (1,) * len(goal)))]

    @classmethod
    def as_convolution(cls, node: Node, x: TensorSpec, w: np.ndarray) -> tuple[str, np.ndarray, list[Axis]]:
        """The kernel is mirrored, and X's elements lie apart by the strides."""
        group, window = cls.attr(node, "group"), Window.of(node, w.shape[2:])
        _, cuts = cls._extents(node, window, x.known_shape[2:])
        parts = w.reshape(group, w.shape[0] // group, *w.shape[1:]).swapaxes(1, 2)
        mirrored = np.flip(parts.reshape(-1, w.shape[0] // group, *w.shape[2:]), tuple(range(2, w.ndim)))
        axes = zip(window.kernel, window.dilations, window.spans, cuts, window.strides, strict=True)
        return "mirrored", mirrored, [Axis(k, 1, d, span - 1 - before, s) for k, d, span, (before, _), s in axes]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        x, w = (b.spec(name).known_shape for name in node.inputs[:2])
        _, cuts = cls._extents(node, Window.of(node, w[2:]), x[2:])
        return conv_transpose_rule(node, grads[0], b, cls.attr(node, "group"), cuts)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        kernel = (present(node, inputs, 1).shape or ())[1:]
        return 2 * size_of(present(node, inputs)) * math.prod(d for d in kernel if isinstance(d, int))
