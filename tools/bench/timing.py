"""Timing that the benchmarks share."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Call = Callable[[], Any]


def measure(call: Call, seconds: float) -> float:
    """Median seconds of a call within a slice of time; two calls warm up first."""
    call()
    call()
    times = []
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        stop = time.perf_counter()
        times.append(stop - start)
        if stop > end and len(times) >= 3:
            return statistics.median(times)


def interleaved(calls: Mapping[str, Call], seconds: float, rounds: int) -> dict[str, float]:
    """Median seconds of each call, measured in turn, so that a drift of the clock meets all of them."""
    times: dict[str, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            time.sleep(0.002)  # idle threads of the engine before stop spinning
            times[key].append(measure(call, seconds))
    return {key: statistics.median(values) for key, values in times.items()}


def best(times: Mapping[str, float], name: str) -> float:
    """The engine's time at its better number of threads; keys are "engine/threads"."""
    return min((t for key, t in times.items() if key.split("/")[0] == name), default=math.nan)


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive numbers."""
    return math.exp(statistics.fmean(math.log(v) for v in values))
