"""Where time goes in a network: axes that are joined and parted, recurrences beside time, and what gives it away."""

from __future__ import annotations

import numpy as np
import pytest

from rnnrt import Model, Sequential, StateError, layers
from rnnrt.ir import Graph, Node, Value

F32 = np.dtype("float32")
CUTS = ((0, 1), (1, 4), (4, 4), (4, 9))


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(F32)


def inner() -> Model:
    x = layers.Input((None, 6, 3))
    frames = layers.TimeDistributed(layers.Bidirectional(layers.LSTM(4)))(x)
    return Model(x, layers.GRU(5, return_sequences=True)(frames))


def upsampled() -> Model:
    parts = [layers.LSTM(3, return_sequences=True), layers.UpSampling1D(3), layers.GRU(2, return_sequences=True)]
    return Sequential([layers.Input((None, 6)), *parts])


def joined() -> Model:
    parts = [layers.LSTM(4, return_sequences=True), layers.Reshape((-1, 2)), layers.Dense(3)]
    return Sequential([layers.Input((None, 6)), *parts])


@pytest.mark.parametrize(("build", "shape"), [(inner, (2, 9, 6, 3)), (upsampled, (2, 9, 6)), (joined, (2, 9, 6))])
def test_axes_beside_time(build, shape: tuple[int, ...]) -> None:
    model, x = build(), drawn(*shape)
    stream = model.stream(2)
    np.testing.assert_array_equal(np.concatenate([stream.run(x[:, a:b]) for a, b in CUTS], 1), model(x))
    stream.reset()
    steps = [stream.step(np.ascontiguousarray(x[:, t])) for t in range(9)]
    steps = [y[:, None] if y.ndim == 2 else y for y in steps]  # several elements a step keep their axis
    np.testing.assert_array_equal(np.concatenate(steps, 1), model(x))


def test_a_decoder_beside_time_begins_anew_with_every_step() -> None:
    parts = [layers.LSTM(3), layers.RepeatVector(4), layers.LSTM(3, return_sequences=True)]
    model, x = Sequential([layers.Input((None, 6)), *parts]), drawn(2, 9, 6)
    stream = model.stream(2)
    assert len(stream.state) == 2
    for t in range(9):
        np.testing.assert_array_equal(stream.step(np.ascontiguousarray(x[:, t])), model(x[:, : t + 1]))


def test_a_convolution_over_time_and_frequency() -> None:
    constants = {
        "p": np.array([0, 0, 2, 0, 0, 0, 0, 0]), "W": drawn(3, 2, 3, 3), "shape": np.array([0, 0, 12]),
        "LW": drawn(1, 20, 12), "LR": drawn(1, 20, 5), "one": np.array([1]),
    }  # fmt: skip
    nodes = (
        Node("Pad", ("x", "p"), ("wide",)),
        Node("Conv", ("wide", "W"), ("c",), {"pads": (0, 1, 0, 1), "strides": (1, 2)}, "look"),
        Node("Transpose", ("c",), ("t",), {"perm": (2, 0, 1, 3)}),
        Node("Reshape", ("t", "shape"), ("f",)),
        Node("LSTM", ("f", "LW", "LR"), ("h",), {"hidden_size": 5}, "memory"),
        Node("Squeeze", ("h", "one"), ("y",)),
    )
    graph = Graph((Value("x", F32, (None, 2, None, 8)),), (Value("y", F32),), nodes, constants)
    model, x = Model.from_graph(graph), drawn(2, 2, 9, 8)
    stream = model.stream(2)
    assert stream.state["look.past"].shape == (2, 2, 2, 8)
    np.testing.assert_array_equal(np.concatenate([stream.run(x[:, :, a:b]) for a, b in CUTS]), model(x))


