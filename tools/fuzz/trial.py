"""One file read, specialised and run, and what came of it. Runs in a process of its own: `python -m fuzz.trial`.

The process reads a path and a number on each line of its input and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fuzz.values import FLOATS, INTS

RUNNING = b"run\n"
"""The line that says that a file has been read and is run next."""

SECONDS = 10
"""What reading may take, of the processor's time: others may be using the machine."""

RUN_SECONDS = 4
"""After these a run is interrupted; it must stop then, but may have been right to take its time."""

MEMORY = 3 << 29
"""Bytes of address space beyond what the process has after its imports."""
LARGEST_LOAD = 1 << 30
"""Bytes of memory that reading a file may need."""
_MAX_FEED = 1 << 18


class TimeUp(BaseException):
    """Raised by the alarm."""


def try_file(path: str, seed: int, is_read: Callable[[], object], seconds: int = SECONDS) -> dict[str, Any]:
    """Load a file and, where that goes well, call `is_read` and run the model on small made-up inputs.

    Returns
    -------
    dict
        `outcome`: "ran", "loaded" (nothing small suits its inputs), "refused", "interrupted" (a run that took too long
        and could be stopped), or what is wrong: "slow load", "memory", "exception". With the phase, and for what is
        wrong the traceback and where it was.
    """
    import rnnrt

    phase = "load"
    _reset_peak()
    before = _peak()
    _alarm_in(seconds)
    try:
        model = rnnrt.load(path)
        grown = _peak() - before
        if grown > LARGEST_LOAD:
            return _wrong("memory", phase, f"reading took {grown >> 20} MiB")
        phase = "run"
        _alarm_in(RUN_SECONDS)
        is_read()
        feeds = made_up(model, random.Random(seed))
        if feeds is None:
            return {"outcome": "loaded", "phase": phase}
        model.run(None, feeds)
        return {"outcome": "ran", "phase": phase}
    except rnnrt.RnnrtError as error:
        grown = _peak() - before
        if phase == "load" and grown > LARGEST_LOAD:
            return _wrong("memory", phase, f"reading took {grown >> 20} MiB")
        return {"outcome": "refused", "phase": phase, "message": str(error)[:300]}
    except TimeUp:
        if phase == "run":
            return {"outcome": "interrupted", "phase": phase, "where": _where()}
        return _wrong("slow load", phase, traceback.format_exc(limit=-12))
    except BaseException:
        return _wrong("exception", phase, traceback.format_exc(limit=-12))
    finally:
        _alarm_in(0)


def made_up(model: Any, rng: random.Random) -> dict[str, np.ndarray] | None:
    """Small inputs; None where the model takes none."""
    feeds = {}
    named: dict[str, int] = {}
    for value in model.graph.inputs:
        shape = tuple(
            d if isinstance(d, int) else named.setdefault(d, rng.randrange(1, 4)) if d else rng.randrange(1, 4)
            for d in value.shape or ()
        )
        if math.prod(shape) > _MAX_FEED:
            return None
        feeds[value.name] = _array(shape, value.dtype, rng)
    return feeds


def _array(shape: tuple[int, ...], dtype: np.dtype, rng: random.Random) -> np.ndarray:
    """Normal floats and small integers; now and then with something extreme among them."""
    draw = np.random.default_rng(rng.getrandbits(32))
    array = draw.standard_normal(shape).astype(dtype) if dtype.kind == "f" else draw.integers(0, 3, shape).astype(dtype)
    if array.size and rng.random() < 0.3:
        at = rng.randrange(array.size)
        if dtype.kind == "f":
            with np.errstate(all="ignore"):
                array.flat[at] = np.float64(rng.choice(FLOATS)).astype(dtype)
        elif dtype.kind in "iu":
            limits = np.iinfo(dtype)
            array.flat[at] = min(max(rng.choice(INTS), int(limits.min)), int(limits.max))
    return array


def _wrong(outcome: str, phase: str, text: str) -> dict[str, Any]:
    return {"outcome": outcome, "phase": phase, "where": _where(), "traceback": text}


def _where() -> str:
    """The exception that is being handled, and the innermost lines of rnnrt it came through."""
    kind, _, trace = sys.exc_info()
    frames = [f for f in traceback.extract_tb(trace) if f"{os.sep}rnnrt{os.sep}" in f.filename]
    places = [f"{os.path.basename(f.filename)}:{f.name}" for f in frames[-2:]]
    return " ".join([kind.__name__ if kind else "", *places])


def _peak() -> int:
    """The most memory the process has had, in bytes, since the last reset."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _limit_memory() -> None:
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _alarm_in(seconds: int) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _alarm(*_: Any) -> None:
    raise TimeUp


def main() -> None:
    """Answer until the input ends."""
    import h5py  # noqa: F401  counted before the limit is set
    import onnx  # noqa: F401
    import safetensors.numpy  # noqa: F401

    import rnnrt
    from rnnrt import models  # noqa: F401

    assert rnnrt.load
    warnings.simplefilter("ignore")
    # Answers have a stream of their own: whatever else prints must not look like one.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    signal.signal(signal.SIGPROF, _alarm)
    _limit_memory()
    seconds = int(sys.argv[1])
    answers.write("ready\n")
    for line in sys.stdin:
        path, seed = line.rstrip("\n").rsplit("\t", 1)
        answers.write(json.dumps(try_file(path, int(seed), lambda: answers.write(RUNNING.decode()), seconds)) + "\n")


if __name__ == "__main__":
    main()
