"""Recognise recurrences that an exporter wrote as something else, and put LSTM, GRU and RNN nodes in their place.

Exactly: the new graph computes the same function, up to the order of additions. What is not recognised stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rnnrt.ir import Graph, Node, names_read
from rnnrt.ops import TensorSpec
from rnnrt.passes.lift import trace_recurrent, trace_rules  # noqa: F401 - their rules register themselves
from rnnrt.passes.lift.around import simplify_around
from rnnrt.passes.lift.grown import Grown, emit_grown, without_grown
from rnnrt.passes.lift.loops import CannotLift, read_loop, read_scan
from rnnrt.passes.lift.recurrences import lift_body
from rnnrt.passes.lift.rewrite import Rewrite
from rnnrt.passes.lift.unrolled import lift_unrolled

__all__ = ["LIFTED", "NOT_LIFTED", "lift"]

LIFTED = "lifted"
"""Key of the graph's metadata: a JSON list of what was lifted, in words."""

NOT_LIFTED = "not_lifted"
"""Key of the graph's metadata: a JSON list of loops that stay, each with the reason."""


def lift(graph: Graph, specs: Mapping[str, TensorSpec]) -> tuple[Graph, dict[str, str]]:
    """The graph with its recurrences as recurrent nodes.

    Parameters
    ----------
    graph : Graph
        Folded, so that its constants are known.
    specs : mapping of str to TensorSpec
        Types of all its values.

    Returns
    -------
    graph : Graph
        The same one where nothing was found. Nodes that nothing reads any more are still in it.
    told : dict of str to str
        What the metadata should say, under `LIFTED` and `NOT_LIFTED`.
    """
    taken = {v.name for g in (graph, *graph.subgraphs()) for v in (*g.inputs, *g.outputs)}
    taken |= {name for g in (graph, *graph.subgraphs()) for node in g.nodes for name in node.outputs}
    taken |= {name for g in (graph, *graph.subgraphs()) for name in g.constants}
    out = Rewrite(graph, specs, taken)
    used = {v.name for v in graph.outputs}.union(*map(names_read, graph.nodes))
    for node in graph.nodes:
        if not _lifted_loop(node, used, out):
            out.keep(node)
    out.drop_unread()
    lift_unrolled(out)
    out.drop_unread()
    simplify_around(out)
    told = {key: json.dumps(notes) for key, notes in ((LIFTED, out.notes), (NOT_LIFTED, out.left)) if notes}
    if not out.changed:
        return graph, told
    return graph.replace(nodes=tuple(out.in_order()), constants=out.constants), told


def _lifted_loop(node: Node, used: set[str], out: Rewrite) -> bool:
    """Whether a node was a loop, and recurrent nodes are in its place now."""
    if node.op not in ("Loop", "Scan"):
        return False
    out.under(node.name or next(name for name in node.outputs if name))
    read = read_loop if node.op == "Loop" else read_scan
    lean = _with_outputs(node, used)
    grown: list[Grown] = []
    if node.op == "Loop":
        lean, grown = without_grown(lean, out)
    try:
        lift_body(node, read(lean, out.specs, out.extents), out)
    except CannotLift as reason:
        out.left.append(f"{node.label()}: {reason}")
        return False
    for item in grown:
        emit_grown(item, out)
    return True


def _with_outputs(node: Node, used: set[str]) -> Node:
    """The node with those outputs alone that something reads."""
    return Node(node.op, node.inputs, tuple(n if n in used else "" for n in node.outputs), node.attrs, node.name)
