"""Many live streams of one network, of which any are stepped together as one batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from rnnrt.errors import StateError
from rnnrt.runtime.batch import Batch
from rnnrt.runtime.feeding import Source
from rnnrt.runtime.pieces import fitting_state
from rnnrt.runtime.table import Table


class Pool:
    """Holds the states of many streams; `step` moves any of them on, in any order, as one batch.

    Every stream gives the bits that a `Stream` of its own would give. Safe to use from many threads: a call waits
    for the one before it.

    Parameters
    ----------
    source : Source
    capacity : int
        For how many streams there is memory at first; it doubles when they become more.
    idle_timeout : float, optional
        Seconds after which a stream that was not stepped is closed; by default none is.
    max_streams : int, optional
        How many may be open at once; by default as many as memory holds.
    initial_state : mapping of str to array_like, optional
        What a stream begins with, by state and for one row; zeros, or what the network says, for others.
    clock : callable
        Gives seconds; `idle_timeout` is measured by it.

    Raises
    ------
    StateError
        The network cannot be streamed, or its streams cannot share a batch; the message names the node.
    """

    def __init__(
        self,
        source: Source,
        capacity: int = 256,
        idle_timeout: float | None = None,
        max_streams: int | None = None,
        *,
        initial_state: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batch = Batch(source)
        one = source.pieces(1, {}).layout.slots
        begin = dict(initial_state or {})
        if unknown := [name for name in begin if name not in {s.name for s in one}]:
            raise StateError(f"initial_state: {unknown} are not known; the states are {[s.name for s in one]}")
        rows = [
            fitting_state(s, begin[s.name]) if s.name in begin else row
            for s, row in zip(one, self._batch.initial, strict=True)
        ]
        self._slots = one
        self._table = Table(rows, self._batch.state_axes, capacity, max_streams, idle_timeout, clock)
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, stream: object) -> bool:
        return stream in self._table

    @property
    def ids(self) -> list[Hashable]:
        """The open streams."""
        with self._lock:
            return self._table.ids()

    @property
    def capacity(self) -> int:
        """For how many streams there is memory now."""
        return self._table.capacity

    @property
    def nbytes(self) -> int:
        """Bytes that the states of `capacity` streams take."""
        return self._table.nbytes

    def open(self, id: Hashable | None = None) -> Hashable:
        """A new stream, at its beginning.

        Parameters
        ----------
        id : hashable, optional
            Its name; by default a number that no other stream has or had.

        Returns
        -------
        hashable
            The name.

        Raises
        ------
        StateError
            A stream of that name is open, or there are `max_streams`.
        """
        with self._lock:
            return self._table.open(id)

    def close(self, id: Hashable) -> None:
        """Forget a stream; its place goes to the next one that opens. Raises `StateError` where it is not open."""
        with self._lock:
            self._table.close(id)

    def reset(self, ids: Iterable[Hashable]) -> None:
        """Back to the beginning with these streams. Raises `StateError`, and does nothing, where one is not open."""
        with self._lock:
            self._table.reset(self._table.places(ids))

    def expire(self) -> list[Hashable]:
        """Close the streams that were idle for longer than `idle_timeout`; `open` and `step` do so, too.

        Returns
        -------
        list of hashable
            The streams that were closed.
        """
        with self._lock:
            return self._table.expire()

    def snapshot(self, id: Hashable) -> dict[str, np.ndarray]:
        """Copies of a stream's states by name, as `Stream.state` of one row has them."""
        with self._lock:
            (place,) = self._table.places([id])
            return {s.name: a for s, a in zip(self._slots, self._table.row(place), strict=True)}

    def restore(self, id: Hashable, snapshot: Mapping[str, Any]) -> None:
        """Let a stream go on from a snapshot, also one of another pool or `Stream`; it is opened if it is not open.

        Raises
        ------
        StateError, ShapeError
            The snapshot is of another network, or there is no room; nothing is changed.
        """
        names = [slot.name for slot in self._slots]
        if id is None:
            raise StateError("restore: say which stream; open() gives one that has no name yet")
        if set(snapshot) != set(names):
            raise StateError(f"the states are {names}, the snapshot has {sorted(map(str, snapshot))}")
        arrays = [fitting_state(slot, snapshot[slot.name]) for slot in self._slots]
        with self._lock:
            self._table.expire()
            if id not in self._table:
                self._table.open(id)
            self._table.put(self._table.places([id])[0], arrays)

    def step(self, ids: Iterable[Hashable], *x: Any) -> Any:
        """One time step, or one block, of several streams.

        Parameters
        ----------
        ids : iterable of hashable
            Which streams, each once, in any order.
        *x : array_like
            The inputs as `Stream.step` takes them, a row for each stream; or one dict by name.

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs as `Stream.step` gives them, a row for each stream.

        Raises
        ------
        StateError
            A stream is not open, or named twice. No stream has moved on then, nor with the errors that follow.
        ShapeError
            An input does not fit.
        RnnrtError
            A value lies outside an operator's domain.
        """
        with self._lock:
            self._table.expire()
            places = self._table.places(ids)
            results, states = self._batch.step(places, x, self._table)
            for k, rows in enumerate(states):
                self._table.scatter(k, places, rows)
            self._table.touch(places)
        return results[0] if len(results) == 1 else tuple(results)
