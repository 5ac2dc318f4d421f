"""The counters of batchers for Prometheus, beside those that MLServer has of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from rnnrt.serving.metrics import Histogram, Metrics

_watched: dict[str, tuple[Callable[[], Metrics], Callable[[], int]]] = {}
_registered: list[Any] = []


def watch(model: str, metrics: Callable[[], Metrics], sequences: Callable[[], int]) -> None:
    """Show a model's counters from now on."""
    from prometheus_client import REGISTRY

    _watched[model] = (metrics, sequences)
    if not _registered:
        _registered.append(_Collector())
        REGISTRY.register(_registered[0])


def forget(model: str) -> None:
    """Show them no longer."""
    _watched.pop(model, None)


class _Collector:
    """Read when Prometheus asks, so that requests pay nothing for it."""

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core

        rounds = core.CounterMetricFamily("rnnrt_rounds", "Runs of the network", labels=["model"])
        requests = core.CounterMetricFamily("rnnrt_requests", "Requests by how they ended", labels=["model", "outcome"])
        waiting = core.GaugeMetricFamily("rnnrt_queue_length", "Requests that wait for a place", labels=["model"])
        running = core.GaugeMetricFamily("rnnrt_running", "Requests in the batch", labels=["model"])
        kept = core.GaugeMetricFamily("rnnrt_sequences", "Sequences whose states are kept", labels=["model"])
        sizes = core.HistogramMetricFamily("rnnrt_batch_size", "Requests in a round", labels=["model"])
        latency = core.HistogramMetricFamily("rnnrt_latency_seconds", "Request to answer", labels=["model"])
        wait = core.HistogramMetricFamily("rnnrt_wait_seconds", "Request to first round", labels=["model"])
        for model, (metrics, sequences) in list(_watched.items()):
            now = metrics()
            for outcome in ("finished", "failed", "cancelled", "expired", "refused"):
                requests.add_metric([model, outcome], getattr(now, outcome))
            rounds.add_metric([model], now.rounds)
            waiting.add_metric([model], now.waiting)
            running.add_metric([model], now.running)
            kept.add_metric([model], sequences())
            rows = Histogram(tuple(float(1 << k) for k in range(11)))
            for size, count in now.batch_sizes.items():
                rows.add(size, count)
            for family, histogram in ((sizes, rows), (latency, now.latency), (wait, now.wait)):
                family.add_metric([model], _cumulative(histogram), histogram.total)
        yield from (rounds, requests, waiting, running, kept, sizes, latency, wait)


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*(repr(bound) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, itertools.accumulate(histogram.counts), strict=True))
