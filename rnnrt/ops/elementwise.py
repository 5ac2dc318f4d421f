"""Elementwise operators: one row of a table each; the classes below give rows their shape rule and kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.ir import Node
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import broadcast_shapes, present, same_dtype, size_of
from rnnrt.ops.elementwise_gradients import elementwise_rule
from rnnrt.ops.unary_gradient import unary_rule

Array = Any
BOOL = np.dtype(np.bool_)
NATIVE = {np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64)}
"""Dtypes the arithmetic kernels take."""


class Elementwise(Operator):
    """Base: output shape is the broadcast of all inputs, output dtype theirs or bool."""

    function: ClassVar[Callable[..., Array]]
    to_bool: ClassVar[bool] = False
    float_only: ClassVar[bool] = False

    @classmethod
    def out_dtype(cls, node: Node, specs: Sequence[TensorSpec]) -> np.dtype:
        """Result dtype. Raises `ShapeError` for dtypes the operator does not take."""
        dtype = same_dtype(node, specs)
        if cls.float_only and dtype.kind != "f":
            raise ShapeError(f"{node.label()}: takes floating point inputs, not {dtype}; cast them first")
        return BOOL if cls.to_bool else dtype

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        specs = [s for s in inputs if s is not None]
        present(node, inputs)
        return [TensorSpec(cls.out_dtype(node, specs), broadcast_shapes(node, [s.shape for s in specs]))]

    @classmethod
    def parameters(cls, node: Node) -> dict[str, Any]:
        """Attributes by name, defaults filled in."""
        return {key: cls.attr(node, key) for key in cls.attributes}

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        arrays = [x for x in inputs if x is not None]
        with np.errstate(all="ignore"):
            out = np.asarray(cls.function(*arrays, **cls.parameters(node)))
        return [out.astype(BOOL if cls.to_bool else arrays[0].dtype, copy=False)]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return elementwise_rule(node, grads, b)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return size_of(outputs[0]) if outputs else 0


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _erf(x: Array) -> Array:
    x = np.asarray(x)
    return np.fromiter((math.erf(v) for v in x.ravel().tolist()), np.float64, x.size).reshape(x.shape).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, _scalar(alpha, x) * np.expm1(np.minimum(x, 0)), x)


def _celu(x: Array, alpha: float) -> Array:
    a = _scalar(alpha, x)
    return np.maximum(x, 0) + np.minimum(0, a * np.expm1(np.minimum(x, 0) / a))


def _selu(x: Array, alpha: float, gamma: float) -> Array:
    return _scalar(gamma, x) * _elu(x, alpha)


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        cubic = x + _scalar(0.044715, x) * x * x * x
        return _scalar(0.5, x) * x * (1 + np.tanh(_scalar(math.sqrt(2 / math.pi), x) * cubic))
    return _scalar(0.5, x) * x * (1 + _erf(x * _scalar(math.sqrt(0.5), x)))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(_scalar(alpha, x) * x + _scalar(beta, x), 0, 1)


def _is_inf(x: Array, detect_negative: int, detect_positive: int) -> Array:
    return (np.isposinf(x) & bool(detect_positive)) | (np.isneginf(x) & bool(detect_negative))


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    if np.any(b == 0):
        raise RnnrtError("Div: integer division by zero; guard the divisor")
    quotient = a // b
    return quotient + ((quotient < 0) & (quotient * b != a))


def _mod(a: Array, b: Array, fmod: int) -> Array:
    if a.dtype.kind != "f" and np.any(b == 0):
        raise RnnrtError("Mod: integer modulus by zero; guard the divisor")
    return np.fmod(a, b) if fmod else np.mod(a, b)


def _scalar(value: float, like: Array) -> Any:
    return np.asarray(like).dtype.type(value)


def _define(base: type[Elementwise], name: str, function: Callable[..., Array], **fields: Any) -> None:
    count = {"min_inputs": 2, "max_inputs": 2} if base is Binary else {}
    body = {"__doc__": f"ONNX {name}.", "name": name, "function": staticmethod(function)}
    register(type(name, (base,), {**body, **count, **fields}))


UNARY_OPCODES = {
    name: number
    for number, name in enumerate(
        "Sqrt Log Exp Sigmoid Tanh Erf Elu LeakyRelu Softsign Softplus HardSigmoid Gelu GeluTanh Reciprocal Floor Ceil "
        "Round Selu ThresholdedRelu HardSwish Celu Mish Sin Cos Neg Abs Relu Sign "
        "Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh".split()
    )
}
_TESTS = ("Not", "IsNaN", "IsInf")
"""What the kernel "test" knows, in the order of its numbers."""

COMPARE_OPCODES = {
    name: number for number, name in enumerate("Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor".split())
}
_COMPARABLE = {*NATIVE, BOOL, np.dtype(np.uint8)}
BINARY_OPCODES = {name: number for number, name in enumerate("Add Sub Mul Div Min Max PRelu".split())}


class Unary(Elementwise):
    """One input; the floats of the kernel call are the numeric attributes in order of the table."""

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        parameters, dtype = cls.parameters(node), present(node, inputs).dtype
        if cls.name in _TESTS:
            which = sum(bit for bit, key in ((1, "detect_negative"), (2, "detect_positive")) if parameters.get(key))
            native = dtype == BOOL or (dtype.kind == "f" and dtype in NATIVE)
            return [KernelCall("test", (0,), ints=(_TESTS.index(cls.name), which))] if native else None
        key = "GeluTanh" if parameters.get("approximate") == "tanh" else cls.name
        if key not in UNARY_OPCODES or dtype not in NATIVE:
            return None
        floats = tuple(float(v) for v in parameters.values() if not isinstance(v, str))
        return [KernelCall("unary", (0,), ints=(UNARY_OPCODES[key],), floats=floats)]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return unary_rule(node, grads, b, cls.parameters(node))


class Binary(Elementwise):
    """Two inputs of one dtype."""

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        dtype = outputs[0].dtype
        if cls.name in COMPARE_OPCODES:
            native = present(node, inputs).dtype in ((BOOL,) if cls.name in ("And", "Or", "Xor") else _COMPARABLE)
            return [KernelCall("compare", (0, 1), ints=(COMPARE_OPCODES[cls.name],))] if native else None
        if dtype in NATIVE and (cls.name == "Mod" or (cls.name == "Div" and dtype.kind == "i")):
            return [KernelCall("divide", (0, 1), ints=(1 + bool(cls.attr(node, "fmod")) if cls.name == "Mod" else 0,))]
        float_only = cls.name in ("Div", "PRelu")
        if cls.name not in BINARY_OPCODES or dtype not in NATIVE or (float_only and dtype.kind != "f"):
            return None
        return [KernelCall("binary", (0, 1), ints=(BINARY_OPCODES[cls.name],))]


FLOAT_UNARY: dict[str, tuple[Callable[..., Array], Mapping[str, Any]]] = {
    "Sqrt": (np.sqrt, {}),
    "Log": (np.log, {}),
    "Exp": (np.exp, {}),
    "Sigmoid": (_sigmoid, {}),
    "Tanh": (np.tanh, {}),
    "Erf": (_erf, {}),
    "Elu": (_elu, {"alpha": 1.0}),
    "LeakyRelu": (lambda x, alpha: np.where(x < 0, _scalar(alpha, x) * x, x), {"alpha": 0.01}),
    "Softsign": (lambda x: x / (1 + np.abs(x)), {}),
    "Softplus": (_softplus, {}),
    "HardSigmoid": (_hard_sigmoid, {"alpha": 0.2, "beta": 0.5}),
    "Gelu": (_gelu, {"approximate": "none"}),
    "Reciprocal": (lambda x: 1 / x, {}),
    "Floor": (np.floor, {}),
    "Ceil": (np.ceil, {}),
    "Round": (np.rint, {}),
    "Selu": (_selu, {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}),
    "ThresholdedRelu": (lambda x, alpha: np.where((x > alpha) | np.isnan(x), x, 0), {"alpha": 1.0}),
    "HardSwish": (lambda x: x * np.clip(x / 6 + _scalar(0.5, x), 0, 1), {}),
    "Celu": (_celu, {"alpha": 1.0}),
    "Mish": (lambda x: x * np.tanh(_softplus(x)), {}),
    "Sin": (np.sin, {}),
    "Cos": (np.cos, {}),
    "Tan": (np.tan, {}),
    "Asin": (np.arcsin, {}),
    "Acos": (np.arccos, {}),
    "Atan": (np.arctan, {}),
    "Sinh": (np.sinh, {}),
    "Cosh": (np.cosh, {}),
    "Asinh": (np.arcsinh, {}),
    "Acosh": (np.arccosh, {}),
    "Atanh": (np.arctanh, {}),
}
for _name, (_function, _attributes) in FLOAT_UNARY.items():
    _define(Unary, _name, _function, attributes=_attributes, float_only=True)

_define(Unary, "Neg", np.negative)
_define(Unary, "Abs", np.abs)
_define(Unary, "Relu", lambda x: np.maximum(x, 0))
_define(Unary, "Sign", np.sign)
_define(Unary, "Not", np.logical_not, to_bool=True)
_define(Unary, "IsNaN", np.isnan, to_bool=True, float_only=True)
_define(Unary, "IsInf", _is_inf, to_bool=True, float_only=True, attributes={"detect_negative": 1, "detect_positive": 1})

_define(Binary, "Add", np.add)
_define(Binary, "Sub", np.subtract)
_define(Binary, "Mul", np.multiply)
_define(Binary, "Div", _divide)
_define(Binary, "Mod", _mod, attributes={"fmod": 0})
_define(Binary, "PRelu", lambda x, slope: np.where(x < 0, slope * x, x))
for _name, _function in {
    "Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal, "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
}.items():  # fmt: skip
    _define(Binary, _name, _function, to_bool=True)


class Variadic(Elementwise):
    """Any number of inputs, folded from the left."""

    max_inputs = None

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        opcode = BINARY_OPCODES["Add" if cls.name in ("Sum", "Mean") else cls.name]
        if outputs[0].dtype not in NATIVE:
            return None
        if len(inputs) == 1:
            return [KernelCall("alias", (0,))]
        return [KernelCall("variadic", tuple(range(len(inputs))), ints=(opcode, int(cls.name == "Mean")))]


_define(Variadic, "Min", lambda *xs: reduce(np.minimum, xs))
_define(Variadic, "Max", lambda *xs: reduce(np.maximum, xs))
_define(Variadic, "Sum", lambda *xs: reduce(np.add, xs))
_define(Variadic, "Mean", lambda *xs: reduce(np.add, xs) / _scalar(len(xs), xs[0]), float_only=True)
