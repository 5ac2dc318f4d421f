"""The thread behind a batcher: a bounded queue in front, an engine behind."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import InvalidStateError

from rnnrt.serving.engines import Engine, Request, Settled
from rnnrt.serving.errors import BatchError, ClosedError, DeadlineError, QueueFullError
from rnnrt.serving.metrics import Metrics


class Worker:
    """Runs requests on an engine until it is closed. Safe to call from any thread.

    Parameters
    ----------
    engine : Engine
        Touched by the thread alone.
    max_queue : int
        The most requests that wait.
    """

    def __init__(self, engine: Engine, max_queue: int) -> None:
        self._engine, self._max_queue = engine, max_queue
        self._queue: deque[Request] = deque()
        self._metrics = Metrics()
        self._wake = threading.Condition()
        self._closing = self._abandon = self._sweep = False
        self._soonest = math.inf
        self._thread = threading.Thread(target=self._work, name="rnnrt-batcher", daemon=True)
        self._thread.start()

    def enter(self, request: Request) -> None:
        """Queue a request.

        Raises
        ------
        QueueFullError
            As many requests wait as may.
        ClosedError
            The worker is closed.
        """
        with self._wake:
            if self._closing:
                raise ClosedError("the batcher is closed and takes no more requests")
            waiting = len(self._queue)
            if waiting >= self._max_queue:
                waiting = sum(not queued.cancelled for queued in self._queue)  # the worker has yet to sweep the rest
            if waiting >= self._max_queue:
                self._metrics.refused += 1
                raise QueueFullError(
                    f"{waiting} requests wait already and max_queue={self._max_queue}; try again later"
                )
            self._queue.append(request)
            self._soonest = min(self._soonest, request.deadline)
            self._wake.notify()
        request.future.add_done_callback(lambda future: self._let_go(request) if future.cancelled() else None)

    def metrics(self) -> Metrics:
        """The counters as they are now."""
        with self._wake:
            return self._metrics.copy(len(self._queue), len(self._engine.live))

    def close(self, drain: bool, timeout: float | None) -> None:
        """As `Batcher.close`."""
        with self._wake:
            self._closing = True
            self._abandon |= not drain
            self._wake.notify()
        if threading.current_thread() is self._thread:
            return  # in a callback of a future: the thread ends after it
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._wake:
                self._abandon = True
                self._wake.notify()
            self._thread.join()

    def _let_go(self, request: Request) -> None:
        request.cancelled = self._sweep = True
        with self._wake:
            self._wake.notify()

    def _work(self) -> None:
        while True:
            try:
                if not self._admit():
                    return
                rows = len(self._engine.live)
                settled, steps = self._engine.advance()
                with self._wake:
                    self._metrics.count_round(rows, steps)
            except Exception as error:  # whatever it is, nobody may wait for ever
                settled = self._all_failed(error)
            self._settle(settled)

    def _admit(self) -> bool:
        """Wait until there is something to run; False at the end."""
        while True:
            over: list[Settled] = []
            with self._wake:
                now = time.monotonic()
                if self._abandon:
                    error = ClosedError("the batcher was closed before the request had its answer")
                    over = [Settled(r, error=error) for r in (*self._engine.live, *self._queue)]
                    self._queue.clear()
                    self._engine.drop(set(self._engine.live))
                elif self._sweep or now >= self._soonest:
                    over = self._swept(now)
                if not over:
                    taken, more = self._engine.admit(self._queue, now, self._closing)
                    for request in taken:
                        self._metrics.wait.add(now - request.arrived)
                    if self._engine.live:
                        return True
                    if self._closing and not self._queue:
                        return False
                    self._wake.wait(more)
            self._settle(over)

    def _swept(self, now: float) -> list[Settled]:
        """Take out requests that were given up or whose deadline has passed."""
        self._sweep = False
        every = [*self._engine.live, *self._queue]
        over = {request for request in every if request.cancelled or now >= request.deadline}
        self._soonest = min((request.deadline for request in every if request not in over), default=math.inf)
        if over:
            self._engine.drop(over)
            rest = [request for request in self._queue if request not in over]
            self._queue.clear()
            self._queue.extend(rest)
        late = DeadlineError("the deadline passed before the answer was there")
        return [Settled(request, error=late) for request in every if request in over]

    def _all_failed(self, error: Exception) -> list[Settled]:
        why = BatchError(f"the batch failed: {type(error).__name__}: {error}")
        with self._wake:
            every = [*self._engine.live, *self._queue]
            self._engine.drop(set(self._engine.live))
            self._queue.clear()
        return [Settled(request, error=why) for request in every]

    def _settle(self, settled: list[Settled]) -> None:
        """Give the answers; callbacks run here, without the lock."""
        for one in settled:
            future, outcome = one.request.future, "cancelled"
            try:
                if one.error is not None:
                    outcome = "expired" if isinstance(one.error, DeadlineError) else "failed"
                    future.set_exception(one.error)
                else:
                    future.set_result(one.answer)
                    outcome = "finished"
            except InvalidStateError:
                outcome = "cancelled"
                future.set_running_or_notify_cancel()
            with self._wake:
                setattr(self._metrics, outcome, getattr(self._metrics, outcome) + 1)
                if outcome == "finished":
                    self._metrics.latency.add(time.monotonic() - one.request.arrived)
