"""Selection by a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.base import Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present


@register
class Compress(Operator):
    """ONNX Compress: the slices along `axis`, or the elements, where the condition (1-D, bool) holds."""

    name = "Compress"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": None}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, condition, axis = present(node, inputs), present(node, inputs, 1), cls.attr(node, "axis")
        count = None if condition.value is None else int(np.count_nonzero(condition.value))
        if axis is None:
            return [TensorSpec(x.dtype, (count,))]
        if x.shape is None:
            return [TensorSpec(x.dtype, None)]
        at = normalise_axis(node, axis, len(x.shape))
        return [TensorSpec(x.dtype, (*x.shape[:at], count, *x.shape[at + 1 :]))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, condition, axis = np.asarray(inputs[0]), np.asarray(inputs[1]).astype(bool), cls.attr(node, "axis")
        extent = x.size if axis is None else x.shape[normalise_axis(node, axis, x.ndim)]
        if condition.ndim != 1 or len(condition) > extent:
            raise ShapeError(
                f"{node.label()}: a condition of shape {condition.shape}; it must be 1-D and no longer than {extent}"
            )
        return [np.compress(condition, x, axis)]
