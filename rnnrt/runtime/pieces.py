"""Runs pieces of a sequence, of any length, states beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt._kernels.stepper import MAX_OUTPUTS, Stepper
from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Graph, names_read
from rnnrt.passes.expose_state import StateSlot
from rnnrt.passes.time_windows import Rate
from rnnrt.plan import PackCache, Target
from rnnrt.runtime.layout import Layout, Result
from rnnrt.runtime.session import Session, checked_input

Arrays = list[np.ndarray]


class Pieces:
    """What all streams of one network and batch size share: it keeps no state. Safe to use from many threads.

    Parameters
    ----------
    layout : Layout
    target, threads, packs
        As for `Session`.
    """

    def __init__(
        self, layout: Layout, target: Target | None, threads: int | None, packs: PackCache | None = None
    ) -> None:
        self.layout = layout
        self.session = Session(layout.graph, target, threads, packs)
        self._parts: dict[frozenset[Rate], _Part] = {}
        self._lock = threading.Lock()

    def advance(self, feeds: Sequence[Any], states: Arrays) -> tuple[list[np.ndarray | None], Arrays]:
        """Results and next states; the arrays in `states` are left as they are.

        A result is None where it has no axis of time and no step of it was due; one that has time is then empty.

        Raises
        ------
        ShapeError
            An input does not fit, or two have different lengths.
        """
        layout = self.layout
        if layout.whole:
            return self._split(self.session.run([*feeds, *states]))
        arrays = [checked_input(f.value, x) for f, x in zip(layout.feeds, feeds, strict=True)]
        lengths = {x.shape[f.time] for f, x in zip(layout.feeds, arrays, strict=True) if f.time is not None}
        if len(lengths) > 1:
            shapes = {f.value.name: x.shape for f, x in zip(layout.feeds, arrays, strict=True)}
            raise ShapeError(f"the pieces have different lengths: {shapes}; feed all inputs the same steps")
        steps = lengths.pop()
        if layout.is_steady:
            if steps:
                return self._split(self.session.run([*arrays, *states]))
            return [_empty(r) for r in layout.results], list(states)
        return self._unsteady(arrays, states, steps)

    def stepper(self, feeds: Sequence[np.ndarray], states: Arrays) -> Stepper | None:
        """A fast way to take steps of the size of these, which begins with `states` and owns them from now on.

        None where several inputs are fed, or the shapes of states or results are not known beforehand.
        """
        layout = self.layout
        if len(layout.feeds) != 1 or not layout.is_steady or len(layout.results) > MAX_OUTPUTS:
            return None
        (feed,) = layout.feeds
        x = checked_input(feed.value, feeds[0])
        shapes = {slot.name: slot.initial.shape for slot in layout.slots}
        executor = self.session.executor_for({**shapes, feed.value.name: x.shape})
        if executor is None or [s for _, s in executor.output_specs[len(layout.results) :]] != list(shapes.values()):
            return None
        outputs = [
            (dtype, _without(full, r.time if r.times == 1 else None))
            for (dtype, full), r in zip(executor.output_specs, layout.results, strict=False)
        ]
        return Stepper(executor, (feed.value.dtype, _without(x.shape, feed.time)), outputs, states)

    def exact(self, x: np.ndarray) -> np.ndarray | None:
        """The only input of a step in the form that the stepper takes; None where it has not one step."""
        (feed,) = self.layout.feeds
        array = checked_input(feed.value, x)
        if feed.time is None:
            return array
        return array.reshape(_without(array.shape, feed.time)) if array.shape[feed.time] == 1 else None

    def _split(self, results: Arrays) -> tuple[list[np.ndarray | None], Arrays]:
        count = len(self.layout.results)
        return list(results[:count]), results[count:]

    def _unsteady(self, arrays: Arrays, states: Arrays, steps: int) -> tuple[list[np.ndarray | None], Arrays]:
        layout = self.layout
        counts = self._counts(states, steps)
        missing = frozenset(rate for rate, count in counts.items() if not count)
        part = self._part(missing)
        found = dict(zip(part.names, part.session.run([*arrays, *states]), strict=True)) if part.session else {}
        nexts = []
        for slot, state in zip(layout.slots, states, strict=True):
            if slot.window is None:
                nexts.append(found.get(slot.result, state))
                continue
            joined = found.get(slot.result, state)
            past = slot.window.count(joined.shape[slot.window.axis]) * slot.window.stride
            cut = (*(slice(None),) * slot.window.axis, slice(past, None))
            nexts.append(joined[cut].copy() if past else joined)
        return [found[r.name] if r.name in found else _empty(r) for r in layout.results], nexts

    def _counts(self, states: Arrays, steps: int) -> dict[Rate, int]:
        """How many steps of each rate are due in this piece; what windows have kept tells."""
        layout, counts = self.layout, {Rate(): steps}
        for slot, state in zip(layout.slots, states, strict=True):
            if slot.between is None:
                continue
            rate = layout.rates[slot.between[1]]
            new = counts[layout.rates[slot.between[0]]]
            if slot.window is not None:
                new = slot.window.count(state.shape[slot.window.axis] + new)
            if counts.setdefault(rate, new) != new:
                raise StateError(f"state {slot.name!r} has a length that does not go with the other states")
        return counts

    def agree(self, states: Arrays) -> None:
        """Raise `StateError` unless what windows have kept stands at one place of the sequence."""
        if not self.layout.is_steady:
            self._counts(states, 0)

    def _part(self, missing: frozenset[Rate]) -> _Part:
        with self._lock:
            if missing not in self._parts:
                self._parts[missing] = _Part(self.layout, missing, self.session)
            return self._parts[missing]


class _Part:
    """The part of a network that has steps to do, where windows are not complete for others."""

    def __init__(self, layout: Layout, missing: frozenset[Rate], whole: Session) -> None:
        graph = layout.graph
        dead = _without_steps(graph, layout, missing)
        self.names = [v.name for v in graph.outputs if v.name not in dead]
        outputs = tuple(v for v in graph.outputs if v.name not in dead)
        self.session: Session | None = whole
        if dead:
            part = graph.replace(outputs=outputs)
            self.session = Session(part, whole.target, whole.threads, whole.packs) if outputs else None


def _without_steps(graph: Graph, layout: Layout, missing: frozenset[Rate]) -> set[str]:
    """The values that are not computed when no step of these rates is due."""
    dead = {f.value.name for f in layout.feeds if f.time is not None and Rate() in missing}
    for node in graph.nodes:
        late = any(name in layout.rates and layout.rates[name] in missing for name in node.outputs)
        if late or names_read(node) & dead:
            dead.update(name for name in node.outputs if name)
    return dead


def with_axis(x: np.ndarray, axis: int | None) -> np.ndarray:
    """A step with an axis of time of one step; `axis` None: as it is."""
    return x if axis is None or x.ndim < axis else x[(*(slice(None),) * axis, None)]


def step_of(y: np.ndarray | None, result: Result) -> np.ndarray | None:
    """The only step of a result, without the axis of time; None where there is none."""
    if y is None or result.time is None:
        return y
    if y.shape[result.time] == 0:
        return None
    return y.take(0, result.time) if result.times == 1 else y


def _without(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    return tuple(d for i, d in enumerate(shape) if i != axis)


def _empty(result: Result) -> np.ndarray | None:
    if result.time is None:
        return None
    shape = [0 if i == result.time else d for i, d in enumerate(result.shape or ())]
    return np.zeros([d if isinstance(d, int) else 0 for d in shape], result.dtype)


def fitting_state(slot: StateSlot, given: Any) -> np.ndarray:
    """A state as the caller gives it, as an array of the stream's own.

    Raises
    ------
    ShapeError
        It has another shape, or its dtype would lose what it holds.
    """
    axis = None if slot.window is None else slot.window.axis
    wanted = tuple(None if i == axis else d for i, d in enumerate(slot.initial.shape))
    array = np.asarray(given)
    fits = len(wanted) == array.ndim and all(w in (None, d) for w, d in zip(wanted, array.shape, strict=True))
    if fits and slot.window is not None and axis is not None:
        fits = array.shape[axis] < slot.window.span + slot.window.lead
    if not fits:
        raise ShapeError(f"state {slot.name!r} has shape {wanted}, got {array.shape}")
    if not np.can_cast(array.dtype, slot.initial.dtype, "same_kind"):
        raise ShapeError(f"state {slot.name!r} has dtype {slot.initial.dtype}, got {array.dtype}")
    return np.array(array, slot.initial.dtype, order="C")


def in_order(given: Sequence[Any], names: Sequence[str], kept: Iterable[str]) -> list[Any]:
    """The inputs in the order of `names`, as they are given: by place, or by name in one dict.

    Raises
    ------
    ShapeError
        One is missing or unknown. `kept` are the states, which a stream feeds itself.
    """
    if len(given) != 1 or not isinstance(given[0], Mapping):
        if len(given) != len(names):
            raise ShapeError(f"the stream takes the inputs {list(names)}; got {len(given)} arrays")
        return list(given)
    (named,) = given
    missing = [name for name in names if name not in named]
    unknown = [name for name in named if name not in names]
    if missing or unknown:
        own = [name for name in unknown if name in kept]
        raise ShapeError(
            f"the stream takes the inputs {list(names)}; got {sorted(map(str, named))}"
            + (f"; {', '.join(own)} it keeps itself" if own else "")
        )
    return [named[name] for name in names]
