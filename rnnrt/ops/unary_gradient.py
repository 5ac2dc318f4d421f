"""Derivatives of the functions of one argument, and the operator that applies them.

Where the derivative is cheaper from the result than from the argument (sigmoid: y (1 - y)), the operator reads the
result; `FROM_RESULT` says which. At a kink: Abs has 0; Relu, LeakyRelu and ThresholdedRelu have what holds to the left,
Elu and its kin what holds to the right; HardSigmoid has 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.activations import erf, sigmoid, softplus
from rnnrt.ops.base import REQUIRED, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present, same_dtype, size_of

Array = Any

_GELU_SLOPE = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


def _gelu(x: Array, p: float, q: float) -> Array:
    return 0.5 * (1 + erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _gelu_tanh(x: Array, p: float, q: float) -> Array:
    t = np.tanh(_GELU_SLOPE * (x + _GELU_CUBIC * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _GELU_SLOPE * (1 + 3 * _GELU_CUBIC * x * x)


def _mish(x: Array, p: float, q: float) -> Array:
    t = np.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


DERIVATIVES: dict[str, Callable[[Array, float, float], Array]] = {
    "Sqrt": lambda y, p, q: 0.5 / y,
    "Log": lambda x, p, q: 1 / x,
    "Exp": lambda y, p, q: y,
    "Sigmoid": lambda y, p, q: y * (1 - y),
    "Tanh": lambda y, p, q: 1 - y * y,
    "Erf": lambda x, p, q: (2 / math.sqrt(math.pi)) * np.exp(-x * x),
    "Elu": lambda x, p, q: np.where(x < 0, p * np.exp(np.minimum(x, 0)), 1),
    "LeakyRelu": lambda x, p, q: np.where(x > 0, 1, p),
    "Softsign": lambda x, p, q: 1 / ((1 + np.abs(x)) * (1 + np.abs(x))),
    "Softplus": lambda x, p, q: sigmoid(x),
    "HardSigmoid": lambda y, p, q: np.where((y > 0) & (y < 1), p, 0),
    "Gelu": _gelu,
    "GeluTanh": _gelu_tanh,
    "Reciprocal": lambda y, p, q: -y * y,
    "Selu": lambda x, p, q: q * np.where(x < 0, p * np.exp(np.minimum(x, 0)), 1),
    "ThresholdedRelu": lambda x, p, q: np.where(x > p, 1, 0),
    "HardSwish": lambda x, p, q: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    "Celu": lambda x, p, q: np.where(x < 0, np.exp(np.minimum(x, 0) / p), 1),
    "Mish": _mish,
    "Sin": lambda x, p, q: np.cos(x),
    "Cos": lambda x, p, q: -np.sin(x),
    "Tan": lambda y, p, q: 1 + y * y,
    "Asin": lambda x, p, q: 1 / np.sqrt((1 - x) * (1 + x)),
    "Acos": lambda x, p, q: -1 / np.sqrt((1 - x) * (1 + x)),
    "Atan": lambda x, p, q: 1 / (1 + x * x),
    "Sinh": lambda x, p, q: np.cosh(x),
    "Cosh": lambda x, p, q: np.sinh(x),
    "Asinh": lambda x, p, q: 1 / np.sqrt(1 + x * x),
    "Acosh": lambda x, p, q: 1 / np.sqrt((x - 1) * (x + 1)),
    "Atanh": lambda x, p, q: 1 / ((1 - x) * (1 + x)),
    "Abs": lambda x, p, q: np.sign(x),
    "Relu": lambda y, p, q: np.where(y > 0, 1, 0),
}
"""Derivative by name, of the argument or the result and two parameters; the order is that of the kernel's cases."""

FROM_RESULT = frozenset({"Sqrt", "Exp", "Sigmoid", "Tanh", "HardSigmoid", "Reciprocal", "Tan", "Relu"})

OPCODES = {name: number for number, name in enumerate(DERIVATIVES)}


def unary_rule(node: Node, grads: Sequence[str], b: GradientContext, parameters: Mapping[str, Any]) -> list[str]:
    """The backward rule of every elementwise operator of one input; nothing flows through steps such as Floor."""
    if node.op == "Neg":
        return [b.op("Neg", [grads[0]])]
    name = "GeluTanh" if parameters.get("approximate") == "tanh" else node.op
    if name not in DERIVATIVES:
        return []
    numbers = [float(v) for v in parameters.values() if not isinstance(v, str)]
    extra = dict(zip(("p", "q"), numbers, strict=False))
    value = node.outputs[0] if name in FROM_RESULT else node.inputs[0]
    return [b.op("UnaryGradient", [grads[0], value], function=name, **extra)]


@register
class UnaryGradient(Operator):
    """Input 0 times the derivative of `function`, taken from its argument or its result in input 1."""

    name = "UnaryGradient"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {"function": REQUIRED, "p": 0.0, "q": 0.0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        g, v = present(node, inputs), present(node, inputs, 1)
        return [TensorSpec(same_dtype(node, [g, v]), g.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        g, v = (np.asarray(x) for x in inputs)
        function = DERIVATIVES[node.attrs["function"]]
        with np.errstate(all="ignore"):
            out = g * function(v, float(cls.attr(node, "p")), float(cls.attr(node, "q")))
        return [np.asarray(out).astype(g.dtype, copy=False)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        if outputs[0].dtype not in (np.float32, np.float64):
            return None
        numbers = (float(cls.attr(node, "p")), float(cls.attr(node, "q")))
        return [KernelCall("unary_gradient", (0, 1), ints=(OPCODES[node.attrs["function"]],), floats=numbers)]

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return 2 * size_of(outputs[0])
