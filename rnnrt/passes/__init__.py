"""Graph -> Graph: what happens between reading a model and planning it. One pass a file."""

from __future__ import annotations

from collections.abc import Mapping

from rnnrt.ir import Graph
from rnnrt.ops import TensorSpec
from rnnrt.passes.check import check
from rnnrt.passes.fold import fold
from rnnrt.passes.prune import prune

__all__ = ["check", "fold", "prune", "specialise"]


def specialise(graph: Graph, specs: Mapping[str, TensorSpec]) -> tuple[Graph, dict[str, TensorSpec]]:
    """The graph made as simple as these input types allow: constants folded, branches chosen, dead nodes gone.

    Parameters
    ----------
    graph : Graph
    specs : mapping of str to TensorSpec
        What is known of every input, and of the enclosing scopes' values where the graph is a body.

    Returns
    -------
    graph, specs
        `specs` holds the type of every value of the new graph, and what was given.

    Raises
    ------
    ModelFormatError, UnsupportedModelError
        The graph is not well formed, or holds operators that rnnrt does not know.
    ShapeError
        Shapes do not fit together; the message names the node.
    """
    check(graph, specs)
    graph, inferred = fold(graph, specs)
    graph = prune(graph)
    check(graph, specs)
    return graph, inferred
