"""Functions of keras.ops that change shapes and types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor, product

Options = Mapping[str, Any]
Builder = Callable[[Any, GraphBuilder, list[Any], Any], Tensor]


def argument(args: Sequence[Any], options: Options, key: str, default: Any = None) -> Any:
    """The second argument of a call, by position or by name."""
    return args[1] if len(args) > 1 else options.get(key, default)


def common_dtype(values: Sequence[Any]) -> np.dtype:
    """The dtype that tensors and Python numbers meet in: numbers follow the tensors."""
    dtypes = [v.dtype for v in values if isinstance(v, Tensor)]
    result = np.result_type(*dtypes)
    if any(d.kind == "f" for d in dtypes):
        result = max((d for d in dtypes if d.kind == "f"), key=lambda d: d.itemsize)
    elif any(isinstance(v, float) for v in values):
        result = np.dtype(np.float32)
    return result


def cast(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Another dtype."""
    wanted = str(argument(args, options, "dtype", "float32"))
    wanted = "float32" if wanted in ("float16", "bfloat16") else wanted
    if wanted not in ("float32", "float64", "int32", "int64", "bool"):
        raise layer.unsupported(f"casts to {wanted}", "cast to float32, int32 or bool")
    return b.cast(args[0], np.dtype(wanted))


