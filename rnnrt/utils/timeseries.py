"""Windows over a time series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.utils.dataset import PyDataset


class TimeseriesDataset(PyDataset):
    """What `timeseries_dataset_from_array` gives; windows are cut when a batch is asked for.

    Iterating it gives its batches; `len` says how many. With shuffling each pass has another order.
    """

    def __init__(
        self,
        data: np.ndarray,
        targets: np.ndarray | None,
        starts: np.ndarray,
        offsets: np.ndarray,
        batch_size: int | None,
        generator: np.random.Generator | None,
    ) -> None:
        super().__init__()
        self._data, self._targets = data, targets
        self._starts, self._offsets = starts, offsets
        self._batch_size = batch_size
        self._generator = generator
        self._shuffle()

    def _shuffle(self) -> None:
        if self._generator is not None:
            self._starts = self._generator.permutation(self._starts)

    def __len__(self) -> int:
        return -(-len(self._starts) // (self._batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows: Any = index
        if self._batch_size is not None:
            rows = slice(index * self._batch_size, (index + 1) * self._batch_size)
        starts = self._starts[rows]
        windows = self._data[starts[..., None] + self._offsets]
        return windows if self._targets is None else (windows, self._targets[starts])

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self._shuffle()


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> TimeseriesDataset:
    """Batches of sliding windows over a time series.

    Parameters
    ----------
    data : array-like (steps, ...)
    targets : array-like (M, ...) or None
        ``targets[i]`` belongs to the window that begins at step i.
    sequence_length : int
        Steps of a window.
    sequence_stride : int, default 1
        From the begin of a window to that of the next.
    sampling_rate : int, default 1
        From a step of a window to the next one.
    batch_size : int or None, default 128
        None gives single windows without an axis of the batch.
    shuffle : bool, default False
        Each pass in another order.
    seed : int, optional
        For the shuffling.
    start_index, end_index : int, optional
        Steps before `start_index`, and from `end_index` on, are not used.
    format : {"tf", "grain"}, default "tf"
        Which kind of dataset Keras would give; here both are a dataset of NumPy arrays.

    Returns
    -------
    TimeseriesDataset
        Of windows (batch, sequence_length, ...), or of pairs of these and targets (batch, ...).

    Raises
    ------
    RnnrtError
        An argument is out of its range.
    ShapeError
        No window fits, or there are fewer targets than windows.
    """
    where = "timeseries_dataset_from_array"
    data = np.asarray(data)
    total = len(data)
    if format not in ("tf", "grain"):
        raise RnnrtError(f"{where}: format={format!r}: give 'tf' or 'grain'")
    if start_index and not 0 <= start_index < total:
        raise RnnrtError(f"{where}: start_index={start_index} must be from 0 to {total - 1}, the last of the data")
    if end_index is not None and not (start_index or 0) < end_index < total:
        raise RnnrtError(
            f"{where}: end_index={end_index} must be above start_index={start_index or 0} and below {total}, the "
            "length of the data; leave it out to use all"
        )
    for name, given in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if not 0 < given < total:
            raise RnnrtError(f"{where}: {name}={given} must be from 1 to {total - 1}, below the length of the data")
    for name, given in (("sequence_length", sequence_length), ("batch_size", 1 if batch_size is None else batch_size)):
        if given < 1:
            raise RnnrtError(f"{where}: {name}={given} must be 1 or more")
    begin, end = start_index or 0, total if end_index is None else end_index
    count = end - begin - (sequence_length - 1) * sampling_rate
    if targets is not None:
        targets = np.asarray(targets)
        count = min(count, len(targets))
        targets = targets[begin:end]
    if count < 1:
        raise ShapeError(
            f"{where}: no window of {sequence_length} steps at sampling_rate={sampling_rate} fits into "
            f"{end - begin} steps" + ("" if targets is None else f" with {len(targets)} targets")
        )
    starts = np.arange(0, count, sequence_stride)
    if targets is not None and starts[-1] >= len(targets):
        raise ShapeError(
            f"{where}: a window begins at step {begin + starts[-1]}, but targets end at {begin + len(targets) - 1}; "
            "give a target for each window"
        )
    generator = None
    if shuffle:
        if seed is None:
            from rnnrt.random import generator as shared

            generator = np.random.default_rng(int(shared().integers(2**63)))
        else:
            generator = np.random.default_rng(seed)
    offsets = np.arange(sequence_length) * sampling_rate
    return TimeseriesDataset(data[begin:end], targets, starts, offsets, batch_size, generator)
