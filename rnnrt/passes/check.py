"""Is a graph whole: every name defined once and before its use, every operator and attribute known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.ir import Graph, Node
from rnnrt.ops import REQUIRED, get_operator, is_known

_KINDS_OF_REQUIRED: dict[str, str] = {
    "axis": "int", "to": "int", "num_groups": "int", "num_scan_inputs": "int", "kernel_shape": "ints",
    "equation": "str", "function": "str", "extent": "int", "extents": "ints", "then_branch": "graph",
    "else_branch": "graph", "body": "graph", "call": "function", "results": "types",
}  # fmt: skip
_KINDS_OF_LISTS = {"activations": "strs", "activation_alpha": "floats", "activation_beta": "floats"}


def check(graph: Graph, outer: Iterable[str] = ()) -> None:
    """Raise unless the graph and its bodies are well formed.

    Parameters
    ----------
    graph : Graph
    outer : iterable of str
        Names of the enclosing scopes.

    Raises
    ------
    ModelFormatError
        A value is read before it is defined, or defined twice.
    UnsupportedModelError
        Operators, attributes or numbers of inputs that rnnrt does not know; all of them in one error.
    """
    reasons: list[str] = []
    _check(graph, set(outer), reasons)
    if reasons:
        raise UnsupportedModelError(graph.name, reasons)


def _check(graph: Graph, outer: set[str], reasons: list[str]) -> None:
    visible = set(outer)
    own: set[str] = set()

    def define(name: str, where: str) -> None:
        if name in own:
            raise ModelFormatError(f"{graph.name}: {where} defines {name!r} a second time; names must be unique")
        own.add(name)
        visible.add(name)

    for value in graph.inputs:
        define(value.name, "the input list")
    for name in graph.constants:
        define(name, "the constants")
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in visible:
                raise ModelFormatError(f"{graph.name}: {node.label()} reads {name!r}, which nothing before it defines")
        _check_node(node, reasons)
        for body in node.attrs.values():
            if isinstance(body, Graph):
                _check(body, visible, reasons)
        for name in node.outputs:
            if name:
                define(name, node.label())
    for value in graph.outputs:
        if value.name not in visible:
            raise ModelFormatError(f"{graph.name}: output {value.name!r} is never computed")


def _check_node(node: Node, reasons: list[str]) -> None:
    if not is_known(node.op):
        reasons.append(f"{node.label()}: the operator is not known to rnnrt")
        return
    operator = get_operator(node.op)
    for key, value in node.attrs.items():
        if key not in operator.attributes:
            reasons.append(f"{node.label()}: attribute {key}={value!r} is not known; export the model without it")
        elif not _is_kind(value, kind := _kind(key, operator.attributes[key])):
            reasons.append(f"{node.label()}: attribute {key}={value!r:.60} must be of type {kind}; the file is corrupt")
    for key, default in operator.attributes.items():
        if default is REQUIRED and key not in node.attrs:
            reasons.append(f"{node.label()}: attribute {key} is missing")
    count = len(node.inputs)
    if count < operator.min_inputs or (operator.max_inputs is not None and count > operator.max_inputs):
        most = "any number" if operator.max_inputs is None else operator.max_inputs
        reasons.append(f"{node.label()}: has {count} inputs; it takes {operator.min_inputs} to {most}")
    for key, value in node.attrs.items():
        if node.op == "If" and isinstance(value, Graph) and value.inputs:
            reasons.append(f"{node.label()}: {key} takes {len(value.inputs)} inputs; branches take none")
    for k, name in enumerate(node.inputs[: operator.min_inputs]):
        if not name:
            reasons.append(f"{node.label()}: its input {k} is missing; the file is corrupt")


def _kind(key: str, default: Any) -> str:
    """What an attribute holds, told by its default."""
    if default is REQUIRED:
        return _KINDS_OF_REQUIRED[key]
    if isinstance(default, tuple):
        return _KINDS_OF_LISTS.get(key, "ints")
    if isinstance(default, np.ndarray):
        return "array"
    return {int: "int", float: "float", str: "str", type(None): "int or nothing"}[type(default)]


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "graph":
        return isinstance(value, Graph)
    if kind in ("function", "types"):
        return callable(value) or kind == "types"
    if kind == "array":
        return isinstance(value, np.ndarray)
    if kind == "int or nothing":
        return value is None or _is_kind(value, "int")
    if kind.endswith("s"):
        return isinstance(value, tuple | list) and all(_is_kind(v, kind[:-1]) for v in value)
    if kind == "str":
        return isinstance(value, str)
    if kind == "int":
        return isinstance(value, int | np.integer) and abs(int(value)) < 2**63
    return isinstance(value, int | float | np.integer | np.floating)