def test_an_input_without_time_goes_with_every_piece() -> None:
    a, c = layers.Input((None, 4), name="a"), layers.Input((3,), name="c")
    gate = layers.Reshape((1, 5))(layers.Dense(5)(c))
    model = Model([a, c], layers.Multiply()([layers.LSTM(5, return_sequences=True)(a), gate]))
    x, z = drawn(2, 9, 4), drawn(2, 3)
    stream = model.stream(2)
    np.testing.assert_array_equal(np.concatenate([stream.run(x[:, p:q], z) for p, q in CUTS], 1), model(x, z))


def graph_of(*nodes: Node, **constants: np.ndarray) -> Model:
    """An LSTM, time first, behind or before further nodes; the last value is the output."""
    known = {
        "W": drawn(1, 16, 5),
        "R": drawn(1, 16, 4),
        "one": np.array([1]),
        "zero": np.array(0),
        "none": np.array([0]),
    }
    memory = (
        Node("LSTM", ("x", "W", "R"), ("h",), {"hidden_size": 4}, "memory"),
        Node("Squeeze", ("h", "one"), ("s",)),
    )
    inputs, outputs = (Value("x", F32, (None, None, 5)),), (Value(nodes[-1].outputs[0], F32),)
    return Model.from_graph(Graph(inputs, outputs, (*memory, *nodes), {**known, **constants}))


LENGTH = (
    Node("Shape", ("x",), ("full",)),
    Node("Gather", ("full", "zero"), ("length",), {"axis": 0}),
    Node("Cast", ("length",), ("steps",), {"to": 1}),
)
POSITION = (
    *LENGTH[:2],
    Node("Range", ("zero", "length", "by"), ("places",)),
    Node("Cast", ("places",), ("each",), {"to": 1}),
    Node("Unsqueeze", ("each", "behind"), ("column",)),
)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: graph_of(*LENGTH, Node("Div", ("s", "steps"), ("y",), {}, "mean")), "'mean' computes with the length"),
        (
            lambda: graph_of(
                *POSITION, Node("Add", ("s", "column"), ("y",), {}, "places"),
                by=np.array(1), behind=np.array([1, 2]),
            ),
            "'places' computes with the position",
        ),
        (
            lambda: graph_of(Node("Reshape", ("s", "swap"), ("y",), {}, "turn"), swap=np.array([2, -1, 4])),
            "'turn' makes time change places",
        ),
        (
            lambda: graph_of(Node("Tile", ("s", "twice"), ("y",), {}, "again"), twice=np.array([2, 1, 1])),
            "'again' repeats or drops steps",
        ),
        (
            lambda: graph_of(
                Node("Transpose", ("s",), ("b",), {"perm": (1, 0, 2)}), Node("Reshape", ("b", "flat"), ("y",)),
                flat=np.array([-1, 4]),
            ),
            "'y' has all steps of a row before those of the next one",
        ),
        (
            lambda: graph_of(Node("Slice", ("s", "none", "ends", "none"), ("y",), {}, "cut"), ends=np.array([-1])),
            "'cut' makes",
        ),
        (
            lambda: graph_of(
                Node("Unsqueeze", ("s", "none"), ("u",)), Node("If", ("yes",), ("y",), {
                    "then_branch": Graph((), (Value("a", F32),), (Node("ReduceMax", ("s", "none"), ("a",)),)),
                    "else_branch": Graph((), (Value("b", F32),), (Node("ReduceMin", ("s", "none"), ("b",)),)),
                }, "branch"), Node("Identity", ("y",), ("z",)), yes=np.array(True),
            ),
            "ReduceMax node 'a' mixes time steps",
        ),
    ],
)  # fmt: skip
def test_what_gives_time_away_is_refused(model, message: str) -> None:
    with pytest.raises(StateError, match=message):
        model().stream(2)


def test_states_that_come_from_another_sequence_are_refused() -> None:
    source, target = layers.Input((None, 4)), layers.Input((None, 4))
    _, h, c = layers.LSTM(5, return_state=True, name="encoder")(source)
    model = Model([source, target], layers.LSTM(5, name="decoder")(target, initial_state=[h, c]))
    with pytest.raises(StateError, match=r"'decoder/LSTM' takes its initial_h from .* which is no state"):
        model.stream()
