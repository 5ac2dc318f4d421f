"""What stands around recurrent nodes is folded into them, and computes the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import recognise
from tests.lift.spellings import BOOL, FLOAT, INT, Writer

SIZES = {"T": 5, "B": 3}


class Network(Writer):
    """A graph around one recurrent node over X (T, B, 4)."""

    def __init__(self, seed: int = 0, units: int = 3) -> None:
        super().__init__(np.random.default_rng(seed))
        self.units = units
        self.given = [Value("X", FLOAT, ("T", "B", 4))]

    def ints(self, *values: int) -> str:
        return self.constant(list(values), np.int64)

    def reverse(self, value: str, axis: int = 0) -> str:
        return self.op("Slice", value, self.ints(-1), self.ints(-(2**63) + 1), self.ints(axis), self.ints(-1))

    def reverse_rows(self, value: str, steps: str = "X") -> str:
        """As TensorFlow's exporter turns (T, B, ...) around."""
        shape = self.op("Shape", steps)
        length, rows = (self.op("Gather", shape, self.ints(k)) for k in (0, 1))
        return self.op("ReverseSequence", value, self.op("Expand", length, rows), time_axis=0, batch_axis=1)

    def recurrent(self, op: str, x: str, lengths: str = "", mask: str = "", h0: str = "", **attrs: Any) -> list[str]:
        gates, n = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], self.units
        directions = 2 if attrs.get("direction") == "bidirectional" else 1
        shapes = [(directions, gates * n, 4), (directions, gates * n, n), (directions, 2 * gates * n)]
        weights = [self.constant(self.rng.standard_normal(s) / 2) for s in shapes]
        states = [h0, "", ""] if op == "LSTM" else [h0]
        inputs = (x, *weights, lengths, *states, mask)
        names = tuple(self.name(hint) for hint in ("Y", "Yh", "Yc")[: 3 if op == "LSTM" else 2])
        self.nodes.append(Node(op, inputs, names, {"hidden_size": n, **attrs}, names[0]))
        return list(names)

    def done(self, *outputs: str) -> Graph:
        return self.graph(self.given, [Value(name, FLOAT, None) for name in outputs])


