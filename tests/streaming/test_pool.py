"""A pool of streams gives each of them what a stream of its own gives, whoever else is stepped beside it."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnrt
from rnnrt import Model, RnnrtError, Sequential, ShapeError, StateError, layers
from rnnrt.ir import Graph, Node, Value
from rnnrt.models.streams import StreamPool
from rnnrt.runtime.batch import LARGEST, bucket
from tests.support import assert_close, shared_dir

F32 = np.dtype("float32")


def network(units: int = 7) -> Sequential:
    return Sequential(
        [
            layers.Input((None, 5)),
            layers.Conv1D(6, 3, padding="causal"),
            layers.LSTM(units, return_sequences=True),
            layers.GRU(4, return_sequences=True),
        ]
    )


def torch_like(mix: tuple[Node, ...] = (), states: bool = False) -> Model:
    """An LSTM with time first; with `states` it takes and gives its states, two layers' worth in one tensor."""
    rng = np.random.default_rng(0)
    constants = {
        "W": rng.standard_normal((1, 24, 5)).astype(F32),
        "R": rng.standard_normal((1, 24, 6)).astype(F32),
        "W2": rng.standard_normal((1, 24, 6)).astype(F32),
        "R2": rng.standard_normal((1, 24, 6)).astype(F32),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
    }
    if not states:
        node = Node("LSTM", ("x", "W", "R"), ("h",), {"hidden_size": 6}, "memory")
        mix = mix or (Node("Squeeze", ("h", "one"), ("y",)),)
        return Model.from_graph(Graph((Value("x", F32, (None, None, 5)),), (Value("y", F32),), (node, *mix), constants))
    nodes = []
    for k, (w, r, x) in enumerate((("W", "R", "x"), ("W2", "R2", "y0s"))):
        ends = ("zero", "one") if k == 0 else ("one", "two")
        nodes += [
            Node("Slice", ("h0", *ends, "zero"), (f"h{k}in",)),
            Node("Slice", ("c0", *ends, "zero"), (f"c{k}in",)),
            Node(
                "LSTM", (x, w, r, "", "", f"h{k}in", f"c{k}in"), (f"y{k}", f"h{k}out", f"c{k}out"), {"hidden_size": 6}
            ),
            Node("Squeeze", (f"y{k}", "one"), (f"y{k}s",)),
        ]
    nodes += [Node("Concat", (f"{s}0out", f"{s}1out"), (f"{s}n",), {"axis": 0}) for s in "hc"]
    inputs = [Value("x", F32, (None, None, 5)), *(Value(f"{s}0", F32, (2, None, 6)) for s in "hc")]
    outputs = [Value("y1s", F32), *(Value(f"{s}n", F32) for s in "hc")]
    return Model.from_graph(Graph(tuple(inputs), tuple(outputs), tuple(nodes), constants))


