"""Where a compiled network leaves its float64 reference: the first node whose result differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph, Node, Value
from rnnrt.models.comparing import beyond, largest_difference, tolerance_of
from rnnrt.models.model import Model
from rnnrt.ops import TensorSpec
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes.follow_time import RECURRENT
from rnnrt.runtime import Session

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Divergence:
    """The first node, in the order in which they run, whose result is not its reference's.

    Attributes
    ----------
    node : str
        Its label: operator, and the name it has in the file or its layer's.
    op : str
    output : str
        Which value.
    difference, tolerance : float
    input_shapes : tuple of (tuple of int)
    output_shape : tuple of int
    inputs_agree : bool
        Whether everything the node read lies within its tolerance.
    input_difference : float
        The largest difference among what it read.
    """

    node: str
    op: str
    output: str
    difference: float
    tolerance: float
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    inputs_agree: bool
    input_difference: float

    def __str__(self) -> str:
        shapes = ", ".join(str(shape) for shape in self.input_shapes)
        return (
            f"first diverging node: {self.node}, output {self.output!r}: differs by {self.difference:.1e} "
            f"({self.tolerance:.0e} is allowed); inputs {shapes} -> {self.output_shape}; "
            + ("its inputs agree" if self.inputs_agree else "its inputs differ, too")
            + f" (by {self.input_difference:.1e} at most)"
        )


def first_divergence(
    model: Model, feeds: Mapping[str, np.ndarray], tolerance: float | None = None, original: Graph | None = None
) -> Divergence | str:
    """Compare every value of the plan with the float64 reference.

    Parameters
    ----------
    model : Model
    feeds : mapping of str to ndarray
        Inputs whose results differ.
    tolerance : float, optional
        By default the one of each value's type.
    original : Graph, optional
        The graph as the file has it, before recurrences in it were recognised. Where the plan is right, the first
        node is looked for whose reference is not what that graph computes.

    Returns
    -------
    Divergence or str
        The first node that differs, or in words why none can be named.
    """
    feeds = {name: np.asarray(x) for name, x in feeds.items()}
    shapes = {name: x.shape for name, x in feeds.items()}
    folded, _ = model._session.plan_for(feeds)
    watched = _watched(folded, shapes)
    if isinstance(watched, str):
        return watched
    names = [v.name for v in watched.outputs]
    arrays = [np.asarray(feeds[v.name]) for v in watched.inputs]
    try:
        got = dict(zip(names, Session(watched, threads=model._session.threads).run(list(arrays)), strict=True))
    except RnnrtError as error:
        return f"no node can be named: with every value as an output the plan does not run ({error})"
    exact, rough = (dict(zip(names, evaluate(watched, feeds, dtype), strict=True)) for dtype in (np.float64, None))
    for node in folded.nodes:
        for name in node.outputs:
            if name not in got:
                continue
            allowed = tolerance_of(got[name].dtype, tolerance)
            difference = largest_difference(got[name], exact[name])
            if difference > allowed:
                difference, allowed = beyond(got[name], exact[name], rough[name], allowed)
            if difference > allowed:
                return _described(node, name, difference, allowed, got, exact, folded, feeds)
    if original is not None and (found := _from_original(model.graph, original, feeds, tolerance)) is not None:
        return found
    return (
        "no node differs when every value is kept and the graph is folded first: the difference comes from folding, "
        "or from where values lie in memory"
    )


def _from_original(
    graph: Graph, original: Graph, feeds: Mapping[str, np.ndarray], tolerance: float | None
) -> Divergence | None:
    """The first node whose float64 reference is not what the original graph computes under the same name."""
    theirs = {name for node in original.nodes for name in node.outputs if name}
    shared = [name for node in graph.nodes for name in node.outputs if name in theirs]
    outputs = tuple(Value(name, np.dtype(np.float64)) for name in shared)
    got, exact = (
        dict(zip(shared, map(np.asarray, evaluate(g.replace(outputs=outputs), feeds, np.float64)), strict=True))
        for g in (graph, original)
    )
    for node in graph.nodes:
        for name in node.outputs:
            if name in got and (d := largest_difference(got[name], exact[name])) > tolerance_of(_FLOAT32, tolerance):
                blamed, read = _made_by(node, graph, set(got))
                allowed = tolerance_of(_FLOAT32, tolerance)
                return _described(blamed, name, d, allowed, got, exact, graph, feeds, read)
    return None


def _made_by(node: Node, graph: Graph, shared: set[str]) -> tuple[Node, list[str]]:
    """The recurrent node that stands for what the file computes otherwise, and the values of both graphs it reads."""
    makers = {name: item for item in graph.nodes for name in item.outputs if name}
    blamed, read, waiting, seen = node, [], list(node.inputs), set(node.outputs)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in shared:
            read.append(name)
        elif name in makers:
            blamed = makers[name] if makers[name].op in RECURRENT else blamed
            waiting += makers[name].inputs
    return blamed, read


def _watched(folded: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph | str:
    """The graph with every value that a node makes as an output."""
    from rnnrt.passes import specialise

    _, specs = specialise(folded, {v.name: TensorSpec(v.dtype, shapes[v.name]) for v in folded.inputs})
    made = [name for node in folded.nodes for name in node.outputs if name and name in specs]
    if not all(specs[name].is_static for name in made):
        return "no node can be named: shapes depend on data, so that there is no plan"
    return folded.replace(outputs=tuple(Value(name, specs[name].dtype, specs[name].shape) for name in made))


def _described(
    node: Node,
    name: str,
    difference: float,
    allowed: float,
    got: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    read: Sequence[str] | None = None,
) -> Divergence:
    read = [n for n in node.inputs if n in got] if read is None else read
    worst = max((largest_difference(got[n], exact[n]) for n in read), default=0.0)
    agree = all(largest_difference(got[n], exact[n]) <= tolerance_of(got[n].dtype) for n in read)
    known = {**graph.constants, **feeds, **got}
    return Divergence(
        node.label(),
        node.op,
        name,
        difference,
        allowed,
        tuple(np.shape(known[n]) for n in node.inputs if n in known),
        got[name].shape,
        agree,
        worst,
    )
