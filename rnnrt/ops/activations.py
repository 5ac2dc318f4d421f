"""Activation functions that recurrent operators name in their `activations` attribute.

Beside ONNX's names there are those that only Keras has: Selu, Gelu (exact), GeluTanh, Swish, Exp, Relu6, Mish,
LogSigmoid, HardSwish. A linear activation is Affine with alpha 1 and beta 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any

SELU_ALPHA = 1.6732632423543772
SELU_GAMMA = 1.0507009873554805

DEFAULTS: dict[str, tuple[float, float]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, 0.0),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, 0.0),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, 0.0),
}
"""alpha and beta where a node gives none; (0, 0) for names that are not here, which use neither."""


def sigmoid(x: Array) -> Array:
    """Logistic function without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(e.dtype, copy=False)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def erf(x: Array) -> Array:
    """Error function, element by element."""
    flat = np.fromiter((math.erf(v) for v in x.ravel().tolist()), np.float64, x.size)
    return flat.reshape(x.shape).astype(x.dtype)


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


ACTIVATIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "Affine": lambda x, a, b: a * x + b,
    "Elu": lambda x, a, b: _elu(x, a),
    "Exp": lambda x, a, b: np.exp(x),
    "Gelu": lambda x, a, b: 0.5 * x * (1 + erf(x * math.sqrt(0.5))),
    "GeluTanh": lambda x, a, b: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))),
    "HardSigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "HardSwish": lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "LogSigmoid": lambda x, a, b: -softplus(-x),
    "Mish": lambda x, a, b: x * np.tanh(softplus(x)),
    "Relu": lambda x, a, b: np.maximum(x, 0),
    "Relu6": lambda x, a, b: np.clip(x, 0, 6),
    "ScaledTanh": lambda x, a, b: a * np.tanh(b * x),
    "Selu": lambda x, a, b: SELU_GAMMA * _elu(x, SELU_ALPHA),
    "Sigmoid": lambda x, a, b: sigmoid(x),
    "Softplus": lambda x, a, b: softplus(x),
    "Softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "Swish": lambda x, a, b: x * sigmoid(x),
    "Tanh": lambda x, a, b: np.tanh(x),
    "ThresholdedRelu": lambda x, a, b: np.where(x > a, x, 0),
}
"""numpy function by name, called with the array, alpha and beta; works in the array's dtype."""


def activate(name: str, x: Array, alpha: float, beta: float) -> Array:
    """`x` through the named activation, in the dtype of `x`."""
    # Python floats keep the dtype of the array; numpy scalars would not.
    return ACTIVATIONS[name](x, float(alpha), float(beta)).astype(x.dtype, copy=False)


def _gelu_tanh_slope(x: Array) -> Array:
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)


def _mish_slope(x: Array) -> Array:
    t = np.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


SLOPES: dict[str, Callable[[Array, float, float], Array]] = {
    "Affine": lambda x, a, b: np.full_like(x, a),
    "Elu": lambda x, a, b: np.where(x > 0, 1, a * np.exp(np.minimum(x, 0))),
    "Exp": lambda x, a, b: np.exp(x),
    "Gelu": lambda x, a, b: 0.5 * (1 + erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    "GeluTanh": lambda x, a, b: _gelu_tanh_slope(x),
    "HardSigmoid": lambda x, a, b: np.where((a * x + b > 0) & (a * x + b < 1), a, 0),
    "HardSwish": lambda x, a, b: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    "LeakyRelu": lambda x, a, b: np.where(x >= 0, 1, a),
    "LogSigmoid": lambda x, a, b: sigmoid(-x),
    "Mish": lambda x, a, b: _mish_slope(x),
    "Relu": lambda x, a, b: np.where(x > 0, 1, 0),
    "Relu6": lambda x, a, b: np.where((x > 0) & (x < 6), 1, 0),
    "ScaledTanh": lambda x, a, b: a * b * (1 - np.tanh(b * x) ** 2),
    "Selu": lambda x, a, b: SELU_GAMMA * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    "Sigmoid": lambda x, a, b: sigmoid(x) * (1 - sigmoid(x)),
    "Softplus": lambda x, a, b: sigmoid(x),
    "Softsign": lambda x, a, b: 1 / (1 + np.abs(x)) ** 2,
    "Swish": lambda x, a, b: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    "Tanh": lambda x, a, b: 1 - np.tanh(x) ** 2,
    "ThresholdedRelu": lambda x, a, b: np.where(x > a, 1, 0),
}
"""Derivative by name, called as the functions are; one-sided where there is none."""


def slope(name: str, x: Array, alpha: float, beta: float) -> Array:
    """The derivative of the named activation at `x`, in the dtype of `x`."""
    return SLOPES[name](x, float(alpha), float(beta)).astype(x.dtype, copy=False)
