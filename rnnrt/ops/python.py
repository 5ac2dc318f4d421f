"""A Python function as a node: what training computes outside the kernels, such as losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.base import REQUIRED, Operator, TensorSpec, register


@register
class Python(Operator):
    """call(*inputs) gives a sequence of arrays of the types `results`; no file holds such a node."""

    name = "Python"
    internal = True
    min_inputs = 0
    max_inputs = None
    attributes: ClassVar[Mapping[str, Any]] = {"call": REQUIRED, "results": REQUIRED}

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        return list(node.attrs["results"])

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return list(node.attrs["call"](*inputs))
