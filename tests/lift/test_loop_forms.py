"""Loops as PyTorch's scripted modules have them: they become recurrent nodes, and compute the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import hoist, recognise
from tests.lift.spellings import BOOL, FLOAT, INT, Writer

UNITS = 3
DATA = Path(__file__).parents[1] / "data" / "lift"


class Scripted(Writer):
    """A loop over the steps of X (T, B, 4) that carries h (B, 3), c (B, 3), and perhaps `out`, which grows."""

    def __init__(self, steps: Any = "T", seed: int = 0) -> None:
        super().__init__(np.random.default_rng(seed))
        self.steps = steps
        self.body = Writer(self.rng, "in_")
        self.read = "X"
        self.count = self.op("Gather", self.op("Shape", "X"), self.constant(0, np.int64), axis=0)

    def at(self, index: str) -> str:
        return str(self.body.op("Gather", self.read, index, axis=0))

    def ints(self, *values: int) -> str:
        return self.body.constant(list(values), np.int64)

    def cell(self, op: str, x: str, states: tuple[str, ...] = ("h", "c"), extra: int = 0, **attrs: Any) -> list[str]:
        """A node of one step in the body; the states after it."""
        gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
        shapes = [(1, gates * UNITS, 4), (1, gates * UNITS, UNITS), (1, 2 * gates * UNITS)]
        weights = [self.body.constant(self.rng.standard_normal(s) / 2) for s in shapes]
        wide = [str(self.body.op("Unsqueeze", v, self.ints(0))) for v in (x, *states[: 2 if op == "LSTM" else 1])]
        lengths = self.ones() if extra == 4 else ""
        peepholes = [self.body.constant(self.rng.standard_normal((1, 3 * UNITS)))] if extra == 7 else []
        made = self.body.op(op, wide[0], *weights, lengths, *wide[1:], *peepholes, outputs=3 if op == "LSTM" else 2,
                            hidden_size=UNITS, **attrs)  # fmt: skip
        return [str(self.body.op("Squeeze", name, self.ints(0))) for name in made[1:]]

    def ones(self) -> str:
        rows = self.body.op("Slice", self.body.op("Shape", "h"), self.ints(0), self.ints(1))
        return str(self.body.op("Expand", self.body.constant([1], np.int32), rows))

    def gates(self, x: str) -> tuple[str, str]:
        """An LSTM's step in arithmetic whose gates are cut at a quarter of their extent, which is computed."""
        b = self.body
        both = b.op("Concat", x, "h", axis=1)
        sums = b.op("Add", b.op("MatMul", both, b.constant(b.weights(7, 12))), b.constant(self.rng.standard_normal(12)))
        width = b.op("Div", b.op("Slice", b.op("Shape", sums), self.ints(1), self.ints(2)), self.ints(4))
        ends = [b.op("Mul", width, self.ints(k)) for k in range(5)]
        i, f, g, o = (b.op("Slice", sums, ends[k], ends[k + 1], self.ints(1)) for k in range(4))
        kept = b.op("Mul", b.op("Sigmoid", f), "c")
        c = b.op("Add", kept, b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", g)))
        return str(b.op("Mul", b.op("Sigmoid", o), b.op("Tanh", c))), str(c)

    def done(self, states: tuple[str, str], stacked: str = "", grown: str = "", start: str = "") -> Graph:
        """The graph; `grown` is what `out` becomes in a step."""
        extra = [("out", grown, start)] if grown else []
        carried = [("h", states[0], "h0"), ("c", states[1], "c0"), *extra]
        on = self.body.op("Identity", "going")
        kinds = [Value(name, FLOAT, (None,) * (3 if name == "out" else 2)) for name, _, _ in carried]
        body = self.body.graph(
            [Value("t", INT, ()), Value("going", BOOL, ()), *kinds],
            [Value(on, BOOL, ()), *(Value(v, FLOAT, None) for _, v, _ in carried),
             *([Value(stacked, FLOAT, None)] if stacked else [])],
        )  # fmt: skip
        results = [f"{name}_end" for name, _, _ in carried] + (["Y"] if stacked else [])
        inputs = (self.count, self.constant(True, np.bool_), *(first for _, _, first in carried))
        self.nodes.append(Node("Loop", inputs, tuple(results), {"body": body}, "loop"))
        given = [Value("X", FLOAT, (self.steps, "B", 4)), *(Value(n, FLOAT, ("B", UNITS)) for n in ("h0", "c0"))]
        if start == "begun":
            given.append(Value("begun", FLOAT, (None, None, UNITS)))
        return self.graph(given, [Value(name, FLOAT, None) for name in results])


def check(graph: Graph, rows: int = 2, **feeds: np.ndarray) -> Counter[str]:
    """The operators of what the graph becomes, which must compute the same."""
    rng = np.random.default_rng(1)
    extents = {"T": 5, "B": rows}
    for value in graph.inputs:
        if value.name not in feeds:
            feeds[value.name] = rng.standard_normal([extents.get(str(d), d) for d in value.shape or ()])  # type: ignore[arg-type]
    lifted = recognise(graph)
    for got, want in zip(evaluate(lifted, feeds, np.float64), evaluate(graph, feeds, np.float64), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    return Counter(node.op for node in lifted.nodes)


def lifted(ops: Counter[str], op: str = "LSTM") -> bool:
    return ops[op] == 1 and not ops["Loop"]


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("LSTM", {}),
        ("LSTM", {"activations": ("HardSigmoid", "Softsign", "Tanh"), "activation_alpha": (0.3, 0.0, 0.0),
                  "activation_beta": (0.4, 0.0, 0.0)}),
        ("GRU", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"direction": "reverse"}),
        ("RNN", {}),
        ("RNN", {"activations": ("Relu",)}),
    ],
)  # fmt: skip
def test_nodes_of_one_step(op: str, attrs: dict[str, Any]) -> None:
    s = Scripted()
    states = s.cell(op, s.at("t"), **attrs)
    graph = s.done((states[0], states[1] if op == "LSTM" else "c"), stacked=states[0])
    if op != "LSTM":  # c is carried as it is, which no cell does
        graph = without_c(graph)
    assert lifted(check(graph), op)


