"""Sequences by name whose pieces come in requests of their own; the states stay here between them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.serving.batcher import Batcher
from rnnrt.serving.errors import BusySequenceError, QueueFullError, UnknownSequenceError
from rnnrt.serving.protocol import Wanted

State = list[np.ndarray] | None


@dataclass
class _Entry:
    states: list[State]
    used: float
    busy: bool = True


class Sequences:
    """What a server keeps for its clients. For one event loop.

    Parameters
    ----------
    batcher : Batcher
        Of a network that is stepped.
    idle_seconds : float
        A sequence without a request for so long is dropped.
    most : int
        The most sequences at a time.
    clock : callable
        Seconds that only grow.

    Raises
    ------
    RnnrtError
        A limit is out of its range.
    """

    def __init__(
        self,
        batcher: Batcher,
        idle_seconds: float = 300.0,
        most: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < idle_seconds <= math.inf or most < 1:
            raise RnnrtError(f"idle_seconds={idle_seconds} and most={most} must be above 0")
        self._batcher, self._idle, self._most, self._clock = batcher, idle_seconds, most, clock
        self._entries: OrderedDict[int | str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def infer(
        self,
        name: int | str,
        rows: Sequence[np.ndarray],
        start: bool = False,
        end: bool = False,
        deadline: float | None = None,
    ) -> list[Any]:
        """Run the next piece. If that fails the sequence stays where it was.

        Parameters
        ----------
        name : int or str
        rows : sequence of ndarray
            One piece, as `Batcher.submit` takes it, for each of the sequences that go by this name.
        start : bool
            Begin at the initial states, anew if the name is known.
        end : bool
            Forget the sequence afterwards.
        deadline : float, optional
            As for `Batcher.submit`.

        Returns
        -------
        list
            The outputs of each row.

        Raises
        ------
        UnknownSequenceError
            There is no such sequence, or not any more.
        BusySequenceError
            Its last piece is still being run.
        QueueFullError
            There are too many sequences, or requests.
        ShapeError
            Another number of rows than before, or what `Batcher.submit` raises.
        """
        self._drop_idle()
        entry = self._entries.get(name)
        if entry is None and not start:
            raise UnknownSequenceError(
                f"sequence {name!r} is not known: it was never started, has ended, or paused for more than "
                f"{self._idle:g} s; begin it with sequence_start"
            )
        if entry is not None and entry.busy:
            raise BusySequenceError(f"sequence {name!r}: its last piece is still being run; wait for the answer")
        if entry is None and len(self._entries) >= self._most:
            raise QueueFullError(f"there are {self._most} sequences already; end some, or try again later")
        states: list[State] = [None] * len(rows) if start or entry is None else entry.states
        if len(states) != len(rows):
            raise ShapeError(f"sequence {name!r} was started with {len(states)} rows, this piece has {len(rows)}")
        fresh = entry is None
        if entry is None:
            entry = self._entries[name] = _Entry(states, self._clock())
        entry.busy = True
        done = False
        try:
            calls = [partial(self._batcher.submit_piece, x, s, deadline) for x, s in zip(rows, states, strict=True)]
            answers = await gathered(calls)
            entry.states = [state for _, state in answers]
            done = True
        finally:
            entry.busy, entry.used = False, self._clock()
            self._entries.move_to_end(name)
            if (end and done) or (fresh and not done):
                del self._entries[name]
        return [outputs for outputs, _ in answers]

    def _drop_idle(self) -> None:
        """The least recently used come first, but for those that are being run."""
        before = self._clock() - self._idle
        for name in [name for name, e in self._entries.items() if e.used < before and not e.busy]:
            del self._entries[name]


async def infer_rows(
    batcher: Batcher, sequences: Sequences | None, arrays: Mapping[str, np.ndarray], asked: Wanted
) -> list[np.ndarray]:
    """The outputs of a request whose only input holds a batch of rows.

    Parameters
    ----------
    batcher : Batcher
    sequences : Sequences, optional
        What a request for a piece of a sequence needs.
    arrays : mapping of str to ndarray
        The input by name.
    asked : Wanted

    Raises
    ------
    StateError
        There is no row.
    RnnrtError
        As `Batcher.submit` and `Sequences.infer`.
    """
    ((name, x),) = arrays.items()
    rows = list(np.moveaxis(x, batcher.batch_axis, 0))
    if not rows:
        raise StateError(f"input {name!r} has no row; send at least one")
    if asked.sequence is not None:
        assert sequences is not None
        got = await sequences.infer(asked.sequence, rows, asked.start, asked.end, asked.deadline)
    else:
        got = await gathered([partial(batcher.submit, row, asked.deadline) for row in rows])
    parts: list[Any] = [one if isinstance(one, tuple) else (one,) for one in got]
    return [
        np.stack(column, axis or 0) for column, axis in zip(zip(*parts, strict=True), batcher.output_axes, strict=True)
    ]


async def gathered(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of the futures that `calls` give; if one fails, all others are cancelled."""
    made: list[Any] = []
    futures: list[Any] = []
    try:
        for call in calls:
            made.append(call())
            futures.append(asyncio.wrap_future(made[-1]))
        return list(await asyncio.gather(*futures))
    except BaseException:
        for future in (*made, *futures):  # those of asyncio alone would cancel the others a moment later
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)
        raise
