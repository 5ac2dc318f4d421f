"""ONNX operators that are others put together: rules that emit those, which have kernels and gradients already.

The compositions are those of the operators' texts in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops import TensorSpec
from rnnrt.ops.quantize import DequantizeLinear

if TYPE_CHECKING:
    from rnnrt.formats.onnx_upgrade import Emitter, RawNode, Rule

_FLOAT, _UINT8, _INT32, _DOUBLE = 1, 2, 6, 11
_HALF_TYPES = (10, 16)
_MVN_EPSILON = 1e-9


class _Chain:
    """Nodes in the place of one; methods return the names of what they make."""

    def __init__(self, node: RawNode, to: Emitter) -> None:
        self.node, self.to = node, to
        self.x = node.input(0)
        self.base = next((o for o in node.outputs if o), node.op)

    def op(self, op: str, *inputs: str, result: str = "", **attrs: Any) -> str:
        """Add a node; `result` names its output."""
        name = result or self.to.fresh(f"{self.base}.{op}")
        self.to.emit(op, list(inputs), [name], **attrs)
        return name

    def number(self, value: float, like: str) -> str:
        """A scalar in the dtype of another value."""
        return self.op("CastLike", self.to.constant(np.array(value, np.float64), f"{self.base}.number"), like)

    def fixed(self, value: Any, dtype: Any) -> str:
        """A constant."""
        return self.to.constant(np.asarray(value, dtype), f"{self.base}.constant")

    def double(self, name: str) -> str:
        """A value in float64, in which sums of products of 8-bit integers are exact."""
        return self.op("Cast", name, to=_DOUBLE)

    def attr(self, key: str, default: Any) -> Any:
        """An attribute that the rule understands; what is left over at the end is refused."""
        return self.node.attrs.pop(key, default)

    @property
    def out(self) -> str:
        """The name of the node's first output."""
        return self.node.outputs[0]


def _swish(c: _Chain, opset: int, x: str = "", result: str = "") -> str:
    alpha, x = c.attr("alpha", 1.0), x or c.x
    scaled = x if alpha == 1.0 else c.op("Mul", x, c.number(alpha, x))
    return c.op("Mul", x, c.op("Sigmoid", scaled), result=result or c.out)


def _swiglu(c: _Chain, opset: int) -> None:
    gate = _swish(c, opset, c.x, c.to.fresh(f"{c.base}.gate"))
    c.op("Mul", gate, c.node.input(1), result=c.out)


def _rms(c: _Chain, opset: int) -> None:
    axis, epsilon = c.attr("axis", -1), c.attr("epsilon", 1e-5)
    c.attr("stash_type", 1)
    # The rank becomes a constant once types are known, and the axes with it.
    end = c.op("Size", c.op("Shape", c.x)) if axis >= 0 else c.fixed(0, np.int64)
    axes = c.op("Range", c.fixed(axis, np.int64), end, c.fixed(1, np.int64))
    mean = c.op("ReduceMean", c.op("Mul", c.x, c.x), axes, keepdims=1)
    root = c.op("Sqrt", c.op("Add", mean, c.number(epsilon, c.x)))
    c.op("Mul", c.op("Div", c.x, root), c.node.input(1), result=c.out)


def _lp_norm(c: _Chain, opset: int) -> None:
    p = c.attr("p", 2)
    if p not in (1, 2):
        c.to.refuse(f"attribute p={p}: only 1 and 2 are defined")
        return
    norm = c.op(f"ReduceL{p}", c.x, c.fixed([c.attr("axis", -1)], np.int64), keepdims=1)
    empty = c.op("Equal", norm, c.number(0, c.x))
    c.op("Div", c.x, c.op("Where", empty, c.number(1, c.x), norm), result=c.out)


def _mean_variance(c: _Chain, opset: int) -> None:
    axes = c.fixed(c.attr("axes", (0, 2, 3)), np.int64)
    centred = c.op("Sub", c.x, c.op("ReduceMean", c.x, axes, keepdims=1))
    variance = c.op("ReduceMean", c.op("Mul", centred, centred), axes, keepdims=1)
    spread = c.op("Add", c.op("Sqrt", variance), c.number(_MVN_EPSILON, c.x))
    c.op("Div", centred, spread, result=c.out)


def _shrink(c: _Chain, opset: int) -> None:
    limit, bias = c.attr("lambd", 0.5), c.number(c.attr("bias", 0.0), c.x)
    above = c.op("Where", c.op("Greater", c.x, c.number(limit, c.x)), c.op("Sub", c.x, bias), c.number(0, c.x))
    below = c.op("Less", c.x, c.number(-limit, c.x))
    c.op("Where", below, c.op("Add", c.x, bias), above, result=c.out)


