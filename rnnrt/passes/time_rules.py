"""Which operators treat every time step alone, and when: the rules by which `follow_time` judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops import TensorSpec
from rnnrt.ops.pad import Pad

ELEMENTWISE = frozenset(
    """
    Add Sub Mul Div Pow Sqrt Neg Log Exp Abs Clip Relu Sigmoid Tanh Erf Elu LeakyRelu Softsign Softplus
    HardSigmoid PRelu Gelu Reciprocal Mod Min Max Floor Ceil Round Sign Cast Where Equal Less Greater
    LessOrEqual GreaterOrEqual And Or Not Identity Selu ThresholdedRelu HardSwish Mish Swish Sin Cos Sum Mean
    Xor IsNaN
    """.split()
)
KEEPS_TIME = frozenset({"Transpose", "Squeeze", "Unsqueeze", "Expand"})
REDUCTIONS = frozenset(
    """
    ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp
    ReduceLogSum ArgMax ArgMin TopK
    """.split()
)
ALONG_AXIS = {"Softmax": -1, "LogSoftmax": -1, "Concat": 0, "ArgMax": 0, "ArgMin": 0, "TopK": -1}
"""Operators that mix the elements along the axis of their attribute, with its default."""

Rule = Callable[[Node, Mapping[int, int], Mapping[str, TensorSpec], bool], bool]
"""Of a node, the axes of time of its operands by position, types, and whether all results carry time."""


def _rank(node: Node, i: int, specs: Mapping[str, TensorSpec]) -> int:
    return len(specs[node.inputs[i]].shape or ())


def _matmul(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and carried[0] != _rank(node, 0, specs) - 1


def _gemm(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and carried[0] == int(node.attrs.get("transA", 0))


def _conv(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    """Along time it is a window, which has been looked at; along the batch it may be anything."""
    return kept and set(carried) == {0} and carried[0] != 1


def _channelwise(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and carried[0] != 1


def _reshape(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    """Where time has gone has been looked at; the shape itself must not be computed from the sequence."""
    return kept and set(carried) == {0}


def _tile(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    if not kept or set(carried) != {0}:
        return False
    old, new = specs[node.inputs[0]].shape or (), specs[node.outputs[0]].shape or ()
    return len(old) == len(new) and old[carried[0]] == new[carried[0]]


def _split(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and int(node.attrs.get("axis", 0)) % _rank(node, 0, specs) != carried[0]


def _pad(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    if not kept or set(carried) != {0}:
        return False
    pads, axes = (specs[name].value if name else None for name in (*node.inputs, "", "")[1:4:2])
    if pads is None or (len(node.inputs) > 3 and node.inputs[3] and axes is None):
        return False
    where = None if axes is None else [int(a) for a in axes.ravel()]
    return Pad.pads(node, _rank(node, 0, specs), [int(p) for p in pads.ravel()], where)[carried[0]] == (0, 0)


def _layer_norm(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    rank = _rank(node, 0, specs)
    return kept and set(carried) == {0} and carried[0] < int(node.attrs.get("axis", -1)) % rank


def _slice(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    """Slices of other axes, the whole of time, or its last step."""
    if set(carried) != {0}:
        return False
    starts, _, axes, steps = ((*[specs[n].value if n else None for n in node.inputs[1:]], None, None, None))[:4]
    rank = _rank(node, 0, specs)
    if starts is None or (len(node.inputs) > 3 and axes is None):
        return False
    sliced = [int(a) % rank for a in (range(starts.size) if axes is None else axes.ravel())]
    if carried[0] not in sliced:
        return kept
    at = sliced.index(carried[0])
    start, step = int(starts.ravel()[at]), 1 if steps is None else int(steps.ravel()[at])
    shape_in, shape_out = specs[node.inputs[0]].shape, specs[node.outputs[0]].shape
    if shape_in is None or shape_out is None:
        return False
    whole = start == 0 and step == 1 and shape_in[carried[0]] == shape_out[carried[0]]
    return whole or (start == -1 and shape_out[carried[0]] == 1)


def _gather(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    """Looking up steps alone, picking along other axes, or the last step."""
    if set(carried) == {1}:
        return kept
    at = int(node.attrs.get("axis", 0)) % max(_rank(node, 0, specs), 1)
    if at != carried[0]:
        return kept
    index = specs[node.inputs[1]].value
    return index is not None and bool(np.all(index == -1))


RULES: dict[str, Rule] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "MaxPool": _conv,
    "AveragePool": _conv,
    "BatchNormalization": _channelwise,
    "Flatten": _reshape,
    "Pad": _pad,
    "Reshape": _reshape,
    "Split": _split,
    "Tile": _tile,
    "LayerNormalization": _layer_norm,
    "Slice": _slice,
    "Gather": _gather,
}
