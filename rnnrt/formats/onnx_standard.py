"""What the IR says beyond ONNX, said in ONNX's own operators: a graph that means the same and is plain ONNX.

Recurrent nodes stay single nodes. A masked step holds the state, so a recurrence over all steps is one over the steps
that count: `_Masked` moves these to the front of each row, counts them into sequence_lens, and puts the outputs back.
This holds for any mask. onnxruntime knows layout=0 alone, so batch-first nodes get Transposes around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.ir import Graph, Node
from rnnrt.ops import get_operator
from rnnrt.ops.recurrent import Recurrent

_SWAP = (1, 0, 2)
_INT64, _INT32 = 7, 6


def names_in(graph: Graph) -> set[str]:
    """Every name of a value in a graph and its bodies."""
    found: set[str] = set()
    for g in (graph, *graph.subgraphs()):
        found |= {v.name for v in (*g.inputs, *g.outputs)} | set(g.constants)
        found.update(name for node in g.nodes for name in (*node.inputs, *node.outputs))
    return found


def to_standard(graph: Graph) -> Graph:
    """A graph of the same outputs whose recurrent nodes have layout 0 and no mask, and whose other nodes are ONNX's.

    It still is a graph of the IR; activations that ONNX lacks are left as they are.
    """
    return _Writer(names_in(graph)).graph(graph)


class _Writer:
    """Nodes that take the place of others, under names that nobody has."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.label = ""

    def graph(self, graph: Graph) -> Graph:
        outer = self.nodes, self.constants
        self.nodes, self.constants = [], dict(graph.constants)
        for node in graph.nodes:
            attrs = {key: self.graph(v) if isinstance(v, Graph) else v for key, v in node.attrs.items()}
            if node.op == "Split" and len(node.inputs) < 2 and not attrs.get("num_outputs"):
                attrs["num_outputs"] = len(node.outputs)  # since opset 18 the number of outputs alone says nothing
            node = Node(node.op, node.inputs, node.outputs, attrs, node.name)
            self.label = node.name or next((o for o in node.outputs if o), node.op)
            operator = get_operator(node.op)
            if issubclass(operator, Recurrent):
                self.recurrent(node, operator)
            else:
                self.nodes.append(node)
        done = graph.replace(nodes=tuple(self.nodes), constants=self.constants)
        self.nodes, self.constants = outer
        return done

    def fresh(self, hint: str) -> str:
        name, k = f"{self.label}/{hint}", 1
        while name in self.taken:
            name, k = f"{self.label}/{hint}_{k}", k + 1
        self.taken.add(name)
        return name

    def op(self, op: str, inputs: Sequence[str], hint: str, result: str = "", **attrs: Any) -> str:
        """Add a node; the name of its output, `result` where given."""
        name = result or self.fresh(hint)
        self.nodes.append(Node(op, tuple(inputs), (name,), attrs, self.fresh(op)))
        return name

    def ints(self, values: Any, hint: str, dtype: Any = np.int64) -> str:
        name = self.fresh(hint)
        self.constants[name] = np.asarray(values, dtype)
        return name

    def recurrent(self, node: Node, operator: type[Recurrent]) -> None:
        attrs = dict(node.attrs)
        batch_first = bool(attrs.pop("layout", 0))
        zero = bool(attrs.pop("zero_output_for_mask", 0))
        operands = {key: name or "" for key, name in operator.named(node.inputs).items()}
        mask = operands.pop("mask")
        results = dict(zip(operator.results, [*node.outputs, *[""] * 3], strict=False))
        if not mask and not batch_first:
            self.nodes.append(Node(node.op, _trimmed(operands.values()), node.outputs, attrs, node.name))
            return
        if batch_first:
            for key in ("initial_h", "initial_c"):
                if operands.get(key):
                    operands[key] = self.op("Transpose", [operands[key]], key, perm=_SWAP)
        masked = _Masked(self, operands, mask, batch_first, str(attrs.get("direction", "forward")), zero)
        operands |= masked.operands() if mask else {"X": self.op("Transpose", [operands["X"]], "X", perm=_SWAP)}
        inner = {key: self.fresh(key) if name else "" for key, name in results.items()}
        inputs, outputs = _trimmed(operands.values()), _trimmed(inner.values())
        self.nodes.append(Node(node.op, inputs, outputs, attrs, node.name))
        for key, name in results.items():
            if not name:
                continue
            if key == "Y":
                made = self.op("Transpose", [inner[key]], "Y_by_row", "" if mask else name, perm=(2, 0, 1, 3))
                if mask:
                    masked.outputs(made, name)
                continue
            made = masked.state(inner[key], operands.get("initial" + key[1:], ""), key) if mask else inner[key]
            last = self.op("Transpose", [made], key, name, perm=_SWAP) if batch_first else made
            if last != name:
                self.op("Identity", [last], key, name)


