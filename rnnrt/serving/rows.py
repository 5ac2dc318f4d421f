"""Do the rows of a batch stay apart on their way through a network? Only then may strangers share a batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Node
from rnnrt.ops import TensorSpec
from rnnrt.passes.follow_time import RECURRENT, time_axes

SIZES = (2, 3)
"""Batch sizes that tell the axis of the batch by their difference."""

_POOLS = frozenset(["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
_TAKE_SHAPES = frozenset(
    ["Reshape", "Expand", "Tile", "Slice", "ConstantOfShape", "Split", "Pad", "Resize", "Squeeze", "Unsqueeze"]
)
"""Operators for which a number that grows with the batch is an extent, and changes no element."""


def row_axes(graph: Graph, small: Mapping[str, TensorSpec], large: Mapping[str, TensorSpec]) -> dict[str, int]:
    """The axis of the batch of each value that carries it.

    Parameters
    ----------
    graph : Graph
    small, large : mapping of str to TensorSpec
        Types of its values for the two batch sizes of `SIZES`.

    Raises
    ------
    StateError
        A node brings rows together, or is not known to keep them apart; the message names it.
    """
    plain = tuple(node for node in graph.nodes if node.op not in RECURRENT)
    axes = time_axes(graph.replace(nodes=()), small, large, SIZES)
    checked = tuple(node for node in plain if not _by_rows(node, axes, small))
    try:
        time_axes(graph.replace(nodes=checked), small, large, SIZES)
    except StateError:
        for node in checked:
            try:
                time_axes(graph.replace(nodes=(node,)), small, large, SIZES)
            except StateError:
                _check(node, axes, small, large)  # which may know a better reason
                raise _mixed(node) from None
        raise
    for node in graph.nodes:
        _check(node, axes, small, large)
    for value in graph.outputs:
        if value.name not in axes:
            raise StateError(f"output {value.name!r} has no batch axis, so that it cannot be told whose it is")
    return axes


def _mixed(node: Node) -> StateError:
    return StateError(f"{node.label()} brings the rows of a batch together, or is not known to keep them apart")


def _by_rows(node: Node, axes: Mapping[str, int], specs: Mapping[str, TensorSpec]) -> bool:
    """Operators that mix time steps but not rows."""
    carried = {i: axes[name] for i, name in enumerate(node.inputs) if name in axes}
    if node.op in _POOLS:
        return carried == {0: 0}
    if node.op == "MatMul" and set(carried) == {0, 1}:
        from_right = {axis - len(specs[node.inputs[i]].shape or ()) for i, axis in carried.items()}
        return len(from_right) == 1 and from_right.pop() < -2
    return False


def _check(
    node: Node, axes: Mapping[str, int], small: Mapping[str, TensorSpec], large: Mapping[str, TensorSpec]
) -> None:
    """What following the axis alone does not show: the last row picked out, and numbers made of the batch size."""
    carried = [name for name in node.inputs if name in axes]
    if node.op in RECURRENT:
        if axes.get(node.inputs[0]) != 1 - int(node.attrs.get("layout", 0)):
            raise StateError(f"{node.label()} does not take the rows of the batch as rows")
        return
    if not carried or node.op in ("Shape", "Size"):
        return
    if not all(name in axes for name in node.outputs if name):
        raise _mixed(node)
    if node.op not in _TAKE_SHAPES and any(
        not _same(small.get(name), large.get(name)) for name in node.inputs if name and name not in axes
    ):
        raise StateError(f"{node.label()} computes with the size of the batch")


def _same(a: TensorSpec | None, b: TensorSpec | None) -> bool:
    if a is None or b is None or a.value is None or b.value is None:
        return a is None or b is None or (a.value is None and b.value is None)
    return np.array_equal(a.value, b.value)
