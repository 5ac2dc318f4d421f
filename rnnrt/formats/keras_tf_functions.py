"""TensorFlow functions in Functional models of Keras 2: their names and arguments as those of keras.ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ARGUMENTS = {"b": "x2", "keep_dims": "keepdims", "perm": "axes", "y": "x2"}
_IGNORED = {"name", "conjugate", "x"}

FUNCTIONS = {
    "__operators__.add": "Add",
    "__operators__.getitem": "GetItem",
    "abs": "Absolute",
    "cast": "Cast",
    "compat.v1.squeeze": "Squeeze",
    "compat.v1.transpose": "Transpose",
    "concat": "Concatenate",
    "expand_dims": "ExpandDims",
    "linalg.matmul": "Matmul",
    "math.abs": "Absolute",
    "math.add": "Add",
    "math.divide": "TrueDivide",
    "math.exp": "Exp",
    "math.log": "Log",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.negative": "Negative",
    "math.pow": "Power",
    "math.reduce_max": "Max",
    "math.reduce_mean": "Mean",
    "math.reduce_min": "Min",
    "math.reduce_sum": "Sum",
    "math.sigmoid": "Sigmoid",
    "math.softmax": "Softmax",
    "math.sqrt": "Sqrt",
    "math.square": "Square",
    "math.subtract": "Subtract",
    "math.tanh": "Tanh",
    "math.truediv": "TrueDivide",
    "nn.relu": "Relu",
    "nn.sigmoid": "Sigmoid",
    "nn.softmax": "Softmax",
    "nn.tanh": "Tanh",
    "reshape": "Reshape",
    "reverse": "Flip",
    "squeeze": "Squeeze",
    "stack": "Stack",
    "transpose": "Transpose",
}
"""The function of TensorFlow to the operation of `rnnrt.layers.operations`."""


def function_of(config: Mapping[str, Any]) -> str | None:
    """The operation that a TFOpLambda or SlicingOpLambda stands for, or None."""
    return FUNCTIONS.get(str(config.get("function")))


def arguments_of(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The call's arguments by the names of keras.ops."""
    return {_ARGUMENTS.get(k, k): v for k, v in kwargs.items() if k not in _IGNORED}