def check(graph: Graph, **feeds: Any) -> Counter[str]:
    """The operators of what the graph becomes, which must compute the same."""
    rng = np.random.default_rng(1)
    for value in graph.inputs:
        shape = [d if isinstance(d, int) else SIZES[str(d)] for d in value.shape or ()]
        if value.name not in feeds:
            drawn = rng.random(shape) < 0.6 if value.dtype == BOOL else rng.standard_normal(shape)
            feeds[value.name] = drawn.astype(value.dtype)
    found = recognise(graph)
    for got, want in zip(evaluate(found, feeds, np.float64), evaluate(graph, feeds, np.float64), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    return Counter(node.op + str(node.attrs.get("direction", "")) for node in found.nodes)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("turn", ["reverse", "reverse_rows"])
def test_a_recurrence_over_a_reversed_sequence(op: str, turn: str) -> None:
    net = Network()
    y, last = net.recurrent(op, getattr(net, turn)("X"))[:2]
    found = check(net.done(getattr(net, turn)(net.op("Squeeze", y, net.ints(1))), last))
    assert found[op + "reverse"] == 1 and not found["Slice"] and not found["ReverseSequence"]


def test_results_that_are_not_turned_back() -> None:
    net = Network()
    y, _ = net.recurrent("GRU", net.reverse("X"))
    found = check(net.done(y))
    assert found["GRUreverse"] == 1 and found["Slice"] == 1


def test_a_reversed_sequence_with_a_mask() -> None:
    net = Network()
    net.given.append(Value("M", BOOL, ("T", "B")))
    y, _ = net.recurrent("GRU", net.reverse("X"), mask=net.reverse("M"))
    found = check(net.done(net.reverse(y)))
    assert found["GRUreverse"] == 1 and not found["Slice"]


def test_a_mask_that_is_not_reversed_is_reversed() -> None:
    net = Network()
    net.given.append(Value("M", BOOL, ("T", "B")))
    y, _ = net.recurrent("GRU", net.reverse("X"), mask="M", zero_output_for_mask=1)
    assert check(net.done(net.reverse(y)))["GRUreverse"] == 1


def test_a_reversed_sequence_with_lengths_stays() -> None:
    net = Network()
    net.given.append(Value("L", np.dtype(np.int32), ("B",)))
    y, _ = net.recurrent("GRU", net.reverse("X"), lengths="L")
    assert check(net.done(y), L=np.array([5, 2, 3], np.int32))["GRU"] == 1


def test_reversed_by_lengths_of_its_own_stays() -> None:
    net = Network()
    net.given.append(Value("L", INT, ("B",)))
    x = net.op("ReverseSequence", "X", "L", time_axis=0, batch_axis=1)
    assert check(net.done(net.recurrent("GRU", x)[0]), L=np.array([5, 2, 3]))["ReverseSequence"] == 1


@pytest.mark.parametrize("pick", ["slice", "gather", "extent"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_last_step_is_the_state(pick: str, batch_first: bool) -> None:
    net = Network()
    if pick == "extent":
        net.given = [Value("X", FLOAT, (5, "B", 4))]
    y = net.op("Squeeze", net.recurrent("LSTM", "X")[0], net.ints(1))
    if batch_first:
        y = net.op("Transpose", y, perm=(1, 0, 2))
    axis = int(batch_first)
    if pick == "slice":
        last = net.op("Slice", y, net.ints(-1), net.ints(2**31), net.ints(axis))
    else:
        last = net.op("Gather", y, net.constant(-1 if pick == "gather" else 4, np.int64), axis=axis)
    found = check(net.done(last))
    assert not found["Slice"] and not found["Gather"]


def test_the_last_step_of_what_is_not_the_state_stays() -> None:
    for attrs in ({"direction": "reverse"}, {"direction": "bidirectional"}, {"zero_output_for_mask": 1}):
        net = Network()
        mask = ""
        if "zero_output_for_mask" in attrs:
            net.given.append(Value("M", BOOL, ("T", "B")))
            mask = "M"
        y = net.recurrent("GRU", "X", mask=mask, **attrs)[0]
        assert check(net.done(net.op("Gather", y, net.constant(-1, np.int64), axis=0)))["Gather"] == 1
    net = Network()
    net.given.append(Value("L", np.dtype(np.int32), ("B",)))
    y = net.recurrent("GRU", "X", lengths="L")[0]
    graph = net.done(net.op("Gather", y, net.constant(-1, np.int64), axis=0))
    assert check(graph, L=np.array([5, 2, 3], np.int32))["Gather"] == 1


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("back", ["scatter", "sort"])
def test_rows_sorted_by_length(direction: str, back: str) -> None:
    """Torch's pack_padded_sequence as its exporter writes it."""
    net = Network()
    net.given.append(Value("L", INT, ("B",)))
    count = net.op("Shape", "L")
    lengths, order = net.op("TopK", "L", count, outputs=2, axis=-1)
    x = net.op("Gather", "X", order, axis=1)
    y, last = net.recurrent("GRU", x, lengths=net.op("Cast", lengths, to=6), direction=direction)
    if back == "scatter":
        size = net.op("ReduceProd", net.op("Shape", order), keepdims=0)
        places = net.op("Range", net.constant(0, np.int64), size, net.constant(1, np.int64))
        zeros = net.op("ConstantOfShape", net.op("Shape", order), value=np.zeros(1, np.int64))
        inverse = net.op("ScatterElements", zeros, order, places, axis=0)
    else:
        inverse = net.op("TopK", order, count, outputs=2, largest=0)[1]
    graph = net.done(net.op("Gather", y, inverse, axis=2), net.op("Gather", last, inverse, axis=1))
    found = check(graph, L=np.array([2, 5, 3]))
    assert not found["TopK"] and not found["Gather"] and not found["ScatterElements"]


def test_rows_in_an_order_that_is_given_stay_in_it() -> None:
    net = Network()
    net.given += [Value("L", np.dtype(np.int32), ("B",)), Value("order", INT, ("B",))]
    lengths = net.op("Gather", "L", "order", axis=0)
    y, _ = net.recurrent("GRU", net.op("Gather", "X", "order", axis=1), lengths=lengths)
    found = check(net.done(y), L=np.array([2, 5, 3], np.int32), order=np.array([1, 1, 2]))
    assert found["Gather"] >= 1
