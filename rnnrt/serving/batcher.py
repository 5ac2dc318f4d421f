"""Many callers, one network: requests of different lengths share a batch that they join and leave as they come."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.models.running import Running
from rnnrt.runtime.session import checked_input
from rnnrt.serving.engines import Request, SteppedEngine, make_engine
from rnnrt.serving.errors import DeadlineError
from rnnrt.serving.metrics import Metrics
from rnnrt.serving.worker import Worker


class Batcher:
    """Runs requests from many threads or tasks in common batches, on a thread of its own.

    A network that `Stream` takes is *stepped*: the batch advances some time steps a round, each request from the
    state it has got to, so that a short one need not wait for a long one and a new one joins at the next round. Of any
    other network the batches are whole sequences, and `mode` says which share one: "padded" (of about the same
    length, where lengths can be given to all recurrent layers), "equal" (of the same shape), or "single" (none, where
    rows are not known to stay apart); `reason` says why. A request has the result that it has alone.

    Parameters
    ----------
    model : Model
        One input, a sequence. Its weights are taken as they are now.
    max_batch_size : int
        The most sequences of a batch.
    max_delay_ms : float
        How long a batch of whole sequences waits for more of them. Stepped requests need no such wait.
    max_queue : int
        The most requests that wait for a place in the batch; more are refused with `QueueFullError`.
    max_steps : int
        The most time steps of a round, a power of two: fewer let requests in sooner, more cost less each.

    Raises
    ------
    StateError
        The network has several inputs, or none with a batch axis and a time axis.
    RnnrtError
        A limit is out of its range.

    Examples
    --------
    >>> async with Batcher(model) as batcher:
    ...     y = await batcher.infer(x)                  # x (T, features), as model(x[None])[0]
    >>> with Batcher(model) as batcher:
    ...     futures = [batcher.submit(x) for x in xs]
    ...     ys = [future.result() for future in futures]
    """

    def __init__(
        self,
        model: Running,
        max_batch_size: int = 64,
        max_delay_ms: float = 2.0,
        max_queue: int = 1024,
        max_steps: int = 16,
    ) -> None:
        for name, limit in (("max_batch_size", max_batch_size), ("max_queue", max_queue), ("max_steps", max_steps)):
            if not isinstance(limit, int) or limit < 1:
                raise RnnrtError(f"{name}={limit!r} must be a whole number above 0")
        if max_steps & (max_steps - 1):
            raise RnnrtError(f"max_steps={max_steps} must be a power of two")
        if not 0 <= max_delay_ms < math.inf:
            raise RnnrtError(f"max_delay_ms={max_delay_ms!r} must be a number of milliseconds, 0 or more")
        graph = model.graph
        self._engine, self._shape = make_engine(graph, model._threads, max_batch_size, max_steps, max_delay_ms / 1e3)
        self._input = graph.inputs[0]
        self._worker = Worker(self._engine, max_queue)

    @property
    def mode(self) -> str:
        """How requests share batches: "stepped", "padded", "equal" or "single"."""
        return self._engine.mode

    @property
    def reason(self) -> str:
        """Why the network is not stepped; empty where it is."""
        return self._engine.reason

    @property
    def batch_axis(self) -> int:
        """Where the model's input has its batch."""
        return self._engine.batch_axis

    @property
    def output_axes(self) -> tuple[int | None, ...]:
        """Where the model's outputs have their batch; None where that could not be told, in mode "single"."""
        return self._engine.output_axes

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of a request: time first (None: any length), no batch axis."""
        return self._shape

    def submit(self, x: Any, deadline: float | None = None) -> Future[Any]:
        """Hand in a sequence.

        Parameters
        ----------
        x : array_like
            (T, ...): the model's input without its batch axis.
        deadline : float, optional
            Seconds from now. A request that is not in its last round by then ends in `DeadlineError`.

        Returns
        -------
        Future
            Its result is the output without batch axis, a tuple of them where there are several. `cancel` gives the
            request's place free, also while it runs.

        Raises
        ------
        ShapeError
            `x` has a shape or dtype that the model does not take.
        QueueFullError
            `max_queue` requests wait already.
        ClosedError
            The batcher is closed.
        """
        return self._enter(x, deadline, None, False)

    def submit_piece(
        self, x: Any, state: list[np.ndarray] | None = None, deadline: float | None = None
    ) -> Future[tuple[Any, list[np.ndarray]]]:
        """Hand in a piece of a sequence that goes on later.

        Parameters
        ----------
        x : array_like
            As `submit` takes it.
        state : list of ndarray, optional
            What the piece before gave; by default the initial states.
        deadline : float, optional
            As `submit` takes it.

        Returns
        -------
        Future
            Its result is (outputs, state).

        Raises
        ------
        StateError
            The network is not stepped, so that it cannot go on from a state.
        ShapeError, QueueFullError, ClosedError
            As `submit` does; ShapeError also where `state` is not a state of this network.
        """
        if not isinstance(self._engine, SteppedEngine):
            raise StateError(f"the network takes whole sequences only: {self.reason}")
        if state is not None:
            state = self._engine.slots.net.checked_state(state)
        return self._enter(x, deadline, state, True)

    async def infer(self, x: Any, deadline: float | None = None) -> Any:
        """As `submit`, awaited; cancelling the task cancels the request."""
        return await asyncio.wrap_future(self.submit(x, deadline))

    def warm_up(self) -> None:
        """Make all plans of a stepped network before the first request comes; otherwise each is made when needed.

        Call it before requests do come: it runs the network.
        """
        if isinstance(self._engine, SteppedEngine):
            self._engine.slots.warm_up(tuple(d or 1 for d in self._shape[1:]))

    def metrics(self) -> Metrics:
        """The counters as they are now."""
        return self._worker.metrics()

    def close(self, drain: bool = True, timeout: float | None = None) -> None:
        """Take no more requests and end the thread; a second call waits for the first.

        Parameters
        ----------
        drain : bool
            Answer what has been taken first; otherwise it ends in `ClosedError`.
        timeout : float, optional
            Seconds after which draining is given up.
        """
        self._worker.close(drain, timeout)

    async def aclose(self, drain: bool = True, timeout: float | None = None) -> None:
        """As `close`, without holding up the event loop."""
        await asyncio.to_thread(self.close, drain, timeout)

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    async def __aenter__(self) -> Batcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(drain=kind is None)

    def _enter(self, x: Any, deadline: float | None, state: list[np.ndarray] | None, keep_state: bool) -> Future[Any]:
        array = self._checked(x)
        now = time.monotonic()
        until = math.inf if deadline is None else now + deadline
        if not until > now:
            raise DeadlineError(f"deadline={deadline} is no time from now; give the seconds that are left")
        request = Request(array, now, until, state, keep_state)
        self._worker.enter(request)
        return request.future

    def _checked(self, x: Any) -> np.ndarray:
        """`x` in an array of its own, which the caller cannot change while it waits."""
        given = np.asarray(x)
        if given.ndim != len(self._shape) or any(
            want is not None and want != got for want, got in zip(self._shape, given.shape, strict=True)
        ):
            raise ShapeError(
                f"a request for input {self._input.name!r} has shape {self._shape} (None: any), got {given.shape}; "
                "the first axis is time, and there is no batch axis"
            )
        if len(given) == 0:
            raise ShapeError(f"a request for input {self._input.name!r} needs at least one time step, got none")
        value = type(self._input)(self._input.name, self._input.dtype, given.shape)
        array = checked_input(value, given)
        return array.copy() if array is x or array.base is not None else array
