"""How the requests of a batcher are run: stepped side by side, or whole in batches."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rnnrt.errors import RnnrtError, StateError
from rnnrt.ir import Graph
from rnnrt.runtime import Session
from rnnrt.samples import suitable_inputs
from rnnrt.serving.slots import Row, Slots
from rnnrt.serving.stepped import Stepped, make_stepped, sole_input
from rnnrt.serving.whole import Whole, make_whole

TOLERANCE = 1e-4
"""The largest difference, relative to the largest magnitude, between a row alone and in a batch."""


@dataclass(eq=False)
class Request:
    """A sequence that someone waits for.

    Attributes
    ----------
    x : ndarray
        (T, ...) of the network's dtype.
    arrived, deadline : float
        By the batcher's clock; inf: none.
    state : list of ndarray or None
        States to go on from.
    keep_state : bool
        The answer is (outputs, state after the last step).
    cancelled : bool
        Its caller has given it up.
    """

    x: np.ndarray
    arrived: float
    deadline: float = float("inf")
    state: list[np.ndarray] | None = None
    keep_state: bool = False
    cancelled: bool = False
    future: Future[Any] = field(default_factory=Future)


@dataclass(frozen=True)
class Settled:
    """A request and its answer, or the error that it ended in."""

    request: Request
    answer: Any = None
    error: RnnrtError | None = None


class Engine(Protocol):
    """What a batcher's thread drives."""

    mode: str
    reason: str
    batch_axis: int
    output_axes: tuple[int | None, ...]

    @property
    def live(self) -> Sequence[Request]:
        """The requests of the batch."""

    def admit(self, queue: deque[Request], now: float, hurry: bool) -> tuple[list[Request], float | None]:
        """Take requests from the queue; those taken, and for how long more should be waited for (None: run now)."""

    def drop(self, gone: set[Request]) -> None:
        """Take requests out of the batch."""

    def advance(self) -> tuple[list[Settled], int]:
        """Run once; the requests that are settled, and the time steps of the run."""


class SteppedEngine:
    """Rows advance some steps a round; requests join and leave between rounds."""

    mode, reason = "stepped", ""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.batch_axis = 1 - slots.net.time_axis
        self.output_axes: tuple[int | None, ...] = tuple(axes.batch for axes in slots.net.outputs)

    @property
    def live(self) -> Sequence[Request]:
        return [row.owner for row in self.slots.rows]

    def admit(self, queue: deque[Request], now: float, hurry: bool) -> tuple[list[Request], float | None]:
        taken = list(itertools.islice(queue, self.slots.free))
        self.slots.join([Row(request.x, request, request.state) for request in taken])
        for _ in taken:
            queue.popleft()
        return taken, None

    def drop(self, gone: set[Request]) -> None:
        self.slots.leave({i for i, row in enumerate(self.slots.rows) if row.owner in gone})

    def advance(self) -> tuple[list[Settled], int]:
        steps = self.slots.advance()
        settled, gone = [], set()
        for i, row in enumerate(self.slots.rows):
            if row.error is not None:
                settled.append(Settled(row.owner, error=row.error))
            elif row.left == 0:
                answer = one_or_all(row.results(self.slots.net))
                if row.owner.keep_state:
                    answer = (answer, self.slots.state_of(i))
                settled.append(Settled(row.owner, answer))
            else:
                continue
            gone.add(i)
        self.slots.leave(gone)
        return settled, steps


class WholeEngine:
    """Sequences are run whole, in batches of those that may share a run."""

    def __init__(self, net: Whole, reason: str, capacity: int, delay: float) -> None:
        self.net, self.mode, self.reason = net, net.mode, reason
        self.capacity, self.delay = 1 if net.mode == "single" else capacity, delay
        self.batch_axis = net.batch_axis
        self.output_axes: tuple[int | None, ...] = tuple(axes.batch if axes else None for axes in net.outputs)
        self._batch: list[Request] = []

    @property
    def live(self) -> Sequence[Request]:
        return self._batch

    def admit(self, queue: deque[Request], now: float, hurry: bool) -> tuple[list[Request], float | None]:
        if not queue:
            return [], None
        key = self.net.key(queue[0].x)
        alike = (request for request in queue if request is queue[0] or (key and self.net.key(request.x) == key))
        taken = list(itertools.islice(alike, self.capacity))
        left = queue[0].arrived + self.delay - now
        if len(taken) < self.capacity and left > 0 and not hurry:
            return [], left
        gone = set(taken)
        rest = [request for request in queue if request not in gone]
        queue.clear()
        queue.extend(rest)
        self._batch = taken
        return taken, None

    def drop(self, gone: set[Request]) -> None:
        self._batch = [request for request in self._batch if request not in gone]

    def advance(self) -> tuple[list[Settled], int]:
        batch = self._batch
        steps = max(len(request.x) for request in batch)
        try:
            answers = self.net.run([request.x for request in batch], self.capacity)
            settled = [Settled(r, one_or_all(a)) for r, a in zip(batch, answers, strict=True)]
        except RnnrtError as error:
            settled = [Settled(batch[0], error=error)] if len(batch) == 1 else [self._alone(r) for r in batch]
        self._batch = []
        return settled, steps

    def _alone(self, request: Request) -> Settled:
        """So that a request that fails fails alone."""
        try:
            return Settled(request, one_or_all(self.net.run([request.x], 1)[0]))
        except RnnrtError as error:
            return Settled(request, error=error)


