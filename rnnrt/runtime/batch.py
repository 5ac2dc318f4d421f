"""Steps of several streams as one batch: their rows are gathered, run and not yet put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt._kernels import program
from rnnrt._kernels.stepper import Stepper
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.ir import Shape, Value
from rnnrt.runtime.feeding import Source
from rnnrt.runtime.layout import Layout, Result
from rnnrt.runtime.pieces import Arrays, in_order, step_of, with_axis
from rnnrt.runtime.rows import check_rows, input_shapes, row_axis
from rnnrt.runtime.session import MAX_PLANS, checked_input
from rnnrt.runtime.table import Table

_SIZES = (7, 11)
"""Batch sizes that tell the axis of the rows by its difference."""

LARGEST = 1024
"""Rows of one run; more streams are stepped in several, so that a run's memory stays in bounds."""


class Batch:
    """Runs rows of a `Table`. It is for one caller at a time.

    Parameters
    ----------
    source : Source

    Attributes
    ----------
    state_axes : list of int
        The axis of the rows of each state.
    initial : list of ndarray
        What a stream begins with: each state for one row.

    Raises
    ------
    StateError
        The network cannot be streamed, or its streams cannot share a batch; the message names the node.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        small, large = (source.pieces(n, {}).layout for n in _SIZES)
        self._feeds, self._results = small.feeds, small.results
        self._names = [f.value.name for f in small.feeds]
        self._check(small, large)
        self.state_axes = [
            row_axis(f"state {a.name!r}", (a.initial.shape, b.initial.shape))
            for a, b in zip(small.slots, large.slots, strict=True)
        ]
        self.initial = [a.initial.take([0], axis) for a, axis in zip(small.slots, self.state_axes, strict=True)]
        self._values = [
            Value(f.value.name, f.value.dtype, _freed(f.value.shape, axis) if axis is not None else f.value.shape)
            for f, axis in zip(small.feeds, self._feed_axes, strict=True)
        ]
        self._steppers: dict[tuple[Any, ...], Stepper | None] = {}
        self._fast: dict[int, Stepper] = {}

    def _check(self, small: Layout, large: Layout) -> None:
        """Find the axes of the rows of inputs and results, and see that rows do not touch each other."""
        if not small.is_steady:
            raise StateError(
                "windows with strides or without padding let every stream stand at a place of its own, so that streams "
                "cannot share a batch; use model.stream() for each sequence"
            )
        shapes = input_shapes(small), input_shapes(large)
        names = [v.name for v in self._source.graph.inputs]
        self._checked: set[tuple[Any, ...]] = set()
        if not small.whole:
            self._feed_axes: list[int | None] = [
                row_axis(f"input {f.value.name!r}", [s[f.value.name] for s in shapes]) for f in small.feeds
            ]
            self._result_axes = [
                row_axis(f"output {a.name!r}", (a.shape, b.shape))
                for a, b in zip(small.results, large.results, strict=True)
            ]
            check_rows(self._source.graph, *({k: s[k] for k in names} for s in shapes))
            return
        # A network that takes a block a call may leave the size of the block open: rows come first there.
        self._feed_axes = [0 if f.value.shape else None for f in small.feeds]
        self._result_axes = [0 for _ in small.results]
        for feed in small.feeds:
            if feed.value.shape and isinstance(feed.value.shape[0], int):
                raise StateError(f"input {feed.value.name!r} has a fixed batch; a pool needs a free one")

    def step(self, places: np.ndarray, x: Sequence[Any], table: Table) -> tuple[Arrays, Arrays]:
        """Results, and next states of which the first rows are those of `places`; the table is left as it is.

        Raises
        ------
        ShapeError
            An input does not fit.
        RnnrtError
            A value lies outside an operator's domain.
        """
        fast = self._fast.get(len(places))
        if fast is not None and len(x) == 1 and type(x[0]) is np.ndarray:
            for k, rows in enumerate(fast.states):
                table.gather(k, places, rows)
            y = self._stepped(fast, x[0])
            if y is not None:
                return y, fast.states
        given = in_order(x, self._names, self._source.pairs)
        feeds = [self._rows(np.asarray(a), k, len(places)) for k, a in enumerate(given)]
        if len(places) <= LARGEST:
            return self._run(places, feeds, table)
        runs = []
        for begin in range(0, len(places), LARGEST):
            part = places[begin : begin + LARGEST]
            some = [_cut(f, axis, begin, len(part)) for f, axis in zip(feeds, self._feed_axes, strict=True)]
            shown, states = self._run(part, some, table)
            # The next run uses the memory of these states again.
            kept = [_cut(s, axis, 0, len(part)).copy() for s, axis in zip(states, self.state_axes, strict=True)]
            runs.append((shown, kept))
        axes = [self._shown_axis(k) for k in range(len(self._results))]
        return _joined([y for y, _ in runs], axes), _joined([s for _, s in runs], self.state_axes)

    def _rows(self, x: np.ndarray, k: int, count: int) -> np.ndarray:
        """An input with its axis of time, its number of rows checked."""
        feed, axis = self._feeds[k], self._feed_axes[k]
        full = checked_input(self._values[k], with_axis(x, feed.time))
        if axis is not None and full.shape[axis] != count:
            raise ShapeError(f"input {feed.value.name!r} of shape {x.shape} has not a row for each of {count} streams")
        return full

    def _run(self, places: np.ndarray, feeds: Sequence[np.ndarray], table: Table) -> tuple[Arrays, Arrays]:
        """Results and next states of some streams, which have not moved on yet."""
        count, size = len(places), bucket(len(places))
        pieces = self._source.pieces(size, {})
        wide = [x if a is None else _padded(x, a, size) for x, a in zip(feeds, self._feed_axes, strict=True)]
        all_places = places if count == size else np.resize(places if count else np.zeros(1, np.intp), size)
        shape = (size, *(x.shape for x in wide))
        if shape not in self._steppers:
            if pieces.layout.whole:
                self._check_block(feeds)
            if len(self._steppers) >= MAX_PLANS:
                self._steppers.clear()
                self._fast.clear()
            rows = [table.gather(k, all_places) for k in range(len(self.state_axes))]
            made = self._steppers[shape] = pieces.stepper(wide, rows)
            if made is not None and size == count and not pieces.layout.whole:
                self._fast[size] = made
        stepper = self._steppers[shape]
        if stepper is None:
            rows = [table.gather(k, all_places) for k in range(len(self.state_axes))]
            found, states = pieces.advance(wide, rows)
            shown = [step_of(y, r) for y, r in zip(found, self._results, strict=True)]
        else:
            for k, rows_of in enumerate(stepper.states):
                table.gather(k, all_places, rows_of)
            stepped = self._stepped(stepper, pieces.exact(wide[0]))
            assert stepped is not None, "the stepper was made for this shape"
            shown, states = [*stepped], stepper.states
        return [self._shown(y, k, size, count) for k, y in enumerate(shown)], states

    def _stepped(self, stepper: Stepper, x: Any) -> Arrays | None:
        """One step; None where x is not exactly what the stepper takes."""
        try:
            y = stepper.step(x)
        except program.KernelError as error:
            raise RnnrtError(str(error)) from None
        return list(y) if isinstance(y, tuple) else None if y is None else [y]

    def _shown(self, y: Any, k: int, size: int, count: int) -> np.ndarray:
        """The rows of a result that are streams."""
        axis = self._shown_axis(k)
        if y is None or y.ndim <= axis or y.shape[axis] != size:
            raise StateError(f"output {self._results[k].name!r} has no axis for the batch of {size}")
        return _cut(y, axis, 0, count)

    def _check_block(self, feeds: Sequence[np.ndarray]) -> None:
        """That rows do not touch each other in blocks of this size, once for each size."""
        key = tuple(x.shape[1:] for x in feeds)
        if key in self._checked:
            return
        small, large = (
            {
                **{s.name: s.initial.shape for s in self._source.pieces(n, {}).layout.slots},
                **{f.value.name: (n, *x.shape[1:]) if x.ndim else () for f, x in zip(self._feeds, feeds, strict=True)},
            }
            for n in _SIZES
        )
        check_rows(self._source.graph, small, large)
        self._checked.add(key)

    def _shown_axis(self, k: int) -> int:
        """The axis of the rows of a result as the caller sees it."""
        result, axis = self._results[k], self._result_axes[k]
        return axis - (_is_step(result) and result.time is not None and result.time < axis)


def bucket(count: int) -> int:
    """The size of the batch that so many rows are run as: four sizes for each doubling, so that plans stay few."""
    if count <= 8:
        return 1 << max(count - 1, 0).bit_length()
    step = 1 << ((count - 1).bit_length() - 3)
    return -(-count // step) * step


def _joined(parts: Sequence[Arrays], axes: Sequence[int]) -> Arrays:
    return [np.concatenate(arrays, axis) for arrays, axis in zip(zip(*parts, strict=True), axes, strict=True)]


def _freed(shape: Shape | None, axis: int) -> Shape | None:
    return None if shape is None else tuple(None if i == axis else d for i, d in enumerate(shape))


def _is_step(result: Result) -> bool:
    return result.time is not None and result.times == 1


def _cut(x: np.ndarray, axis: int | None, begin: int, count: int) -> np.ndarray:
    """Some rows, contiguous."""
    if axis is None or x.shape[axis] == count:
        return x
    return np.ascontiguousarray(x[(*(slice(None),) * axis, slice(begin, begin + count))])


def _padded(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """The rows, and behind them the first one again, or zeros where there is none: what any row may hold."""
    count = x.shape[axis]
    if count == size:
        return x
    wide = np.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
    rows, given = wide.swapaxes(0, axis), x.swapaxes(0, axis)
    rows[:count] = given
    if count:
        rows[count:] = given[:1]
    return wide
