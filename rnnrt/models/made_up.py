"""Made-up inputs that reach more of a network than plain noise: valid indices, masked steps, rows of unequal length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph, Node
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.follow_time import RECURRENT

_CARRIES = frozenset(
    [
        "Cast",
        "Identity",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "Transpose",
        "Flatten",
        "Expand",
        "Concat",
        "Slice",
        "Split",
    ]
)
"""Operators whose results hold the values of their first inputs, moved or of another type."""


@dataclass
class _Use:
    """What a network does with an input.

    `limits`: it is an index, below each of these. `lengths`: it counts steps, of so many at most. `sentinels`: values
    it is compared with, which mark steps that do not count.
    """

    limits: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    sentinels: list[float] = field(default_factory=list)


def drawn_inputs(graph: Graph, feeds: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Inputs of the same shapes, drawn for what the network does with them.

    Indices of Gather (Embedding) are drawn from the whole table, sequence lengths from 1 up; where the network
    compares an input with a number to mask steps, the last steps of some rows hold that number; bools are mixed. The
    first row of a batch always counts to its end. Integers of no known use stay as they are.

    Parameters
    ----------
    graph : Graph
    feeds : mapping of str to ndarray
        Inputs that the network takes.
    seed : int
    """
    rng = np.random.default_rng(seed)
    uses = _uses(graph, feeds)
    found = {}
    for value in graph.inputs:
        given, use = np.asarray(feeds[value.name]), uses[value.name]
        if use.lengths:
            drawn = rng.integers(1, max(min(use.lengths), 1) + 1, given.shape)
            if drawn.size:
                drawn.flat[0] = min(use.lengths)
            found[value.name] = drawn.astype(given.dtype)
        elif use.limits:
            lowest = 1 if 0 in use.sentinels and min(use.limits) > 1 else 0
            found[value.name] = rng.integers(lowest, max(min(use.limits), lowest + 1), given.shape).astype(given.dtype)
        elif given.dtype.kind == "b" and given.ndim:
            found[value.name] = rng.random(given.shape) < 0.7
        elif given.dtype.kind == "f":
            found[value.name] = rng.standard_normal(given.shape).astype(given.dtype)
        else:
            found[value.name] = given
        if use.sentinels and given.ndim > 1 and (use.limits or given.dtype.kind == "f"):
            _mask_ends(found[value.name], use.sentinels[0], rng)
    return found


def _mask_ends(array: np.ndarray, sentinel: float, rng: np.random.Generator) -> None:
    """Let rows after the first end early."""
    rows, steps = array.shape[:2]
    for row in range(1, rows):
        array[row, int(rng.integers(1, steps + 1)) :] = sentinel


def _uses(graph: Graph, feeds: Mapping[str, np.ndarray]) -> dict[str, _Use]:
    uses = {v.name: _Use() for v in graph.inputs}
    try:
        folded, specs = specialise(graph, {v.name: TensorSpec(v.dtype, np.shape(feeds[v.name])) for v in graph.inputs})
    except RnnrtError:
        return uses
    origins = {v.name: {v.name} for v in graph.inputs}
    _walk(folded, specs, dict(folded.constants), origins, uses)
    return uses


def _walk(
    graph: Graph,
    specs: Mapping[str, TensorSpec],
    constants: dict[str, np.ndarray],
    origins: dict[str, set[str]],
    uses: Mapping[str, _Use],
) -> None:
    constants.update(graph.constants)
    for node in graph.nodes:
        if node.op in _CARRIES:
            reach: set[str] = set()
            for name in node.inputs if node.op == "Concat" else node.inputs[:1]:
                reach |= origins.get(name, set())
            for name in node.outputs:
                origins[name] = reach
        for position, what, value in _reading(node, specs, constants):
            for name in origins.get(node.inputs[position], ()):
                getattr(uses[name], what).append(value)
        for body in node.attrs.values():
            if isinstance(body, Graph):
                _walk(body, specs, constants, origins, uses)


def _reading(
    node: Node, specs: Mapping[str, TensorSpec], constants: Mapping[str, np.ndarray]
) -> list[tuple[int, str, float]]:
    """Which inputs of a node are indices, lengths or compared with a number: position, field of `_Use`, value."""

    def extents(k: int) -> tuple[int | str | None, ...]:
        name = node.inputs[k]
        spec = specs.get(name)
        return constants[name].shape if name in constants else (spec.shape or () if spec else ())

    def extent(k: int, axis: int) -> list[int]:
        found = extents(k)
        at = found[axis] if -len(found) <= axis < len(found) else None
        return [at] if isinstance(at, int) else []

    if node.op in ("Gather", "GatherElements"):
        return [(1, "limits", n) for n in extent(0, int(node.attrs.get("axis", 0)))]
    if node.op == "OneHot" and node.inputs[1] in constants:
        return [(0, "limits", int(constants[node.inputs[1]].reshape(-1)[0]))]
    if node.op in RECURRENT and len(node.inputs) > 4 and node.inputs[4]:
        return [(4, "lengths", n) for n in extent(0, int(node.attrs.get("layout", 0)))]
    if node.op == "ReverseSequence":
        return [(1, "lengths", n) for n in extent(0, int(node.attrs.get("time_axis", 0)))]
    if node.op == "Equal":
        known = [constants.get(name) for name in node.inputs]
        return [
            (1 - k, "sentinels", float(array.reshape(-1)[0]))
            for k, array in enumerate(known)
            if array is not None and array.size == 1 and array.dtype.kind in "iuf"
        ]
    return []
