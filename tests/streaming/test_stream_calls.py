"""The calls of a stream: outputs in given memory, rows that begin anew, copies, files, other processes, misuse."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest

import rnnrt
from rnnrt import Model, ModelFormatError, RnnrtError, Sequential, ShapeError, StateError, layers
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate

F32 = np.dtype("float32")


def network() -> Sequential:
    return Sequential(
        [
            layers.Input((None, 5)),
            layers.Conv1D(6, 3, padding="causal"),
            layers.LSTM(7, return_sequences=True),
            layers.GRU(4, return_sequences=True),
        ]
    )


def data(batch: int = 1, steps: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, steps, 5)).astype(F32)


def steps_of(stream: rnnrt.Stream, x: np.ndarray) -> np.ndarray:
    return np.stack([stream.step(np.ascontiguousarray(x[:, t])) for t in range(x.shape[1])], 1)


def test_step_writes_into_given_memory() -> None:
    model, x = network(), data(2)
    want, stream = model(x), model.stream(2)
    out = np.empty((2, 4), F32)
    for t in range(12):
        assert stream.step(np.ascontiguousarray(x[:, t]), out=out) is out
        np.testing.assert_array_equal(out, want[:, t])
    other = np.zeros((4, 2), F32).T
    twin = stream.copy()
    stream.step(x[:, 0], out=other)
    np.testing.assert_array_equal(other, twin.step(x[:, 0]))
    kept = stream.state
    for wrong in (np.empty((2, 5), F32), np.empty((2, 4)), [out, out]):
        with pytest.raises(ShapeError, match="out"):
            stream.step(x[:, 0], out=wrong)
    shared = np.zeros(10, F32)
    with pytest.raises(ShapeError, match="shares memory"):
        stream.step(shared.reshape(2, 5), out=shared[:8].reshape(2, 4))
    fixed = np.empty((2, 4), F32)
    fixed.setflags(write=False)
    with pytest.raises(ShapeError, match="out"):
        stream.step(x[:, 0], out=fixed)
    for name, array in stream.state.items():
        np.testing.assert_array_equal(array, kept[name])


def test_inputs_are_given_by_place_by_name_or_in_a_dict() -> None:
    x = layers.Input((None, 5), name="a"), layers.Input((None, 5), name="b")
    model = Model(list(x), layers.LSTM(3, return_sequences=True)(layers.Add()(list(x))))
    a, b = data(), data(seed=1)
    want = model(a, b)
    streams = [model.stream() for _ in range(3)]
    for t in range(4):
        one, two = a[:, t], b[:, t]
        got = [streams[0].step(one, two), streams[1].step({"b": two, "a": one}), streams[2].step({"a": one, "b": two})]
        for y in got:
            np.testing.assert_array_equal(y, want[:, t])
    for wrong in ((a[:, 0],), (a[:, 0],) * 3, ({"a": a[:, 0]},)):
        with pytest.raises(ShapeError, match=r"takes the inputs \['a', 'b'\]"):
            streams[0].step(*wrong)
    with pytest.raises(ShapeError, match="different lengths"):
        streams[0].run(a, b[:, :3])


@pytest.mark.parametrize("rows", [1, [1], [-2], np.array([False, True, False])])
def test_rows_begin_anew_alone(rows: object) -> None:
    model, x = network(), data(3)
    stream = model.stream(3)
    stream.run(x[:, :5])
    stream.reset(rows)
    got = stream.run(x[:, 5:])
    np.testing.assert_array_equal(got[[0, 2]], model(x)[[0, 2], 5:])
    np.testing.assert_array_equal(got[1], model(x[1:2, 5:])[0])


@pytest.mark.parametrize("rows", [3, [0, 5], [0.5], [True, False], [[0]]])
def test_rows_that_are_not_there(rows: object) -> None:
    with pytest.raises(ShapeError, match="the stream has 3 rows"):
        network().stream(3).reset(rows)


def test_copies_go_their_own_ways() -> None:
    model, x = network(), data()
    stream = model.stream()
    steps_of(stream, x[:, :4])
    twin = stream.copy()
    np.testing.assert_array_equal(steps_of(twin, x[:, 4:]), model(x)[:, 4:])
    np.testing.assert_array_equal(steps_of(stream, x[:, 4:8]), model(x)[:, 4:8])
    assert type(twin) is type(stream)


def test_states_go_to_files(tmp_path) -> None:
    model, x, path = network(), data(), tmp_path / "state.safetensors"
    stream = model.stream()
    stream.run(x[:, :5])
    stream.save(path)
    other = model.stream()
    other.restore(path)
    np.testing.assert_array_equal(other.run(x[:, 5:]), model(x)[:, 5:])
    kept = other.state
    with pytest.raises(StateError, match="is of batch_size=1, the stream of 2"):
        model.stream(2).restore(path)
    with pytest.raises(StateError, match="states are"):
        Sequential([layers.Input((None, 5)), layers.LSTM(7)]).stream().restore(path)
    with pytest.raises(ModelFormatError, match=r"missing.*: is not a whole file of a stream's state"):
        other.restore(tmp_path / "missing")
    model.save(tmp_path / "model.rnnrt")
    with pytest.raises(ModelFormatError, match="holds no state of a stream"):
        other.restore(tmp_path / "model.rnnrt")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ModelFormatError, match="not a whole"):
        other.restore(path)
    for name, array in other.state.items():
        np.testing.assert_array_equal(array, kept[name])


def _rest(stream: rnnrt.Stream, x: np.ndarray) -> np.ndarray:
    return stream.run(x)


def test_a_stream_goes_on_in_another_process() -> None:
    model, x = network(), data()
    stream = model.stream()
    stream.run(x[:, :5])
    again = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(again.run(x[:, 5:]), model(x)[:, 5:])
    again.reset()
    np.testing.assert_array_equal(again.run(x), model(x))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(_rest, (stream, x[:, 5:])), model(x)[:, 5:])


def test_a_python_function_stays_in_its_process() -> None:
    graph = Graph(
        (Value("x", F32, (None, None, 2)),), (Value("y", F32),),
        (Node("LSTM", ("x", "W", "R"), ("y",), {"hidden_size": 2}),
         Node("Python", ("y",), ("z",), {"call": lambda y: [y], "results": ()})),
        {"W": np.ones((1, 8, 2), F32), "R": np.ones((1, 8, 2), F32)},
    )  # fmt: skip
    stream = Model.from_graph(graph).stream()
    with pytest.raises(StateError, match="Python function"):
        pickle.dumps(stream)


def test_a_closed_stream_is_closed() -> None:
    model, x = network(), data()
    with model.stream() as stream:
        stream.step(x[:, 0])
    for call in (lambda: stream.step(x[:, 0]), lambda: stream.run(x), stream.reset, stream.copy, lambda: stream.state):
        with pytest.raises(StateError, match="closed"):
            call()


def test_two_threads_in_one_stream_are_told_apart() -> None:
    stream, x = network().stream(), data()[:, 0]
    want = stream.copy().step(x)
    stream._lock.acquire()  # as a thread inside `run` does
    for call in (lambda: stream.run(x[:, None]), stream.reset, lambda: stream.state):
        with pytest.raises(StateError, match="in use by another thread"):
            call()
    stream._lock.release()
    np.testing.assert_array_equal(stream.step(x), want)
    stepper = stream._stepper
    assert stepper is not None
    stepper.acquire()  # as a thread inside `step` does
    for call in (lambda: stream.step(x), lambda: stream.run(x[:, None]), stream.reset, lambda: stream.state):
        with pytest.raises(StateError, match="in use by another thread"):
            call()
    stepper.release()
    stream.reset()
    np.testing.assert_array_equal(stream.step(x), want)


def test_another_precision() -> None:
    model, x = network(), data()
    graph = model.graph
    stream = model.stream(dtype="float64")
    (want,) = evaluate(graph, {graph.inputs[0].name: x}, np.float64)
    got = stream.run(x)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    assert {a.dtype.name for a in stream.state.values()} == {"float64"}
    with pytest.raises(ShapeError, match=r"'float16'.*'float32' or 'float64'"):
        model.stream(dtype="float16")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row(bad: float) -> None:
    model, x = network(), data(19)
    want = model(x)
    x[7, 3] = bad
    stream = model.stream(19)
    got = steps_of(stream, x)
    others = np.arange(19) != 7
    np.testing.assert_array_equal(got[others], want[others])
    np.testing.assert_array_equal(got[7, :3], want[7, :3])
    if np.isnan(bad):
        assert np.isnan(got[7, 3:]).all()
    stream.reset(rows=[7])
    np.testing.assert_array_equal(stream.run(np.repeat(x[:1], 19, 0))[7], want[0])


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "1"])
def test_batch_sizes_that_are_none(batch_size: object) -> None:
    with pytest.raises(StateError, match="batch_size="):
        network().stream(batch_size)


def test_a_failed_step_leaves_the_state() -> None:
    model = Sequential([layers.Input((None,), dtype="int32"), layers.Embedding(4, 3), layers.LSTM(2)])
    stream = model.stream()
    stream.step(np.array([1], np.int32))
    kept = stream.state
    for call in (stream.step, stream.run):
        token = np.full((1,) if call == stream.step else (1, 2), 9, np.int32)
        with pytest.raises(RnnrtError, match="out of range"):
            call(token)
    for name, array in stream.state.items():
        np.testing.assert_array_equal(array, kept[name])


def test_all_streams_share_the_weights() -> None:
    model = network()
    streams = [model.stream(n) for n in (1, 2, 2, 3)]
    assert len({id(s._source.packs) for s in streams}) == 1
    assert streams[1]._pieces is streams[2]._pieces
    model.set_weights([w * 2 for w in model.get_weights()])
    x = data()
    np.testing.assert_array_equal(model.stream().run(x), model(x))
