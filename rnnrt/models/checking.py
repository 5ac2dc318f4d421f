"""What of a file rnnrt can run, train and stream, and what not and why: everything at once, nothing written."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, StateError, UnsupportedModelError
from rnnrt.ir import Graph
from rnnrt.models.loading import load
from rnnrt.models.made_up import drawn_inputs
from rnnrt.models.model import Model
from rnnrt.models.reasons import Reason, reason_of
from rnnrt.models.running import TensorInfo
from rnnrt.models.stepping import state_pairs
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.lift import LIFTED, NOT_LIFTED
from rnnrt.runtime import stream_obstacles
from rnnrt.samples import suitable_inputs
from rnnrt.training.backward import differentiate

_INTERPRETED = ("Loop", "Scan")
_NOT_TRAINED = "freeze what lies below it (trainable=False), or use an operator with a gradient"
_NOT_STREAMED = "run the whole sequence"


@dataclass(frozen=True)
class Report:
    """What rnnrt can do with a file.

    Attributes
    ----------
    path : str
    supported : bool
        Whether the network runs; training and streaming are judged apart.
    reasons : tuple of Reason
        Why not: every one.
    inputs, outputs : tuple of TensorInfo
        Empty where the file cannot be read.
    operators : dict of str to int
        How often each operator occurs, bodies included.
    compiled, hosted, interpreted : dict of str to int
        Which of them, after folding, run in compiled code, by their numpy references inside the plan, and step by step
        in Python (bodies of Loop and Scan, and everything where shapes depend on data).
    untrainable : tuple of Reason
        What gradients cannot pass.
    unstreamable : tuple of Reason
        Why `Model.stream` refuses the network; empty where it takes it.
    states : dict of str to str
        Inputs that hold states, with the outputs that hold them after the sequence.
    lifted, not_lifted : tuple of str
        What was recognised as a recurrence, and which loops were not, and why.
    notes : tuple of str
        What else there is to know.
    """

    path: str
    supported: bool
    reasons: tuple[Reason, ...] = ()
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    compiled: Mapping[str, int] = field(default_factory=dict)
    hosted: Mapping[str, int] = field(default_factory=dict)
    interpreted: Mapping[str, int] = field(default_factory=dict)
    untrainable: tuple[Reason, ...] = ()
    unstreamable: tuple[Reason, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    lifted: tuple[str, ...] = ()
    not_lifted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        rows = {
            key: [
                {"name": i.name, "dtype": i.dtype.name, "shape": None if i.shape is None else list(i.shape)} for i in v
            ]
            for key, v in (("inputs", self.inputs), ("outputs", self.outputs))
        }
        listed = {key: [asdict(r) for r in getattr(self, key)] for key in ("reasons", "untrainable", "unstreamable")}
        counts = {key: dict(getattr(self, key)) for key in ("operators", "compiled", "hosted", "interpreted", "states")}
        return {
            "path": self.path,
            "supported": self.supported,
            **listed,
            **rows,
            **counts,
            "lifted": list(self.lifted),
            "not_lifted": list(self.not_lifted),
            "notes": list(self.notes),
        }


def check(path: str | os.PathLike[str], **options: Any) -> Report:
    """Read a file, write nothing, and tell what rnnrt can do with it.

    Parameters
    ----------
    path : path-like
        As for `load`.
    **options
        Other arguments of `load`.

    Returns
    -------
    Report
        With every reason against running, training and streaming the network.

    Raises
    ------
    ModelFormatError
        The file is missing, damaged, or of an unknown kind.
    ShapeError
        Shapes within the file do not fit together.
    RnnrtError
        A package that reading needs is not installed.
    """
    file = os.fspath(path)
    try:
        model = load(path, **options)
    except UnsupportedModelError as error:
        return Report(file, False, tuple(reason_of(text) for text in error.reasons))
    return report(model, file)


def report(model: Model, path: str = "") -> Report:
    """As `check`, of a model that is there already."""
    graph = model.graph
    notes: list[str] = []
    operators = Counter(node.op for g in (graph, *graph.subgraphs()) for node in g.nodes)
    compiled: Counter[str] = Counter()
    hosted: Counter[str] = Counter()
    interpreted: Counter[str] = Counter()
    states: dict[str, str] = {}
    feeds = None
    try:
        plain = suitable_inputs(graph, lambda given: model.run(None, given), 3, 5)
        feeds = drawn_inputs(graph, plain, 0)
    except RnnrtError as error:
        notes.append(f"what runs how is not known, nor what can be trained: {error}")
    if feeds is not None:
        shapes = {name: np.shape(x) for name, x in feeds.items()}
        planned = model._session.plan_for(feeds)[1] is not None
        for row in model.describe(feeds):
            interpreted_here = not planned or row.op in _INTERPRETED
            (interpreted if interpreted_here else compiled if row.native else hosted)[row.op] += 1
        if not planned:
            notes.append("shapes depend on data: the whole graph runs node by node in numpy, without a plan")
        try:
            states = state_pairs(graph, shapes)
        except StateError:
            states = {}
    return Report(
        path,
        True,
        (),
        model.inputs,
        model.outputs,
        dict(operators),
        dict(compiled),
        dict(hosted),
        dict(interpreted),
        () if feeds is None else _untrainable(model, feeds, notes),
        _unstreamable(graph, feeds),
        states,
        told(graph),
        told(graph, NOT_LIFTED),
        tuple(notes),
    )


def told(graph: Graph, key: str = LIFTED) -> tuple[str, ...]:
    """Lines of the graph's metadata on recurrences, under `LIFTED` or `NOT_LIFTED`: a JSON list of texts."""
    text = graph.metadata.get(key)
    if text is None:
        return ()
    try:
        lines = json.loads(text)
    except ValueError:
        return (text,)
    return tuple(str(line) for line in lines) if isinstance(lines, list) else (text,)


