"""What a stream keeps between its calls, and that one caller at a time uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt._kernels.stepper import BusyError, Stepper
from rnnrt.errors import ShapeError, StateError
from rnnrt.runtime.feeding import Source, batch_axes
from rnnrt.runtime.pieces import Arrays, Pieces, fitting_state

if TYPE_CHECKING:
    from typing_extensions import Self

BUSY = "the stream is in use by another thread; give each thread its own stream"


class Kept:
    """The states of a stream. `Stream` says how they move on."""

    batch_size: int
    _source: Source
    _initial: Arrays

    def _start(self, pieces: Pieces) -> None:
        self._pieces: Pieces | None = pieces
        self._slots = pieces.layout.slots
        self._names = [feed.value.name for feed in pieces.layout.feeds]
        self._held: Arrays = []
        self._lock = threading.Lock()
        self._stepper: Stepper | None = None

    def reset(self, rows: Any = None) -> None:
        """Back to the initial state.

        Parameters
        ----------
        rows : int, sequence of int or of bool, optional
            Which rows of the batch start anew; by default all.

        Raises
        ------
        StateError
            The rows cannot be told apart in the states, or, with strides, are not at the same place in the sequence.
        ShapeError
            There is no such row.
        """
        chosen = None if rows is None else chosen_rows(rows, self.batch_size)
        with self._alone():
            layout = self._open().layout
            if chosen is None or len(chosen) == self.batch_size:
                self._states = [array.copy() for array in self._initial]
                return
            if not layout.is_steady:
                raise StateError("with strides or windows without padding all rows stand at one place; reset them all")
            fresh = [array.copy() for array in self._states]
            for array, initial, axis in zip(fresh, self._initial, self._batch_axes(), strict=True):
                array.swapaxes(0, axis)[chosen] = initial.swapaxes(0, axis)[chosen]
            self._states = fresh

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Copies of the states by name; assign such a dict to restore them.

        Those of recurrent nodes are (1, batch_size, hidden) and named after the nodes, "lstm.h" and "lstm.c"; what a
        window along time keeps of its input is "conv.past"; states that are inputs of the network have their names.
        """
        with self._alone():
            self._open()
            return {slot.name: array.copy() for slot, array in zip(self._slots, self._states, strict=True)}

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        if set(value) != {slot.name for slot in self._slots}:
            raise StateError(f"the stream's states are {[s.name for s in self._slots]}, got {sorted(map(str, value))}")
        arrays = [fitting_state(slot, value[slot.name]) for slot in self._slots]
        with self._alone():
            self._open().agree(arrays)
            self._states = arrays

    def copy(self) -> Self:
        """A stream of its own that goes on from where this one stands; they share the weights."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        with self._alone():
            twin._start(self._open())
            twin._held = [array.copy() for array in self._states]
        return twin

    def close(self) -> None:
        """Let go of the memory; the stream cannot be used any more."""
        with self._alone():
            self._pieces, self._held, self._stepper = None, [], None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _states(self) -> Arrays:
        return self._held if self._stepper is None else self._stepper.states

    @_states.setter
    def _states(self, arrays: Arrays) -> None:
        if self._stepper is None:
            self._held = arrays
        else:
            self._stepper.set_states(arrays)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no other thread is."""
        if not self._lock.acquire(blocking=False):
            raise StateError(BUSY)
        try:
            stepper = self._stepper
            if stepper is None:
                yield
                return
            try:
                stepper.acquire()
            except BusyError:
                raise StateError(BUSY) from None
            try:
                yield
            finally:
                stepper.release()
        finally:
            self._lock.release()

    def _open(self) -> Pieces:
        if self._pieces is None:
            raise StateError("the stream is closed; make another one with model.stream()")
        return self._pieces

    def _batch_axes(self) -> list[int]:
        return batch_axes(self._source.graph, self.batch_size, self._source.pairs, self._slots)


def chosen_rows(rows: Any, batch_size: int) -> np.ndarray:
    """Positions of rows given by number or as one bool for each.

    Raises
    ------
    ShapeError
        There is no such row, or there are more or fewer bools than rows.
    """
    given = np.atleast_1d(np.asarray(rows))
    if given.dtype == np.bool_ and given.shape == (batch_size,):
        return np.flatnonzero(given)
    given = given.astype(np.intp) if given.size == 0 else given
    if given.ndim != 1 or given.dtype.kind not in "iu" or np.any((given < -batch_size) | (given >= batch_size)):
        raise ShapeError(f"rows={rows!r:.60}: the stream has {batch_size} rows; give their numbers, or a bool for each")
    return np.unique(given % batch_size)
