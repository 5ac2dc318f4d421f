"""Timing that the benchmarks share."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

Call = Callable[[], Any]
T = TypeVar("T")


def times_of(call: Call, seconds: float, warm: int = 2, least: int = 3) -> list[float]:
    """Seconds of each call within a slice of time, at least so many; some calls warm up first."""
    for _ in range(warm):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        stop = time.perf_counter()
        times.append(stop - start)
        if stop > end and len(times) >= least:
            return times


def measure(call: Call, seconds: float) -> float:
    """Median seconds of a call within a slice of time; two calls warm up first."""
    return statistics.median(times_of(call, seconds))


def in_turn(measurements: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each measurement gives, made in turn, so that a drift of the clock meets all of them."""
    results: dict[str, list[T]] = {key: [] for key in measurements}
    for _ in range(rounds):
        for key, measurement in measurements.items():
            time.sleep(0.002)  # idle threads of the engine before stop spinning
            results[key].append(measurement())
    return results


def interleaved(calls: Mapping[str, Call], seconds: float, rounds: int) -> dict[str, float]:
    """Median seconds of each call, measured in turn."""
    times = in_turn({key: partial(measure, call, seconds) for key, call in calls.items()}, rounds)
    return {key: statistics.median(values) for key, values in times.items()}


def best(times: Mapping[str, float], name: str) -> float:
    """The engine's time at its better number of threads; keys are "engine/threads"."""
    return min((t for key, t in times.items() if key.split("/")[0] == name), default=math.nan)


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive numbers."""
    return math.exp(statistics.fmean(math.log(v) for v in values))
