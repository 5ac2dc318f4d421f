"""Linear quantisation: floats as small integers with a scale and a zero point, and back.

A scale (and a zero point of its shape) is a scalar, or 1-D with an entry for each index of `axis`, or of the data's
rank with an entry for each block of `block_size` indices along `axis`. 4-bit and 2-bit integers are held as 8-bit ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.base import Flat, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present
from rnnrt.ops.cast import CAST_TARGETS

QUANTISED = {np.dtype(t) for t in (np.uint8, np.int8, np.uint16, np.int16)}
"""Dtypes that floats are quantised to."""


def spread(node: Node, parameter: np.ndarray, shape: tuple[int, ...], axis: int, block_size: int) -> np.ndarray:
    """A scale or zero point in a shape that broadcasts to `shape`.

    Raises
    ------
    ShapeError
        It is none of: a scalar, one entry for each index of the axis, one for each block.
    """
    if parameter.size == 1 and not block_size:
        return parameter.reshape(())
    at = normalise_axis(node, axis, len(shape))
    if block_size:
        blocks = (*shape[:at], -(-shape[at] // block_size), *shape[at + 1 :])
        if block_size < 0 or parameter.shape != blocks:
            raise ShapeError(
                f"{node.label()}: scale or zero point of shape {parameter.shape}; data of shape {shape} has {blocks} "
                f"blocks of {block_size} along axis {at}"
            )
        return np.take(np.repeat(parameter, block_size, at), np.arange(shape[at]), at)
    if parameter.shape != (shape[at],):
        raise ShapeError(
            f"{node.label()}: scale or zero point of shape {parameter.shape}; one value or {shape[at]} values, "
            f"for axis {at} of data of shape {shape}, are needed"
        )
    return parameter.reshape(*(-1 if k == at else 1 for k in range(len(shape))))


@register
class DequantizeLinear(Operator):
    """ONNX DequantizeLinear: (x - zero point) * scale, in the scale's dtype or the one numbered `output_dtype`."""

    name = "DequantizeLinear"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": 1, "block_size": 0, "output_dtype": 0}
    min_inputs = 2
    max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, scale = present(node, inputs), present(node, inputs, 1)
        zero = inputs[2] if len(inputs) > 2 else None
        if x.dtype.kind not in "iu" or scale.dtype.kind != "f":
            raise ShapeError(f"{node.label()}: takes integers and a scale of floats, not {x.dtype} and {scale.dtype}")
        if zero is not None and zero.dtype != x.dtype:
            raise ShapeError(f"{node.label()}: the zero point is {zero.dtype}, x is {x.dtype}; make them one")
        return [TensorSpec(_float_type(node, cls.attr(node, "output_dtype")) or scale.dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, scale, zero = (*(None if a is None else np.asarray(a) for a in inputs), None)[:3]
        assert x is not None and scale is not None
        how = x.shape, cls.attr(node, "axis"), cls.attr(node, "block_size")
        whole = x.astype(np.int64)
        if zero is not None:
            if zero.shape != scale.shape:
                raise ShapeError(f"{node.label()}: scale {scale.shape} and zero point {zero.shape} differ in shape")
            whole = whole - spread(node, zero, *how).astype(np.int64)
        dtype = _float_type(node, cls.attr(node, "output_dtype")) or scale.dtype
        return [np.asarray(whole.astype(dtype) * spread(node, scale, *how).astype(dtype))]


@register
class QuantizeLinear(Flat):
    """ONNX QuantizeLinear: round(x / scale) + zero point, halves to even, kept within the zero point's dtype.

    Without a zero point the dtype is the one numbered `output_dtype`, uint8 by default. `precision` is the dtype of
    the division, the scale's by default.
    """

    name = "QuantizeLinear"
    attributes: ClassVar[Mapping[str, Any]] = {
        "axis": 1,
        "block_size": 0,
        "output_dtype": 0,
        "precision": 0,
        "saturate": 1,
    }
    min_inputs = 2
    max_inputs = 3

    @classmethod
    def dtype(cls, node: Node, zero: Any) -> np.dtype:
        """The result's dtype; `zero` is the zero point, as array or spec, or None."""
        number = cls.attr(node, "output_dtype")
        asked = np.dtype(CAST_TARGETS.get(number, np.void)) if number else None
        found: np.dtype = zero.dtype if zero is not None else asked or np.dtype(np.uint8)
        if found not in QUANTISED or (asked is not None and asked != found):
            raise ShapeError(
                f"{node.label()}: quantises to {found}, output_dtype is {number}; take 8 or 16 bits, the same in both"
            )
        return found

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, scale = present(node, inputs), present(node, inputs, 1)
        if x.dtype.kind not in "fi" or scale.dtype.kind != "f":
            raise ShapeError(f"{node.label()}: takes floats and a scale of floats, not {x.dtype} and {scale.dtype}")
        return [TensorSpec(cls.dtype(node, inputs[2] if len(inputs) > 2 else None), x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, scale, zero = (*(None if a is None else np.asarray(a) for a in inputs), None)[:3]
        assert x is not None and scale is not None
        how = x.shape, cls.attr(node, "axis"), cls.attr(node, "block_size")
        dtype, precision = cls.dtype(node, zero), _float_type(node, cls.attr(node, "precision")) or scale.dtype
        with np.errstate(all="ignore"):
            steps = np.rint(x.astype(precision) / spread(node, scale, *how).astype(precision)).astype(np.float64)
        if zero is not None:
            if zero.shape != scale.shape:
                raise ShapeError(f"{node.label()}: scale {scale.shape} and zero point {zero.shape} differ in shape")
            steps = steps + spread(node, zero, *how)
        limits = np.iinfo(dtype)
        return [np.nan_to_num(np.clip(steps, limits.min, limits.max), nan=0.0).astype(dtype)]


def _float_type(node: Node, number: int) -> np.dtype | None:
    """The floating point dtype of an ONNX type number; None for 0."""
    if not number:
        return None
    dtype = np.dtype(CAST_TARGETS.get(number, np.void))
    if dtype not in (np.float32, np.float64):
        raise ShapeError(f"{node.label()}: data type number {number} is no float32 or float64; use one of these")
    return dtype
