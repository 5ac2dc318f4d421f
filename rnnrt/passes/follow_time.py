"""Follow the time axis through a graph, and refuse what mixes time steps.

A network can be run piece by piece when each of its nodes either is recurrent or treats every time step alone.
The axis that carries time is found by comparing the shapes of two specialisations of the graph that differ in
the length of the sequence alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Node, outer_names
from rnnrt.ops import TensorSpec

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

_ELEMENTWISE = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Sqrt",
        "Neg",
        "Log",
        "Exp",
        "Abs",
        "Clip",
        "Relu",
        "Sigmoid",
        "Tanh",
        "Erf",
        "Elu",
        "LeakyRelu",
        "Softsign",
        "Softplus",
        "HardSigmoid",
        "PRelu",
        "Gelu",
        "Reciprocal",
        "Mod",
        "Min",
        "Max",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Cast",
        "Where",
        "Equal",
        "Less",
        "Greater",
        "LessOrEqual",
        "GreaterOrEqual",
        "And",
        "Or",
        "Not",
        "Identity",
        "Selu",
        "ThresholdedRelu",
        "HardSwish",
        "Mish",
        "Swish",
        "Sin",
        "Cos",
        "Sum",
        "Mean",
        "Xor",
        "IsNaN",
    ]
)
_KEEPS_TIME = frozenset(["Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Split", "Expand", "Tile"])
_REDUCTIONS = frozenset(
    [
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
        "ReduceLogSum",
        "ArgMax",
        "ArgMin",
        "TopK",
    ]
)
_ALONG_AXIS = {"Softmax": -1, "LogSoftmax": -1, "Concat": 0, "ArgMax": 0, "ArgMin": 0, "TopK": -1}
"""Operators that mix the elements along the axis of their attribute, with its default."""


def time_axes(
    graph: Graph, short: Mapping[str, TensorSpec], long: Mapping[str, TensorSpec], lengths: tuple[int, int]
) -> dict[str, int]:
    """The axis of time of each value that carries it.

    Parameters
    ----------
    graph : Graph
        Not yet specialised for a length.
    short, long : mapping of str to TensorSpec
        Types of its values when the sequence has `lengths[0]` and `lengths[1]` steps.

    Raises
    ------
    StateError
        A node mixes time steps other than by a recurrence that runs forward; the message names it.
    """
    axes = _moving_axes(short, long)
    for node in graph.nodes:
        _check(node, axes, short, long, lengths)
    return axes


def mixing(
    graph: Graph, short: Mapping[str, TensorSpec], long: Mapping[str, TensorSpec], lengths: tuple[int, int]
) -> list[str]:
    """What `time_axes` refuses, every node with its reason; empty where it refuses nothing."""
    axes = _moving_axes(short, long)
    reasons = []
    for node in graph.nodes:
        try:
            _check(node, axes, short, long, lengths)
        except StateError as error:
            reasons.append(str(error))
    return reasons


def _moving_axes(short: Mapping[str, TensorSpec], long: Mapping[str, TensorSpec]) -> dict[str, int]:
    """The axis of each value whose extent follows the length of the sequence."""
    axes: dict[str, int] = {}
    for name, spec in short.items():
        other = long.get(name)
        if other is None or spec.shape is None or other.shape is None or len(spec.shape) != len(other.shape):
            continue
        moved = [i for i, (a, b) in enumerate(zip(spec.shape, other.shape, strict=True)) if a != b]
        if len(moved) == 1:
            axes[name] = moved[0]
    return axes


def _check(
    node: Node,
    axes: Mapping[str, int],
    short: Mapping[str, TensorSpec],
    long: Mapping[str, TensorSpec],
    lengths: tuple[int, int],
) -> None:
    def refuse(why: str) -> StateError:
        return StateError(f"{node.label()} {why}; a stream sees one piece at a time: run the whole sequence instead")

    carried = {i: axes[name] for i, name in enumerate(node.inputs) if name in axes}
    captured = {n for body in node.attrs.values() if isinstance(body, Graph) for n in outer_names(body)}
    if captured & set(axes):
        raise refuse("reads the sequence inside its body")
    results = [name for name in node.outputs if name]
    for name in results:
        a, b = short.get(name), long.get(name)
        if name not in axes or a is None or b is None or a.shape is None or b.shape is None:
            continue
        x, y = a.shape[axes[name]], b.shape[axes[name]]
        if not (isinstance(x, int) and isinstance(y, int) and x * lengths[1] == y * lengths[0]):
            raise refuse(f"makes {x} and {y} steps of {lengths[0]} and {lengths[1]}")
    if node.op in RECURRENT:
        if node.attrs.get("direction", "forward") != "forward":
            raise refuse(f"reads the sequence {node.attrs['direction']}")
        if carried.get(0, -1) != int(node.attrs.get("layout", 0)):
            raise refuse("does not run along the time of the network's input")
        return
    if not carried:
        if any(name in axes for name in results) and node.op not in ("Expand", "ConstantOfShape"):
            raise refuse("makes values that depend on the position in the sequence")
        return
    if node.op in ("Shape", "Size"):
        return
    kept = all(name in axes for name in results)
    if node.op in _ELEMENTWISE:
        ranks = [len(short[node.inputs[i]].shape or ()) for i in carried]
        if not kept or len({axis - rank for axis, rank in zip(carried.values(), ranks, strict=True)}) != 1:
            raise refuse("combines different time axes")
        return
    rule = _RULES.get(node.op)
    if rule is None and node.op not in _KEEPS_TIME and node.op not in _REDUCTIONS and node.op not in _ALONG_AXIS:
        raise refuse("mixes time steps, or is not known to treat them alone")
    if rule is not None and rule(node, carried, short, kept):
        return
    if rule is not None or not kept:
        raise refuse("mixes time steps")
    if node.op in _ALONG_AXIS:
        at = int(node.attrs.get("axis", _ALONG_AXIS[node.op]))
        for i, axis in carried.items():
            if at % len(short[node.inputs[i]].shape or (0,)) == axis:
                raise refuse("works along the time axis")


Rule = Callable[[Node, Mapping[int, int], Mapping[str, TensorSpec], bool], bool]


def _rank(node: Node, i: int, specs: Mapping[str, TensorSpec]) -> int:
    return len(specs[node.inputs[i]].shape or ())


def _matmul(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and carried[0] != _rank(node, 0, specs) - 1


def _gemm(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and carried[0] == int(node.attrs.get("transA", 0))


def _conv(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    axis = carried.get(0, -1)
    kernel = specs[node.inputs[1]].shape or ()
    strides = node.attrs.get("strides") or (1,) * len(kernel)
    pads = node.attrs.get("pads") or (0,)
    return (
        kept
        and set(carried) == {0}
        and (axis == 0 or (axis >= 2 and kernel[axis] == 1 and strides[axis - 2] == 1 and not any(pads)))
    )


def _channelwise(node: Node, carried: Mapping[int, int], specs: Mapping[str, TensorSpec], kept: bool) -> bool:
    return kept and set(carried) == {0} and carried[0] != 1


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


_RULES: dict[str, Rule] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "BatchNormalization": _channelwise,
    "LayerNormalization": _layer_norm,
    "Slice": _slice,
    "Gather": _gather,
}
