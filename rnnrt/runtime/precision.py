"""A graph computed in another floating point type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.cast import CAST_TARGETS

_CODES = {np.dtype(t): code for code, t in CAST_TARGETS.items()}


def in_dtype(graph: Graph, dtype: Any) -> Graph:
    """The graph with inputs, outputs, weights and casts of one floating point type.

    Parameters
    ----------
    graph : Graph
    dtype : dtype-like
        float32 or float64; both become it, other types stay as they are.

    Raises
    ------
    ShapeError
        It is another type.
    """
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise ShapeError(f"dtype={dtype!r} is not a type; give 'float32' or 'float64'") from None
    if wanted not in (np.float32, np.float64):
        raise ShapeError(f"dtype={wanted.name!r}: networks are computed in 'float32' or 'float64'")
    return _converted(graph, wanted)


def _converted(graph: Graph, wanted: np.dtype) -> Graph:
    def value(v: Value) -> Value:
        return Value(v.name, _type(v.dtype, wanted), v.shape)

    def node(n: Node) -> Node:
        return Node(n.op, n.inputs, n.outputs, _attributes(n.attrs, wanted), n.name)

    return graph.replace(
        inputs=tuple(map(value, graph.inputs)),
        outputs=tuple(map(value, graph.outputs)),
        nodes=tuple(map(node, graph.nodes)),
        constants={name: _array(array, wanted) for name, array in graph.constants.items()},
    )


def _type(dtype: np.dtype, wanted: np.dtype) -> np.dtype:
    return wanted if dtype in (np.float32, np.float64) else dtype


def _array(array: np.ndarray, wanted: np.dtype) -> np.ndarray:
    return array.astype(_type(array.dtype, wanted), copy=False)


def _attributes(attrs: Mapping[str, Any], wanted: np.dtype) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in attrs.items():
        if isinstance(item, Graph):
            found[key] = _converted(item, wanted)
        elif isinstance(item, np.ndarray):
            found[key] = _array(item, wanted)
        elif key in ("to", "dtype") and item in CAST_TARGETS:
            found[key] = _CODES[_type(np.dtype(CAST_TARGETS[item]), wanted)]
        else:
            found[key] = item
    return found
