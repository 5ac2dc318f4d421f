"""Layers and their arguments as plain data, in the form of Keras 3's configurations, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

CLASSES: dict[str, type] = {}
"""Classes of layers by name; `rnnrt.layers` fills it."""

MODEL_READERS: list[Callable[[Mapping[str, Any]], Any]] = []
"""What makes a layer of a model's configuration; `rnnrt.models` puts it here."""

MODEL_WRITERS: list[Callable[[Any], Mapping[str, Any]]] = []
"""What gives Keras's form of a network; `rnnrt.models` puts it here."""

_MODELS = ("Functional", "Model", "Sequential")


def plain(value: Any, key: str = "") -> Any:
    """A value as JSON takes it; `key` is the argument it is, which tells initializers from regularizers."""
    if hasattr(value, "as_spec"):
        return value.as_spec()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)):
        return [plain(v, key) for v in value]
    if isinstance(value, Mapping):
        return {str(k): plain(v, key) for k, v in value.items()}
    if isinstance(value, slice):
        parts = {k: getattr(value, k) for k in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if hasattr(value, "get_config"):
        module = f"keras.{key.rsplit('_', 1)[-1]}s"
        return spec_of(type(value).__name__, module, value.get_config())
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return value


def spec_of(class_name: str, module: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Keras 3's form of an object: its module, its class and its configuration."""
    return {"module": module, "class_name": class_name, "config": plain(config), "registered_name": None}


def revived(value: Any) -> Any:
    """The layers of a configuration's value; everything else stays as it is."""
    if isinstance(value, (list, tuple)):
        return [revived(v) for v in value]
    if isinstance(value, Mapping) and isinstance(value.get("class_name"), str):
        kind = value["class_name"]
        if kind in _MODELS and MODEL_READERS:
            return MODEL_READERS[-1](value)
        if kind in CLASSES:
            return CLASSES[kind].from_config(value.get("config", {}))  # type: ignore[attr-defined]
    return value
