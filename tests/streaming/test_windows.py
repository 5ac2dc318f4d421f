"""Windows along time: any pieces of a sequence give the bits of the whole; what looks ahead is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import Model, Sequential, StateError, layers
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.utils import set_random_seed

F32 = np.dtype("float32")


def conv(padding: str) -> st.SearchStrategy:
    return st.builds(
        lambda filters, kernel, dilation, stride: (
            "Conv1D",
            {
                "filters": filters,
                "kernel_size": kernel,
                "padding": padding,
                "dilation_rate": dilation if stride == 1 else 1,
                "strides": stride,
                "activation": "relu",
            },
        ),
        st.integers(1, 19),
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(1, 3),
    )


PARTS = st.one_of(
    conv("causal"),
    conv("valid"),
    st.builds(lambda n, s: ("MaxPooling1D", {"pool_size": n, "strides": s}), st.integers(1, 3), st.integers(1, 4)),
    st.builds(lambda n: ("AveragePooling1D", {"pool_size": n}), st.integers(1, 3)),
    st.builds(lambda n: ("LSTM", {"units": n, "return_sequences": True}), st.integers(1, 17)),
    st.builds(lambda n: ("GRU", {"units": n, "return_sequences": True}), st.integers(1, 17)),
    st.builds(lambda n: ("Dense", {"units": n, "activation": "tanh"}), st.integers(1, 17)),
    st.just(("LayerNormalization", {})),
    st.builds(lambda n: ("DepthwiseConv1D", {"kernel_size": n, "padding": "causal"}), st.integers(1, 3)),
)


def keeps(part: tuple[str, dict]) -> bool:
    """Whether a layer keeps something between steps."""
    kind, options = part
    span = options.get("kernel_size", options.get("pool_size", 1))
    return kind in ("LSTM", "GRU") or span > 1 or options.get("strides", options.get("pool_size", 1)) > 1


def together(pieces: list, axis: int = 1) -> np.ndarray:
    return np.concatenate(pieces, axis)


@settings(max_examples=60)
@given(
    st.lists(PARTS, min_size=1, max_size=4).filter(lambda parts: any(map(keeps, parts))),
    st.lists(st.sampled_from((0, 1, 1, 2, 3, 7, 20)), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(0, 2**20),
)
def test_pieces_of_any_length_equal_the_whole(parts: list, lengths: list[int], batch: int, seed: int) -> None:
    set_random_seed(seed)
    lengths = [*lengths, 300]  # so that the widest windows fit into the whole
    model = Sequential([layers.Input((None, 5)), *(getattr(layers, kind)(**options) for kind, options in parts)])
    x = np.random.default_rng(seed).standard_normal((batch, sum(lengths), 5)).astype(F32)
    whole = model(x)
    stream = model.stream(batch)
    ends = np.cumsum([0, *lengths])
    np.testing.assert_array_equal(together([stream.run(x[:, a:b]) for a, b in pairwise(ends)]), whole)
    stream.reset()
    steps = [y for t in range(x.shape[1]) if (y := stream.step(np.ascontiguousarray(x[:, t]))) is not None]
    np.testing.assert_array_equal(np.stack(steps, 1), whole)


@pytest.mark.parametrize("strides", [1, 2, 5])
def test_a_convolution_of_pieces_is_the_convolution_written_out(strides: int) -> None:
    model = Sequential([layers.Input((None, 2)), layers.Conv1D(3, 4, strides=strides)])
    kernel, bias = (np.asarray(w, np.float64) for w in model.get_weights())
    x = np.random.default_rng(0).standard_normal((1, 23, 2)).astype(F32)
    want = [np.einsum("kc,kcf->f", x[0, t : t + 4], kernel) + bias for t in range(0, 20, strides)]
    stream = model.stream()
    got = together([stream.run(x[:, a : a + 1]) for a in range(23)])
    np.testing.assert_allclose(got[0], want, rtol=0, atol=1e-5)


def test_results_come_as_they_are_due() -> None:
    model = Sequential([layers.Input((None, 1)), layers.MaxPooling1D(2), layers.LSTM(3, return_sequences=True)])
    stream = model.stream()
    x = np.ones((1, 1), F32)
    assert [stream.step(x) is None for _ in range(6)] == [True, False] * 3
    assert stream.run(np.ones((1, 0, 1), F32)).shape == (1, 0, 3)
    assert stream.run(np.ones((1, 1, 1), F32)).shape == (1, 0, 3)
    assert stream.run(np.ones((1, 4, 1), F32)).shape == (1, 2, 3)
    last = Sequential([layers.Input((None, 1)), layers.MaxPooling1D(2), layers.LSTM(3)]).stream()
    assert last.run(np.ones((1, 1, 1), F32)) is None
    assert last.run(np.ones((1, 1, 1), F32)).shape == (1, 3)
    assert last.run(np.ones((1, 0, 1), F32)) is None


def test_the_state_says_where_windows_stand() -> None:
    model = Sequential([layers.Input((None, 1)), layers.Conv1D(2, 3, strides=2), layers.GRU(3, return_sequences=True)])
    stream = model.stream(2)
    x = np.random.default_rng(0).standard_normal((2, 12, 1)).astype(F32)
    stream.run(x[:, :4])
    kept = stream.state
    want = stream.run(x[:, 4:])
    stream.state = kept
    np.testing.assert_array_equal(stream.run(x[:, 4:]), want)
    with pytest.raises(StateError, match="all rows stand at one place"):
        stream.reset(rows=[1])
    stream.reset(rows=[0, 1])
    np.testing.assert_array_equal(together([stream.run(x[:, :5]), stream.run(x[:, 5:])]), model(x))


def torch_style(chomp: int, pads: tuple[int, int], pad: int = 0, mode: str = "constant") -> Graph:
    """What torch exports of a convolution along time: padding by Pad, or on both sides with a Slice behind."""
    rng = np.random.default_rng(1)
    constants = {
        "W": rng.standard_normal((4, 3, 3)).astype(F32), "pads": np.array([0, 0, pad, 0, 0, 0]),
        "starts": np.array([0]), "ends": np.array([-chomp]), "axes": np.array([2]),
    }  # fmt: skip
    nodes = [Node("Pad", ("x", "pads"), ("wide",), {"mode": mode}, "pad")] if pad else []
    shown = "wide" if pad else "x"
    nodes += [Node("Conv", (shown, "W"), ("full",), {"pads": pads, "dilations": (2,)}, "conv")]
    if chomp:
        nodes += [Node("Slice", ("full", "starts", "ends", "axes"), ("cut",), {}, "chomp")]
    nodes += [Node("Tanh", ("cut" if chomp else "full",), ("y",))]
    return Graph((Value("x", F32, (None, 3, None)),), (Value("y", F32),), tuple(nodes), constants)


@pytest.mark.parametrize("graph", [torch_style(0, (4, 0)), torch_style(4, (4, 4)), torch_style(0, (0, 0), pad=4)])
def test_causal_convolutions_as_exporters_write_them(graph: Graph) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 17)).astype(F32)
    (want,) = evaluate(graph, {"x": x}, np.float64)
    stream = Model.from_graph(graph).stream(2)
    assert [a.shape for a in stream.state.values()] == [(2, 3, 4)]
    got = together([stream.run(x[:, :, a:b]) for a, b in ((0, 1), (1, 6), (6, 6), (6, 17))], 2)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(got, Model.from_graph(graph)(x))
    stream.reset()
    steps = np.stack([stream.step(np.ascontiguousarray(x[:, :, t])) for t in range(17)], 2)
    np.testing.assert_array_equal(steps, got)


def test_a_residual_block_streams() -> None:
    x = layers_in = layers.Input((None, 6))
    for dilation in (1, 2, 4):
        x = layers.Add()([x, layers.Conv1D(6, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)])
    model = Model(layers_in, x)
    data = np.random.default_rng(2).standard_normal((1, 30, 6)).astype(F32)
    stream = model.stream()
    got = np.stack([stream.step(np.ascontiguousarray(data[:, t])) for t in range(30)], 1)
    np.testing.assert_array_equal(got, model(data))


REFUSED = [
    ([layers.Conv1D(2, 3, padding="same", name="ahead"), layers.LSTM(2)], "Conv node 'ahead.*looks ahead"),
    ([layers.MaxPooling1D(3, 1, padding="same", name="ahead"), layers.LSTM(2)], "MaxPool node 'ahead.*looks ahead"),
    ([layers.LSTM(2, return_sequences=True), layers.GlobalAveragePooling1D(name="all")], "'all.*mixes time steps"),
    ([layers.Bidirectional(layers.LSTM(2), name="both")], "'both.*reads the sequence bidirectional"),
    ([layers.LSTM(2, go_backwards=True, name="back")], "'back.*"),
    ([layers.LSTM(4, return_sequences=True), layers.Softmax(axis=1, name="mix")], "'mix.*works along the time axis"),
    ([layers.LSTM(4, return_sequences=True), layers.ZeroPadding1D(1, name="pad")], "'pad"),
    ([layers.LSTM(4, return_sequences=True), layers.Conv1DTranspose(3, 2, name="up")], "'up.*"),
    ([layers.Dense(3)], "no recurrent node"),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED)
def test_what_needs_the_whole_sequence_is_refused_by_name(parts: list, message: str) -> None:
    with pytest.raises(StateError, match=message):
        Sequential([layers.Input((None, 4)), *parts]).stream()


def test_different_delays_do_not_mix() -> None:
    x = layers.Input((None, 4))
    memory = layers.LSTM(4, return_sequences=True)(x)
    slow = layers.UpSampling1D(2)(layers.MaxPooling1D(2)(memory))
    with pytest.raises(StateError, match=r"'sum.*due at different times"):
        Model(x, layers.Add(name="sum")([memory, slow])).stream()


def test_attention_is_refused() -> None:
    x = layers.Input((None, 4))
    memory = layers.LSTM(4, return_sequences=True)(x)
    with pytest.raises(StateError, match=r"node 'look"):
        Model(x, layers.Attention(name="look")([memory, memory])).stream()