def convert(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """The same tensor, or in another dtype."""
    return cast(layer, b, args[:1], options) if options.get("dtype") else args[0].with_mask(None)


def expand_dims(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """A new axis of extent one."""
    axis = argument(args, options, "axis")
    if not isinstance(axis, int):
        raise layer.unsupported(f"axis={axis!r}", "give one integer")
    return b.unsqueeze(args[0], axis)


def squeeze(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Without an axis of extent one."""
    axis = argument(args, options, "axis")
    if not isinstance(axis, int):
        raise layer.unsupported(f"axis={axis!r}", "give one integer")
    return b.squeeze(args[0], axis)


def concatenate(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Tensors one after the other."""
    parts = list(args[0])
    axis = (argument(args, options, "axis", -1)) % parts[0].rank
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


def filled(value: int) -> Builder:
    """What makes a tensor of one number in the shape of another."""

    def build(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
        dtype = np.dtype(argument(args, options, "dtype") or args[0].dtype)
        return filled_like(b, args[0], value, dtype)

    return build


def filled_like(b: GraphBuilder, x: Tensor, value: int, dtype: np.dtype) -> Tensor:
    """One number in the shape of `x`."""
    shape = b.op("Shape", [x], (x.rank,), np.dtype(np.int64))
    return b.op("Expand", [b.constant(np.full((), value, dtype), "fill"), shape], x.shape, dtype)


def broadcast_to(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """A tensor repeated along axes of extent one."""
    x, target = args[0], argument(args, options, "shape")
    if not isinstance(target, (list, tuple)) or len(target) < x.rank:
        raise layer.unsupported(f"shape={target!r}", "give a list of extents")
    # A free extent is one that the operand has already.
    dims = [1 if d is None or d == -1 else int(d) for d in target]
    known = (None,) * (len(dims) - x.rank) + x.shape
    shape = tuple(k if t is None or t == -1 else t for k, t in zip(known, target, strict=True))
    return b.op("Expand", [x, b.ints(*dims)], shape)


def transpose(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Axes in another order, the batch first."""
    axes = argument(args, options, "axes")
    axes = list(reversed(range(args[0].rank))) if axes is None else [a % args[0].rank for a in axes]
    if axes[0] != 0:
        raise layer.unsupported(f"axes={axes} move the batch", "keep axis 0 first")
    return b.transpose(args[0], axes).with_mask(None)


def stack(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Tensors along a new axis."""
    parts = list(args[0])
    axis = int(argument(args, options, "axis", 0)) % (parts[0].rank + 1)
    if axis == 0:
        raise layer.unsupported("stacks along the batch", "stack along another axis")
    dtype = common_dtype(parts)
    return concat(b, [b.unsqueeze(b.cast(p, dtype), axis) for p in parts], axis)


def flip(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """A tensor turned round along axes."""
    axis = argument(args, options, "axis")
    axes = [axis] if isinstance(axis, int) else list(axis or [])
    x = args[0]
    if not axes or 0 in [a % x.rank for a in axes]:
        raise layer.unsupported(f"axis={axis!r} turns the batch round", "name other axes")
    for a in axes:
        x = b.flip(x, a % x.rank)
    return x


def reshape(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Another shape; the batch must stay the first axis."""
    x = args[0]
    target = argument(args, options, "newshape", options.get("shape"))
    if not isinstance(target, (list, tuple)) or not target or not all(d is None or isinstance(d, int) for d in target):
        raise layer.unsupported(f"shape={target!r}", "give a list of extents")
    rest = tuple(-1 if d is None else d for d in target[1:])
    inner = product(x.shape[1:])
    wanted = product(tuple(d if d > 0 else None for d in rest))
    if target[0] not in (-1, None) or inner is None or (wanted is not None and wanted != inner) or rest.count(-1) > 1:
        raise layer.unsupported(f"shape={target} from {x.shape}", "keep the batch as the first axis, with extent -1")
    known = product(tuple(d for d in rest if d > 0)) or 1
    full = tuple(inner // known if d < 0 else d for d in rest)
    return b.reshape(x, [-1, *full], (x.shape[0], *full))


def get_item(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """Indexing with integers, slices and an ellipsis; the batch axis is taken whole."""
    x, key = args[0], argument(args, options, "key", options.get("slice_spec"))
    parts = list(key) if isinstance(key, (list, tuple)) else [key]
    parts = [slice(p.get("start"), p.get("stop"), p.get("step")) if isinstance(p, Mapping) else p for p in parts]
    if parts.count(Ellipsis) > 1 or not all(p is Ellipsis or isinstance(p, slice) or type(p) is int for p in parts):
        raise layer.unsupported(f"indexes with {str(key)[:60]}", "use integers and slices")
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (x.rank - len(parts) + 1)
    if parts[:1] != [slice(None)]:
        raise layer.unsupported(f"indexes the batch: {str(key)[:60]}", "take the batch whole")
    gone = 0
    for axis, part in enumerate(parts):
        if isinstance(part, int):
            extent = x.shape[axis - gone]
            if extent is not None and not -extent <= part < extent:
                raise layer.unsupported(f"index {part} outside an axis of {extent}", "correct the index")
            x = b.take(x, part, axis - gone)
            gone += 1
        elif part != slice(None):
            x = _cut(b, x, axis - gone, part)
    return x


def _cut(b: GraphBuilder, x: Tensor, axis: int, part: slice) -> Tensor:
    step = 1 if part.step is None else int(part.step)
    far = 2**62
    start = int(part.start) if part.start is not None else 0 if step > 0 else far
    stop = int(part.stop) if part.stop is not None else far if step > 0 else -far
    extent = x.shape[axis]
    left = None if extent is None else len(range(extent)[part])
    inputs: list[Tensor | str] = [x, b.ints(start), b.ints(stop), b.ints(axis), b.ints(step)]
    return b.op("Slice", inputs, (*x.shape[:axis], left, *x.shape[axis + 1 :]))


def matmul(layer: Layer, b: GraphBuilder, args: list[Any], options: Options) -> Tensor:
    """A product of matrices, row by row of the batch."""
    x, y = args[0], argument(args, options, "x2")
    if not isinstance(y, Tensor) or min(x.rank, y.rank) < 3 or x.rank != y.rank:
        raise layer.unsupported("multiplies other than equal ranks of three or more axes", "use Dot")
    swap = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    x = b.transpose(x, swap) if options.get("transpose_a") else x
    y = b.transpose(y, swap) if options.get("transpose_b") else y
    return b.op("MatMul", [x, y], (*x.shape[:-1], y.shape[-1]))
