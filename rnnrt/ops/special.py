"""Elementwise operators with a dtype rule of their own: powers, choices, bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.base import KernelCall, LowerContext, TensorSpec, register
from rnnrt.ops.broadcast import present, same_dtype
from rnnrt.ops.elementwise import BINARY_OPCODES, NATIVE, UNARY_OPCODES, Array, Binary, Elementwise


@register
class Pow(Binary):
    """ONNX Pow: the exponent may have another dtype; the result has the base's."""

    name = "Pow"
    min_inputs = 2
    max_inputs = 2

    @classmethod
    def out_dtype(cls, node: Node, specs: Sequence[TensorSpec]) -> np.dtype:
        return np.dtype(specs[0].dtype)

    @staticmethod
    def function(x: Array, y: Array) -> Array:
        """X to the power y."""
        if x.dtype.kind in "iu" and y.dtype.kind in "iu":
            if np.any(y < 0):
                return np.power(x.astype(np.float64), y).astype(x.dtype)
            return np.power(x, y.astype(x.dtype))
        return np.power(x, y)

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, y, dtype = present(node, inputs), present(node, inputs, 1), outputs[0].dtype
        exponent = float(y.value.ravel()[0]) if y.value is not None and y.value.size == 1 else None
        if dtype not in NATIVE:
            return None
        if exponent == 1:
            return [KernelCall("alias", (0,))]
        if exponent == 2:
            return [KernelCall("binary", (0, 0), ints=(BINARY_OPCODES["Mul"],))]
        if dtype.kind != "f":
            return None
        if exponent == 0.5:
            return [KernelCall("unary", (0,), ints=(UNARY_OPCODES["Sqrt"],))]
        if exponent == -1:
            return [KernelCall("unary", (0,), ints=(UNARY_OPCODES["Reciprocal"],))]
        if y.value is not None:
            return [KernelCall("power", (0, np.asarray(y.value, x.dtype)))]
        return [KernelCall("power", (0, 1))] if y.dtype == dtype else None


@register
class Where(Elementwise):
    """ONNX Where: condition (bool), then two values of one dtype."""

    name = "Where"
    min_inputs = 3
    max_inputs = 3

    @classmethod
    def out_dtype(cls, node: Node, specs: Sequence[TensorSpec]) -> np.dtype:
        return same_dtype(node, specs[1:])

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        condition, a, b = map(np.asarray, inputs)
        return [np.asarray(np.where(condition, a, b))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        native = present(node, inputs).dtype == np.bool_ and outputs[0].dtype.itemsize in (1, 2, 4, 8)
        return [KernelCall("where", (0, 1, 2))] if native else None


@register
class Clip(Elementwise):
    """ONNX Clip: x, and optional scalars min and max."""

    name = "Clip"
    max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        return [TensorSpec(x.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, low, high = (*inputs, None, None)[:3]
        out = np.asarray(x)
        if low is not None:
            out = np.maximum(out, low.reshape(()).astype(out.dtype))
        if high is not None:
            out = np.minimum(out, high.reshape(()).astype(out.dtype))
        return [np.asarray(out)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        bounds = [s for s in inputs[1:] if s is not None]
        dtype = outputs[0].dtype
        if dtype not in NATIVE or any(s.dtype != dtype or math.prod(s.known_shape) != 1 for s in bounds):
            return None
        low, high = (k if k < len(inputs) and inputs[k] is not None else None for k in (1, 2))
        return [KernelCall("clip", (0, low, high))]
