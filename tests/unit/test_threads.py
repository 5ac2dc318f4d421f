"""Kernels that share work among threads: the same bits for any number, for many callers, and after a fork."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

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
    return Model(Graph((Value("x", F32, (None, 384)),), (Value("y", F32),), (node,), {"w": WEIGHTS}), threads=threads)


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
