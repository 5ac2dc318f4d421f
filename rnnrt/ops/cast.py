"""Operators that change the dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.adjoint import cast, wants
from rnnrt.ops.base import REQUIRED, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import present

CAST_TARGETS = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64,
}  # fmt: skip
"""numpy type by ONNX's number of a data type."""


def cast_target(node: Node, key: str, number: Any) -> np.dtype:
    """The dtype that an attribute names by its number.

    Raises
    ------
    ShapeError
        There is no such type, or rnnrt has none like it.
    """
    if number not in CAST_TARGETS:
        raise ShapeError(f"{node.label()}: attribute {key}={number!r} is no data type rnnrt knows; use float or int")
    return np.dtype(CAST_TARGETS[number])


CASTS = {np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64, np.uint8, np.int8, np.bool_)}
"""Dtypes between which the cast kernel converts."""


class _Cast(Operator):
    """Base: the first input in another dtype; a cast to the dtype it has shares its memory."""

    @classmethod
    def target(cls, node: Node, inputs: Sequence[Any]) -> np.dtype:
        """The dtype of the result; `inputs` are arrays or specs."""
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, dtype = present(node, inputs), cls.target(node, inputs)
        return [TensorSpec(dtype, x.shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            return [np.asarray(inputs[0]).astype(cls.target(node, inputs))]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x, dtype = present(node, inputs), outputs[0].dtype
        if x.dtype == dtype:
            return [KernelCall("alias", (0,))]
        return [KernelCall("cast", (0,))] if x.dtype in CASTS and dtype in CASTS else None

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        x = node.inputs[0]
        return [cast(b, grads[0], b.spec(x).dtype) if wants(b, x) else ""]


@register
class Cast(_Cast):
    """ONNX Cast to the data type numbered `to`; floats to integers truncate."""

    name = "Cast"
    attributes: ClassVar[Mapping[str, Any]] = {"to": REQUIRED, "saturate": 1}

    @classmethod
    def target(cls, node: Node, inputs: Sequence[Any]) -> np.dtype:
        return cast_target(node, "to", cls.attr(node, "to"))


@register
class CastLike(_Cast):
    """ONNX CastLike: the first input in the dtype of the second."""

    name = "CastLike"
    min_inputs = 2
    max_inputs = 2

    @classmethod
    def target(cls, node: Node, inputs: Sequence[Any]) -> np.dtype:
        return np.dtype(inputs[1].dtype)
