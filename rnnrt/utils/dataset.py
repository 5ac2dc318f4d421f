"""Datasets that make their batches themselves."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from rnnrt.errors import RnnrtError


class PyDataset:
    """Base of datasets whose batches are made one at a time.

    A subclass has `__getitem__`, which gives the batch of a number as ``(inputs,)``, ``(inputs, targets)`` or
    ``(inputs, targets, sample_weights)``, and `__len__`, how many batches there are; or, without end, a property
    `num_batches` that is None.

    Parameters
    ----------
    workers : int, default 1
        With more than 1, `fit` makes batches ahead in so many threads; `__getitem__` must bear that.
    use_multiprocessing : bool, default False
        Taken for the sake of programs that have it. Workers are threads: NumPy lets go of the interpreter's lock in
        long operations.
    max_queue_size : int, default 10
        How many batches are made ahead at most.

    Raises
    ------
    RnnrtError
        A number is less than it may be.
    """

    # On the class too: subclasses forget to call __init__.
    workers: int = 1
    use_multiprocessing: bool = False
    max_queue_size: int = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        if workers < 0 or max_queue_size < 1:
            raise RnnrtError(
                f"PyDataset: workers={workers} must be 0 or more, max_queue_size={max_queue_size} 1 or more"
            )
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch of a number."""
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__, which gives the batch of a number")

    @property
    def num_batches(self) -> int | None:
        """How many batches an epoch has; None without end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} needs __len__, how many batches there are, or num_batches")

    def __iter__(self) -> Iterator[Any]:
        count = self.num_batches
        for index in itertools.count() if count is None else range(count):
            yield self[index]

    def on_epoch_begin(self) -> None:
        """Run before an epoch."""

    def on_epoch_end(self) -> None:
        """Run after an epoch."""


Sequence = PyDataset
"""Keras's older name."""


def batches_of(dataset: PyDataset, order: Iterable[int]) -> Iterator[Any]:
    """The batches of a dataset in an order, made ahead by threads if it has several workers.

    An exception of `__getitem__` comes out in the place of its batch. Closing the iterator ends the threads.
    """
    if dataset.workers < 2:
        for index in order:
            yield dataset[index]
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    numbers = iter(order)
    ahead: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(dataset.workers, thread_name_prefix="rnnrt-dataset") as pool:
        try:
            for index in itertools.islice(numbers, dataset.max_queue_size):
                ahead.append(pool.submit(dataset.__getitem__, index))
            while ahead:
                batch = ahead.popleft().result()
                for index in itertools.islice(numbers, 1):
                    ahead.append(pool.submit(dataset.__getitem__, index))
                yield batch
        finally:
            for future in ahead:
                future.cancel()
