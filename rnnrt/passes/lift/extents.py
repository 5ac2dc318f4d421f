"""Where an extent that a graph computes comes from: which axis of which tensor."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np

from rnnrt.ir import Node, Shape
from rnnrt.ops import TensorSpec

_ELEMENTWISE = frozenset(
    """Identity Cast Sigmoid Tanh Relu Not Neg Exp Sqrt Abs Clip Softmax LeakyRelu Elu Add Sub Mul Div And Or Where
    Equal Less Greater LessOrEqual GreaterOrEqual Max Min Sum Pow""".split()
)
_REDUCTIONS = frozenset(["ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceProd"])
_DEEPEST = 100
"""Branches of a graph within branches that are followed; what lies deeper counts as different."""

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_ONE_ELEMENT = frozenset({"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape"})


class Extents:
    """Traces extents through the nodes that make values.

    Parameters
    ----------
    producers : mapping of str to Node
        By the values they make. May grow while this object lives.
    specs : mapping of str to TensorSpec
    """

    def __init__(self, producers: Mapping[str, Node], specs: Mapping[str, TensorSpec]) -> None:
        self.producers, self.specs = producers, specs
        self._known: dict[tuple[str, int], Hashable] = {}
        self._depth = 0

    def of_value(self, name: str) -> Hashable | None:
        """What the one integer that this value holds is: an int, or an axis of a tensor; None when unknown."""
        for _ in range(64):
            spec = self.specs.get(name)
            if spec is not None and spec.value is not None:
                value = spec.value
                return int(value.reshape(())) if value.size == 1 and float(value.reshape(())).is_integer() else None
            node = self.producers.get(name)
            if node is None:
                return None
            if node.op in _ONE_ELEMENT:
                name = node.inputs[0]
            elif node.op in ("Gather", "Slice"):
                return self.picked(node)
            elif node.op == "Shape" and not node.attrs and self._has_one(name):
                return self.of_axis(node.inputs[0], 0)
            elif node.op in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd") and self._has_one(node.inputs[0]):
                name = node.inputs[0]
            else:
                return None
        return None

    def of_shape(self, name: str) -> Shape | None:
        """What is known of the extents that a one-dimensional value holds."""
        while (node := self.producers.get(name)) is not None and node.op in ("Identity", "Cast"):
            name = node.inputs[0]
        spec = self.specs.get(name)
        if spec is not None and spec.value is not None:
            return tuple(int(v) for v in spec.value.ravel())
        if node is not None and node.op == "Shape" and not node.attrs:
            shape = self.specs[node.inputs[0]].shape
            return None if shape is None else tuple(d if isinstance(d, int) else None for d in shape)
        if node is not None and node.op == "Concat":
            parts = [self.of_shape(part) for part in node.inputs]
            return None if None in parts else tuple(d for part in parts if part for d in part)
        if spec is None or spec.shape is None or len(spec.shape) != 1 or not isinstance(spec.shape[0], int):
            return None
        return (None,) * spec.shape[0]

    def of_axis(self, name: str, axis: int) -> Hashable:
        """A name for an extent that is equal wherever the extent must be: an int, or an axis of some tensor."""
        start = name, axis
        if start in self._known or self._depth > _DEEPEST:
            return self._known.get(start, start)
        self._depth += 1
        try:
            found = self._root(name, axis)
        finally:
            self._depth -= 1
        self._known[start] = found
        return found

    def _root(self, name: str, axis: int) -> Hashable:
        for _ in range(256):
            spec = self.specs.get(name)
            shape = None if spec is None else spec.shape
            if shape is not None and isinstance(shape[axis], int):
                return shape[axis]
            node = self.producers.get(name)
            if node is not None and node.op == "TopK" and self.specs[name].shape in ((None,), None):
                return self.of_value(node.inputs[1]) or (name, axis)
            step = None if node is None else self._before(node, name, axis)
            if step is None:
                return name, axis
            name, axis = step
        return name, axis

    def _has_one(self, name: str) -> bool:
        spec = self.specs.get(name)
        return spec is not None and spec.shape in ((), (1,))

    def picked(self, node: Node) -> Hashable | None:
        """What a Gather or Slice picks, if that is one element of a shape."""
        which = self.specs.get(node.inputs[1])
        if which is None or which.value is None or which.value.size != 1:
            return None
        at = int(which.value.reshape(()))
        if node.op == "Slice":
            end = self.specs.get(node.inputs[2])
            if end is None or end.value is None or not self._has_one(node.outputs[0]):
                return None
        name = node.inputs[0]
        while (maker := self.producers.get(name)) is not None and maker.op in ("Identity", "Cast"):
            name = maker.inputs[0]
        if maker is None or maker.op != "Shape" or maker.attrs:
            return None
        shape = self.specs[maker.inputs[0]].shape
        return None if shape is None else self.of_axis(maker.inputs[0], at % len(shape))

    def _before(self, node: Node, name: str, axis: int) -> tuple[str, int] | None:
        """The input, and its axis, that gives this axis its extent."""
        source = node.inputs[0] if node.inputs else ""
        shape = self.specs[source].shape if source in self.specs else None
        if shape is None:
            return None
        rank = len(shape)
        if node.op == "ReverseSequence":
            return source, axis
        if node.op == "Transpose":
            return source, tuple(node.attrs.get("perm") or range(rank)[::-1])[axis]
        if node.op in _ELEMENTWISE:
            return self._broadcast(node, axis - len(self.specs[name].shape or ()))
        if node.op in _REDUCTIONS:
            return self._reduced(node, source, rank, axis)
        if node.op == "MatMul" and axis < rank - 1 and len(self.specs[node.inputs[1]].shape or ()) == 2:
            return source, axis
        if node.op == "Unsqueeze" or node.op == "Squeeze":
            return self._squeezed(node, source, shape, axis)
        if node.op == "Gather" and int(node.attrs.get("axis", 0)) == 0:
            ids = self.specs[node.inputs[1]].shape
            if ids is not None:
                return (node.inputs[1], axis) if axis < len(ids) else (source, axis - len(ids) + 1)
        if node.op == "Slice":
            return self._sliced(node, source, rank, axis)
        if node.op in _RECURRENT and name == node.outputs[0]:
            first = bool(node.attrs.get("layout", 0))
            kept = {0: 0, 1: 1} if first else {0: 0, 2: 1}
            return (source, kept[axis]) if axis in kept and (not first or axis < 2) else None
        return None

    def _broadcast(self, node: Node, from_end: int) -> tuple[str, int] | None:
        """The input that an extent of the result comes from, if all inputs that have the axis agree on it."""
        found = {}
        for name in node.inputs:
            shape = self.specs[name].shape if name in self.specs else ()
            if shape is None:
                return None
            if len(shape) + from_end >= 0 and shape[from_end] != 1:
                found[self.of_axis(name, len(shape) + from_end)] = name, len(shape) + from_end
        return next(iter(found.values())) if len(found) == 1 else None

    def _reduced(self, node: Node, source: str, rank: int, axis: int) -> tuple[str, int] | None:
        axes = self.specs[node.inputs[1]].value if len(node.inputs) > 1 and node.inputs[1] else None
        if axes is None:
            return None
        gone = {int(a) % rank for a in axes.ravel()}
        if node.attrs.get("keepdims", 1):
            return None if axis in gone else (source, axis)
        return source, [k for k in range(rank) if k not in gone][axis]

    def _squeezed(self, node: Node, source: str, shape: tuple, axis: int) -> tuple[str, int] | None:
        axes = self.specs.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if axes is None or axes.value is None:
            return None
        given = axes.value.ravel().tolist()
        rank = len(shape) + (len(given) if node.op == "Unsqueeze" else 0)
        at = {int(a) % rank for a in given}
        if node.op == "Squeeze":
            return source, [i for i in range(rank) if i not in at][axis]
        return None if axis in at else (source, axis - sum(a < axis for a in at))

    def _sliced(self, node: Node, source: str, rank: int, axis: int) -> tuple[str, int] | None:
        if len(node.inputs) < 4 or not node.inputs[3]:
            return None
        axes, starts, ends = (self.specs[node.inputs[i]].value for i in (3, 1, 2))
        steps = self.specs[node.inputs[4]].value if len(node.inputs) > 4 else np.ones(1)
        if axes is None or starts is None or ends is None or steps is None:
            return None
        at = [int(a) % rank for a in axes.ravel()]
        if axis not in at:
            return source, axis
        k = at.index(axis)
        start, end, step = (int(v.ravel()[k]) for v in (starts, ends, steps))
        whole = start == 0 and step == 1 and end >= (1 << 31) - 1
        return (source, axis) if whole or is_reversal(start, end, step) else None


def is_reversal(start: int, end: int, step: int) -> bool:
    """Whether a Slice with these bounds turns an axis around."""
    return step == -1 and (start == -1 or start >= (1 << 31) - 1) and end <= -(1 << 31) + 1
