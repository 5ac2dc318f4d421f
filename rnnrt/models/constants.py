"""Inputs that become constants when a model is loaded: a sampling rate, say, on which a network branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Graph, Value
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.runtime.session import checked_input


def with_constants(graph: Graph, constants: Mapping[str, Any]) -> Graph:
    """The graph with some of its inputs fixed, and simplified by what follows from them.

    Branches that are never taken then go, with their weights. The metadata `constants` says what was fixed.

    Parameters
    ----------
    graph : Graph
    constants : mapping of str to number or array_like
        By input name; a number suits any input that has one element.

    Raises
    ------
    ShapeError
        A name is not that of an input, or a value has another dtype or shape, or does not fit the dtype.
    """
    inputs = {v.name: v for v in graph.inputs}
    unknown = sorted(map(str, set(constants) - set(inputs)))
    if unknown:
        raise ShapeError(f"constants: unknown inputs {unknown}; the model takes {list(inputs)}")
    if not constants:
        return graph
    fixed = {name: _fitting(inputs[name], given) for name, given in constants.items()}
    notes = [f"{name}={_text(fixed[name])}" for name in inputs if name in fixed]
    earlier = graph.metadata.get("constants")
    graph = graph.replace(
        inputs=tuple(v for v in graph.inputs if v.name not in fixed),
        constants={**graph.constants, **fixed},
        metadata={**graph.metadata, "constants": ", ".join([earlier, *notes] if earlier else notes)},
    )
    folded, _ = specialise(graph, {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs})
    # A branch that cannot run has become a Python function, which no file can hold: such a graph is kept as it was.
    kept = any(node.op == "Python" for g in folded.subgraphs() for node in g.nodes)
    return graph if kept else folded


def _fitting(value: Value, given: Any) -> np.ndarray:
    """`given` as a constant of the input's dtype and shape, an array of its own."""
    what = f"constants: input {value.name!r}"
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ShapeError(f"{what}: {given!r:.60} is no array ({error})") from None
    if array.ndim == 0 and value.shape and all(d == 1 for d in value.shape):
        array = array.reshape([1] * len(value.shape))
    try:
        with np.errstate(over="ignore"):
            fitting = checked_input(value, array)
    except ShapeError as error:
        raise ShapeError(f"constants: {error}") from None
    exact = fitting.dtype.kind == "f" or np.array_equal(fitting, array)
    if not exact or (fitting.dtype.kind == "f" and np.any(np.isinf(fitting) & np.isfinite(array))):
        raise ShapeError(f"{what}: {given!r:.60} does not fit {value.dtype}")
    return np.array(fitting)


def _text(array: np.ndarray) -> str:
    return str(array.item()) if array.size == 1 else f"{array.dtype} {array.shape}"
