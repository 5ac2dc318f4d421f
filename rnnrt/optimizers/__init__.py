"""Keras's optimizers, on one flat array of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnrt.errors import RnnrtError
from rnnrt.optimizers import schedules
from rnnrt.optimizers.adam import Adam, Adamax, AdamW, Nadam
from rnnrt.optimizers.algorithms import SGD, Adadelta, Adagrad, RMSprop
from rnnrt.optimizers.base import Optimizer
from rnnrt.optimizers.blocks import Segment
from rnnrt.registry import Registry

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "Segment",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_REGISTRY = Registry(
    "optimizers", (SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, Nadam, RMSprop), snake=False, ignore_case=True
)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`; the state is not in it."""
    return _REGISTRY.serialize(optimizer)


def deserialize(config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer that a name or a dictionary describes; the case of its name does not matter."""
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """An optimizer from a name, a dictionary, a class or an optimizer; None stays None."""
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    found = _REGISTRY.get(identifier)
    if not isinstance(found, Optimizer):
        raise RnnrtError(f"{identifier!r} is no optimizer; name one, for example 'adam', or derive from Optimizer")
    return found
