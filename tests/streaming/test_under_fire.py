"""Streams under fire: threads, processes, the end of the interpreter, denormals, and long runs.

RNNRT_STRESS_SECONDS lengthens the parts that run for a time.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from rnnrt import Sequential, StateError, layers

F32 = np.dtype("float32")
SECONDS = float(os.environ.get("RNNRT_STRESS_SECONDS", "0.5"))


def network(units: int = 96) -> Sequential:
    """Large enough that steps of a few rows are shared by threads."""
    return Sequential(
        [
            layers.Input((None, 16)),
            layers.Conv1D(24, 3, padding="causal"),
            layers.LSTM(units, return_sequences=True),
            layers.GRU(units, return_sequences=True),
        ]
    )


def run_script(text: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program of its own; it fails the test when it hangs."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, timeout=timeout, check=False
    )


PRELUDE = """
import numpy as np, rnnrt
from rnnrt import Sequential, layers
model = Sequential([layers.Input((None, 64)), layers.LSTM(256, return_sequences=True, name="memory")])
model.set_weights([np.random.default_rng(k).standard_normal(w.shape) / 16 for k, w in enumerate(model.get_weights())])
x = np.random.default_rng(0).standard_normal((64, 64)).astype("float32")
stream = model.stream(64)
"""


def test_threads_share_a_model_each_with_its_stream() -> None:
    model = network()
    x = np.random.default_rng(0).standard_normal((5, 40, 16)).astype(F32)
    want, wrong, rounds = model(x), [], [0] * 6
    end = time.monotonic() + SECONDS

    def work(k: int) -> None:
        stream = model.stream(5)
        while time.monotonic() < end or not rounds[k]:
            stream.reset()
            if (k + rounds[k]) % 2:
                got = np.stack([stream.step(np.ascontiguousarray(x[:, t])) for t in range(40)], 1)
            else:
                got = np.concatenate([stream.run(x[:, a : a + 13]) for a in range(0, 40, 13)], 1)
            if not np.array_equal(got, want):
                wrong.append(k)
            rounds[k] += 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert min(rounds) > 0


def test_threads_in_one_stream_never_mix_their_steps() -> None:
    """Each step either happens as a whole or raises; as many happen as the state shows."""
    model = Sequential([layers.Input((None, 1)), layers.SimpleRNN(1, activation="linear", return_sequences=True)])
    model.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])  # h counts the steps
    stream, done, refused = model.stream(), [0] * 4, [0] * 4
    end = time.monotonic() + SECONDS

    def work(k: int) -> None:
        one = np.ones((1, 1), F32)
        while time.monotonic() < end:
            try:
                if k % 2:
                    stream.step(one)
                else:
                    stream.run(one[None])
                done[k] += 1
            except StateError:
                refused[k] += 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (count,) = stream.state.values()
    assert min(sum(done), 2**24) == count.item()  # a float32 counts no further


def _walk(stream: object, x: np.ndarray) -> np.ndarray:
    return np.stack([stream.step(np.ascontiguousarray(x[:, t])) for t in range(x.shape[1])], 1)  # type: ignore[attr-defined]


def test_spawned_processes_go_on_with_streams() -> None:
    model = network()
    x = np.random.default_rng(0).standard_normal((2, 12, 16)).astype(F32)
    want, streams = model(x), []
    for k in range(4):
        stream = model.stream(2)
        stream.run(x[:, : 3 * k])
        streams.append(stream)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_walk, [(s, x[:, 3 * k :]) for k, s in enumerate(streams)])
    for k, y in enumerate(found):
        np.testing.assert_array_equal(y, want[:, 3 * k :])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is of POSIX systems")
def test_a_fork_with_live_threads_goes_on() -> None:
    done = run_script(
        PRELUDE
        + """
    import os, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    pool = model.stream_pool(); ids = [pool.open() for _ in range(64)]
    for _ in range(50): stream.step(x); pool.step(ids, x)
    stop = threading.Event()
    other = model.stream(64)
    def work():
        while not stop.is_set(): other.step(x)
    thread = threading.Thread(target=work); thread.start()
    twin = stream.copy()
    want = [twin.step(x) for _ in range(20)]
    children = []
    for _ in range(5):
        pid = os.fork()
        if not pid:
            good = all(np.array_equal(stream.step(x), y) for y in want)
            good = good and all(np.array_equal(pool.step(ids, x), y) for y in want)
            os._exit(0 if good else 3)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    good = all(np.array_equal(stream.step(x), y) for y in want)
    stop.set(); thread.join()
    assert codes == [0] * 5 and good, (codes, good)
    """.replace("\n    ", "\n")
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ending", ["", "import sys; sys.exit(0)", "del model", "keep = [stream]; keep.append(keep)"])
def test_the_interpreter_ends_with_live_streams(ending: str) -> None:
    done = run_script(
        PRELUDE
        + f"""
import threading
pool = model.stream_pool(); ids = [pool.open() for _ in range(64)]
other = model.stream(64)
def work():
    while True: other.step(x)
threading.Thread(target=work, daemon=True).start()
for _ in range(50): stream.step(x); pool.step(ids, x)
{ending}
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_denormals_of_the_caller_stay() -> None:
    tiny = np.float32(1e-39)

    def seen() -> tuple[bool, bool]:
        a = np.array([tiny], F32)
        return bool((a * np.float32(1)).view(np.int32)[0]), bool((a + np.float32(0)).view(np.int32)[0])

    model = network()
    stream, pool = model.stream(3), model.stream_pool()
    ids = [pool.open() for _ in range(3)]
    x = np.full((3, 16), tiny, F32)
    found: list[tuple[bool, bool]] = []

    def work() -> None:
        whole = x[:, None]
        for call, given in ((stream.step, (x,)), (stream.run, (whole,)), (pool.step, (ids, x)), (model, (whole,))):
            call(*given)
            found.append(seen())

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(True, True)] * 8


def test_memory_stays_flat_under_load() -> None:
    model = network(32)
    pool = model.stream_pool(capacity=4)
    rng = np.random.default_rng(0)
    live = [pool.open() for _ in range(40)]
    stream = model.stream(2)

    def load(rounds: int) -> None:
        for _ in range(rounds):
            ids = [live[k] for k in rng.permutation(40)[: rng.integers(1, 41)]]
            pool.step(ids, np.zeros((len(ids), 16), F32))
            gone = live.pop(int(rng.integers(40)))
            pool.restore("kept", pool.snapshot(gone))
            pool.close(gone)
            pool.close("kept")
            live.append(pool.open())
            stream.run(np.zeros((2, int(rng.integers(1, 20)), 16), F32))
            stream.state = stream.copy().state

    load(600)  # every size of a batch and of a piece has its plan now
    gc.collect()
    before = _resident()
    end = time.monotonic() + SECONDS
    while True:
        load(100)
        if time.monotonic() > end:
            break
    gc.collect()
    assert _resident() - before < 8 << 20
    assert pool.capacity == 64


def test_streams_come_and_go_without_a_trace() -> None:
    model = network(32)
    x = np.zeros((2, 16), F32)

    def load(count: int) -> None:
        for _ in range(count):
            model.stream(2).step(x)

    load(20)
    gc.collect()
    before = _resident()
    load(150)
    gc.collect()
    assert _resident() - before < 8 << 20


def _resident() -> int:
    """Bytes of memory that the process has now."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pytest.skip("the resident size is read from /proc")