def one_or_all(outputs: list[np.ndarray]) -> Any:
    """As a model gives its outputs: the array of the only one, or a tuple."""
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def make_engine(
    graph: Graph, threads: int | None, capacity: int, steps: int, delay: float
) -> tuple[Engine, tuple[int | None, ...]]:
    """The best way to batch a network that changes no result.

    It is tried on a few made-up sequences before it is used.

    Returns
    -------
    engine, shape
        `shape` is that of a request: the time, None where it is free, and the other axes.

    Raises
    ------
    StateError
        The network cannot be served so; the message says why.
    """
    value = sole_input(graph)
    if len(value.shape or ()) < 2:
        raise StateError(f"input {value.name!r} of shape {value.shape} has no time axis; requests are sequences")
    plain = Session(graph, threads=threads)
    try:
        net = make_stepped(graph, threads)
    except RnnrtError as error:
        whole, reason = make_whole(graph, threads)
        reason = "; ".join(dict.fromkeys(part for part in (str(error), reason) if part))
        whole = _tried(whole, graph, plain)
        declared = tuple(d if isinstance(d, int) else None for d in value.shape or ())
        shape = declared[: whole.batch_axis] + declared[whole.batch_axis + 1 :]
        return WholeEngine(whole, reason, capacity, delay), shape
    declared = tuple(d if isinstance(d, int) else None for d in value.shape or ())
    feeds = suitable_inputs(graph, lambda made: plain.run(list(made.values())), 1, 5)
    found = feeds[value.name].shape
    length = declared[net.time_axis]
    xs = _made_up(value.dtype, [length] * 3 if length else [5, 3, 6], found[2:])
    slots = Slots(net, 3, 4)
    rows = [Row(x) for x in xs]
    waiting = list(rows)
    while waiting or slots.rows:
        slots.join([waiting.pop(0) for _ in range(min(slots.free, len(waiting)))])
        slots.advance()
        slots.leave({i for i, row in enumerate(slots.rows) if row.left == 0 or row.error is not None})
    _compare(net, plain, xs, [row.error or row.results(net) for row in rows])
    return SteppedEngine(Slots(net, capacity, steps)), (length, *found[2:])


def _tried(net: Whole, graph: Graph, plain: Session) -> Whole:
    if net.mode == "single":
        return net
    feeds = suitable_inputs(graph, lambda made: plain.run(list(made.values())), 1, 5)
    found = feeds[net.value.name].shape
    rest = found[: net.batch_axis] + found[net.batch_axis + 1 :]
    lengths = [5, 3, 6] if net.mode == "padded" else [rest[0]] * 3
    xs = _made_up(net.value.dtype, lengths, rest[1:])
    _compare(net, plain, xs, net.run(xs, 3))
    return net


def _made_up(dtype: np.dtype, lengths: Sequence[int], rest: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    if dtype.kind == "f":
        return [rng.standard_normal((n, *rest)).astype(dtype) for n in lengths]
    return [rng.integers(0, 2, (n, *rest)).astype(dtype) for n in lengths]


def _compare(net: Stepped | Whole, plain: Session, xs: Sequence[np.ndarray], got: Sequence[Any]) -> None:
    """Raise unless each sequence gave in the batch what it gives alone."""
    axis = 1 - net.time_axis if isinstance(net, Stepped) else net.batch_axis
    for x, mine in zip(xs, got, strict=True):
        if isinstance(mine, RnnrtError):
            raise mine
        alone = plain.run([np.ascontiguousarray(np.expand_dims(x, axis))])
        for value, y, want, axes in zip(plain.graph.outputs, mine, alone, net.outputs, strict=True):
            want = want if axes is None else want.take(0, axes.batch)
            scale = TOLERANCE * max(1.0, float(np.max(np.abs(want), initial=0)))
            if y.shape != want.shape or not np.allclose(y, want, rtol=0, atol=scale, equal_nan=True):
                raise StateError(f"output {value.name!r} of a row is another one in a batch; run its sequences alone")
