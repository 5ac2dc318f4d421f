"""Functions of keras.ops in a Functional model: arithmetic on tensors, and what Keras 3 writes down for masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.layers import activations, serial, shape_operations
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape
from rnnrt.layers.shape_operations import common_dtype
from rnnrt.registry import auto_name

BOOL = np.dtype(bool)


class Operation(Layer):
    """One function of keras.ops by its class name, with the options it was made with."""

    def __init__(self, kind: str, options: Mapping[str, Any], name: str | None = None, **rest: Any) -> None:
        super().__init__(name=name or auto_name(kind), **rest)
        self.kind, self.made_with = kind, dict(options)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **{key: serial.plain(value) for key, value in self.made_with.items()}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        raise RnnrtError("an operation's configuration does not tell which one it is; make it anew with its model")

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        options = _Watched({**self.made_with, **kwargs})
        result = OPERATIONS[self.kind](self, b, [inputs, *args], options)
        unread = {k: v for k, v in options.items() if k not in options.read and v is not None and v is not False}
        if unread or len(args) > 1:
            raise self.unsupported(f"has arguments {unread or args}", "leave them out")
        return result


class _Watched(dict[str, Any]):
    """Options that know which of them were looked at."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        value = super().get(key)
        return default if value is None else value

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)


Builder = Callable[[Operation, GraphBuilder, list[Any], dict[str, Any]], Tensor]


def broadcast(first: TensorShape, second: TensorShape) -> TensorShape:
    """The shape of an elementwise operation; raises ValueError when the shapes do not fit."""
    rank = max(len(first), len(second))
    pairs = list(zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True))
    if any(a != b and None not in (a, b) and 1 not in (a, b) for a, b in pairs):
        raise ValueError(f"shapes {first} and {second} do not go together")
    return tuple(b if a == 1 else a if b == 1 or b is None else b if a is None else a for a, b in pairs)


def operand(b: GraphBuilder, layer: Layer, value: Any, dtype: np.dtype) -> Tensor:
    """A tensor or number as an operand of that dtype."""
    if isinstance(value, Tensor):
        return b.cast(value, dtype)
    if isinstance(value, (bool, int, float)):
        return Tensor(b.scalar(value, dtype), (), dtype)
    if isinstance(value, list) and value and all(isinstance(v, (int, float)) for v in value):
        array = np.array(value, dtype)
        return Tensor(b.constant(array, "operand"), array.shape, dtype)
    raise layer.unsupported(f"operand {str(value)[:60]!r}", "use tensors and numbers")


def _binary(op: str, result: np.dtype | None = None, forced: np.dtype | None = None) -> Builder:
    def build(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
        pair = [*args, *([options["x2"]] if "x2" in options else [])]
        if len(pair) != 2:
            raise layer.unsupported(f"has {len(pair)} operands", "it needs two")
        dtype = forced or common_dtype(pair)
        if op == "Div" and dtype.kind != "f":
            dtype = np.dtype(np.float32)
        x, y = (operand(b, layer, v, dtype) for v in pair)
        return b.op(op, [x, y], broadcast(x.shape, y.shape), result or dtype)

    return build


def _not_equal(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    same = _binary("Equal", BOOL)(layer, b, args, options)
    return b.op("Not", [same], same.shape)


def _unary(op: str, floating: bool = True) -> Builder:
    def build(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
        x = args[0]
        if floating and x.dtype.kind != "f":
            x = b.cast(x, np.dtype(np.float32))
        return b.op(op, [x], x.shape)

    return build


def _activation(name: str) -> Builder:
    def build(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
        axis = options.get("axis", -1) % args[0].rank
        if name == "softmax" and axis:
            return b.op("Softmax", [args[0]], args[0].shape, axis=axis)
        return activations.apply(b, args[0], name).with_mask(None)

    return build


def _square(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    return b.op("Mul", [args[0], args[0]], args[0].shape)


def _reduction(op: str) -> Builder:
    def build(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
        x = args[0]
        axis = args[1] if len(args) > 1 else options.get("axis")
        keepdims = bool(options.get("keepdims", False))
        axes = list(range(x.rank)) if axis is None else [axis] if isinstance(axis, int) else list(axis)
        if axis is None or 0 in [a % x.rank for a in axes]:
            raise layer.unsupported("reduces over the batch", "reduce over other axes")
        if x.dtype != BOOL:
            return b.reduce(op, x, axes, keepdims)
        return b.cast(b.reduce(op, b.cast(x, np.dtype(np.float32)), axes, keepdims), BOOL)

    return build


OPERATIONS: dict[str, Builder] = {
    "Absolute": _unary("Abs", False),
    "Abs": _unary("Abs", False),
    "Add": _binary("Add"),
    "All": _reduction("ReduceMin"),
    "Any": _reduction("ReduceMax"),
    "BroadcastTo": shape_operations.broadcast_to,
    "Cast": shape_operations.cast,
    "ConvertToTensor": shape_operations.convert,
    "Concatenate": shape_operations.concatenate,
    "Divide": _binary("Div"),
    "Equal": _binary("Equal", BOOL),
    "Flip": shape_operations.flip,
    "GetItem": shape_operations.get_item,
    "Matmul": shape_operations.matmul,
    "Reshape": shape_operations.reshape,
    "Stack": shape_operations.stack,
    "Exp": _unary("Exp"),
    "ExpandDims": shape_operations.expand_dims,
    "Gelu": _activation("gelu"),
    "Greater": _binary("Greater", BOOL),
    "GreaterEqual": _binary("GreaterOrEqual", BOOL),
    "Less": _binary("Less", BOOL),
    "LessEqual": _binary("LessOrEqual", BOOL),
    "Log": _unary("Log"),
    "LogicalAnd": _binary("And", BOOL, BOOL),
    "LogicalNot": _unary("Not", False),
    "LogicalOr": _binary("Or", BOOL, BOOL),
    "Max": _reduction("ReduceMax"),
    "Maximum": _binary("Max"),
    "Mean": _reduction("ReduceMean"),
    "Min": _reduction("ReduceMin"),
    "Minimum": _binary("Min"),
    "Multiply": _binary("Mul"),
    "Negative": _unary("Neg", False),
    "NotEqual": _not_equal,
    "OnesLike": shape_operations.filled(1),
    "Power": _binary("Pow"),
    "Relu": _activation("relu"),
    "Sigmoid": _activation("sigmoid"),
    "Silu": _activation("silu"),
    "Softmax": _activation("softmax"),
    "Sqrt": _unary("Sqrt"),
    "Square": _square,
    "Squeeze": shape_operations.squeeze,
    "Subtract": _binary("Sub"),
    "Sum": _reduction("ReduceSum"),
    "Tanh": _activation("tanh"),
    "Transpose": shape_operations.transpose,
    "TrueDivide": _binary("Div"),
    "ZerosLike": shape_operations.filled(0),
}
"""keras.ops' class name to the function that adds its nodes."""