def _hardmax(c: _Chain, opset: int) -> None:
    """1 at the first maximum. Before opset 13 the axes from `axis` on were one."""
    axis = c.attr("axis", -1 if opset >= 13 else 1)
    x = c.x if opset >= 13 else c.op("Flatten", c.x, axis=axis)
    axis = axis if opset >= 13 else -1
    extent = c.op("Gather", c.op("Shape", x), c.fixed(axis, np.int64), axis=0)
    place = c.op("ArgMax", x, axis=axis, keepdims=0)
    values = c.op("CastLike", c.fixed([0, 1], np.float64), x)
    if opset >= 13:
        c.op("OneHot", place, extent, values, result=c.out, axis=axis)
        return
    c.op("Reshape", c.op("OneHot", place, extent, values, axis=-1), c.op("Shape", c.x), result=c.out)


def _global_lp_pool(c: _Chain, opset: int) -> None:
    """The p-norm over all axes behind the second: over the last axis of a view (N, C, all of them)."""
    p = c.attr("p", 2)
    flat = c.op("Reshape", c.x, c.fixed([0, 0, -1], np.int64))
    last = c.fixed([-1], np.int64)
    if p in (1, 2):
        norm = c.op(f"ReduceL{p}", flat, last, keepdims=1)
    else:
        powers = c.op("Pow", c.op("Abs", flat), c.number(p, c.x))
        norm = c.op("Pow", c.op("ReduceSum", powers, last, keepdims=1), c.number(1 / p, c.x))
    shape = c.op("Shape", c.x)
    lead = c.op("Slice", shape, c.fixed([0], np.int64), c.fixed([2], np.int64))
    rest = c.op("Slice", shape, c.fixed([2], np.int64), c.fixed([2**31 - 1], np.int64))
    ones = c.op("Min", rest, c.fixed([1], np.int64))
    c.op("Reshape", norm, c.op("Concat", lead, ones, axis=0), result=c.out)


def _lp_pool(c: _Chain, opset: int) -> None:
    """The p-norm of each window: its mean with padding counted, times its size, of p-th powers."""
    p, kernel = c.attr("p", 2), c.node.attrs.get("kernel_shape", ())
    if c.node.attrs.get("ceil_mode", 0):
        c.to.refuse("attribute ceil_mode=1 is not supported; pad the input instead")
    attrs, c.node.attrs = c.node.attrs, {}
    mean = c.op("AveragePool", c.op("Pow", c.op("Abs", c.x), c.number(p, c.x)), count_include_pad=1, **attrs)
    total = c.op("Mul", mean, c.number(float(np.prod(kernel)), c.x))
    c.op("Pow", total, c.number(1 / p, c.x), result=c.out)


def _dynamic_quantize(c: _Chain, opset: int) -> None:
    """y, its scale, and its zero point, so that 0 and the range of x fit into uint8."""
    zero, most = (c.fixed(v, np.float32) for v in (0, 255))
    outputs = [name or c.to.fresh(c.base) for name in [*c.node.outputs, "", ""][:3]]
    low = c.op("Min", c.op("ReduceMin", c.x, keepdims=0), zero)
    high = c.op("Max", c.op("ReduceMax", c.x, keepdims=0), zero)
    width = c.op("Div", c.op("Sub", high, low), most)
    # Of zeros alone the formula makes 0 / 0; onnxruntime takes 1.
    scale = c.op("Where", c.op("Equal", width, zero), c.fixed(1, np.float32), width, result=outputs[1])
    point = c.op("Round", c.op("Clip", c.op("Sub", zero, c.op("Div", low, scale)), zero, most))
    c.op("Cast", point, result=outputs[2], to=_UINT8)
    steps = c.op("Add", c.op("Round", c.op("Div", c.x, scale)), point)
    c.op("Cast", c.op("Clip", steps, zero, most), result=outputs[0], to=_UINT8)


def _from_zero(c: _Chain, x: str, point: str, column: bool) -> str:
    """Integers less their zero point, in float64. A list of points has one for each column, or with `column` row."""
    wide = c.double(x)
    if not point:
        return wide
    value = c.to.value_of(point)
    if value is not None and value.size == 1:
        return c.op("Sub", wide, c.fixed(value.reshape(()), np.float64))
    if column and (value is None or value.ndim == 1):
        return c.op("Sub", wide, c.op("Reshape", c.double(point), c.fixed([-1, 1], np.int64)))
    return c.op("Sub", wide, c.double(point))


def _matmul_integer(c: _Chain, opset: int) -> None:
    a = _from_zero(c, c.x, c.node.input(2), column=True)
    b = _from_zero(c, c.node.input(1), c.node.input(3), column=False)
    c.op("Cast", c.op("MatMul", a, b), result=c.out, to=_INT32)


