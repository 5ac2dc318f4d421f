"""Where batches come from: arrays, datasets, iterables, iterators. A source gives one pass over its data at a time."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.training.batch_data import (
    Batch,
    Labelled,
    check_finite,
    check_rows,
    is_array,
    labelled,
    weights_of,
)
from rnnrt.utils.dataset import PyDataset, batches_of


class Source:
    """A source of batches."""

    size: int | None = None
    """Batches of a pass, if that is known."""

    again = True
    """Whether there can be a second pass."""

    def order(self, generator: np.random.Generator) -> np.ndarray | None:
        """A new order for a pass, or None where the source has its own."""
        return None

    def one_pass(self, order: np.ndarray | None, skip: int) -> Iterator[Batch]:
        """A pass without its first batches."""
        raise NotImplementedError

    def peek(self) -> Batch:
        """A batch like the first one; nothing is used up."""
        raise NotImplementedError

    def on_epoch_begin(self) -> None:
        """Tell the dataset."""

    def on_epoch_end(self) -> None:
        """Tell the dataset."""


class ArraySource(Source):
    """Slices of arrays; without an order they are views where the arrays are contiguous."""

    def __init__(
        self, inputs: Labelled, targets: Labelled, weights: Labelled, batch_size: int, shuffle: bool | str
    ) -> None:
        self._rows = check_rows(inputs, targets, weights)
        check_finite(inputs, targets, weights)
        self._inputs, self._targets = list(inputs.values()), list(targets.values())
        self._weights = list(weights.values()) or None
        self._batch_size = batch_size
        self._shuffle = shuffle
        self.size = -(-self._rows // batch_size)

    def order(self, generator: np.random.Generator) -> np.ndarray:
        if self._shuffle != "batch":
            return generator.permutation(self._rows)
        numbers = np.arange(self._rows)
        for begin in range(0, self._rows, self._batch_size):
            generator.shuffle(numbers[begin : begin + self._batch_size])
        return numbers

    def one_pass(self, order: np.ndarray | None, skip: int) -> Iterator[Batch]:
        step = self._batch_size
        for begin in range(skip * step, self._rows, step):
            rows: Any = slice(begin, begin + step)
            yield self._take(rows if order is None else order[rows])

    def _take(self, rows: slice | np.ndarray) -> Batch:
        def pick(arrays: list[np.ndarray]) -> list[np.ndarray]:
            if isinstance(rows, slice):
                return [np.ascontiguousarray(array[rows]) for array in arrays]
            return [array.take(rows, axis=0) for array in arrays]

        return pick(self._inputs), pick(self._targets), None if self._weights is None else pick(self._weights)

    def peek(self) -> Batch:
        return self._take(slice(0, self._batch_size))


@dataclass
class Unpacker:
    """Turns what datasets and generators give into batches.

    Parameters
    ----------
    giver : str
        What messages call the data.
    tuples_only : bool
        Whether a batch must be a tuple; else it may be a list, or inputs alone.
    """

    giver: str
    tuples_only: bool
    input_names: Sequence[str] | None
    output_names: Sequence[str] | None
    class_weight: Mapping[int, float] | None
    sparse: bool | None

    def __call__(self, item: Any, number: int) -> Batch:
        parts = item
        if not self.tuples_only:
            parts = tuple(item) if isinstance(item, list) else item
            parts = (parts,) if isinstance(parts, Mapping) or is_array(parts) else parts
        if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3:
            given = f"a tuple of {len(item)}" if isinstance(item, tuple) else f"a {type(item).__name__}"
            raise ShapeError(
                f"batch {number} of the {self.giver} is {given}; it must be (inputs,), (inputs, targets) or "
                "(inputs, targets, sample_weights)"
            )
        try:
            return self._arrays(*parts)
        except RnnrtError as error:
            # The class stays: callers tell apart what is wrong by it.
            raise type(error)(f"batch {number} of the {self.giver}: {error}") from None

    def _arrays(self, x: Any, y: Any = None, sample_weight: Any = None) -> Batch:
        inputs, targets = labelled(x, self.input_names, "x"), labelled(y, self.output_names, "y")
        if not inputs:
            raise ShapeError("x is None; give an array")
        check_rows(inputs, targets)
        check_finite(inputs, targets)
        class_weight = self.class_weight if targets else None
        weights = weights_of(targets, sample_weight, class_weight, self.output_names, self.sparse)
        check_rows(inputs, weights)
        check_finite(weights)
        whole = [[np.ascontiguousarray(a) for a in group.values()] for group in (inputs, targets, weights)]
        return whole[0], whole[1], whole[2] or None


class DatasetSource(Source):
    """A PyDataset; an order is one of its batches."""

    def __init__(self, dataset: PyDataset, unpack: Unpacker, shuffle: bool) -> None:
        self._dataset, self._unpack, self._shuffle = dataset, unpack, shuffle
        self.size = dataset.num_batches
        if self.size is not None and self.size < 1:
            raise ShapeError(f"x is a {type(dataset).__name__} of {self.size} batches; give at least one")

    def order(self, generator: np.random.Generator) -> np.ndarray | None:
        return generator.permutation(self.size) if self._shuffle and self.size is not None else None

    def one_pass(self, order: np.ndarray | None, skip: int) -> Iterator[Batch]:
        self.size = self._dataset.num_batches  # on_epoch_end may change it
        numbers: Iterable[int] = itertools.count() if self.size is None else range(self.size)
        if order is not None:
            numbers = order.tolist()
        items = batches_of(self._dataset, itertools.islice(numbers, skip, None))
        try:
            for number, item in enumerate(items, skip):
                yield self._unpack(item, number)
        finally:
            items.close()  # type: ignore[attr-defined]  # it is a generator; its threads end now

    def peek(self) -> Batch:
        return self._unpack(self._dataset[0], 0)

    def on_epoch_begin(self) -> None:
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._dataset.on_epoch_end()


class IterableSource(Source):
    """Anything that can be iterated; an iterator only once. Batches are taken one at a time and never kept."""

    def __init__(self, items: Iterable[Any], unpack: Unpacker) -> None:
        self._items, self._unpack = items, unpack
        self.again = not isinstance(items, Iterator)
        self._ahead: deque[Any] = deque()
        try:
            self.size = len(items) if self.again else None  # type: ignore[arg-type]
        except TypeError:
            self.size = None

    def one_pass(self, order: np.ndarray | None, skip: int) -> Iterator[Batch]:
        for number, item in enumerate(self._take_all()):
            if number >= skip:
                yield self._unpack(item, number)

    def _take_all(self) -> Iterator[Any]:
        while self._ahead:
            yield self._ahead.popleft()
        yield from self._items

    def peek(self) -> Batch:
        if self._ahead:
            return self._unpack(self._ahead[0], 0)
        for item in self._items:
            if not self.again:
                self._ahead.append(item)
            return self._unpack(item, 0)
        raise ShapeError(f"the {self._unpack.giver} gave no batch; it must give at least one")
