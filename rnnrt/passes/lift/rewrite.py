"""A graph under rewriting: nodes so far, types of all values, and the recurrent nodes that take the place of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.ir import Graph, Node, names_read
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.control import Control
from rnnrt.ops.evaluate import evaluate_node
from rnnrt.passes.fold import foldable
from rnnrt.passes.lift.cells import Cell
from rnnrt.passes.lift.extents import Extents
from rnnrt.passes.prune import prune

_KEEPS_ZERO = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Tile", "Expand", "Slice"})


class Rewrite:
    """Collects the nodes of the new graph.

    Parameters
    ----------
    graph : Graph
    specs : mapping of str to TensorSpec
        Types of its values and of those of the enclosing graphs.
    taken : set of str
        Names in use; grows.

    Attributes
    ----------
    notes, left : list of str
        What was lifted, and which loops were not and why, for people to read.
    """

    def __init__(self, graph: Graph, specs: Mapping[str, TensorSpec], taken: set[str]) -> None:
        self.graph, self.specs, self.taken = graph, dict(specs), taken
        self.notes: list[str] = []
        self.constants = dict(graph.constants)
        self.nodes: list[Node] = []
        self.producers: dict[str, Node] = {}
        self.extents = Extents(self.producers, self.specs)
        self.left: list[str] = []
        self.changed = False
        self._base = "lifted"

    def _folded(self, node: Node, given: Sequence[TensorSpec | None]) -> bool:
        """Whether a node computed a few numbers of a shape, say, and is a constant now."""
        spec = self.specs.get(node.outputs[0])
        if len(node.outputs) != 1 or spec is None or spec.dtype.kind not in "iufb" or node.op == "Shape":
            return False
        known = [None if s is None else s.value for s in given]
        if all(s is None or (s.value is not None and s.value.size <= 16) for s in given):
            if not foldable(given, get_operator(node.op).infer(node, given)):
                return False
            (array,) = evaluate_node(node, known, {})
        else:
            of_shape = node.op in ("Gather", "Slice") and spec.is_static and spec.dtype.kind in "iu"
            picked = self.extents.picked(node) if of_shape else None
            if not isinstance(picked, int) or picked > np.iinfo(spec.dtype).max:
                return False
            array = np.full(spec.known_shape, picked, spec.dtype)
        self.constants[node.outputs[0]] = array
        self.specs[node.outputs[0]] = TensorSpec(array.dtype, array.shape, array)
        return True

    def _filled(self, node: Node, spec: TensorSpec) -> TensorSpec:
        """The type of a value made for a shape of which a part is known: (rows, 128), say."""
        shape = self.extents.of_shape(node.inputs[-1])
        given = (() if node.op == "ConstantOfShape" else self.specs[node.inputs[0]].shape) or ()
        if node.op == "Reshape" and shape is not None and spec.shape in (None, (None,) * len(shape)):
            return TensorSpec(spec.dtype, tuple(d if isinstance(d, int) and d > 0 else None for d in shape))
        if node.op == "Reshape" or spec.is_static or shape is None or len(shape) < len(given):
            return spec
        if node.op == "Tile":
            if len(shape) != len(given):
                return spec  # the rank of what is repeated is not known
            products = (
                d * g if isinstance(d, int) and isinstance(g, int) else None for d, g in zip(shape, given, strict=True)
            )
            return TensorSpec(spec.dtype, tuple(products))
        if node.op == "Tile":
            return spec
        given = (1,) * (len(shape) - len(given)) + given
        exact = (d if d is not None and (d != 1 or g == 1) else None for d, g in zip(shape, given, strict=True))
        return TensorSpec(spec.dtype, tuple(exact))

    def under(self, name: str) -> None:
        """New values are named after this one from now on."""
        self._base = name

    def keep(self, node: Node) -> None:
        """Take a node as it is. What has been lifted before it may tell its types more exactly."""
        operator = get_operator(node.op)
        if not issubclass(operator, Control):
            given = [self.specs[name] if name else None for name in node.inputs]
            if self._folded(node, given):
                return
            found = operator.infer(node, given)
            if node.op in ("Expand", "ConstantOfShape", "Tile", "Reshape"):
                found = [self._filled(node, found[0])]
            for name, spec in zip(node.outputs, found, strict=False):
                if name:
                    self.specs[name] = spec
        self.nodes.append(node)
        self.producers.update((name, node) for name in node.outputs if name)

    def drop(self, name: str) -> None:
        """Let nothing make this value any more; another node will."""
        node = self.producers.pop(name)
        self.changed = True
        outputs = tuple("" if made == name else made for made in node.outputs)
        at = next(k for k, item in enumerate(self.nodes) if item is node)
        if not any(outputs):
            del self.nodes[at]
            return
        self.nodes[at] = Node(node.op, node.inputs, outputs, node.attrs, node.name)
        self.producers.update((made, self.nodes[at]) for made in outputs if made)

    def exchange(self, node: Node, other: Node) -> None:
        """Put a node with further outputs in the place of another."""
        self.changed = True
        self.nodes[next(k for k, item in enumerate(self.nodes) if item is node)] = other
        self.producers.update((name, other) for name in other.outputs if name)
        given = [self.specs[name] if name else None for name in other.inputs]
        for name, spec in zip(other.outputs, get_operator(other.op).infer(other, given), strict=False):
            if name:
                self.specs[name] = spec

    def drop_unread(self) -> None:
        """Let go of nodes that nothing reads any more."""
        self.nodes = list(prune(self.graph.replace(nodes=tuple(self.in_order()), constants={})).nodes)
        self.producers.clear()
        self.producers.update((name, node) for node in self.nodes for name in node.outputs if name)

    def in_order(self) -> list[Node]:
        """The nodes, each after those that make what it reads; otherwise in the order they came."""
        made = {name for node in self.nodes for name in node.outputs if name}
        ready: set[str] = set()
        ordered: list[Node] = []
        waiting = list(self.nodes)
        while waiting:
            later = []
            for node in waiting:
                if all(name in ready or name not in made for name in names_read(node)):
                    ordered.append(node)
                    ready.update(node.outputs)
                else:
                    later.append(node)
            assert len(later) < len(waiting), "lifting never makes a value depend on itself"
            waiting = later
        return ordered

    def fresh(self, hint: str) -> str:
        """A name that nothing has."""
        name, k = f"{self._base}/{hint}", 0
        while name in self.taken:
            k += 1
            name = f"{self._base}/{hint}_{k}"
        self.taken.add(name)
        return name

    def constant(self, array: np.ndarray, hint: str) -> str:
        """A new constant."""
        name = self.fresh(hint)
        self.constants[name] = array
        self.specs[name] = TensorSpec(array.dtype, array.shape, array)
        return name

    def integers(self, values: Sequence[int], hint: str) -> str:
        """A new constant of int64."""
        return self.constant(np.array(values, np.int64), hint)

    def emit(
        self, op: str, inputs: Sequence[str], attrs: Mapping[str, Any] | None = None, outputs: Sequence[str] = ()
    ) -> str:
        """A new node; the name of its first output."""
        names = tuple(outputs) or (self.fresh(op.lower()),)
        node = Node(op, tuple(inputs), names, dict(attrs or {}), next(name for name in names if name))
        self.keep(node)
        return names[0]

    def rank(self, name: str) -> int:
        """The number of axes of a value."""
        return len(self.specs[name].shape or ())

    def unsqueezed(self, name: str, axis: int) -> str:
        """With one more axis."""
        return self.emit("Unsqueeze", [name, self.integers([axis], "axes")])

    def squeezed(self, name: str, axis: int, output: str = "") -> str:
        """Without an axis of extent 1."""
        return self.emit("Squeeze", [name, self.integers([axis], "axes")], outputs=[output] if output else ())

    def reversed(self, name: str, axis: int, output: str = "") -> str:
        """With an axis turned around."""
        bounds = [self.integers([v], "bound") for v in (-1, -(1 << 31) + 1, axis, -1)]
        return self.emit("Slice", [name, *bounds], outputs=[output] if output else ())

    def time_first(self, name: str, axis: int) -> str:
        """A sequence with its steps along the first axis."""
        if axis == 0:
            return name
        perm = (axis, *(k for k in range(self.rank(name)) if k != axis))
        return self.emit("Transpose", [name], {"perm": perm})

    def is_zero(self, name: str) -> bool:
        """Whether a value is known to be zero everywhere."""
        for _ in range(32):
            spec = self.specs.get(name)
            if spec is not None and spec.value is not None:
                return not np.any(spec.value)
            node = self.producers.get(name)
            if node is None:
                return False
            if node.op == "ConstantOfShape":
                return not np.any(node.attrs.get("value", 0))
            if node.op == "Mul" and self.specs[name].dtype.kind in "iu":
                return any(self.is_zero(factor) for factor in node.inputs)
            if node.op not in _KEEPS_ZERO:
                return False
            name = node.inputs[0]
        return False

    def recurrent(
        self,
        cell: Cell,
        x: Sequence[str],
        states: Sequence[str],
        mask: str,
        attrs: Mapping[str, Any],
        outputs: Sequence[str],
        what: str,
    ) -> None:
        """The recurrent node of a cell.

        Parameters
        ----------
        cell : Cell
        x : sequence of str
            What each of the cell's input vectors is over time, (T, B, width).
        states : sequence of str
            Initial states (1, B, H); empty names are zeros.
        mask : str
            (T, B) of bool, or empty.
        attrs : mapping
            Beyond those of the cell.
        outputs : sequence of str
            Y, Y_h and for LSTM Y_c; empty names are not needed.
        what : str
            What it was, for the notes.
        """
        sequence = x[0] if len(x) == 1 else self.emit("Concat", x, {"axis": 2})
        W, R, bias, P = cell.weights()
        if len(x) == 1:
            sequence, W, bias = self._absorbed(sequence, W, bias)
        dtype = self.specs[sequence].dtype
        R = np.zeros((len(W), cell.units)) if R is None else R
        weights = [
            self.constant(np.ascontiguousarray(a[None], dtype), hint) for a, hint in ((W, "W"), (R, "R"), (bias, "B"))
        ]
        inputs = [sequence, *weights, "", *states]
        if cell.op == "LSTM":
            peepholes = "" if P is None else self.constant(np.ascontiguousarray(P[None], dtype), "P")
            inputs += [*([""] * (7 - len(inputs))), peepholes]
        else:
            inputs += [""] * (6 - len(inputs))
        inputs.append(mask)
        while not inputs[-1]:
            inputs.pop()
        self.emit(cell.op, inputs, {**cell.attrs, "hidden_size": cell.units, **attrs}, outputs)
        self.changed = True
        self.notes.append(f"{cell.op} of {cell.units} units: was {what}")

    def _absorbed(self, name: str, W: np.ndarray, bias: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
        """The sequence before a projection of all steps at once, where the cell only picks units of the result."""
        if np.any(np.count_nonzero(W, axis=1) > 1) or W.sum() != np.count_nonzero(W):
            return name, W, bias
        whole, perm = name, None
        added = np.zeros(W.shape[1], np.float64)
        for _ in range(16):
            node = self.producers.get(name)
            if node is None:
                break
            if node.op == "Identity":
                name = node.inputs[0]
                continue
            if node.op == "Transpose":
                now = list(node.attrs["perm"])
                if now[-1] != len(now) - 1:
                    break
                perm = now if perm is None else [now[k] for k in perm]
                name = node.inputs[0]
                continue
            found = [self._vector(i, W.shape[1]) for i in node.inputs]
            if node.op == "Add" and len(found) == 2 and (found[0] is None) != (found[1] is None):
                added = added + (found[1] if found[0] is None else found[0])
                name = node.inputs[0] if found[0] is None else node.inputs[1]
                continue
            weights = self.specs[node.inputs[1]].value if node.op == "MatMul" else None
            if weights is None or weights.ndim != 2 or self.rank(node.inputs[0]) != 3:
                break
            total = np.concatenate([bias[: len(W)] + W @ added, bias[len(W) :]])
            source = node.inputs[0] if perm is None else self.emit("Transpose", [node.inputs[0]], {"perm": tuple(perm)})
            return source, W @ weights.T, total
        return whole, W, bias

    def _vector(self, name: str, width: int) -> Any:
        spec = self.specs.get(name)
        if spec is None or spec.value is None or spec.value.size not in (1, width):
            return None
        return np.broadcast_to(spec.value.ravel(), (width,))
