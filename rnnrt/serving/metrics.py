"""What a batcher has done and is doing, in numbers."""

from __future__ import annotations

import bisect
from collections import Counter
from dataclasses import dataclass, field, replace

LATENCY_BOUNDS = tuple(
    round(mantissa * 10.0**exponent, 10) for exponent in range(-4, 2) for mantissa in (1.0, 2.5, 5.0)
)
"""Upper bounds of the classes of latencies, in seconds: 0.1 ms to 50 s."""


@dataclass
class Histogram:
    """How many values fell in each class.

    Attributes
    ----------
    bounds : tuple of float
        Upper bounds, inclusive; a last class has what is larger.
    counts : list of int
        One more than bounds.
    total : float
        The sum of all values.
    """

    bounds: tuple[float, ...] = LATENCY_BOUNDS
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        if not self.counts:
            self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += times
        self.total += value * times

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """An upper bound of the q-quantile: the bound of its class; nan without values, inf beyond the last bound."""
        wanted, seen = q * self.count, 0
        if not self.count:
            return float("nan")
        for bound, number in zip(self.bounds, self.counts, strict=False):
            seen += number
            if seen >= wanted:
                return bound
        return float("inf")

    def copy(self) -> Histogram:
        """One that no longer changes."""
        return Histogram(self.bounds, list(self.counts), self.total)


@dataclass
class Metrics:
    """A batcher's counters; `Batcher.metrics` gives a copy.

    Attributes
    ----------
    waiting, running : int
        Requests in the queue and in the batch.
    finished, failed, cancelled, expired, refused : int
        Requests since the start: answered; ended by an error of their own; given up by their caller; past their
        deadline; not taken because the queue was full.
    rounds : int
        Runs of the network.
    steps : int
        Time steps of all rounds.
    batch_sizes : Counter of int
        How many rounds had so many requests.
    latency : Histogram
        Seconds from a request to its answer.
    wait : Histogram
        Seconds from a request to its first round.
    """

    waiting: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    refused: int = 0
    rounds: int = 0
    steps: int = 0
    batch_sizes: Counter[int] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)

    def count_round(self, rows: int, steps: int) -> None:
        """Count a run of the network."""
        self.rounds += 1
        self.steps += steps
        self.batch_sizes[rows] += 1

    def copy(self, waiting: int, running: int) -> Metrics:
        """The counters as they are now."""
        return replace(
            self,
            waiting=waiting,
            running=running,
            batch_sizes=Counter(self.batch_sizes),
            latency=self.latency.copy(),
            wait=self.wait.copy(),
        )
