"""Layers called with arrays: a graph for one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.layers import GraphBuilder, Layer, Tensor
from rnnrt.runtime import Session


def run_layer(layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The layer's outputs, as outside training; missing weights are made.

    Raises
    ------
    ShapeError
        An array has no batch.
    UnsupportedModelError
        The layer cannot be run on such arrays, or is called with training=True.
    """
    if kwargs.get("training"):
        raise layer.unsupported("is called with training=True", "rnnrt calls layers so in fit alone")
    rest = {key: value for key, value in kwargs.items() if key != "training"}
    feeds: list[np.ndarray] = []

    def build(b: GraphBuilder) -> Any:
        feeds.clear()
        return layer.apply(b, *_put(args, b, feeds), **_put(rest, b, feeds))

    build(GraphBuilder(layer.name, variables=True, create=True))
    b = GraphBuilder(layer.name)
    outputs = build(b)
    found = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    graph = b.finish([(b.unique(f"output_{k}"), y) for k, y in enumerate(found)])
    results = Session(graph).run(list(feeds))
    return results if isinstance(outputs, (list, tuple)) else results[0]


def _put(value: Any, b: GraphBuilder, feeds: list[np.ndarray]) -> Any:
    if isinstance(value, tuple):
        return tuple(_put(v, b, feeds) for v in value)
    if isinstance(value, list):
        return [_put(v, b, feeds) for v in value]
    if isinstance(value, Mapping):
        return {k: _put(v, b, feeds) for k, v in value.items()}
    if not hasattr(value, "__array__") or isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.ndim == 0:
        raise ShapeError(f"{b.name}: an array without axes was given; the first axis is the batch")
    if array.dtype.kind == "f" and array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    if array.dtype.kind in "iu" and array.dtype not in (np.int32, np.int64):
        array = array.astype(np.int64)
    feeds.append(array)
    return b.input(b.unique(f"input_{len(feeds)}"), (None, *array.shape[1:]), array.dtype)
