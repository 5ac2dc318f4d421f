"""More than one machine: offline scoring with Ray Data and Spark, and sessions behind Ray Serve.

`Predictor` needs nothing beside rnnrt, and pyarrow where batches are Arrow's; `rnnrt.ray.serve` needs the extra "ray".
"""

from __future__ import annotations

from typing import Any

from rnnrt.ray.predictor import Predictor

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    if name != "serve":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("rnnrt.ray.serve")
