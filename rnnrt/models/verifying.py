"""Does a compiled network compute what its references compute: on made-up inputs of many shapes, and step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph
from rnnrt.models.comparing import beyond, largest_difference, tolerance_of
from rnnrt.models.diverging import Divergence, first_divergence
from rnnrt.models.made_up import drawn_inputs
from rnnrt.models.model import Model
from rnnrt.models.stepping import by_steps
from rnnrt.ops.evaluate import evaluate
from rnnrt.samples import suitable_inputs

CASES = ((3, 3), (1, 1), (2, 7), (17, 5), (1, 17), (3, 35))
"""Batch and steps of the made-up calls: around the edges of vectors and of the blocks that steps are taken in."""

BUDGET = 15.0
"""Seconds after which no further call is begun."""

_MAX_TRIALS = 20
_SAME_SHAPES = 3
"""How many calls of the same shapes there may be, where a network takes no others."""

_WHOLE, _STEPS = "whole", "step by step"
_NOT_BY_STEPS = "not compared step by step: "


@dataclass(frozen=True)
class Comparison:
    """One output of one call.

    `case` tells the inputs, `how` whether the sequence went in whole, step by step, or was recorded; `difference` is
    relative to the largest magnitude where that exceeds 1.
    """

    case: str
    how: str
    output: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class Verification:
    """What was compared.

    Attributes
    ----------
    comparisons : tuple of Comparison
    notes : tuple of str
        What was not compared, and why.
    divergence : Divergence, str or None
        Where results differ: the first node that does, or in words why none can be named.
    calls : tuple of dict
        The inputs of the calls, by name.
    """

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    divergence: Divergence | str | None = None
    calls: tuple[dict[str, np.ndarray], ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every comparison is within its tolerance, and there is one."""
        return bool(self.comparisons) and all(c.passed for c in self.comparisons)

    def worst(self, how: str | None = None) -> dict[str, Comparison]:
        """For each output the comparison that is furthest off, measured by its tolerance."""
        found: dict[str, Comparison] = {}
        for c in self.comparisons:
            known = found.get(c.output)
            if (how is None or c.how == how) and (known is None or _share(c) > _share(known)):
                found[c.output] = c
        return found

    def ways(self) -> list[str]:
        """In which ways sequences went in, in order."""
        return list(dict.fromkeys(c.how for c in self.comparisons))

    def explain(self) -> str:
        """What is wrong, for a message."""
        wrong = [c for c in self.comparisons if not c.passed]
        lines = [
            f"  - output {c.output!r}, {c.how}, {c.case}: differs by {c.difference:.1e}, more than {c.tolerance:.0e}"
            for c in wrong[:8]
        ]
        if len(wrong) > len(lines):
            lines.append(f"  - and {len(wrong) - len(lines)} more")
        return "\n".join([*lines, *([] if self.divergence is None else [str(self.divergence)])])


def _share(c: Comparison) -> float:
    return c.difference / c.tolerance if c.tolerance else c.difference


def verify(
    model: Model,
    feeds: Mapping[str, np.ndarray] | None = None,
    tolerance: float | None = None,
    budget: float = BUDGET,
    cases: Sequence[tuple[int, int]] = CASES,
    original: Graph | None = None,
) -> Verification:
    """Compare the compiled network with its float64 reference, and steps with the whole sequence.

    Parameters
    ----------
    model : Model
    feeds : mapping of str to ndarray, optional
        The inputs of the only call; by default they are made up, for several lengths and sizes of a batch, with valid
        indices, masked steps and sequence lengths where the network has such inputs.
    tolerance : float, optional
        The largest difference allowed; by default `TOLERANCES` by the outputs' types. Where the reference in the
        model's own type is itself further off, some times that is allowed.
    budget : float
        Seconds after which no further call is begun; the first is always made.
    cases : sequence of (int, int)
        Batch and steps of made-up calls.
    original : Graph, optional
        The graph as the file has it, before recurrences in it were recognised; its reference is then the one to meet.

    Raises
    ------
    RnnrtError
        No made-up inputs suit the network, or `feeds` do not.
    """
    notes: list[str] = []
    calls: list[dict[str, np.ndarray]] = []
    comparisons: list[Comparison] = []
    first_wrong: dict[str, np.ndarray] | None = None
    end = time.monotonic() + budget
    for call in made_up_calls(model, cases, notes) if feeds is None else [dict(feeds)]:
        calls.append(call)
        whole = model.run(None, call)
        found = against_reference(model, call, whole, tolerance, original)
        if first_wrong is None and not all(c.passed for c in found):
            first_wrong = call
        comparisons += found + against_steps(model, call, whole, tolerance, notes)
        if feeds is None and len(calls) < len(cases) and time.monotonic() > end:
            notes.append(f"calls after {len(calls)} of {len(cases)} were left out, to take about {budget:.0f} s")
            break
    divergence: Divergence | str | None = None
    if first_wrong is not None:
        divergence = first_divergence(model, first_wrong, tolerance, original)
    elif not all(c.passed for c in comparisons):
        divergence = "every whole call agrees with the reference: single steps do not go on from the states before"
    return Verification(tuple(comparisons), tuple(dict.fromkeys(notes)), divergence, tuple(calls))


