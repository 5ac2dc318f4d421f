"""Kernels that share work among threads: the same bits for any number, for many callers, and after a fork."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rnnrt import Model
from rnnrt.ir import Graph, Node, Value
from rnnrt.runtime.threads import available_processors, thread_count

F32 = np.dtype("float32")
WEIGHTS = np.random.default_rng(0).standard_normal((384, 256)).astype(F32)
X = np.random.default_rng(1).standard_normal((301, 384)).astype(F32)


def product(threads: int) -> Model:
    """A matrix product large enough to be divided."""
    node = Node("MatMul", ("x", "w"), ("y",))
    return Model.from_graph(
        Graph((Value("x", F32, (None, 384)),), (Value("y", F32),), (node,), {"w": WEIGHTS}), threads=threads
    )


def test_the_number_of_threads_changes_no_bit():
    want = product(1)(X)
    np.testing.assert_allclose(want, X.astype(np.float64) @ WEIGHTS, atol=1e-3)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(product(threads)(X), want)


def test_many_callers_at_once():
    model, want = product(2), product(1)(X)
    with ThreadPoolExecutor(6) as pool:
        for y in pool.map(lambda _: model(X), range(60)):
            np.testing.assert_array_equal(y, want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    model, want = product(3), product(1)(X)
    np.testing.assert_array_equal(model(X), want)
    child = os.fork()
    if child == 0:
        os._exit(0 if all(np.array_equal(model(X), want) for _ in range(20)) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(model(X), want)


def test_how_many_threads(monkeypatch):
    monkeypatch.delenv("RNNRT_NUM_THREADS", raising=False)
    assert thread_count() == available_processors() >= 1
    monkeypatch.setenv("RNNRT_NUM_THREADS", "3")
    assert thread_count() == 3
    assert thread_count(5) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="affinity masks are Linux's")
def test_the_affinity_mask_counts():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)


HIDDEN = 192
FRAMES = np.random.default_rng(2).standard_normal((40, 1, 24)).astype(F32)


def recurrent(threads: int) -> Model:
    """A GRU whose steps are shared among threads."""
    rng = np.random.default_rng(3)
    weights = {
        "W": rng.standard_normal((1, 3 * HIDDEN, 24)).astype(F32) * 0.1,
        "R": rng.standard_normal((1, 3 * HIDDEN, HIDDEN)).astype(F32) * 0.1,
    }
    node = Node("GRU", ("x", "W", "R"), ("y",), {"hidden_size": HIDDEN})
    return Model.from_graph(
        Graph((Value("x", F32, (None, None, 24)),), (Value("y", F32),), (node,), weights), threads=threads
    )


def serve(model: Model, want: np.ndarray, results) -> None:
    """What a worker of a pre-fork server does: requests in a process that inherited the model."""
    results.put(all(np.array_equal(model(FRAMES), want) for _ in range(10)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_forked_from_a_warm_parent():
    model, want = recurrent(2), recurrent(1)(FRAMES)
    np.testing.assert_array_equal(model(FRAMES), want)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=serve, args=(model, want, results)) for _ in range(3)]
    for process in workers:
        process.start()
    np.testing.assert_array_equal(model(FRAMES), want)
    assert [results.get(timeout=60) for _ in workers] == [True] * 3
    for process in workers:
        process.join(60)
        assert process.exitcode == 0


def test_callers_that_share_a_model_and_its_threads():
    model, want = recurrent(2), recurrent(1)(FRAMES)
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: model(FRAMES), range(40)):
            np.testing.assert_array_equal(y, want)


def test_the_interpreter_is_free_during_a_run():
    """While one thread is inside a long run, another one gets on."""
    model = recurrent(1)
    x = np.zeros((30_000, 1, 24), F32)
    model(x[:10])
    inside, turns = threading.Event(), 0

    def run() -> None:
        inside.set()
        model(x)
        inside.clear()

    caller = threading.Thread(target=run)
    caller.start()
    inside.wait()
    while inside.is_set():
        turns += 1
    caller.join()
    assert turns > 1000


@pytest.mark.skipif(sys.platform != "linux", reason="reads the states of threads from Linux's /proc")
def test_idle_threads_sleep():
    model = recurrent(2)
    model(FRAMES)
    for _ in range(200):
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path("/proc/self/task").iterdir()
        ]
        if states.count("R") == 1:  # this one
            break
        time.sleep(0.05)
    assert states.count("R") == 1


def test_memory_does_not_grow_with_the_sequence():
    """Scratch is bounded however long the sequence; a million steps run in it."""
    model, single = recurrent(2), recurrent(1)
    short, long = (model._session.plan_for({"x": (n, 1, 24)})[1].arena_bytes for n in (2_000, 1_000_000))
    assert short == long
    x = np.random.default_rng(5).standard_normal((1_000_000, 1, 3)).astype(F32)
    rng = np.random.default_rng(6)
    weights = {k: rng.standard_normal((1, 12, n)).astype(F32) * 0.3 for k, n in (("W", 3), ("R", 4))}
    node = Node("GRU", ("x", "W", "R"), ("", "last"), {"hidden_size": 4})
    small = Model.from_graph(Graph((Value("x", F32, (None, None, 3)),), (Value("last", F32),), (node,), weights))
    np.testing.assert_array_equal(small(x), small(x[-5000:]))  # what is long past is forgotten
    np.testing.assert_array_equal(model(FRAMES), single(FRAMES))
