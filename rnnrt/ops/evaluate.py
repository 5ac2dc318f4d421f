"""Run a graph by its operators' references: the oracle, the fallback, and the interpreter of loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.ir import Graph, Node
from rnnrt.ops.base import get_operator
from rnnrt.ops.control import Control


def evaluate(
    graph: Graph,
    feeds: Mapping[str, Any],
    dtype: Any = None,
    outer: Mapping[str, Any] | None = None,
) -> list[np.ndarray]:
    """The outputs of a graph, node by node in plain numpy.

    Parameters
    ----------
    graph : Graph
    feeds : mapping of str to array_like
        Every input of the graph by name.
    dtype : dtype, optional
        Compute all floating point values in this type: ``float64`` makes the oracle of a float32 model.
    outer : mapping, optional
        Values of the enclosing scopes that a subgraph captures.

    Raises
    ------
    ShapeError
        A node met arrays that do not fit; the message names it.
    """
    values: dict[str, Any] = dict(outer) if outer else {}
    for name, array in graph.constants.items():
        values[name] = _as_float(array, dtype)
    for value in graph.inputs:
        if value.name not in feeds:
            raise ShapeError(f"input {value.name!r} of graph {graph.name!r} is missing")
        values[value.name] = _as_float(np.asarray(feeds[value.name]), dtype)
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            results = evaluate_node(node, [values[name] if name else None for name in node.inputs], values, dtype)
            for name, result in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = _as_float(np.asarray(result), dtype)
    return [values[value.name] for value in graph.outputs]


def evaluate_node(
    node: Node, inputs: list[np.ndarray | None], scope: Mapping[str, Any], dtype: Any = None
) -> list[np.ndarray]:
    """The outputs of one node; `scope` holds the values that its bodies may capture.

    Raises
    ------
    ShapeError
        The arrays do not fit; the message names the node.
    RnnrtError
        The memory does not suffice.
    """
    operator = get_operator(node.op)
    try:
        if issubclass(operator, Control):
            return operator.interpret(node, inputs, lambda body, feeds: evaluate(body, feeds, dtype, scope))
        return operator.reference(node, inputs)
    except RnnrtError as error:
        if type(error) not in (RnnrtError, ShapeError) or " node " in str(error):
            raise
        raise type(error)(f"{node.label()}: {error}") from None
    except MemoryError as error:
        raise RnnrtError(f"{node.label()}: needs more memory than there is ({error})") from None
    except RecursionError:
        raise
    except Exception as error:  # values in a file can be anything, and so can what numpy says of them
        shapes = [None if x is None else np.shape(x) for x in inputs]
        raise ShapeError(f"{node.label()}: {error}; its inputs have the shapes {shapes}") from error


def _as_float(array: np.ndarray, dtype: Any) -> np.ndarray:
    return array if dtype is None or array.dtype.kind != "f" else array.astype(dtype, copy=False)