def without_c(graph: Graph) -> Graph:
    """The graph whose loop carries h alone."""
    node = graph.nodes[-1]
    body: Graph = node.attrs["body"]

    def rest(items: Any, gone: int) -> Any:
        return tuple(item for k, item in enumerate(items) if k != gone)

    inner = body.replace(inputs=rest(body.inputs, 3), outputs=rest(body.outputs, 2))
    lean = Node("Loop", rest(node.inputs, 3), rest(node.outputs, 1), {"body": inner}, node.name)
    return graph.replace(nodes=(*graph.nodes[:-1], lean), outputs=rest(graph.outputs, 1))


@pytest.mark.parametrize("extra", [{"extra": 4}, {"extra": 7}, {"clip": 0.5}, {"input_forget": 1}])
def test_what_a_node_of_one_step_may_not_have(extra: dict[str, Any]) -> None:
    s = Scripted()
    h, c = s.cell("LSTM", s.at("t"), **extra)
    ops = check(s.done((h, c), stacked=h))
    assert ops["Loop"] == 1


@pytest.mark.parametrize("steps", ["T", 5])
def test_gates_cut_at_computed_places(steps: Any) -> None:
    s = Scripted(steps)
    h, c = s.gates(s.at("t"))
    assert lifted(check(s.done((h, c), stacked=h)))


def test_a_view_of_the_sequence_within_the_body() -> None:
    """As torch.jit writes ``x[:, t]``: first all of x, then one step."""
    s = Scripted()
    s.read = s.body.op("Slice", "X", s.ints(0), s.ints(2**63 - 1), s.ints(1), s.ints(1))
    h, c = s.gates(s.at("t"))
    assert lifted(check(s.done((h, c), stacked=h)))


def backwards_by_last(s: Scripted) -> str:
    b = s.body
    return str(b.op("Sub", b.op("Sub", s.count, b.constant(1, np.int64)), "t"))


def backwards_by_next(s: Scripted) -> str:
    b = s.body
    return str(b.op("Sub", s.count, b.op("Add", "t", b.constant(1, np.int64))))


def beside_by_one(s: Scripted) -> str:
    b = s.body
    return str(b.op("Sub", b.op("Sub", s.count, b.constant(2, np.int64)), "t"))


