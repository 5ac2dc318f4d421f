"""Weights of networks into HDF5 as Keras 3 lays them out: by class and number."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.formats.keras_weights import by_class
from rnnrt.layers import Layer, Network
from rnnrt.layers.cells import Cell

RENAMED = {"CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM", "ThresholdedReLU": "ReLU"}
"""Layers of Keras 2 that Keras 3 has under another name."""


def store_groups(network: Network, root: Any, converted: bool = False) -> None:
    """Write every layer's arrays into `<path>/vars/0`, `1`, ... of an open h5py group.

    With `converted` the weights of CuDNNLSTM and CuDNNGRU get the layouts and the names of LSTM and GRU.
    """
    _store(network, root, converted)


def hdf5_of(network: Network, converted: bool = False) -> bytes:
    """An HDF5 file of the weights, as `store_groups` lays them out.

    Raises
    ------
    RnnrtError
        h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise RnnrtError('writing Keras files needs h5py: pip install "rnnrt[convert]"') from None
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        store_groups(network, file, converted)
    return buffer.getvalue()


def _store(layer: Layer, group: Any, converted: bool) -> None:
    own = group.require_group("vars")
    own.attrs["name"] = layer.name
    for k, array in enumerate(_arrays(layer, converted)):
        own.create_dataset(str(k), data=array)
    for attribute, child in layer.sublayers().items():
        if isinstance(child, Layer):
            _store(child, group.require_group(attribute), converted)
            continue
        base = group.require_group(attribute)
        for members in by_class(child, RENAMED if converted else None).values():
            for name, part in members.items():
                _store(part, base.require_group(name), converted)


def _arrays(layer: Layer, converted: bool) -> list[np.ndarray]:
    if converted and isinstance(layer, Cell):
        return [a for a in layer.arrays(None) if a is not None]
    found = (part.own_variables.get(name) for part, name in layer.stored())
    return [variable.value for variable in found if variable is not None]
