"""Made-up inputs: what is wanted where the network takes it, and else what it takes."""

from __future__ import annotations

import numpy as np
import pytest

from rnnrt import Model, RnnrtError
from rnnrt.ir import Graph, Node, Value
from rnnrt.samples import suitable_inputs

F32, I64 = np.dtype("float32"), np.dtype("int64")


def made_up(graph: Graph, batch: int = 2, steps: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    model = Model.from_graph(graph)
    return suitable_inputs(graph, lambda feeds: model.run(None, feeds), batch, steps, seed)


def negate(*inputs: Value) -> Graph:
    nodes = tuple(Node("Neg", (v.name,), (f"{v.name}_out",)) for v in inputs)
    return Graph(inputs, tuple(Value(n.outputs[0], F32) for n in nodes), nodes)


def test_the_first_axis_is_the_batch_unless_one_has_such_a_name() -> None:
    assert made_up(negate(Value("x", F32, (None, None, 3))))["x"].shape == (2, 5, 3)
    assert made_up(negate(Value("x", F32, ("time", "batch_size", 3))))["x"].shape == (5, 2, 3)


def test_axes_of_one_name_are_one() -> None:
    feeds = made_up(negate(Value("x", F32, ("time", "N")), Value("h", F32, (4, "N"))))
    assert feeds["x"].shape == (5, 2)
    assert feeds["h"].shape == (4, 2)


def test_what_the_network_needs_is_found() -> None:
    """The batch of the second input is built in; the first one's, not named alike, must be the same."""
    inputs = (Value("x", F32, (None, None)), Value("h", F32, (3, 1)))
    nodes = (Node("Concat", ("x", "h"), ("y",), {"axis": 1}), Node("Reshape", ("y", "shape"), ("z",)))
    graph = Graph(inputs, (Value("z", F32),), nodes, {"shape": np.array([3, 257])})
    feeds = made_up(graph)
    assert feeds["x"].shape == (3, 256)


def test_an_integer_is_what_it_is_compared_with() -> None:
    inputs = (Value("sr", I64, ()), Value("ids", I64, (None, 4)))
    nodes = (
        Node("Constant", (), ("rate",), {"value": np.array(16000)}),
        Node("Equal", ("sr", "rate"), ("same",)),
        Node("Cast", ("ids",), ("y",), {"to": 1}),
    )
    feeds = made_up(Graph(inputs, (Value("same", np.dtype(bool)), Value("y", F32)), nodes))
    assert feeds["sr"] == 16000
    assert (feeds["ids"] == np.ones((2, 4))).all()


def test_seeds_differ_and_repeat() -> None:
    graph = negate(Value("x", F32, (None, 3)))
    np.testing.assert_array_equal(made_up(graph)["x"], made_up(graph)["x"])
    assert not np.array_equal(made_up(graph)["x"], made_up(graph, seed=1)["x"])


def test_where_nothing_suits_the_first_reason_is_told() -> None:
    graph = Graph(
        (Value("x", F32, (None, 2)),),
        (Value("y", F32),),
        (Node("Reshape", ("x", "shape"), ("y",)),),
        {"shape": np.array([7])},
    )
    with pytest.raises(RnnrtError, match=r"made-up inputs x \(2, 2\) do not suit.*Reshape node"):
        made_up(graph)
