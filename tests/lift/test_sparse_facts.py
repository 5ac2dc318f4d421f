"""What lifting looks for around recurrent nodes may have an unknown rank or attributes by default."""

from __future__ import annotations

import numpy as np
import pytest

from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import recognise

INTS = {"last": np.array([-1]), "end": np.array([2**40]), "axis": np.array([0]), "one": np.array(-1)}


@pytest.mark.parametrize(
    "nodes",
    [
        (Node("Slice", ("x", "last", "end", "axis"), ("y",)),),
        (Node("Gather", ("x", "one"), ("y",)),),
        (Node("Transpose", ("x",), ("t",)), Node("Slice", ("t", "last", "end", "axis"), ("y",))),
    ],
)
def test_the_last_of_a_value_of_unknown_rank(nodes: tuple[Node, ...]) -> None:
    kind = np.dtype(np.float32)
    graph = Graph((Value("x", kind, None),), (Value("y", kind, None),), nodes, INTS)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(evaluate(recognise(graph), {"x": x})[0], evaluate(graph, {"x": x})[0])


def test_a_value_of_unknown_rank_that_is_repeated() -> None:
    kind = np.dtype(np.float32)
    repeat = Node("Tile", ("x", "times"), ("y",))
    graph = Graph((Value("x", kind, None),), (Value("y", kind, None),), (repeat,), {"times": np.array([2, 3])})
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(evaluate(recognise(graph), {"x": x})[0], np.tile(x, (2, 3)))


def test_an_extent_that_its_type_does_not_hold() -> None:
    kind = np.dtype(np.float32)
    nodes = (
        Node("Shape", ("x",), ("long",)),
        Node("Cast", ("long",), ("short",), {"to": 6}),
        Node("Slice", ("short", "zero", "one", "zero"), ("y",)),
    )
    constants = {"zero": np.array([0]), "one": np.array([1])}
    graph = Graph((Value("x", kind, (2**31, "T")),), (Value("y", np.dtype(np.int32), None),), nodes, constants)
    assert len(recognise(graph).nodes) == 3


@pytest.mark.parametrize("attrs", [{}, {"perm": ()}])
def test_a_transpose_that_names_no_order_turns_the_axes_around(attrs: dict[str, object]) -> None:
    kind = np.dtype(np.float32)
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((1, 8, 3)).astype(kind), "r": rng.standard_normal((1, 8, 2)).astype(kind)}
    graph = Graph(
        (Value("x", kind, (3, "B", "T")),),
        (Value("y", kind, None),),
        (Node("Transpose", ("x",), ("t",), attrs), Node("LSTM", ("t", "w", "r"), ("y",), {"hidden_size": 2})),
        constants,
    )
    x = rng.standard_normal((3, 2, 4)).astype(kind)
    np.testing.assert_array_equal(evaluate(recognise(graph), {"x": x})[0], evaluate(graph, {"x": x})[0])
