"""Functions of keras.ops in a Functional model: arithmetic on tensors, and what Keras 3 writes down for masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.layers import activations
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape

BOOL = np.dtype(bool)


class Operation(Layer):
    """One function of keras.ops by its class name, with the options it was made with."""

    def __init__(self, kind: str, options: Mapping[str, Any], **rest: Any) -> None:
        super().__init__(**rest)
        self.kind, self.arguments = kind, dict(options)

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def build(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        options = {**self.arguments, **{k: v for k, v in kwargs.items() if v is not None}}
        return OPERATIONS[self.kind](self, b, [inputs, *args], options)


Builder = Callable[[Operation, GraphBuilder, list[Any], dict[str, Any]], Tensor]


def broadcast(first: TensorShape, second: TensorShape) -> TensorShape:
    """The shape of an elementwise operation."""
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)
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


def common_dtype(values: Sequence[Any]) -> np.dtype:
    """The dtype that tensors and Python numbers meet in: numbers follow the tensors."""
    dtypes = [v.dtype for v in values if isinstance(v, Tensor)]
    result = np.result_type(*dtypes)
    if any(d.kind == "f" for d in dtypes):
        result = max((d for d in dtypes if d.kind == "f"), key=lambda d: d.itemsize)
    elif any(isinstance(v, float) for v in values):
        result = np.dtype(np.float32)
    return result


def _binary(op: str, result: np.dtype | None = None, forced: np.dtype | None = None) -> Builder:
    def build(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
        pair = [*args, *(options[k] for k in ("x2", "y") if k in options)]
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
        if options.get("axis", -1) not in (-1, args[0].rank - 1):
            raise layer.unsupported(f"axis={options['axis']}", "use the last axis")
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


def _cast(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    wanted = str(args[1] if len(args) > 1 else options.get("dtype", "float32"))
    wanted = "float32" if wanted in ("float16", "bfloat16") else wanted
    if wanted not in ("float32", "float64", "int32", "int64", "bool"):
        raise layer.unsupported(f"casts to {wanted}", "cast to float32, int32 or bool")
    return b.cast(args[0], np.dtype(wanted))


def _expand_dims(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    axis = args[1] if len(args) > 1 else options.get("axis")
    if not isinstance(axis, int):
        raise layer.unsupported(f"axis={axis!r}", "give one integer")
    return b.unsqueeze(args[0], axis)


def _squeeze(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    axis = args[1] if len(args) > 1 else options.get("axis")
    if not isinstance(axis, int):
        raise layer.unsupported(f"axis={axis!r}", "give one integer")
    return b.squeeze(args[0], axis)


def _concatenate(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    parts = list(args[0])
    axis = (args[1] if len(args) > 1 else options.get("axis", -1)) % parts[0].rank
    dtype = common_dtype(parts)
    return concat(b, [b.cast(p, dtype) for p in parts], axis)


def concat(b: GraphBuilder, parts: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors one after the other along an axis."""
    widths = [p.shape[axis] for p in parts]
    total = None if None in widths else sum(w for w in widths if w is not None)
    first = parts[0]
    shape = tuple(
        total if k == axis else next((p.shape[k] for p in parts if p.shape[k] is not None), None)
        for k in range(first.rank)
    )
    return b.op("Concat", list(parts), shape, axis=axis)


def _filled(value: int) -> Builder:
    def build(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
        dtype = np.dtype(args[1] if len(args) > 1 else options.get("dtype") or args[0].dtype)
        return filled_like(b, args[0], value, dtype)

    return build


def filled_like(b: GraphBuilder, x: Tensor, value: int, dtype: np.dtype) -> Tensor:
    """One number in the shape of `x`."""
    shape = b.op("Shape", [x], (x.rank,), np.dtype(np.int64))
    return b.op("Expand", [b.constant(np.full((), value, dtype), "fill"), shape], x.shape, dtype)


def _broadcast_to(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    x, target = args[0], args[1] if len(args) > 1 else options.get("shape")
    if not isinstance(target, (list, tuple)) or len(target) < x.rank:
        raise layer.unsupported(f"shape={target!r}", "give a list of extents")
    # A free extent is one that the operand has already.
    dims = [1 if d is None or d == -1 else int(d) for d in target]
    known = (None,) * (len(dims) - x.rank) + x.shape
    shape = tuple(k if t is None or t == -1 else t for k, t in zip(known, target, strict=True))
    return b.op("Expand", [x, b.ints(*dims)], shape)


def _transpose(layer: Operation, b: GraphBuilder, args: list[Any], options: dict[str, Any]) -> Tensor:
    axes = args[1] if len(args) > 1 else options.get("axes")
    axes = list(reversed(range(args[0].rank))) if axes is None else [a % args[0].rank for a in axes]
    if axes[0] != 0:
        raise layer.unsupported(f"axes={axes} move the batch", "keep axis 0 first")
    return b.transpose(args[0], axes).with_mask(None)


OPERATIONS: dict[str, Builder] = {
    "Absolute": _unary("Abs", False),
    "Abs": _unary("Abs", False),
    "Add": _binary("Add"),
    "All": _reduction("ReduceMin"),
    "Any": _reduction("ReduceMax"),
    "BroadcastTo": _broadcast_to,
    "Cast": _cast,
    "Concatenate": _concatenate,
    "Divide": _binary("Div"),
    "Equal": _binary("Equal", BOOL),
    "Exp": _unary("Exp"),
    "ExpandDims": _expand_dims,
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
    "OnesLike": _filled(1),
    "Power": _binary("Pow"),
    "Relu": _activation("relu"),
    "Sigmoid": _activation("sigmoid"),
    "Silu": _activation("silu"),
    "Softmax": _activation("softmax"),
    "Sqrt": _unary("Sqrt"),
    "Square": _square,
    "Squeeze": _squeeze,
    "Subtract": _binary("Sub"),
    "Sum": _reduction("ReduceSum"),
    "Tanh": _activation("tanh"),
    "Transpose": _transpose,
    "TrueDivide": _binary("Div"),
    "ZerosLike": _filled(0),
}
"""keras.ops' class name to the function that adds its nodes."""