def blame(model: Model, calls: Sequence[Mapping[str, np.ndarray]], original: Graph | None = None) -> Divergence | str:
    """Why results are not those of someone else: the first diverging node, or that it is no node of the plan."""
    for feeds in calls:
        if not all(c.passed for c in against_reference(model, feeds, model.run(None, feeds), None, original)):
            return first_divergence(model, feeds, None, original)
    return "the compiled result and the float64 reference agree: it is the other results, or the reading, that differ"


def made_up_calls(model: Model, cases: Sequence[tuple[int, int]], notes: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of different shapes that the network takes; the first case decides whether there are any."""
    calls: list[dict[str, np.ndarray]] = []
    seen: set[tuple[tuple[int, ...], ...]] = set()
    refused: list[tuple[int, int]] = []
    for k, (batch, steps) in enumerate(cases):
        try:
            plain = _near(model, batch, steps, k, calls)
        except RnnrtError:
            if not k:
                raise
            refused.append((batch, steps))
            continue
        shapes = tuple(x.shape for x in plain.values())
        if shapes in seen and len(calls) >= _SAME_SHAPES:
            continue
        seen.add(shapes)
        drawn = drawn_inputs(model.graph, plain, seed=k)
        try:
            model.run(None, drawn)
        except RnnrtError as error:
            notes.append(f"plain numbers were used in place of drawn ones ({error})")
            drawn = plain
        calls.append(drawn)
        yield drawn
    if refused:
        listed = ", ".join(f"{batch} x {steps}" for batch, steps in refused)
        notes.append(f"the network takes nothing near these sizes of batch and steps: {listed}")


def _near(
    model: Model, batch: int, steps: int, seed: int, calls: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Inputs as near to a size as the network takes; after the first call, another batch is tried with its steps.

    A search over all sizes is made for the first call alone: it takes long.
    """
    graph = model.graph
    if not calls:
        return suitable_inputs(graph, lambda feeds: model.run(None, feeds), batch, steps, seed)
    free = [
        extent
        for v in graph.inputs
        for extent, dim in zip(calls[0][v.name].shape, v.shape or (), strict=False)
        if not isinstance(dim, int)
    ]
    try:
        return suitable_inputs(graph, _limited(model), batch, steps, seed)
    except _EnoughError:
        pass
    try:
        return suitable_inputs(graph, _limited(model), batch, max(free, default=1), seed)
    except _EnoughError:
        raise RnnrtError(f"batch {batch} and {steps} steps do not suit the network") from None


class _EnoughError(Exception):
    """The search for inputs is given up."""


def _limited(model: Model) -> Callable[[dict[str, np.ndarray]], object]:
    """The model's run, for a few trials."""
    trials = 0

    def call(feeds: dict[str, np.ndarray]) -> object:
        nonlocal trials
        trials += 1
        if trials > _MAX_TRIALS:
            raise _EnoughError
        return model.run(None, feeds)

    return call


def case_text(feeds: Mapping[str, np.ndarray]) -> str:
    """The shapes of a call, for messages."""
    return ", ".join(f"{name} {tuple(np.shape(x))}" for name, x in feeds.items())


def against_reference(
    model: Model,
    feeds: Mapping[str, np.ndarray],
    got: Sequence[np.ndarray],
    tolerance: float | None = None,
    original: Graph | None = None,
) -> list[Comparison]:
    """Results of the compiled network beside those of the float64 reference."""
    graph = original or model.graph
    exact = evaluate(graph, feeds, np.float64)
    rough: list[np.ndarray] | None = None
    found = []
    for k, (value, y) in enumerate(zip(model.graph.outputs, got, strict=True)):
        allowed = tolerance_of(y.dtype, tolerance)
        difference = largest_difference(y, np.asarray(exact[k]))
        if difference > allowed:
            rough = rough or evaluate(graph, feeds)
            difference, allowed = beyond(y, np.asarray(exact[k]), np.asarray(rough[k]), allowed)
        found.append(Comparison(case_text(feeds), _WHOLE, value.name, difference, allowed))
    return found


def against_steps(
    model: Model,
    feeds: Mapping[str, np.ndarray],
    whole: Sequence[np.ndarray],
    tolerance: float | None,
    notes: list[str],
) -> list[Comparison]:
    """Results of the sequence step by step beside those of the whole."""
    steps = by_steps(model, feeds)
    if steps.why:
        if not any(note.startswith(_NOT_BY_STEPS) for note in notes):
            notes.append(f"{_NOT_BY_STEPS}{steps.why}")
        return []
    return [
        Comparison(case_text(feeds), _STEPS, v.name, largest_difference(y, want), tolerance_of(want.dtype, tolerance))
        for v, y, want in zip(model.graph.outputs, steps.outputs, whole, strict=True)
    ]
