"""The states of many streams, a row each, and which stream has which row."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from rnnrt.errors import RnnrtError, StateError

_SHOWN = 5
"""How many names an error lists."""


class Table:
    """States by row. It is for one caller at a time.

    Parameters
    ----------
    rows : sequence of ndarray
        What a stream begins with: each state for one row.
    axes : sequence of int
        The axis of the rows of each state.
    capacity : int
        Rows that there is memory for at first; it doubles as needed.
    limit : int, optional
        The largest number of streams.
    timeout : float, optional
        Seconds after which a stream that was not touched expires.
    clock : callable
        Gives seconds.
    """

    def __init__(
        self,
        rows: Sequence[np.ndarray],
        axes: Sequence[int],
        capacity: int,
        limit: int | None,
        timeout: float | None,
        clock: Callable[[], float],
    ) -> None:
        for name, value in (("capacity", capacity), ("max_streams", limit)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise StateError(f"{name}={value!r}: give a positive number of streams")
        if timeout is not None and not timeout > 0:
            raise StateError(f"idle_timeout={timeout!r}: give a positive number of seconds, or None")
        self._initial, self._axes = [np.ascontiguousarray(r) for r in rows], list(axes)
        self.limit, self._timeout, self._clock = limit, timeout, clock
        self.capacity = capacity if limit is None else min(capacity, limit)
        self._states = [_wider(r, a, self.capacity, None) for r, a in zip(self._initial, axes, strict=True)]
        self._whole = [_as_elements(s, a) for s, a in zip(self._states, axes, strict=True)]
        self._touched = np.zeros(self.capacity)
        self._marks = np.zeros(self.capacity, np.intp)
        self._place: dict[Hashable, int] = {}
        self._free = list(range(self.capacity - 1, -1, -1))
        self._next, self._due = 0, np.inf
        self._last: tuple[list[Hashable], np.ndarray] | None = None
        self._seen: list[tuple[np.ndarray, np.ndarray | None]] = [(np.empty(0), None) for _ in rows]

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, stream: object) -> bool:
        return _hashable(stream) and stream in self._place

    def ids(self) -> list[Hashable]:
        """The streams."""
        return list(self._place)

    @property
    def nbytes(self) -> int:
        """Bytes of the states."""
        return sum(array.nbytes for array in self._states)

    def open(self, stream: Hashable | None) -> Hashable:
        """Give a stream a row, at its beginning; its name."""
        self.expire()
        if stream is None:
            while self._next in self._place:
                self._next += 1
            stream, self._next = self._next, self._next + 1
        if not _hashable(stream):
            raise StateError(f"{stream!r} cannot name a stream; give a number, a text or a tuple of them")
        if stream in self._place:
            raise StateError(f"stream {stream!r} is open already")
        if self.limit is not None and len(self._place) >= self.limit:
            raise StateError(f"there are {self.limit} streams, which max_streams allows; close some")
        if not self._free:
            self._grow()
        place = self._free.pop()
        self._place[stream] = place
        self.put(place, self._initial)
        self.touch(np.array([place]))
        return stream

    def _grow(self) -> None:
        before = self.capacity
        now = 2 * before if self.limit is None else min(2 * before, self.limit)
        try:
            states = [
                _wider(row, axis, now, old)
                for row, axis, old in zip(self._initial, self._axes, self._states, strict=True)
            ]
            touched = np.concatenate([self._touched, np.zeros(now - before)])
            marks = np.zeros(now, np.intp)
        except MemoryError:
            raise RnnrtError(f"there is no memory for {now} streams; give max_streams, and close some") from None
        self.capacity, self._states, self._touched, self._marks = now, states, touched, marks
        self._whole = [_as_elements(s, a) for s, a in zip(states, self._axes, strict=True)]
        self._free = list(range(now - 1, before - 1, -1))

    def close(self, stream: Hashable) -> None:
        """Forget a stream."""
        if not _hashable(stream) or stream not in self._place:
            raise self._unknown([stream])
        self._free.append(self._place.pop(stream))
        self._last = None

    def places(self, streams: Iterable[Hashable]) -> np.ndarray:
        """The rows of streams, each named once.

        Raises
        ------
        StateError
            One is not open, or named twice; the message names them.
        """
        if isinstance(streams, (str, bytes)):
            raise StateError(f"ids={streams!r}: give a list of streams")
        named = streams.tolist() if isinstance(streams, np.ndarray) else list(streams)
        try:
            if self._last is not None and self._last[0] == named:
                return self._last[1]  # a round of the same streams, as most are
            found = np.fromiter(map(self._place.__getitem__, named), np.intp, len(named))
        except (KeyError, TypeError, ValueError):  # arrays as names do not compare
            raise self._unknown([s for s in named if not _hashable(s) or s not in self._place]) from None
        # Each row is marked with its last position; a row that is named twice has lost its first one.
        order = np.arange(len(found))
        self._marks[found] = order
        lost = self._marks[found] != order
        if lost.any():
            raise StateError(f"streams are named twice: {_listed([named[i] for i in np.flatnonzero(lost)])}")
        self._last = named, found
        return found

    def _unknown(self, streams: list[Hashable]) -> StateError:
        why = "" if self._timeout is None else f", or were idle for longer than {self._timeout} s"
        return StateError(f"streams are not open: {_listed(streams)}; they were never opened, or closed{why}")

    def gather(self, k: int, places: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """State `k` of these rows."""
        return self._states[k].take(places, self._axes[k], out, "clip")

    def scatter(self, k: int, places: np.ndarray, rows: np.ndarray) -> None:
        """Put the first rows of `rows` in these places of state `k`."""
        axis, whole = self._axes[k], self._whole[k]
        elements = None if whole is None else self._elements(k, rows, axis)
        if whole is not None and elements is not None:
            whole[places] = elements if len(elements) == len(places) else elements[: len(places)]
        else:
            self._states[k].swapaxes(0, axis)[places] = rows.swapaxes(0, axis)[: len(places)]

    def _elements(self, k: int, rows: np.ndarray, axis: int) -> np.ndarray | None:
        """As `_as_elements`, remembered for the array that came last, since a stepper's comes again."""
        if self._seen[k][0] is not rows:
            self._seen[k] = rows, _as_elements(rows, axis) if rows.flags.c_contiguous else None
        return self._seen[k][1]

    def row(self, place: int) -> list[np.ndarray]:
        """Copies of all states of one row."""
        return [s.take([place], a) for s, a in zip(self._states, self._axes, strict=True)]

    def put(self, place: int, rows: Sequence[np.ndarray]) -> None:
        """Replace all states of one row."""
        for k, row in enumerate(rows):
            self.scatter(k, np.array([place]), row)

    def reset(self, places: np.ndarray) -> None:
        """Back to the beginning with these rows."""
        for k, (row, axis) in enumerate(zip(self._initial, self._axes, strict=True)):
            self.scatter(k, places, row.repeat(len(places), axis))

    def touch(self, places: np.ndarray) -> None:
        """These streams are in use now."""
        if self._timeout is not None:
            now = self._clock()
            self._touched[places] = now
            self._due = min(self._due, now + self._timeout)

    def expire(self) -> list[Hashable]:
        """Close what was idle for too long; the names."""
        if self._timeout is None or (now := self._clock()) <= self._due:
            return []
        late = [s for s, place in self._place.items() if now - self._touched[place] > self._timeout]
        for stream in late:
            self.close(stream)
        left = np.fromiter(self._place.values(), np.intp, len(self._place))
        self._due = float(self._touched[left].min()) + self._timeout if len(left) else np.inf
        return late


def _wider(row: np.ndarray, axis: int, capacity: int, old: np.ndarray | None) -> np.ndarray:
    """Memory for the rows of a state, with what is in `old`."""
    array = np.empty((*row.shape[:axis], capacity, *row.shape[axis + 1 :]), row.dtype)
    if old is not None:
        array.swapaxes(0, axis)[: old.shape[axis]] = old.swapaxes(0, axis)
    return array


def _as_elements(array: np.ndarray, axis: int) -> np.ndarray | None:
    """A contiguous array as one element a row, which are copied faster; None where rows do not lie in one piece."""
    size = array.nbytes // max(array.shape[axis], 1)
    if not size or any(d != 1 for d in array.shape[:axis]):
        return None
    return array.reshape(array.shape[axis], -1).view(np.dtype((np.void, size)))[:, 0]


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _listed(streams: Sequence[Hashable]) -> str:
    more = f" and {len(streams) - _SHOWN} more" if len(streams) > _SHOWN else ""
    return ", ".join(repr(s) for s in streams[:_SHOWN]) + more
