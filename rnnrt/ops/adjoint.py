"""What the backward rules of several operators share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Node
from rnnrt.ops.base import GradientContext, TensorSpec

TYPE_NUMBERS = {np.dtype(np.float16): 10, np.dtype(np.float32): 1, np.dtype(np.float64): 11}
"""ONNX's number of each floating point type."""


def wants(b: GradientContext, name: str) -> bool:
    """Whether the gradient of a value is needed and can exist: integers and truth values have none."""
    return b.wanted(name) and b.spec(name).dtype.kind == "f"


def scalar(b: GradientContext, value: float, like: str) -> str:
    """A constant of rank 0 in the dtype of `like`."""
    return b.constant(np.asarray(value, b.spec(like).dtype))


def ints(b: GradientContext, values: Sequence[int]) -> str:
    """A constant list of int64."""
    return b.constant(np.array(list(values), np.int64))


def reshape(b: GradientContext, x: str, shape: Sequence[int]) -> str:
    """`x` in another shape; `x` itself where it has that shape."""
    if b.spec(x).known_shape == tuple(shape):
        return x
    return b.op("Reshape", [x, ints(b, shape)], allowzero=1)


def transpose(b: GradientContext, x: str, perm: Sequence[int]) -> str:
    """`x` with its axes in this order."""
    return x if list(perm) == sorted(perm) else b.op("Transpose", [x], perm=tuple(perm))


def expand(b: GradientContext, x: str, shape: Sequence[int]) -> str:
    """`x` broadcast to a shape; `x` itself where it has that shape."""
    if b.spec(x).known_shape == tuple(shape):
        return x
    return b.op("Expand", [x, ints(b, shape)])


def zeros(b: GradientContext, shape: Sequence[int], dtype: np.dtype) -> str:
    """Zeros of a shape."""
    return expand(b, b.constant(np.zeros((), dtype)), shape)


def sum_over(b: GradientContext, x: str, axes: Sequence[int], keepdims: bool = False) -> str:
    """The sum over these axes; `x` itself where there are none."""
    return b.op("ReduceSum", [x, ints(b, axes)], keepdims=int(keepdims)) if axes else x


def cast(b: GradientContext, x: str, dtype: np.dtype) -> str:
    """`x` in a floating point dtype; `x` itself where it has that dtype."""
    return x if b.spec(x).dtype == dtype else b.op("Cast", [x], to=TYPE_NUMBERS[np.dtype(dtype)])


def unbroadcast(b: GradientContext, gradient: str, to: TensorSpec) -> str:
    """Sum the gradient of a broadcast tensor over what was repeated.

    Parameters
    ----------
    b : GradientContext
    gradient : str
        A value whose shape is what `to` broadcasts to.
    to : TensorSpec
        The tensor before it was broadcast.

    Returns
    -------
    str
        A value of the shape and dtype of `to`; `gradient` itself where nothing was repeated.
    """
    have, want = b.spec(gradient).known_shape, to.known_shape
    if 0 < math.prod(have) == math.prod(want):
        return cast(b, reshape(b, gradient, want), to.dtype)
    lead = len(have) - len(want)
    axes = [i for i, d in enumerate(have) if i < lead or (want[i - lead] == 1 and d != 1)]
    return cast(b, reshape(b, sum_over(b, gradient, axes), want), to.dtype)


def keep_where(b: GradientContext, condition: str, gradient: str) -> str:
    """The gradient where a condition holds, zero elsewhere; also where the gradient is not finite."""
    return b.op("Where", [condition, gradient, scalar(b, 0, gradient)])


def per_channel(b: GradientContext, parameter: str, rank: int) -> str:
    """A parameter (C) as (1, C, 1, ...), to broadcast against (N, C, ...)."""
    return reshape(b, parameter, (1, b.spec(parameter).known_shape[0], *(1,) * (rank - 2)))


def channel_sum(b: GradientContext, x: str) -> str:
    """(N, C, ...) summed over all axes but that of the channels."""
    return sum_over(b, x, [i for i in range(len(b.spec(x).known_shape)) if i != 1])


def name_at(names: Sequence[str], index: int) -> str:
    """The name of an input or output of a node; empty where the node does not have it."""
    return names[index] if index < len(names) else ""


def constant_value(b: GradientContext, name: str) -> Any:
    """The array of a constant, None where the value is computed or the name empty."""
    return b.spec(name).value if name else None


def constant_list(b: GradientContext, node: Node, index: int) -> list[int] | None:
    """The integers of an input; None where it is absent.

    Raises
    ------
    UnsupportedModelError
        The input is computed at run time.
    """
    name = name_at(node.inputs, index)
    if not name:
        return None
    value = b.spec(name).value
    if value is None:
        what = f"input {index} ({name!r}) is computed at run time; only a constant can be trained through"
        raise UnsupportedModelError("graph", [f"{node.label()}: {what}"])
    return [int(v) for v in np.ravel(value)]
