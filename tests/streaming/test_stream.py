"""A stream of pieces gives what the whole sequence gives, bit for bit; what cannot stream is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from rnnrt import Model, ShapeError, StateError
from rnnrt.ir import Graph, Node, Value

F32 = np.dtype("float32")
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def network(kind: str = "LSTM", layout: int = 0, after: tuple[Node, ...] = (), **attrs) -> Graph:
    rng = np.random.default_rng(3)
    hidden, features, gates = 19, 5, GATES[kind]
    constants = {
        "W": rng.standard_normal((1, gates * hidden, features)).astype(F32),
        "R": rng.standard_normal((1, gates * hidden, hidden)).astype(F32),
        "B": rng.standard_normal((1, 2 * gates * hidden)).astype(F32),
        "one": np.array([1]),
    }
    node = Node(kind, ("x", "W", "R", "B"), ("y0",), {"hidden_size": hidden, "layout": layout, **attrs}, "memory")
    last = after[-1].outputs[0] if after else "y0"
    return Graph((Value("x", F32, (None, None, features)),), (Value(last, F32),), (node, *after), constants)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("layout", [0, 1])
def test_pieces_equal_the_whole(kind: str, layout: int) -> None:
    model = Model.from_graph(network(kind, layout, (Node("Tanh", ("y0",), ("y",)),)))
    x = np.random.default_rng(0).standard_normal((3, 11, 5) if layout else (11, 3, 5)).astype(F32)
    whole = model(x)
    stream = model.stream(batch_size=3)
    time = layout
    steps = [stream.step(np.ascontiguousarray(x.take(t, time))) for t in range(11)]
    np.testing.assert_array_equal(np.stack(steps, time), whole)
    stream.reset()
    pieces = [stream.run(x.take(range(a, b), time)) for a, b in ((0, 4), (4, 5), (5, 11))]
    np.testing.assert_array_equal(np.concatenate(pieces, time), whole)


def test_step_takes_what_arrays_can_be_made_of() -> None:
    model = Model.from_graph(network())
    x = np.random.default_rng(0).standard_normal((1, 5)).astype(F32)
    want = model.stream().step(x)
    np.testing.assert_array_equal(model.stream().step(x.tolist()), want)
    np.testing.assert_array_equal(model.stream().step(np.asfortranarray(np.repeat(x, 2, 0))[:1]), want)
    with pytest.raises(ShapeError, match=r"'x' takes shape"):
        model.stream().step(np.zeros((1, 6), F32))


def test_state_is_read_and_restored() -> None:
    stream = Model.from_graph(network("GRU")).stream()
    x = np.random.default_rng(1).standard_normal((6, 1, 5)).astype(F32)
    stream.run(x[:3])
    kept = stream.state
    assert list(kept) == ["memory.h"]
    first = [stream.step(step) for step in x[3:]]
    stream.state = kept
    np.testing.assert_array_equal(first, [stream.step(step) for step in x[3:]])
    with pytest.raises(StateError, match=r"\['memory.h'\]"):
        stream.state = {}
    with pytest.raises(ShapeError, match=r"memory.h.*\(1, 1, 19\)"):
        stream.state = {"memory.h": np.zeros(3)}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (network(after=(Node("ReduceMean", ("y0", "zero"), ("m",)),)), "ReduceMean node 'm' mixes time steps"),
        (network(after=(Node("Softmax", ("y0",), ("s",), {"axis": 0}),)), "Softmax node 's' works along the time axis"),
        (network(direction="reverse"), "LSTM node 'memory' reads the sequence reverse"),
        (network(after=(Node("CumSum", ("y0", "zero"), ("c",)),)), "CumSum node 'c' mixes time steps"),
    ],
)
def test_what_mixes_time_is_refused(graph: Graph, message: str) -> None:
    graph = graph.replace(constants={**graph.constants, "zero": np.array([0])})
    if "CumSum" in message:
        graph = graph.replace(constants={**graph.constants, "zero": np.array(0)})
    with pytest.raises(StateError, match=message):
        Model.from_graph(graph).stream()