class _Masked:
    """The steps of each row that count, moved to its front: operands before a recurrent node, results after it.

    Index arrays are (B, T): the mask, how many steps count up to each, and which they are.
    """

    def __init__(
        self, to: _Writer, operands: dict[str, str], mask: str, batch_first: bool, direction: str, zero: bool
    ) -> None:
        self.to, self.given, self.batch_first, self.zero = to, operands, batch_first, zero
        self.backwards = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
        self.mask, self.lengths, self.inside = mask, operands["sequence_lens"], ""

    def operands(self) -> dict[str, str]:
        """X in the new order, and the sequence_lens that go with it."""
        to = self.to
        shape = to.op("Shape", [self.mask], "mask_shape")
        self.steps = to.op("Gather", [shape, to.ints([0], "axis_T")], "T", axis=0)
        number = to.op("Squeeze", [self.steps], "T_scalar")
        self.mask = to.op("Transpose", [self.mask], "mask_by_row", perm=(1, 0))
        self.zero_index, self.one = to.ints(0, "zero"), to.ints(1, "one")
        self.axis_1, self.axis_2 = to.ints([1], "axis_1"), to.ints([2], "axis_2")
        if self.lengths:
            times = to.op("Range", [self.zero_index, number, self.one], "times")
            long = to.op("Cast", [self.lengths], "lengths", to=_INT64)
            self.long = to.op("Unsqueeze", [long, self.axis_1], "lengths_by_row")
            self.inside = to.op("Less", [times, self.long], "inside")
            self.mask = to.op("And", [self.mask, self.inside], "counts")
        self.ones = to.op("Cast", [self.mask], "ones", to=_INT64)
        self.upto = to.op("CumSum", [self.ones, self.one], "counted_so_far")
        self.count = to.op("ReduceSum", [self.ones, self.axis_1], "counted", keepdims=1)
        left = to.op("Range", [number, self.zero_index, to.ints(-1, "minus_one")], "steps_left")
        rank = to.op("Mul", [self.ones, left], "rank")
        order = to.fresh("order")
        to.nodes.append(Node("TopK", (rank, self.steps), (to.fresh("ranks"), order), {"axis": 1}, to.fresh("TopK")))
        x = self.given["X"] if self.batch_first else to.op("Transpose", [self.given["X"]], "X_by_row", perm=_SWAP)
        x = self.gather(x, order, "X_counted")
        lengths = to.op("Squeeze", [self.count, self.axis_1], "counted_flat")
        return {
            "X": to.op("Transpose", [x], "X_by_step", perm=_SWAP),
            "sequence_lens": to.op("Cast", [lengths], "sequence_lens", to=_INT32),
        }

    def gather(self, rows: str, index: str, hint: str) -> str:
        """Entry `index` (B, T) of axis 1 of `rows` (B, T, ...)."""
        at = self.to.op("Unsqueeze", [index, self.axis_2], f"{hint}_at")
        return self.to.op("GatherND", [rows, at], hint, batch_dims=1)

    def outputs(self, y: str, name: str) -> None:
        """Y from `y` (B, T, D, H), whose steps are those that count."""
        to = self.to
        parts = [y]
        if len(self.backwards) == 2:
            parts = [to.fresh("Y_part") for _ in self.backwards]
            to.nodes.append(Node("Split", (y,), tuple(parts), {"axis": 2, "num_outputs": 2}, to.fresh("Split")))
        whole = [self.spread(part, back) for part, back in zip(parts, self.backwards, strict=True)]
        joined = whole[0] if len(whole) == 1 else to.op("Concat", whole, "Y_joined", axis=2)
        if self.batch_first:
            to.op("Identity", [joined], "Y", name)
        else:
            to.op("Transpose", [joined], "Y", name, perm=(1, 2, 0, 3))

    def spread(self, y: str, backwards: bool) -> str:
        """Outputs of one direction back at their steps; a step that does not count repeats the one before it."""
        to = self.to
        if backwards:
            index = to.op("Sub", [self.upto, self.ones], "next")
            exists = to.op("Less", [index, self.count], "has_next")
            index = to.op("Min", [index, to.op("Sub", [self.count, self.one], "final")], "next_or_final")
        else:
            index = to.op("Sub", [self.upto, self.one], "latest")
            exists = to.op("GreaterOrEqual", [index, self.zero_index], "has_latest")
        if self.zero:
            exists = self.mask
        elif self.inside:
            exists = to.op("And", [exists, self.inside], "shown")
        index = to.op("Max", [index, self.zero_index], "source")
        found = self.gather(y, index, "Y_spread")
        flag = to.op("Unsqueeze", [exists, to.ints([2, 3], "axes_2_3")], "shown_wide")
        nothing = to.op("CastLike", [self.zero_index, found], "nothing")
        return to.op("Where", [flag, found, nothing], "Y_filled")

    def state(self, last: str, initial: str, key: str) -> str:
        """The last state (D, B, H): the initial one where no step of a row counts."""
        if not initial:
            return last
        to = self.to
        held = to.op("Equal", [self.count, self.zero_index], f"{key}_held")
        if self.lengths:
            some = to.op("Greater", [self.long, self.zero_index], f"{key}_long")
            held = to.op("And", [held, some], f"{key}_held_long")
        return to.op("Where", [held, initial, last], f"{key}_or_initial")


def _trimmed(names: Any) -> tuple[str, ...]:
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)
