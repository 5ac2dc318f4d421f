"""Made-up inputs that a network takes: for checks, recorded calls and timings where the user gives none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph, Value

Axis = str | tuple[str, int]
"""A free axis: its name, or the input and position of one without a name."""

_EXTENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_MAX_TRIALS = 150
_MAX_ELEMENTS = 4_000_000
_COMPARISONS = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")


def suitable_inputs(
    graph: Graph, run: Callable[[dict[str, np.ndarray]], object], batch: int = 1, steps: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    """Inputs by name that `run` accepts: normal floats, ones for integers and bools.

    Free axes get `batch` and `steps` where the network takes these, and else what it takes: a network may need 512
    samples at a time, or the batch size that is built into one of its states.

    Parameters
    ----------
    graph : Graph
    run : callable
        Called with feeds; raises `RnnrtError` where they do not suit.
    batch, steps : int
        Wanted extents of batch axes and of other free axes.
    seed : int

    Raises
    ------
    RnnrtError
        Nothing that was tried suits; the message is that of the first trial.
    """
    first: RnnrtError | None = None
    for extents in itertools.islice(_trials(graph, batch, steps), _MAX_TRIALS):
        feeds = _feeds(graph, extents, seed)
        try:
            run(feeds)
        except RnnrtError as error:
            first = first or error
            continue
        return feeds
    assert first is not None  # there is always a first trial
    shapes = ", ".join(f"{v.name} {_shape(v, wanted(graph, batch, steps))}" for v in graph.inputs)
    raise RnnrtError(f"made-up inputs {shapes} do not suit the network; give a sample of real ones ({first})") from None


def wanted(graph: Graph, batch: int, steps: int) -> dict[Axis, int]:
    """The extents of free axes that are tried first."""
    axes = _free_axes(graph)
    named = {axis for axis in axes if isinstance(axis, str) and _is_batch(axis)}
    states = {
        (v.name, 1)
        for v in graph.inputs
        if len(graph.inputs) > 1 and [d is None for d in v.shape or ()] == [False, True, False]
    }  # what recurrent layers take as their states has the batch in the middle
    return {
        axis: batch if axis in named or (not named and (place == 0 or axis in states)) else steps
        for axis, place in axes.items()
    }


def _is_batch(name: str) -> bool:
    return name.lower() in ("b", "n", "bs") or "batch" in name.lower()


def _free_axes(graph: Graph) -> dict[Axis, int]:
    """Free axes of the inputs, each with its first position."""
    axes: dict[Axis, int] = {}
    for value in graph.inputs:
        for place, dim in enumerate(value.shape or ()):
            if not isinstance(dim, int):
                axes.setdefault(dim if dim else (value.name, place), place)
    return axes


def _trials(graph: Graph, batch: int, steps: int) -> Iterator[dict[Axis, int]]:
    """Extents to try, the wanted ones first, then those that differ from them in the fewest and smallest ways."""
    first = wanted(graph, batch, steps)
    yield first
    fixed = sorted({d for v in graph.inputs for d in v.shape or () if isinstance(d, int) and 0 < d <= _EXTENTS[-1]})
    choices = {axis: list(dict.fromkeys((want, *fixed, *_EXTENTS))) for axis, want in first.items()}
    ranks = itertools.product(*(range(len(c)) for c in choices.values())) if len(choices) <= 4 else iter(())
    for rank in sorted(ranks, key=lambda r: (sum(k > 0 for k in r), sum(r), r))[1:]:
        extents = {axis: choices[axis][k] for axis, k in zip(choices, rank, strict=True)}
        if sum(math.prod(_shape(v, extents)) for v in graph.inputs) <= _MAX_ELEMENTS:
            yield extents


def _shape(value: Value, extents: Mapping[Axis, int]) -> tuple[int, ...]:
    dims = enumerate(value.shape or ())
    return tuple(d if isinstance(d, int) else extents[d if d else (value.name, k)] for k, d in dims)


def _feeds(graph: Graph, extents: Mapping[Axis, int], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in graph.inputs:
        shape = _shape(value, extents)
        if value.dtype.kind == "f":
            feeds[value.name] = rng.standard_normal(shape).astype(value.dtype)
        else:
            feeds[value.name] = np.full(shape, _meaningful(graph, value), value.dtype)
    return feeds


def _meaningful(graph: Graph, value: Value) -> int:
    """What an integer is compared with, a sampling rate say; 1 where it is not."""
    for g in (graph, *graph.subgraphs()):
        constants = dict(g.constants)
        constants.update({n.outputs[0]: n.attrs["value"] for n in g.nodes if n.op == "Constant" and "value" in n.attrs})
        for node in g.nodes:
            if node.op in _COMPARISONS and value.name in node.inputs:
                for other in node.inputs:
                    known = constants.get(other)
                    if known is not None and np.size(known) == 1 and np.asarray(known).dtype.kind in "iu":
                        return int(np.reshape(known, ()))
    return 1
