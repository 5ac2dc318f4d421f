"""Keras's activation functions: as nodes, and as the names that recurrent operators take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.layers.base import GraphBuilder, Tensor

ALIASES = {
    None: "linear",
    "swish": "silu",
    "hard_swish": "hard_silu",
    "exp": "exponential",
    "logsigmoid": "log_sigmoid",
    "gelu_approximate": "gelu_tanh",
}

RECURRENT: dict[str, tuple[str, float, float]] = {
    "elu": ("Elu", 1.0, 0.0),
    "exponential": ("Exp", 0.0, 0.0),
    "gelu": ("Gelu", 0.0, 0.0),
    "hard_silu": ("HardSwish", 0.0, 0.0),
    "leaky_relu": ("LeakyRelu", 0.2, 0.0),
    "linear": ("Affine", 1.0, 0.0),
    "log_sigmoid": ("LogSigmoid", 0.0, 0.0),
    "mish": ("Mish", 0.0, 0.0),
    "relu": ("Relu", 0.0, 0.0),
    "relu6": ("Relu6", 0.0, 0.0),
    "selu": ("Selu", 0.0, 0.0),
    "sigmoid": ("Sigmoid", 0.0, 0.0),
    "silu": ("Swish", 0.0, 0.0),
    "softplus": ("Softplus", 0.0, 0.0),
    "softsign": ("Softsign", 0.0, 0.0),
    "tanh": ("Tanh", 0.0, 0.0),
}
"""Keras's name to the name, alpha and beta in a recurrent operator's lists; hard_sigmoid is in `recurrent`."""


def hard_sigmoid_slope(legacy: bool) -> float:
    """The slope of hard_sigmoid: 0.2 in Keras 1 and 2, 1/6 in Keras 3."""
    return 0.2 if legacy else 1.0 / 6.0


def canonical(name: str | None) -> str:
    """One name for each function."""
    return ALIASES.get(name, name or "linear")


def is_known(name: str | None) -> bool:
    """Whether `apply` has that function."""
    return canonical(name) in _NODES


def is_recurrent(name: str | None) -> bool:
    """Whether a recurrent layer can have that function inside."""
    return canonical(name) in RECURRENT or canonical(name) == "hard_sigmoid"


def recurrent(name: str | None, legacy: bool) -> tuple[str, float, float]:
    """Name, alpha and beta for the `activations` of a recurrent operator.

    Raises
    ------
    UnsupportedModelError
        The function works on more than one element at a time, or is not known.
    """
    name = canonical(name)
    if name == "hard_sigmoid":
        return "HardSigmoid", hard_sigmoid_slope(legacy), 0.5
    if name not in RECURRENT:
        raise UnsupportedModelError("layer", [f"activation {name!r} cannot be used inside a recurrent layer"])
    return RECURRENT[name]


def apply(b: GraphBuilder, x: Tensor, name: str | None) -> Tensor:
    """Nodes for `name(x)`; shape, dtype and mask stay.

    Raises
    ------
    UnsupportedModelError
        The function is not known.
    """
    name = canonical(name)
    if name == "linear":
        return x
    if name not in _NODES:
        raise UnsupportedModelError("layer", [f"{b.where()}: activation {name!r} is not known to rnnrt"])
    if x.dtype.kind != "f":
        x = b.cast(x, np.dtype(np.float32)).with_mask(x.mask)
    return _NODES[name](b, x).with_mask(x.mask)


def _plain(op: str, **attrs: Any) -> Callable[[GraphBuilder, Tensor], Tensor]:
    return lambda b, x: b.op(op, [x], x.shape, **attrs)


def clip(b: GraphBuilder, x: Tensor, low: float | None, high: float | None) -> Tensor:
    """`x` within bounds."""
    bounds = ["" if v is None else b.scalar(v, x.dtype) for v in (low, high)]
    return b.op("Clip", [x, *bounds], x.shape)


def binary(b: GraphBuilder, op: str, x: Tensor, y: Tensor | float) -> Tensor:
    """An elementwise operation with a tensor of the same shape or a number."""
    return b.op(op, [x, y if isinstance(y, Tensor) else b.scalar(y, x.dtype)], x.shape)


def _relu(b: GraphBuilder, x: Tensor) -> Tensor:
    return b.op("Relu", [x], x.shape)


def _hard_sigmoid(b: GraphBuilder, x: Tensor) -> Tensor:
    return b.op("HardSigmoid", [x], x.shape, alpha=hard_sigmoid_slope(b.legacy), beta=0.5)


def _silu(b: GraphBuilder, x: Tensor) -> Tensor:
    return binary(b, "Mul", x, b.op("Sigmoid", [x], x.shape))


def _log_sigmoid(b: GraphBuilder, x: Tensor) -> Tensor:
    return b.op("Neg", [b.op("Softplus", [b.op("Neg", [x], x.shape)], x.shape)], x.shape)


def _tanh_shrink(b: GraphBuilder, x: Tensor) -> Tensor:
    return binary(b, "Sub", x, b.op("Tanh", [x], x.shape))


def _soft_shrink(b: GraphBuilder, x: Tensor) -> Tensor:
    return binary(b, "Sub", x, clip(b, x, -0.5, 0.5))


def _squareplus(b: GraphBuilder, x: Tensor) -> Tensor:
    root = b.op("Sqrt", [binary(b, "Add", binary(b, "Mul", x, x), 4.0)], x.shape)
    return binary(b, "Mul", binary(b, "Add", x, root), 0.5)


_NODES: dict[str, Callable[[GraphBuilder, Tensor], Tensor]] = {
    "linear": lambda b, x: x,
    "celu": _plain("Elu", alpha=1.0),
    "elu": _plain("Elu", alpha=1.0),
    "exponential": _plain("Exp"),
    "gelu": _plain("Gelu", approximate="none"),
    "gelu_tanh": _plain("Gelu", approximate="tanh"),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _plain("HardSwish"),
    "hard_tanh": lambda b, x: clip(b, x, -1.0, 1.0),
    "leaky_relu": _plain("LeakyRelu", alpha=0.2),
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _plain("LogSoftmax", axis=-1),
    "mish": _plain("Mish"),
    "relu": _relu,
    "relu6": lambda b, x: clip(b, x, 0.0, 6.0),
    "selu": _plain("Selu"),
    "sigmoid": _plain("Sigmoid"),
    "silu": _silu,
    "soft_shrink": _soft_shrink,
    "softmax": _plain("Softmax", axis=-1),
    "softplus": _plain("Softplus"),
    "softsign": _plain("Softsign"),
    "squareplus": _squareplus,
    "tanh": _plain("Tanh"),
    "tanh_shrink": _tanh_shrink,
}
