"""The batcher from its callers' side: answers, refusals, cancelling, deadlines, draining, and what it counts."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np
import pytest

from rnnrt import Model, RnnrtError, ShapeError, StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.serving import Batcher, ClosedError, DeadlineError, Histogram, QueueFullError
from tests.serving.support import F32, FEATURES, gate, network, sequences, written_out
from tests.support import assert_close

LENGTHS = (1, 9, 30, 4, 5, 17, 2, 16, 3, 21)


def assert_answers(xs: list[np.ndarray], answers: list[Any]) -> None:
    for x, answer in zip(xs, answers, strict=True):
        for got, want in zip(answer, written_out(x), strict=True):
            assert_close(got, want)


def test_threads_share_batches() -> None:
    xs = sequences(*LENGTHS * 4)
    answers: list[Any] = [None] * len(xs)
    with Batcher(network(), max_batch_size=8) as batcher:
        assert (batcher.mode, batcher.reason, batcher.shape) == ("stepped", "", (None, FEATURES))

        def call(k: int) -> None:
            answers[k] = batcher.submit(xs[k]).result(60)

        threads = [threading.Thread(target=call, args=(k,)) for k in range(len(xs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert_answers(xs, answers)
    counted = batcher.metrics()
    assert (counted.finished, counted.waiting, counted.running) == (len(xs), 0, 0)
    assert counted.latency.count == counted.wait.count == len(xs)
    assert max(counted.batch_sizes) <= 8
    assert counted.rounds == counted.batch_sizes.total() < sum(-(-n // 16) for n in LENGTHS * 4)


def test_tasks_share_batches() -> None:
    xs = sequences(*LENGTHS)

    async def main() -> list[Any]:
        async with Batcher(network()) as batcher:
            batcher.warm_up()
            return await asyncio.gather(*(batcher.infer(x) for x in xs))

    assert_answers(xs, asyncio.run(main()))


def test_a_request_joins_the_running_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    long, short = sequences(64, 3)
    with Batcher(network()) as batcher, gate(monkeypatch) as held:
        first = batcher.submit(long)
        held.wait()
        second = batcher.submit(short)
        held.let(2)  # the round that was under way, and the first one of both
        assert_answers([short], [second.result(30)])
        assert not first.done()
        held.let()
        assert_answers([long], [first.result(30)])
    assert batcher.metrics().batch_sizes == {1: 3, 2: 1}


def test_a_full_queue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = sequences(3, 4, 5, 6)
    with Batcher(network(), max_queue=2) as batcher, gate(monkeypatch) as held:
        futures = [batcher.submit(xs[0])]
        held.wait()
        futures += [batcher.submit(x) for x in xs[1:3]]
        with pytest.raises(QueueFullError, match="2 requests wait already and max_queue=2; try again"):
            batcher.submit(xs[3])
        assert batcher.metrics().refused == 1
        assert batcher.metrics().waiting == 2
        held.let()
        assert_answers(xs[:3], [future.result(30) for future in futures])


def test_a_cancelled_request_makes_room_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = sequences(4, 3, 5)
    with Batcher(network(), max_batch_size=1, max_queue=1) as batcher, gate(monkeypatch) as held:
        running = batcher.submit(first)
        held.wait()
        assert batcher.submit(second).cancel()
        queued = batcher.submit(third)
        held.let()
        for x, future in ((first, running), (third, queued)):
            np.testing.assert_allclose(future.result(30)[0], written_out(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [network(), network(direction="reverse")])
def test_cancelling_frees_the_place(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    xs = sequences(40, 41, 3)
    with Batcher(model, max_batch_size=1, max_queue=1) as batcher, gate(monkeypatch) as held:
        running = batcher.submit(xs[0])
        held.wait()
        waiting = batcher.submit(xs[1])
        assert running.cancel()
        assert waiting.cancel()
        held.let()
        with pytest.raises(CancelledError):
            running.result(30)
        while batcher.metrics().waiting:
            pass
        if batcher.mode == "stepped":
            assert_answers([xs[2]], [batcher.submit(xs[2]).result(30)])
    counted = batcher.metrics()
    assert (counted.cancelled, counted.failed, counted.expired) == (2, 0, 0)
    if batcher.mode == "stepped":
        assert counted.rounds == 2  # one of the three that the first would have had


def test_cancelling_a_task_cancels_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = sequences(64)

    async def main() -> None:
        batcher = Batcher(network())
        with gate(monkeypatch) as held:
            async with batcher:
                task = asyncio.create_task(batcher.infer(x))
                await asyncio.to_thread(held.wait)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                held.let()
        assert batcher.metrics().cancelled == 1
        assert batcher.metrics().rounds == 1

    asyncio.run(main())


def test_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = sequences(40, 3, 4)
    with Batcher(network(), max_batch_size=1) as batcher:
        with pytest.raises(DeadlineError, match=r"deadline=0.* no time from now"):
            batcher.submit(xs[0], deadline=0)
        with pytest.raises(DeadlineError, match="no time"):
            batcher.submit(xs[0], deadline=float("nan"))
        with gate(monkeypatch) as held:
            running = batcher.submit(xs[0], deadline=1e-3)
            waiting = batcher.submit(xs[1], deadline=1e-3)
            patient = batcher.submit(xs[2], deadline=1000)
            threading.Event().wait(0.01)
            held.let()
            for future in (running, waiting):
                with pytest.raises(DeadlineError, match="the deadline passed"):
                    future.result(30)
            assert_answers([xs[2]], [patient.result(30)])
    assert batcher.metrics().expired == 2


def test_draining_answers_what_was_taken() -> None:
    xs = sequences(*LENGTHS)
    batcher = Batcher(network(), max_batch_size=2)
    futures = [batcher.submit(x) for x in xs]
    batcher.close()
    assert_answers(xs, [future.result(0) for future in futures])
    with pytest.raises(ClosedError, match="takes no more requests"):
        batcher.submit(xs[0])
    batcher.close()


@pytest.mark.parametrize("timeout", [None, 0.01])
def test_closing_without_an_end(monkeypatch: pytest.MonkeyPatch, timeout: float | None) -> None:
    """Without draining, and where draining takes longer than it may, what is left ends in an error."""
    xs = sequences(40, 41, 3)
    batcher = Batcher(network(), max_batch_size=2)
    with gate(monkeypatch) as held:
        futures = [batcher.submit(x) for x in xs]
        held.wait()
        closing = threading.Thread(target=batcher.close, args=(timeout is not None, timeout))
        closing.start()
        while not batcher._worker._abandon:
            pass
        held.let()
        closing.join(30)
        for future in futures:
            with pytest.raises(ClosedError, match="was closed before"):
                future.result(30)


def test_closing_in_a_callback() -> None:
    batcher = Batcher(network())
    closed: Future[None] = Future()

    def close(_: Any) -> None:
        batcher.close()
        closed.set_result(None)

    batcher.submit(sequences(3)[0]).add_done_callback(close)
    closed.result(30)
    batcher.close()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, FEATURES + 1), F32), r"shape \(None, 5\) \(None: any\), got \(4, 6\)"),
        (np.zeros((1, 4, FEATURES), F32), r"there is no batch axis"),
        (np.zeros((0, FEATURES), F32), r"at least one time step"),
        (np.zeros((4, FEATURES), complex), r"takes float32, got complex128"),
    ],
)
def test_bad_requests_are_refused_at_once(x: np.ndarray, message: str) -> None:
    with Batcher(network()) as batcher, pytest.raises(ShapeError, match=message):
        batcher.submit(x)


def test_the_caller_may_change_its_array(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = sequences(20)
    before = x.copy()
    with Batcher(network()) as batcher, gate(monkeypatch) as held:
        future = batcher.submit(x)
        x[:] = 0
        held.let()
        assert_answers([before], [future.result(30)])


def test_whole_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(direction="reverse")
    xs = sequences(9, 10, 40, 16, 41, 9)
    with Batcher(model, max_delay_ms=0) as batcher, gate(monkeypatch) as held:
        assert batcher.mode == "padded"
        assert "reads the sequence reverse" in batcher.reason
        first = batcher.submit(xs[0])
        held.wait()
        futures = [first, *(batcher.submit(x) for x in xs[1:])]
        held.let()
        for x, future in zip(xs, futures, strict=True):
            for got, want in zip(future.result(30), model(x[None]), strict=True):
                np.testing.assert_array_equal(got, want[0])
    assert batcher.metrics().batch_sizes == {1: 1, 3: 1, 2: 1}


def test_a_whole_sequence_that_fails_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).standard_normal((7, 2)).astype(F32)
    graph = Graph(
        (Value("x", np.dtype("int64"), (None, None)),),
        (Value("y", F32),),
        (Node("Gather", ("table", "x"), ("e",), {"axis": 0}), Node("CumSum", ("e", "axis"), ("y",))),
        {"table": table, "axis": np.array(1)},
    )
    with Batcher(Model.from_graph(graph), max_delay_ms=0) as batcher, gate(monkeypatch) as held:
        held_back = batcher.submit([0])
        held.wait()
        good, bad = batcher.submit([1, 2, 3]), batcher.submit([1, 99, 3])
        held.let()
        held_back.result(30)
        np.testing.assert_allclose(good.result(30), np.cumsum(table[1:4], 0), rtol=1e-6)
        with pytest.raises(RnnrtError, match="out of range"):
            bad.result(30)


def test_an_error_nobody_foresaw_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = sequences(3, 4)
    with Batcher(network()) as batcher:
        with monkeypatch.context() as patch:
            patch.setattr("rnnrt.serving.stepped.Stepped.run", lambda *_: 1 / 0)
            with pytest.raises(RnnrtError, match="the batch failed: ZeroDivisionError"):
                batcher.submit(xs[0]).result(30)
        assert_answers([xs[1]], [batcher.submit(xs[1]).result(30)])


def test_pieces() -> None:
    (x,) = sequences(20)
    with Batcher(network()) as batcher:
        (first, _), state = batcher.submit_piece(x[:7]).result(30)
        others = [batcher.submit(other) for other in sequences(*LENGTHS)]
        (second, last), _ = batcher.submit_piece(x[7:], state).result(30)
        assert_close(np.concatenate([first, second]), written_out(x)[0])
        assert_close(last, written_out(x)[1])
        with pytest.raises(ShapeError, match="give what the piece before gave"):
            batcher.submit_piece(x, state[:1])
        assert_answers(sequences(*LENGTHS), [future.result(30) for future in others])
    with (
        Batcher(network(direction="reverse")) as batcher,
        pytest.raises(StateError, match=r"takes whole sequences only: .*reads the sequence reverse"),
    ):
        batcher.submit_piece(x)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size=0 must be a whole number"),
        ({"max_queue": 1.5}, "max_queue=1.5 must be a whole number"),
        ({"max_steps": 12}, "max_steps=12 must be a power of two"),
        ({"max_delay_ms": -1}, "max_delay_ms=-1 must be a number of milliseconds"),
    ],
)
def test_limits_are_checked(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(RnnrtError, match=message):
        Batcher(network(), **limits)


def test_networks_with_several_inputs_are_refused() -> None:
    values = tuple(Value(name, F32, (None, None, 3)) for name in "ab")
    graph = Graph(values, (Value("y", F32),), (Node("Add", ("a", "b"), ("y",)),))
    with pytest.raises(StateError, match="one input that has a batch axis"):
        Batcher(Model.from_graph(graph))


def test_histogram_quantiles_are_bounds_of_classes() -> None:
    histogram = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 1.5, 3.0, 9.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1, 1]
    assert histogram.total == 15.0
    assert [histogram.quantile(q) for q in (0.4, 0.6, 0.8, 1.0)] == [1.0, 2.0, 4.0, float("inf")]
    assert np.isnan(Histogram((1.0,)).quantile(0.5))
