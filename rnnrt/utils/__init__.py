"""Keras's helpers for data: class matrices, padded sequences, datasets, windows over a time series, seeds."""

from rnnrt.utils.arrays import normalize, pad_sequences, to_categorical
from rnnrt.utils.dataset import PyDataset, Sequence
from rnnrt.utils.seed import set_random_seed
from rnnrt.utils.session import clear_session
from rnnrt.utils.split import split_dataset
from rnnrt.utils.timeseries import TimeseriesDataset, timeseries_dataset_from_array

__all__ = [
    "PyDataset",
    "Sequence",
    "TimeseriesDataset",
    "clear_session",
    "normalize",
    "pad_sequences",
    "set_random_seed",
    "split_dataset",
    "timeseries_dataset_from_array",
    "to_categorical",
]
