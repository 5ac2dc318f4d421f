"""Keras's helpers for data: class matrices, padded sequences, datasets, windows over a time series, seeds."""

from rnnrt.registry import CustomObjectScope, get_custom_objects, register_keras_serializable
from rnnrt.utils.arrays import normalize, pad_sequences, to_categorical
from rnnrt.utils.dataset import PyDataset, Sequence
from rnnrt.utils.seed import set_random_seed
from rnnrt.utils.session import clear_session
from rnnrt.utils.split import split_dataset
from rnnrt.utils.timeseries import TimeseriesDataset, timeseries_dataset_from_array

custom_object_scope = CustomObjectScope

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "Sequence",
    "TimeseriesDataset",
    "clear_session",
    "custom_object_scope",
    "get_custom_objects",
    "normalize",
    "pad_sequences",
    "register_keras_serializable",
    "set_random_seed",
    "split_dataset",
    "timeseries_dataset_from_array",
    "to_categorical",
]
