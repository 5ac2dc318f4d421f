"""Rows that join and leave between rounds give what they give alone, and what is written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import Model, RnnrtError, StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.serving.slots import Row, Slots, bucket
from rnnrt.serving.stepped import make_stepped
from rnnrt.serving.whole import make_whole
from tests.serving.support import F32, FEATURES, network, sequences, written_out
from tests.support import assert_close


def drive(model: Model, plan: dict[int, list[Row]], capacity: int = 4, steps: int = 4) -> Slots:
    """Rows join at the rounds that `plan` says, until all are done."""
    slots = Slots(make_stepped(model.graph), capacity, steps)
    number, waiting = 0, list[Row]()
    while slots.rows or waiting or any(at >= number for at in plan):
        waiting += plan.get(number, [])
        joining, waiting = waiting[: slots.free], waiting[slots.free :]
        slots.join(joining)
        if slots.rows:
            slots.advance()
        slots.leave({i for i, row in enumerate(slots.rows) if row.left == 0 or row.error})
        number += 1
    return slots


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("steps", [1, 4, 16])
def test_rows_give_what_is_written_out(layout: int, steps: int) -> None:
    model = network(layout)
    xs = sequences(1, 9, 30, 4, 5, 17, 2)
    rows = [Row(x) for x in xs]
    slots = drive(model, {0: rows[:2], 1: rows[2:4], 3: rows[4:5], 30: rows[5:]}, steps=steps)
    for x, row in zip(xs, rows, strict=True):
        products, state = row.results(slots.net)
        for got, want in zip((products, state), written_out(x), strict=True):
            assert_close(got, want)
        alone = model(np.expand_dims(x, 1 - layout))
        np.testing.assert_array_equal(products, alone[0].take(0, 1 - layout))
        np.testing.assert_array_equal(state, alone[1][0])


def test_last_step_picked_by_position() -> None:
    """A slice of the last step, not the recurrent node's own last state, is right where rows end at the round's end."""
    pick = Node("Gather", ("products", "last"), ("y",), {"axis": 1})
    xs = sequences(1, 2, 3, 4, 5, 6, 11)
    rows = [Row(x) for x in xs]
    slots = drive(network(1, after=(pick,)), {0: rows[:3], 1: rows[3:]}, capacity=8)
    for x, row in zip(xs, rows, strict=True):
        (y,) = row.results(slots.net)
        assert_close(y, written_out(x)[0][-1])


def test_a_state_goes_on_in_the_next_piece() -> None:
    (x,) = sequences(13)
    net = make_stepped(network().graph)
    slots, state, parts = Slots(net, 4, 4), None, []
    for a, b in ((0, 5), (5, 6), (6, 13)):
        row = Row(x[a:b], state=state)
        slots.join([Row(sequences(40)[0]), row])
        while row.left:
            slots.advance()
        parts.append(row.results(net)[0])
        state = slots.state_of(len(slots.rows) - 1)
        slots.leave(set(range(len(slots.rows))))
    assert_close(np.concatenate(parts), written_out(x)[0])


def test_nan_stays_in_its_row() -> None:
    xs = sequences(6, 6, 6)
    xs[1][2, 0] = np.nan
    rows = [Row(x) for x in xs]
    slots = drive(network(), {0: rows})
    for x, row in ((xs[0], rows[0]), (xs[2], rows[2])):
        assert_close(row.results(slots.net)[0], written_out(x)[0])
    y = rows[1].results(slots.net)[0]
    assert np.isnan(y[2:]).all() and np.isfinite(y[:2]).all()


def test_a_row_that_fails_fails_alone() -> None:
    table = np.random.default_rng(0).standard_normal((7, FEATURES)).astype(F32)
    inner = network().graph
    renamed = [Node(n.op, tuple({"x": "e"}.get(i, i) for i in n.inputs), n.outputs, n.attrs) for n in inner.nodes]
    look_up = Node("Gather", ("table", "x"), ("e",), {"axis": 0})
    value = Value("x", np.dtype("int64"), (None, None))
    graph = Graph((value,), inner.outputs, (look_up, *renamed), {**inner.constants, "table": table})
    model = Model.from_graph(graph)
    xs = [np.array([1, 2, 3, 4, 5, 6]), np.array([0, 1, 99]), np.array([6, 5])]
    rows = [Row(x) for x in xs]
    slots = drive(model, {0: rows})
    assert isinstance(rows[1].error, RnnrtError)
    assert "out of range" in str(rows[1].error)
    for x, row in ((xs[0], rows[0]), (xs[2], rows[2])):
        assert row.error is None
        assert_close(row.results(slots.net)[0], written_out(table[x])[0])


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (Node("ReduceMean", ("products", "axis"), ("m",), {"keepdims": 1}), "ReduceMean node 'm' brings the rows"),
        (Node("Softmax", ("products",), ("s",), {"axis": 0}), "Softmax node 's' brings the rows"),
        (Node("Gather", ("products", "last"), ("g",), {"axis": 0}), "Gather node 'g' brings the rows"),
    ],
)
def test_rows_that_meet_are_not_batched(after: Node, message: str) -> None:
    model = network(after=(after,))
    with pytest.raises(StateError, match=message):
        make_stepped(model.graph)
    whole, reason = make_whole(model.graph)
    assert whole.mode == "single"
    assert message in reason


def test_the_size_of_the_batch_in_a_number_is_seen() -> None:
    size = (
        Node("Shape", ("x",), ("shape",)),
        Node("Gather", ("shape", "zero"), ("rows",), {"axis": 0}),
        Node("Cast", ("rows",), ("count",), {"to": 1}),
        Node("Div", ("products", "count"), ("y",)),
    )
    graph = network(after=size).graph
    with pytest.raises(StateError, match="Div node 'y' computes with the size of the batch"):
        make_stepped(graph)


def test_reading_backwards_is_padded_with_lengths() -> None:
    model = network(direction="reverse")
    whole, _ = make_whole(model.graph)
    assert whole.mode == "padded"
    xs = sequences(9, 16, 12)
    for x, (products, state) in zip(xs, whole.run(xs, 8), strict=True):
        alone = model(x[None])
        np.testing.assert_array_equal(products, alone[0][0])
        np.testing.assert_array_equal(state, alone[1][0])
    assert whole.key(xs[0]) == whole.key(xs[1]) != whole.key(sequences(17)[0])


def test_reading_backwards_and_picking_by_position_needs_equal_lengths() -> None:
    pick = Node("Gather", ("products", "last"), ("y",), {"axis": 1})
    model = network(direction="reverse", after=(pick,))
    whole, reason = make_whole(model.graph)
    assert whole.mode == "equal"
    assert "Gather node 'y' picks a time step by its position" in reason
    xs = sequences(9, 9)
    for x, (y,) in zip(xs, whole.run(xs, 8), strict=True):
        np.testing.assert_array_equal(y, model(x[None])[0])


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 25), st.integers(0, 5)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_whatever_joins_whenever(coming: list[tuple[int, int]], capacity: int, steps: int) -> None:
    xs = sequences(*(length for length, _ in coming))
    rows = [Row(x) for x in xs]
    plan: dict[int, list[Row]] = {}
    for row, (_, at) in zip(rows, coming, strict=True):
        plan.setdefault(at, []).append(row)
    slots = drive(network(), plan, capacity, steps)
    for x, row in zip(xs, rows, strict=True):
        for got, want in zip(row.results(slots.net), written_out(x), strict=True):
            assert_close(got, want)


def test_buckets() -> None:
    assert [bucket(n, 6) for n in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 4, 6, 6]
