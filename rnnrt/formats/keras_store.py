"""Weights of networks into HDF5 as Keras 3 lays them out: by class and number."""

from __future__ import annotations

from typing import Any

from rnnrt.formats.keras_weights import keras_class
from rnnrt.layers import Layer, Network
from rnnrt.layers.names import snake_case


def store_groups(network: Network, root: Any) -> None:
    """Write every layer's arrays into `<path>/vars/0`, `1`, ... of an open h5py group."""
    _store(network, root)


def _store(layer: Layer, group: Any) -> None:
    own = group.require_group("vars")
    for k, variable in enumerate(layer.own_variables.values()):
        own.create_dataset(str(k), data=variable.value)
    for attribute, child in layer.sublayers().items():
        if isinstance(child, list):
            counts: dict[str, int] = {}
            base = group.require_group(attribute)
            for part in child:
                kind = snake_case(keras_class(part))
                number = counts.get(kind, 0)
                counts[kind] = number + 1
                _store(part, base.require_group(f"{kind}_{number}" if number else kind))
        else:
            _store(child, group.require_group(attribute))
