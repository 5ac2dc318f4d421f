"""Graph -> Graph: what happens between reading a model and planning it. One pass a file."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph
from rnnrt.ops import TensorSpec
from rnnrt.passes.check import check
from rnnrt.passes.fold import fold
from rnnrt.passes.hoist import hoist
from rnnrt.passes.lift import LIFTED, NOT_LIFTED, lift
from rnnrt.passes.prune import prune

__all__ = ["LIFTED", "NOT_LIFTED", "check", "fold", "hoist", "prune", "recognise", "specialise"]


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


def recognise(graph: Graph) -> Graph:
    """The graph with the recurrences that its exporter wrote as loops or step by step as LSTM, GRU and RNN nodes.

    Its metadata says under `LIFTED` what was found, and under `NOT_LIFTED` which loops stay and why. A graph in which
    nothing was found comes back as it is otherwise.

    Raises
    ------
    ModelFormatError, UnsupportedModelError, ShapeError
        As `specialise`.
    """
    types = {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs}
    simple, specs = specialise(graph, types)
    try:
        if (hoisted := hoist(simple)) is not simple:
            simple, specs = specialise(hoisted, types)
        lifted, told = lift(simple, specs)
    except RnnrtError:
        raise
    except Exception as error:  # what lifting does not foresee must not keep a sound graph from running
        why = f"the graph is left as it was read: {type(error).__name__}: {error}; please report this with the model"
        lifted, told = simple, {NOT_LIFTED: json.dumps([why])}
    found = graph if lifted is simple else prune(lifted)
    return found.replace(metadata={**graph.metadata, **told}) if told else found
