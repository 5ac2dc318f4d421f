"""The running batch: a slot for each live row, advanced round by round; rows join and leave between rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.serving.stepped import Stepped


def bucket(count: int, most: int) -> int:
    """The next power of two, but not above `most`: few shapes, so that few plans are made."""
    return min(1 << (count - 1).bit_length(), most)


class Row:
    """One sequence on its way.

    Parameters
    ----------
    x : ndarray
        (T, ...) of the input's dtype, T at least 1.
    owner : object
        Whatever the caller wants to find again.
    state : sequence of ndarray, optional
        States to go on from, each with one row; by default the initial ones.
    """

    def __init__(self, x: np.ndarray, owner: Any = None, state: Sequence[np.ndarray] | None = None) -> None:
        self.x, self.owner, self.state = x, owner, state
        self.done = 0
        self.error: RnnrtError | None = None
        self._kept: list[np.ndarray | None] = []

    @property
    def left(self) -> int:
        """Steps that are still to be run."""
        return len(self.x) - self.done

    def need(self, steps: int) -> int:
        """How many steps of a round of `steps` this row runs, so that its last round is a full one."""
        return (self.left - 1) % steps + 1

    def take(self, net: Stepped, outputs: Sequence[np.ndarray], at: int, need: int) -> None:
        """Keep what a round gave for row `at`."""
        if not self._kept:
            self._kept = [None] * len(outputs)
        for k, (y, axes) in enumerate(zip(outputs, net.outputs, strict=True)):
            mine = y[(slice(None),) * axes.batch + (at,)]
            if axes.time is None:
                self._kept[k] = mine if need == self.left else None
                continue
            time = axes.time - (axes.batch < axes.time)
            mine = np.moveaxis(mine, time, 0)[-need:]
            if self._kept[k] is None:
                self._kept[k] = np.empty((len(self.x), *mine.shape[1:]), mine.dtype)
            self._kept[k][self.done : self.done + need] = mine  # type: ignore[index]
        self.done += need

    def results(self, net: Stepped) -> list[np.ndarray]:
        """The outputs of the finished row, without batch axis."""
        found = []
        for y, axes in zip(self._kept, net.outputs, strict=True):
            assert y is not None, "the row is finished"
            if axes.time is not None:
                y = np.moveaxis(y, 0, axes.time - (axes.batch < axes.time))
            found.append(np.array(y, order="C"))  # a copy: a view would keep the whole batch alive
        return found


class Slots:
    """The live rows and their states.

    Parameters
    ----------
    net : Stepped
    steps : int
        The most time steps of a round, a power of two.
    capacity : int
        The most live rows.
    """

    def __init__(self, net: Stepped, capacity: int, steps: int) -> None:
        self.net, self.steps = net, steps
        self.capacity = 1 if net.fixed_batch else capacity
        self.rows: list[Row] = []
        self._states = list(net.initial)
        self._states = self._at([])

    @property
    def free(self) -> int:
        """How many rows may join."""
        return self.capacity - len(self.rows)

    def join(self, rows: Sequence[Row]) -> None:
        """Give each row a slot with the state it begins with."""
        if not rows:
            return
        begin = [self.net.initial if row.state is None else row.state for row in rows]
        self._states = [
            np.concatenate([s, *(states[k] for states in begin)], axis)
            for k, (s, axis) in enumerate(zip(self._states, self.net.state_axes, strict=True))
        ]
        self.rows.extend(rows)

    def leave(self, gone: set[int]) -> None:
        """Free the slots at these positions."""
        if gone:
            kept = [i for i in range(len(self.rows)) if i not in gone]
            self.rows = [self.rows[i] for i in kept]
            self._states = self._at(kept)

    def state_of(self, at: int) -> list[np.ndarray]:
        """A copy of a row's states."""
        return self._at([at])

    def warm_up(self, rest: tuple[int, ...]) -> None:
        """Make the plans of all shapes that rounds have; `rest` is a step's shape."""
        net = self.net
        for size in sorted({bucket(n + 1, self.capacity) for n in range(self.capacity)}):
            states = [np.repeat(s, size, axis) for s, axis in zip(net.initial, net.state_axes, strict=True)]
            for steps in sorted({bucket(n + 1, self.steps) for n in range(self.steps)}):
                lead = (size, steps) if net.time_axis else (steps, size)
                net.run(np.zeros((*lead, *rest), net.value.dtype), np.zeros((steps, size), bool), states)

    def advance(self) -> int:
        """Run one round; every row is then further, finished (`left` is 0), or has an `error`.

        Returns
        -------
        int
            The time steps of the round.
        """
        most = max(row.need(self.steps) for row in self.rows)
        steps = bucket(most, self.steps)
        try:
            self._states = self._round(self.rows, self._states, steps)
        except RnnrtError as error:
            if len(self.rows) == 1:
                self.rows[0].error = error
            else:
                self._one_by_one(steps)
        return steps

    def _one_by_one(self, steps: int) -> None:
        """The round again, row by row, so that a row that fails fails alone."""
        parts = []
        for i, row in enumerate(self.rows):
            before = self._at([i])
            try:
                parts.append(self._round([row], before, steps))
            except RnnrtError as error:
                row.error = error
                parts.append(before)
        self._states = [np.concatenate([part[k] for part in parts], axis) for k, axis in enumerate(self.net.state_axes)]

    def _round(self, rows: Sequence[Row], states: Sequence[np.ndarray], steps: int) -> list[np.ndarray]:
        net, count = self.net, len(rows)
        size = bucket(count, self.capacity)
        x = np.zeros((size, steps, *rows[0].x.shape[1:]), net.value.dtype)
        mask = np.zeros((steps, size), bool)
        needs = [row.need(self.steps) for row in rows]
        for i, (row, need) in enumerate(zip(rows, needs, strict=True)):
            x[i, steps - need :] = row.x[row.done : row.done + need]
            mask[steps - need :, i] = True
        if net.time_axis == 0:
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        if size > count:
            states = [
                np.concatenate([s, np.repeat(first, size - count, axis)], axis)
                for s, first, axis in zip(states, net.initial, net.state_axes, strict=True)
            ]
        outputs, after = net.run(x, mask, states)
        for i, (row, need) in enumerate(zip(rows, needs, strict=True)):
            row.take(net, outputs, i, need)
        if size > count:
            after = [s[(slice(None),) * axis + (slice(count),)] for s, axis in zip(after, net.state_axes, strict=True)]
        return after

    def _at(self, rows: list[int]) -> list[np.ndarray]:
        return [
            s.take(np.array(rows, np.intp), axis) for s, axis in zip(self._states, self.net.state_axes, strict=True)
        ]