@pytest.mark.parametrize("steps", ["T", 5])
@pytest.mark.parametrize(
    ("index", "recurrent"), [(backwards_by_last, True), (backwards_by_next, True), (beside_by_one, False)]
)
def test_from_the_end(index: Callable[[Scripted], str], recurrent: bool, steps: Any) -> None:
    s = Scripted(steps)
    h, c = s.gates(s.at(index(s)))
    assert lifted(check(s.done((h, c), stacked=h))) is recurrent


@pytest.mark.parametrize("steps", ["T", 5])
@pytest.mark.parametrize("in_front", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("start", ["empty", "begun"])
def test_a_tensor_that_grows(start: str, axis: int, in_front: bool, steps: Any) -> None:
    s = Scripted(steps)
    h, c = s.gates(s.at("t"))
    piece = s.body.op("Unsqueeze", h, s.ints(axis))
    grown = s.body.op("Concat", *([piece, "out"] if in_front else ["out", piece]), axis=axis)
    extents: dict[int, Any] = {0: (0, "B", UNITS), 1: ("B", 0, UNITS), -1: ("B", UNITS, 0)}
    given = {}
    if start == "empty":
        rows = s.op("Slice", s.op("Shape", "h0"), s.constant([0], np.int64), s.constant([1], np.int64))
        parts = [rows if d == "B" else s.constant([d], np.int64) for d in extents[axis]]
        name = str(s.op("ConstantOfShape", s.op("Concat", *parts, axis=0)))
    else:
        name = "begun"
        held = [2 if d == "B" else d or 4 for d in extents[axis]]
        given["begun"] = np.random.default_rng(2).standard_normal(held)
    graph = s.done((h, c), grown=grown, start=name)
    if start == "begun":
        inputs = tuple(Value(v.name, v.dtype, None if v.name == "begun" else v.shape) for v in graph.inputs)
        graph = graph.replace(inputs=inputs)
    ops = check(graph, **given)
    assert lifted(ops)
    if start == "empty":
        assert ops["Concat"] == 0


def test_a_tensor_that_is_read_while_it_grows() -> None:
    s = Scripted()
    h, c = s.gates(s.at("t"))
    grown = s.body.op("Concat", "out", s.body.op("Unsqueeze", h, s.ints(0)), axis=0)
    before = s.body.op("Gather", "out", s.body.constant(0, np.int64), axis=0)
    graph = s.done((h, s.body.op("Add", c, before)), grown=grown, start="begun")
    ops = check(graph, begun=np.random.default_rng(2).standard_normal((1, 2, UNITS)))
    assert ops["Loop"] == 1


def test_what_depends_on_the_step_stays_in_the_loop() -> None:
    s = Scripted()
    s.read = s.body.op("Transpose", s.body.op("Slice", "X", s.ints(0), s.ints(2), s.ints(2)), perm=(0, 1, 2))
    moved = s.body.op("Cast", "h", to=1)
    same = s.done((moved, "c"), stacked=s.at("t"))
    found = hoist(same)
    body: Graph = found.nodes[-1].attrs["body"]
    assert [node.op for node in found.nodes[-3:]] == ["Slice", "Transpose", "Loop"]
    assert [node.op for node in body.nodes] == ["Cast", "Gather", "Identity"]
    assert not body.constants
    assert hoist(found) is found
    check(same)


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("torch_dynamo_plain_gru_cell", "GRU"),
        ("torch_scripted_loop_fused", "LSTM"),
        ("torch_scripted_loop_lstm", "LSTM"),
        ("torch_scripted_grown_gru_step", "GRU"),
    ],
)
def test_files_of_torch(name: str, op: str) -> None:
    """Their outputs were recorded from PyTorch, at two sizes of the batch."""
    pytest.importorskip("onnx")
    loaded = rnnrt.load(DATA / f"{name}.onnx")
    ops = Counter(node.op for node in loaded.graph.nodes)
    assert lifted(ops, op), ops
    with np.load(DATA / f"{name}.npz") as recorded:
        for size in ("", "b_"):
            feeds = {info.name: recorded[f"{size}in_{info.name}"] for info in loaded.inputs}
            for k, got in enumerate(loaded.run(None, feeds)):
                np.testing.assert_allclose(got, recorded[f"{size}out_{k}"], rtol=1e-5, atol=1e-6)
