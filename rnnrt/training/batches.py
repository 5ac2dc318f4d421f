"""What `fit`, `evaluate` and `predict` accept, turned into batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.training.batch_data import Batch, check_rows, is_array, labelled, split_validation, weights_of
from rnnrt.training.batch_sources import ArraySource, DatasetSource, IterableSource, Source, Unpacker
from rnnrt.utils.dataset import PyDataset

__all__ = ["Batch", "Batches", "make_batches", "split_validation"]

DEFAULT_BATCH_SIZE = 32


class Batches:
    """Batches of data, an epoch at a time; made by `make_batches`.

    Iterating it gives the batches of one epoch, each a tuple of inputs (list of arrays), targets (list of arrays, empty
    without targets) and weights (an array for each target, or None).

    Attributes
    ----------
    num_batches : int or None
        Batches of an epoch; None while unknown.
    exhausted : bool
        Whether the data has come to an end and cannot begin again. Iterating then warns and gives nothing, so a loop
        over epochs ends after an epoch that left it exhausted without a batch, or with fewer than `num_batches`.
    """

    def __init__(self, source: Source, steps: int | None, generator: np.random.Generator | None) -> None:
        self._source, self._steps, self._generator = source, steps, generator
        self._running: Iterator[Batch] | None = None
        self._order_state: dict[str, Any] | None = None
        self._taken = 0
        self._restored = False
        self._ever = False
        self.exhausted = False

    @property
    def num_batches(self) -> int | None:
        return self._steps or self._source.size

    def __len__(self) -> int:
        if self.num_batches is None:
            raise TypeError("how many batches there are is not known; num_batches is None")
        return self.num_batches

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch()

    def peek(self) -> Batch:
        """A batch like the first one, for its shapes and types; nothing is used up, and it is not shuffled."""
        return self._source.peek()

    def epoch(self, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on.

        After `restore`, they are those that would have come next; otherwise the first `start` batches are left out.
        """
        self._source.on_epoch_begin()
        if self.exhausted:
            self._warn()
        elif self._steps is None:
            yield from self._whole_pass(start)
        else:
            yield from self._some_steps(start, self._steps)

    def on_epoch_end(self) -> None:
        """Tell the dataset that an epoch is over; the loop calls it after each one."""
        self._source.on_epoch_end()

    def state(self) -> dict[str, Any]:
        """Where the batches stand, for a checkpoint; JSON can say it.

        It holds how many batches of the running pass over the data were taken, and where the generator stood before
        the order of that pass was drawn. Between passes it holds nothing: the next order comes from the generator.
        """
        if self._running is None:
            return {"taken": 0, "order": None}
        return {"taken": self._taken, "order": self._order_state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken: `epoch` then gives the batches that would have come next.

        The order is drawn again from the state before; the generator itself is not touched. Iterators are run
        through up to there.

        Raises
        ------
        RnnrtError
            `state` is none that `state()` returned.
        """
        try:
            taken, order = int(state["taken"]), state["order"]
            if taken:
                self._open(taken, order)
        except (KeyError, TypeError, ValueError) as error:
            raise RnnrtError(f"this is no state of batches ({error}); give what state() returned") from None
        self._restored = taken > 0

    def _open(self, skip: int = 0, order_state: Mapping[str, Any] | None = None) -> None:
        order = None
        self._order_state = None
        if self._generator is not None:
            drawn_from = self._generator
            if order_state is not None:
                bits = type(self._generator.bit_generator)()
                bits.state = order_state
                drawn_from = np.random.Generator(bits)
            self._order_state = dict(drawn_from.bit_generator.state)
            order = self._source.order(drawn_from)
        self._running = self._source.one_pass(order, skip)
        self._taken = skip
        self._ever = self._ever or skip > 0

    def _next(self) -> Batch | None:
        if self._running is None:
            self._open()
        assert self._running is not None
        batch = next(self._running, None)
        if batch is not None:
            self._taken += 1
            self._ever = True
        return batch

    def _whole_pass(self, start: int) -> Iterator[Batch]:
        if not self._restored:
            self._open(start)
        self._restored = False
        try:
            while (batch := self._next()) is not None:
                yield batch
        finally:
            self._close()
        self.exhausted = not self._source.again
        if not self._ever:
            raise ShapeError("the data gave no batch; it must give at least one")

    def _some_steps(self, start: int, steps: int) -> Iterator[Batch]:
        """A pass over the data goes on from epoch to epoch."""
        if start and not self._restored:
            self._open(start)
        self._restored = False
        for number in range(start, steps):
            batch = self._next()
            if batch is None and number == 0 and self._source.again and self._taken:
                self._close()  # the epoch before ended where the data did
                batch = self._next()
            if batch is None:
                if not self._ever:
                    raise ShapeError("the data gave no batch; it must give at least one")
                self.exhausted = not self._source.again
                self._close()
                self._warn()
                return
            yield batch

    def _close(self) -> None:
        if self._running is not None and hasattr(self._running, "close"):
            self._running.close()
        self._running = None

    def _warn(self) -> None:
        warnings.warn(
            "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate "
            "at least `steps_per_epoch * epochs` batches. You may need to use the `.repeat()` function when building "
            "your dataset.",
            stacklevel=4,
        )


def make_batches(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = False,
    class_weight: Mapping[int, float] | None = None,
    generator: np.random.Generator | None = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    sparse_targets: bool | None = None,
) -> Batches:
    """Batches out of what `fit`, `evaluate` and `predict` accept.

    Parameters
    ----------
    x : array, list or tuple of arrays, dict of arrays by input name, PyDataset, iterator, or iterable
        Datasets, iterators and iterables give a batch at a time: ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``, and
        y and `sample_weight` are not given here.
    y : array, list, tuple or dict of arrays, optional
    sample_weight : array, list, tuple or dict of arrays, optional
        (rows,) or (rows, steps) for each output; one of shape (rows,) serves all outputs.
    batch_size : int, optional
        Rows of a batch, for arrays; default 32, or with `steps` what makes so many batches. The last may be smaller.
    steps : int, optional
        Batches of an epoch; default: all. Needed where data does not end.
    shuffle : bool or "batch", default False
        Another order each epoch: of rows for arrays ("batch": only within each batch), of batches for a PyDataset.
        Iterables come in their own order.
    class_weight : dict of int to float, optional
        Weights by class, multiplied with `sample_weight`.
    generator : numpy.random.Generator, optional
        For the order: one permutation is drawn from it when a pass over the data begins. Default: rnnrt's own.
    input_names, output_names : sequence of str, optional
        The order of dicts.
    sparse_targets : bool, optional
        Whether targets are class numbers, for `class_weight`; default: by their type and values.

    Returns
    -------
    Batches

    Raises
    ------
    ShapeError
        Data is empty, of several lengths, not finite, or of a kind that is not understood. For datasets and iterables
        it comes when the batch does.
    RnnrtError
        Another argument is not understood.
    """
    for name, given in (("batch_size", batch_size), ("steps", steps)):
        if given is not None and (not isinstance(given, int | np.integer) or isinstance(given, bool) or given < 1):
            raise RnnrtError(f"{name}={given!r}: give a whole number, 1 or more")
    if shuffle not in (True, False, "batch"):
        raise RnnrtError(f"shuffle={shuffle!r}: give True, False or 'batch'")
    if shuffle and generator is None:
        from rnnrt.random import generator as shared

        generator = shared()
    source: Source
    if isinstance(x, Mapping | list | tuple) or is_array(x):
        inputs, targets = labelled(x, input_names, "x"), labelled(y, output_names, "y")
        rows = check_rows(inputs, targets)
        weights = weights_of(targets, sample_weight, class_weight, output_names, sparse_targets)
        size = batch_size or (-(-rows // steps) if steps else DEFAULT_BATCH_SIZE)
        source = ArraySource(inputs, targets, weights, size, shuffle)
    else:
        source = _giver(
            x, y, sample_weight, batch_size, shuffle, (input_names, output_names, class_weight, sparse_targets)
        )
        if isinstance(x, PyDataset) and source.size is None and steps is None:
            raise RnnrtError(f"x is a {type(x).__name__} without end; say how many batches an epoch has (steps)")
    return Batches(source, steps, generator if shuffle else None)


def _giver(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool | str, names_and_weights: tuple[Any, ...]
) -> Source:
    """The source for what gives its batches itself."""
    if isinstance(x, PyDataset):
        kind = type(x).__name__
    elif isinstance(x, Iterator):
        kind = "generator"
    elif isinstance(x, Iterable) and not isinstance(x, str | bytes):
        kind = type(x).__name__
    else:
        raise ShapeError(
            f"x is a {type(x).__name__}; give an array, a list or dict of arrays, a PyDataset or a generator"
        )
    for name, given in (("y", y), ("sample_weight", sample_weight)):
        if given is not None:
            raise RnnrtError(
                f"When providing `x` as a {kind}, `{name}` should not be passed; it is part of the {kind}'s batches"
            )
    if batch_size is not None:
        warnings.warn(f"batch_size={batch_size} is ignored: a {kind} gives whole batches", stacklevel=4)
    unpack = Unpacker(kind, isinstance(x, Iterator), *names_and_weights)
    if isinstance(x, PyDataset):
        return DatasetSource(x, unpack, bool(shuffle))
    return IterableSource(x, unpack)
