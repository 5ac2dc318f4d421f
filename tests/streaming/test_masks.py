"""Masked steps at the borders of pieces: a step that does not count repeats an output that came in an earlier piece."""

from __future__ import annotations

import numpy as np
import pytest

from rnnrt import Model, Sequential, StateError, layers
from rnnrt.ir import Graph, Node, Value

F32 = np.dtype("float32")

TOKENS = np.array(
    [
        [0, 0, 3, 0, 4, 0, 0, 5, 6, 0, 0],  # begins and ends with steps that do not count
        [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("options", [{}, {"zero_output_for_mask": True}])
def test_masked_steps_repeat_what_was_before(kind: str, options: dict) -> None:
    layer = getattr(layers, kind)(7, return_sequences=True, **options)
    second = layers.LSTM(5, return_sequences=True)
    model = Sequential([layers.Input((None,), dtype="int32"), layers.Embedding(8, 4, mask_zero=True), layer, second])
    whole = model(TOKENS)
    stream = model.stream(3)
    np.testing.assert_array_equal(np.stack([stream.step(np.ascontiguousarray(t)) for t in TOKENS.T], 1), whole)
    for cut in range(12):
        stream.reset()
        got = np.concatenate([stream.run(TOKENS[:, :cut]), stream.run(TOKENS[:, cut:])], 1)
        np.testing.assert_array_equal(got, whole, err_msg=f"cut at {cut}")
    # The rows begin anew one by one: the first row sees the sequence from its beginning again.
    stream.reset()
    stream.run(TOKENS[:, :4])
    stream.reset(rows=[0])
    again = stream.run(TOKENS[:1].repeat(3, 0))
    np.testing.assert_array_equal(again[0], whole[0])


@pytest.mark.parametrize("layout", [0, 1])
def test_masks_with_either_layout(layout: int) -> None:
    rng = np.random.default_rng(0)
    weights = {"W": rng.standard_normal((1, 24, 4)), "R": rng.standard_normal((1, 24, 6))}
    constants = {name: w.astype(F32) for name, w in weights.items()}
    constants["zero"] = np.zeros((), F32)
    constants["last"] = np.array([2])
    swapped = [] if layout == 0 else [Node("Transpose", ("flag_b",), ("flag",), {"perm": (1, 0)})]
    name = "flag_b" if layout else "flag"
    nodes = (
        Node("ReduceMax", ("x", "last"), ("top",), {"keepdims": 0}),
        Node("Greater", ("top", "zero"), (name,)),
        *swapped,
        Node(
            "LSTM", ("x", "W", "R", "", "", "", "", "", "flag"), ("y",), {"hidden_size": 6, "layout": layout}, "memory"
        ),
    )
    graph = Graph((Value("x", F32, (None, None, 4)),), (Value("y", F32),), nodes, constants)
    x = rng.standard_normal((9, 2, 4)).astype(F32)
    x[[0, 1, 4, 5, 8], 0] = -1
    x[[3, 4], 1] = -1
    x = np.ascontiguousarray(x.swapaxes(0, 1)) if layout else x
    model = Model.from_graph(graph)
    whole, stream = model(x), model.stream(2)
    steps = [stream.step(np.ascontiguousarray(x.take(t, layout))) for t in range(9)]
    np.testing.assert_array_equal(np.stack(steps, layout), whole)


def test_lengths_of_sequences_are_refused() -> None:
    constants = {
        "W": np.ones((1, 8, 3), F32), "R": np.ones((1, 8, 2), F32), "lengths": np.array([4], np.int32),
    }  # fmt: skip
    node = Node("LSTM", ("x", "W", "R", "", "lengths"), ("y",), {"hidden_size": 2}, "memory")
    graph = Graph((Value("x", F32, (None, 1, 3)),), (Value("y", F32),), (node,), constants)
    with pytest.raises(StateError, match="LSTM node 'memory' takes the lengths of sequences from 'lengths'"):
        Model.from_graph(graph).stream()
