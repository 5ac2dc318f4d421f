"""Follow the time axis through a graph, and refuse what mixes time steps.

A network can be run piece by piece when each of its nodes either is recurrent, or is a window that reaches back only,
or treats every time step alone. The axis that carries time is found by comparing the shapes of two specialisations of
the graph that differ in the length of the sequence alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rnnrt.errors import StateError
from rnnrt.ir import Graph
from rnnrt.ops import TensorSpec
from rnnrt.passes.time_walk import RECURRENT, Followed, Refusal, TimeWalk, refusal

__all__ = ["RECURRENT", "Followed", "Refusal", "follow", "mixing", "refusal", "time_axes"]


def follow(
    graph: Graph,
    short: Mapping[str, TensorSpec],
    long: Mapping[str, TensorSpec],
    lengths: tuple[int, int],
    fed: Iterable[str],
) -> Followed:
    """The time of a graph's values.

    Parameters
    ----------
    graph : Graph
        Specialised for the first length.
    short, long : mapping of str to TensorSpec
        Types of its values when the sequence has `lengths[0]` and `lengths[1]` steps.
    fed : iterable of str
        The inputs that carry time.

    Raises
    ------
    StateError
        A node mixes time steps other than by a recurrence that runs forward or by a window that reaches back; the
        message names it.
    """
    walk = TimeWalk.begun(short, long, lengths, fed)
    for node in graph.nodes:
        walk.node(node)
    return walk.found


def time_axes(
    graph: Graph, short: Mapping[str, TensorSpec], long: Mapping[str, TensorSpec], lengths: tuple[int, int]
) -> dict[str, int]:
    """The axis of time of each value that carries it, in a graph whose nodes keep nothing but recurrent states.

    The parameters are those of `follow`.

    Raises
    ------
    StateError
        A node mixes time steps other than by a recurrence that runs forward along time; the message names it.
    """
    walk = TimeWalk.begun(short, long, lengths, [v.name for v in graph.inputs])
    for node in graph.nodes:
        walk.node(node)
        first = next((name for name in node.outputs if name), "")
        if first in walk.found.windows:
            raise refusal(node, "mixes time steps")
        if first in walk.found.alone:
            raise refusal(node, "does not run along the time of the network's input")
    return walk.found.axes


def mixing(
    graph: Graph, short: Mapping[str, TensorSpec], long: Mapping[str, TensorSpec], lengths: tuple[int, int]
) -> list[str]:
    """What `follow` refuses, every node with its reason; empty where it refuses nothing.

    What follows from a refused node is not judged, except that recurrences must run forward.
    """
    walk = TimeWalk.begun(short, long, lengths, [v.name for v in graph.inputs])
    reasons: list[str] = []
    spoiled: set[str] = set()
    for node in graph.nodes:
        if not spoiled.isdisjoint(node.inputs):
            spoiled.update(node.outputs)
            if node.op in RECURRENT and node.attrs.get("direction", "forward") != "forward":
                reasons.append(str(refusal(node, f"reads the sequence {node.attrs['direction']}")))
            continue
        try:
            walk.node(node)
        except StateError as error:
            reasons.append(str(error))
            spoiled.update(name for name in node.outputs if name)
    return reasons