MODELS = {
    "keras": network,
    "time first": torch_like,
    "own states": lambda: torch_like(states=True),
    "masked": lambda: Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(8, 4, mask_zero=True),
            layers.LSTM(7, return_sequences=True),
            layers.Dense(3, activation="softmax"),
        ]
    ),
}


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=15)
@given(
    plan=st.lists(st.lists(st.integers(0, 39), unique=True, max_size=40), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_any_subset_in_any_order_gives_what_single_streams_give(kind: str, plan: list, seed: int) -> None:
    model, rng = MODELS[kind](), np.random.default_rng(seed)
    pool, single = model.stream_pool(capacity=3), {}
    for k in range(40):
        assert pool.open(f"s{k}") == f"s{k}"
        single[k] = model.stream()
    for ids in plan:
        if kind == "masked":
            x = rng.integers(0, 8, len(ids)).astype(np.int32)
        else:
            x = rng.standard_normal((len(ids), 5)).astype(F32)
        got = pool.step([f"s{k}" for k in ids], x)
        assert len(got) == len(ids)
        for y, row, k in zip(got, x, ids, strict=True):
            np.testing.assert_array_equal(y, single[k].step(row[None])[0])
    for k in (0, 17, 39):
        for name, state in pool.snapshot(f"s{k}").items():
            np.testing.assert_array_equal(state, single[k].state[name])


def test_more_streams_than_one_run_takes() -> None:
    model, n = network(), 2 * LARGEST + 300
    pool = model.stream_pool(capacity=1)
    ids = [pool.open() for _ in range(n)]
    assert ids == list(range(n))
    x = np.random.default_rng(0).standard_normal((3, n, 5)).astype(F32)
    stream = model.stream(n)
    order = np.random.default_rng(1).permutation(n)
    for step in x:
        np.testing.assert_array_equal(pool.step(order, step[order]), stream.step(step)[order])


def test_ten_thousand_streams_take_the_memory_of_their_states() -> None:
    model = Sequential([layers.Input((None, 64)), layers.LSTM(128, return_sequences=True)])
    model.stream_pool(capacity=1)  # what all pools of the model share is there now
    gc.collect()
    tracemalloc.start()
    try:
        pool = model.stream_pool(capacity=256, max_streams=10_000)
        for _ in range(10_000):
            pool.open()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pool.capacity == 10_000
    assert pool.nbytes == 10_000 * 2 * 128 * 4
    assert held < pool.nbytes + 10_000 * 200  # names and places; weights there are no more
    assert pool.step(range(10_000), np.zeros((10_000, 64), F32)).shape == (10_000, 128)
    with pytest.raises(StateError, match="there are 10000 streams, which max_streams allows"):
        pool.open()


def test_nothing_moves_when_something_is_wrong() -> None:
    model = MODELS["masked"]()
    pool = model.stream_pool()
    for name in "abc":
        pool.open(name)
    pool.step(["a", "b", "c"], np.array([1, 2, 3], np.int32))
    before = {name: pool.snapshot(name) for name in "abc"}
    good = np.array([1, 2, 3], np.int32)
    for ids, x, error, message in (
        (["a", "b", "x"], good, StateError, r"streams are not open: 'x';"),
        (["a", "y", "x"], good, StateError, r"not open: 'y', 'x';"),
        (["a", "b", "a"], good, StateError, "named twice: 'a'"),
        (["a", "b", []], good, StateError, r"not open: \[\]"),
        (["a", "b", np.zeros(2)], good, StateError, r"not open: array"),
        ("abc", good, StateError, "give a list of streams"),
        (["a", "b"], good, ShapeError, "not a row for each of 2 streams"),
        (["a", "b", "c"], good.astype(np.float32), ShapeError, "takes int32, got float32"),
        (["a", "b", "c"], np.array([1, 2, 99], np.int32), RnnrtError, "out of range"),
    ):
        for _ in range(2):
            with pytest.raises(error, match=message):
                pool.step(ids, x)
    with pytest.raises(ShapeError, match=r"takes the inputs .* got 0 arrays"):
        pool.step(["a"])
    for name in "abc":
        for key, state in pool.snapshot(name).items():
            np.testing.assert_array_equal(state, before[name][key])


def test_closed_rows_are_used_again_from_the_beginning() -> None:
    model, x = network(), np.random.default_rng(0).standard_normal((2, 5)).astype(F32)
    pool = model.stream_pool(capacity=2, max_streams=2)
    pool.open("a")
    pool.open("b")
    first = pool.step(["a", "b"], x)
    pool.close("a")
    assert "a" not in pool and pool.ids == ["b"] and len(pool) == 1
    with pytest.raises(StateError, match="'a'"):
        pool.close("a")
    with pytest.raises(StateError, match="'b' is open already"):
        pool.open("b")
    with pytest.raises(StateError, match="cannot name a stream"):
        pool.open([])
    pool.open("c")
    np.testing.assert_array_equal(pool.step(["c"], x[:1]), first[:1])
    pool.reset(["b"])
    np.testing.assert_array_equal(pool.step(["b"], x[1:]), first[1:])
    assert pool.step([], x[:0]).shape == (0, 4)


def test_idle_streams_expire() -> None:
    now = [0.0]
    pool = network().stream_pool(idle_timeout=10, clock=lambda: now[0])
    x = np.zeros((1, 5), F32)
    pool.open("a")
    now[0] = 4
    pool.open("b")
    now[0] = 9
    pool.step(["b"], x)
    now[0] = 10
    assert pool.expire() == []
    now[0] = 10.5
    assert pool.expire() == ["a"]
    now[0] = 19
    pool.step(["b"], x)
    now[0] = 29.5
    with pytest.raises(StateError, match=r"not open: 'b';.*idle for longer than 10 s"):
        pool.step(["b"], x)
    pool.open("c")
    now[0] = 50
    assert pool.open() == 0
    assert pool.ids == [0]


def test_snapshots_go_between_pools_and_streams() -> None:
    model, x = network(), np.random.default_rng(0).standard_normal((4, 1, 5)).astype(F32)
    pool, other, stream = model.stream_pool(), model.stream_pool(), model.stream()
    pool.open("a")
    want = [pool.step(["a"], step) for step in x[:2]]
    kept = pool.snapshot("a")
    want += [pool.step(["a"], step) for step in x[2:]]
    other.restore("new", kept)
    stream.state = kept
    pool.restore("a", kept)
    for t in (2, 3):
        for y in (other.step(["new"], x[t]), stream.step(x[t]), pool.step(["a"], x[t])):
            np.testing.assert_array_equal(y, want[t])
    with pytest.raises(StateError, match="the snapshot has"):
        pool.restore("a", {})
    with pytest.raises(ShapeError, match="has shape"):
        pool.restore("b", {name: np.zeros(3) for name in kept})
    assert "b" not in pool
    with pytest.raises(StateError, match="not open"):
        pool.snapshot("b")


def test_streams_begin_with_a_given_state() -> None:
    model = torch_like(states=True)
    h = np.random.default_rng(0).standard_normal((2, 1, 6)).astype(F32)
    pool, stream = model.stream_pool(initial_state={"h0": h}), model.stream(initial_state={"h0": h})
    pool.open(1)
    x = np.ones((1, 5), F32)
    np.testing.assert_array_equal(pool.step([1], x), stream.step(x))
    with pytest.raises(StateError, match=r"initial_state: \['z'\]"):
        model.stream_pool(initial_state={"z": h})


def test_a_bad_row_disturbs_no_other() -> None:
    model = network()
    x = np.random.default_rng(0).standard_normal((13, 5)).astype(F32)
    pool, clean = model.stream_pool(), model.stream(13)
    ids = [pool.open() for _ in range(13)]
    want = clean.step(x)
    x[4] = np.nan
    got = pool.step(ids, x)
    others = np.arange(13) != 4
    np.testing.assert_array_equal(got[others], want[others])
    for ids_now in (ids, ids[4:], ids[:5], ids[5:9]):  # the bad row comes first, last, as padding, and not at all
        y = pool.step(ids_now, np.ones((len(ids_now), 5), F32))
        np.testing.assert_array_equal(np.isnan(y).any(1), np.array(ids_now) == 4)


def test_what_cannot_share_a_batch_is_refused() -> None:
    mixed = (Node("Softmax", ("h",), ("y",), {"axis": 2}, "across"),)
    with pytest.raises(StateError, match="Softmax node 'across' may mix the rows of a batch"):
        torch_like(mixed).stream_pool()
    with pytest.raises(StateError, match="strides"):
        Sequential([layers.Input((None, 5)), layers.Conv1D(3, 2, strides=2), layers.LSTM(2)]).stream_pool()
    for options, message in (({"capacity": 0}, "capacity=0"), ({"max_streams": -1}, "max_streams=-1"),
                             ({"idle_timeout": 0}, "idle_timeout=0")):  # fmt: skip
        with pytest.raises(StateError, match=message):
            network().stream_pool(**options)


def test_networks_that_take_blocks() -> None:
    pytest.importorskip("onnx")
    path = shared_dir("models", "silero-vad", "silero_vad_16k_op15.onnx")
    pool = rnnrt.load(path, constants={"sr": 16000}).stream_pool()
    case = np.load(path.with_suffix(".case.npz"))
    ids = [pool.open() for _ in range(5)]
    for t in range(6):
        part = ids if t % 2 else ids[::-1]
        y = pool.step(part, np.repeat(case["seqin__input"][t], 5, 0))
        assert_close(y, np.repeat(case["seqout__output"][t], 5, 0), rtol=1e-4)
    with pytest.raises(StateError, match="fixed"):
        rnnrt.load(shared_dir("models", "dtln", "model_1.onnx")).stream_pool()


def test_threads_share_a_pool() -> None:
    model = network()
    pool = model.stream_pool(capacity=1)
    x = np.random.default_rng(0).standard_normal((30, 8, 5)).astype(F32)
    want = [model.stream(8) for _ in range(4)]
    failures: list[str] = []

    def work(thread: int) -> None:
        ids = [pool.open((thread, k)) for k in range(8)]
        for step in x:
            if not np.array_equal(pool.step(ids, step + thread), want[thread].step(step + thread)):
                failures.append(f"thread {thread}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


@settings(max_examples=200)
@given(st.integers(0, 20_000))
def test_sizes_of_batches_are_few_and_close(count: int) -> None:
    assert count <= bucket(count) <= max(1, count * (1.25 if count > 8 else 1.6))
    assert bucket(bucket(count)) == bucket(count)


def test_there_are_few_sizes() -> None:
    assert len({bucket(n) for n in range(1, LARGEST + 1)}) <= 40


def test_the_pool_is_of_the_model_as_it_is() -> None:
    model = network()
    pool = StreamPool(model, 4)
    assert pool.capacity == 4
    assert pool._batch._source is model.stream()._source