def _conv_integer(c: _Chain, opset: int) -> None:
    """Zero points are one number, or for w one for each output channel."""
    x, w = _from_zero(c, c.x, c.node.input(2), column=False), c.double(c.node.input(1))
    if c.node.input(3):
        rest = c.op("Slice", c.op("Shape", w), c.fixed([1], np.int64), c.fixed([2**31 - 1], np.int64))
        ones = c.op("Min", rest, c.fixed([1], np.int64))
        shape = c.op("Concat", c.fixed([-1], np.int64), ones, axis=0)
        w = c.op("Sub", w, c.op("Reshape", c.double(c.node.input(3)), shape))
    attrs, c.node.attrs = c.node.attrs, {}
    c.op("Cast", c.op("Conv", x, w, **attrs), result=c.out, to=_INT32)


def _qlinear_matmul(c: _Chain, opset: int) -> None:
    """a, its scale and zero point, b likewise, then the result's: products and scales in float64."""
    a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (c.node.input(k) for k in range(1, 8))
    product = c.op("MatMul", _from_zero(c, c.x, a_zero, column=True), _from_zero(c, b, b_zero, column=False))
    rows = c.op("Reshape", c.double(a_scale), c.fixed([-1, 1], np.int64))
    scaled = c.op("Mul", c.op("Mul", product, rows), c.double(b_scale))
    c.op("QuantizeLinear", c.op("CastLike", scaled, y_scale), y_scale, y_zero, result=c.out)


def _whole(rule: Callable[[_Chain, int], Any]) -> Rule:
    """A rule that refuses the attributes that `rule` has not taken."""

    def checked(node: RawNode, opset: int, to: Emitter) -> None:
        chain = _Chain(node, to)
        rule(chain, opset)
        for key, value in node.attrs.items():
            to.refuse(f"attribute {key}={value!r:.60} is not known; export the model without it")

    return checked


COMPOSED = {
    "Swish": _whole(_swish),
    "SwiGLU": _whole(_swiglu),
    "RMSNormalization": _whole(_rms),
    "LpNormalization": _whole(_lp_norm),
    "MeanVarianceNormalization": _whole(_mean_variance),
    "Shrink": _whole(_shrink),
    "Hardmax": _whole(_hardmax),
    "GlobalLpPool": _whole(_global_lp_pool),
    "LpPool": _whole(_lp_pool),
    "DynamicQuantizeLinear": _whole(_dynamic_quantize),
    "MatMulInteger": _whole(_matmul_integer),
    "ConvInteger": _whole(_conv_integer),
    "QLinearMatMul": _whole(_qlinear_matmul),
}
"""Rule by operator."""


def _widen(node: RawNode, keys: Sequence[str]) -> None:
    """float32 for half precision in attributes that number a type."""
    for key in keys:
        if node.attrs.get(key) in _HALF_TYPES:
            node.attrs[key] = _FLOAT


def half_types(*keys: str) -> Rule:
    """A rule that keeps the node, with float32 for half precision in attributes that number a type."""

    def rule(node: RawNode, opset: int, to: Emitter) -> None:
        _widen(node, keys)
        to.emit(node.op, node.inputs, node.outputs, **node.attrs)

    return rule


def dequantize(node: RawNode, opset: int, to: Emitter) -> None:
    """Quantised weights become floats at once, however large they are, so that they are packed as any others."""
    _widen(node, ["output_dtype"])
    values = [to.value_of(name) if name else None for name in node.inputs]
    known = all(value is not None or not name for name, value in zip(node.inputs, values, strict=True))
    if not known or not set(node.attrs) <= set(DequantizeLinear.attributes):
        to.emit(node.op, node.inputs, node.outputs, **node.attrs)
        return
    made = Node(node.op, tuple(node.inputs), tuple(node.outputs), node.attrs, node.name)
    DequantizeLinear.infer(made, [None if v is None else TensorSpec(v.dtype, v.shape, v) for v in values])
    to.emit("Constant", [], node.outputs, value=DequantizeLinear.reference(made, values)[0])


def dft(node: RawNode, opset: int, to: Emitter) -> None:
    """Before opset 20 the axis was an attribute, 1 by default."""
    if opset < 20:
        axis = to.constant(np.array(node.attrs.pop("axis", 1), np.int64), f"{node.outputs[0]}.axis")
        node.inputs = [node.inputs[0], node.input(1), axis]
    to.emit(node.op, node.inputs, node.outputs, **node.attrs)


def refuse(why: str) -> Rule:
    """A rule for an operator that is understood and not run."""

    def rule(node: RawNode, opset: int, to: Emitter) -> None:
        to.refuse(why)

    return rule