def _unstreamable(graph: Graph, feeds: Mapping[str, np.ndarray] | None) -> tuple[Reason, ...]:
    x = next(iter(feeds.values())) if feeds else None
    sizes = [1] if x is None or x.ndim < 2 else list(dict.fromkeys(x.shape[:2]))
    found = [stream_obstacles(graph, batch) for batch in sizes]
    return tuple(reason_of(text, _NOT_STREAMED) for text in min(found, key=lambda reasons: _severity(reasons)))


def _severity(reasons: tuple[str, ...]) -> tuple[bool, bool, int]:
    """Which of two lists says more: none at all, one that names nodes, one that does not."""
    return (bool(reasons), not any(" node " in text for text in reasons), len(reasons))


def _untrainable(model: Model, feeds: Mapping[str, np.ndarray], notes: list[str]) -> tuple[Reason, ...]:
    rows = next((len(x) for x in feeds.values() if x.ndim), 1)
    try:
        made = model.training_graph(True)
        specs = {}
        for value in made.graph.inputs:
            shape = np.shape(feeds[value.name]) if value.name in feeds else value.shape or ()
            specs[value.name] = TensorSpec(value.dtype, tuple(d if isinstance(d, int) else rows for d in shape))
        graph, types = specialise(made.graph, specs)
        seeds = {
            v.name: f"gradient of {v.name}" for v in graph.outputs if v.name in made.outputs and v.dtype.kind == "f"
        }
        if not made.trainable:
            notes.append("there are no weights to train")
        elif not seeds:
            notes.append("no output is of floating point, so there is nothing to train by")
        else:
            back = differentiate(graph, types, seeds, made.trainable)
            still = [name for name in made.trainable if name not in back.gradients]
            if still:
                notes.append(f"no gradient comes to {len(still)} of {len(made.trainable)} weights: {_few(still)}")
    except UnsupportedModelError as error:
        return tuple(reason_of(text, _NOT_TRAINED) for text in error.reasons)
    except RnnrtError as error:
        return (reason_of(str(error), _NOT_TRAINED),)
    return ()


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
