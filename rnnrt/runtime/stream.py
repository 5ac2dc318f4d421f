"""A stream: a network that is fed piece by piece and owns its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt._kernels import program
from rnnrt._kernels.stepper import MAX_OUTPUTS, BusyError, Stepper
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.ir import Graph
from rnnrt.plan import PackCache, Target
from rnnrt.runtime.feeding import Source
from rnnrt.runtime.kept import BUSY, Kept
from rnnrt.runtime.layout import Layout, Result
from rnnrt.runtime.pieces import Arrays, fitting_state
from rnnrt.runtime.session import checked_input


class Stream(Kept):
    """Runs a network over a sequence that arrives in pieces; the pieces give what the whole would have given.

    A network is fed along its time where everything in it either treats steps alone, or is a recurrence that runs
    forward, or a convolution or pool that reaches back only. A network that takes its states as inputs and gives them
    as outputs may also take a block of samples a call; the stream then carries the states from call to call.

    Parameters
    ----------
    graph : Graph or Source
        A `Source` has all but `batch_size` and `initial_state` already.
    batch_size : int
        Sequences side by side.
    target : Target, optional
    threads : int, optional
        As for `Session`.
    dtype : dtype-like, optional
        float32 or float64 to compute in; by default what the network has.
    states : mapping of str to str, optional
        States that the network takes as inputs and gives as outputs: output by input. By default they are found, see
        `rnnrt.runtime.states.find_state_pairs`; {} says that there are none.
    initial_state : mapping of str to array_like, optional
        What the stream begins with, by state; zeros, or what the network says, for others.
    packs : PackCache, optional
        As for `Session`.

    Raises
    ------
    StateError
        The network cannot be streamed; the message names the node and the reason. Or states are not clear.
    ShapeError
        An initial state does not fit.
    """

    def __init__(
        self,
        graph: Graph | Source,
        batch_size: int = 1,
        target: Target | None = None,
        threads: int | None = None,
        *,
        dtype: Any = None,
        states: Mapping[str, str] | None = None,
        initial_state: Mapping[str, Any] | None = None,
        packs: PackCache | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise StateError(f"batch_size={batch_size!r}: a stream runs one sequence or more side by side")
        self.batch_size = int(batch_size)
        if not isinstance(graph, Source):
            graph = Source(graph, target, threads, dtype=dtype, states=states, packs=packs)
        self._source = graph
        begin = {} if initial_state is None else dict(initial_state)
        self._start(self._source.pieces(self.batch_size, begin))
        self._initial = self._checked(begin, [slot.initial for slot in self._slots])
        self._held = [array.copy() for array in self._initial]

    def step(self, *x: Any, out: Any = None, **named: Any) -> Any:
        """One time step; of a network that takes a block a call, one call.

        Parameters
        ----------
        *x : array_like
            The inputs in their order, without their time axes, such as (batch_size, features); or one dict by name.
        out : ndarray or tuple of ndarray, optional
            Where the outputs go: C-contiguous arrays of exactly their dtypes and shapes.
        **named : array_like
            Inputs by name.

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs; those that carry time come without that axis. None in the place of an output of which no step
            is due yet: of a network with strides, say.

        Raises
        ------
        ShapeError
            An input or `out` does not fit; the state is as before.
        StateError
            Another thread uses the stream at this moment, or it is closed.
        """
        stepper = self._stepper
        if stepper is not None and len(x) == 1 and not named:
            y = self._stepped(stepper, x[0], out)
            if y is not None:
                return y
        arrays = [np.asarray(a) for a in self._ordered(x, named)]
        with self._alone():
            pieces = self._open()
            full = [_with_axis(a, feed.time) for a, feed in zip(arrays, pieces.layout.feeds, strict=True)]
            stepper = stepper or self._first_stepper(pieces.layout, full)
            if stepper is None:
                results, states = pieces.advance(full, self._states)
                y = _given([_step_of(y, r) for y, r in zip(results, pieces.layout.results, strict=True)], out)
                self._states = states
                return y
        (feed,) = pieces.layout.feeds
        exact = checked_input(feed.value, full[0])
        exact = exact if feed.time is None else np.ascontiguousarray(np.squeeze(exact, feed.time))
        y = self._stepped(stepper, exact, out)
        if y is not None:
            return y
        if out is not None:
            raise ShapeError("out does not fit: give C-contiguous arrays of the outputs' dtypes and shapes")
        with self._alone():  # a block of another size than the first one
            results, self._states = self._open().advance(full, self._states)
            return _given(list(results), None)

    def run(self, *chunk: Any, **named: Any) -> Any:
        """A piece of any length, also an empty one, in the network's own layout; the state goes on from the last call.

        Parameters
        ----------
        *chunk : array_like
            The inputs in their order, or one dict by name.
        **named : array_like
            Inputs by name.

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs. Those that carry time have as many steps as are due; others are None as long as none is.

        Raises
        ------
        ShapeError
            An input does not fit; the state is as before.
        StateError
            The network takes a block a call; or as for `step`.
        """
        arrays = [np.asarray(x) for x in self._ordered(chunk, named)]
        with self._alone():
            pieces = self._open()
            if pieces.layout.whole:
                raise StateError(
                    f"the network cannot be cut along time ({pieces.layout.whole}); call step for each block"
                )
            results, self._states = pieces.advance(arrays, self._states)
        return _given(list(results), None)

    def __reduce__(self) -> tuple[Any, ...]:
        source = self._source
        if any(node.op == "Python" for g in (source.given, *source.given.subgraphs()) for node in g.nodes):
            raise StateError("the network holds a Python function, which cannot be sent to another process")
        made = source.given, self.batch_size, source.options, source.dtype, source.pairs
        initial = {slot.name: array for slot, array in zip(self._slots, self._initial, strict=True)}
        return _remade, (type(self), made, initial, self.state)

    def _stepped(self, stepper: Stepper, x: Any, out: Any) -> Any:
        """One step by the fast path; None where the arrays are not exactly what it takes."""
        into = None
        if out is not None:
            into = tuple(out) if isinstance(out, (tuple, list)) else (out,)
            arrays = [x, *into]
            if any(np.may_share_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i]):
                raise ShapeError("out shares memory with the input or with itself; give arrays of their own")
        try:
            return stepper.step(x, into)
        except BusyError:
            raise StateError(BUSY) from None
        except program.KernelError as error:
            raise RnnrtError(str(error)) from None

    def _first_stepper(self, layout: Layout, arrays: Sequence[np.ndarray]) -> Stepper | None:
        """The fast path, where one input is fed and the shapes of all results are known; made at the first step."""
        if len(layout.feeds) != 1 or not layout.is_steady or len(layout.results) > MAX_OUTPUTS:
            return None
        (feed,) = layout.feeds
        shape = checked_input(feed.value, arrays[0]).shape
        shapes = {slot.name: slot.initial.shape for slot in self._slots}
        executor = self._open().session.executor_for({**shapes, feed.value.name: shape})
        if executor is None or [s for _, s in executor.output_specs[len(layout.results) :]] != list(shapes.values()):
            return None
        outputs = [
            (dtype, _without(full, r.time if r.times == 1 else None))
            for (dtype, full), r in zip(executor.output_specs, layout.results, strict=False)
        ]
        stepper = Stepper(executor, (feed.value.dtype, _without(shape, feed.time)), outputs, self._held)
        self._held, self._stepper = [], stepper
        return stepper

    def _ordered(self, given: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """The inputs in the order of the network's."""
        if len(given) == 1 and isinstance(given[0], Mapping):
            given, named = (), {**given[0], **named}
        found = dict(zip(self._names, given, strict=False))
        twice = [name for name in named if name in found]
        unknown = [name for name in named if name not in self._names]
        found.update(named)
        missing = [name for name in self._names if name not in found]
        if twice or unknown or missing or len(given) > len(self._names):
            raise ShapeError(
                f"the stream takes {self._names}; got {len(given)} arrays and the names {sorted(named)}"
                + (
                    f"; {', '.join(self._source.pairs)} it keeps itself"
                    if set(unknown) & set(self._source.pairs)
                    else ""
                )
            )
        return [found[name] for name in self._names]

    def _checked(self, given: Mapping[str, Any], otherwise: Arrays) -> Arrays:
        """States as the caller gives them, or what there is."""
        names = [slot.name for slot in self._slots]
        if unknown := [name for name in given if name not in names]:
            raise StateError(f"initial_state: {unknown} are not known; the stream's states are {names}")
        return [
            fitting_state(slot, given[slot.name]) if slot.name in given else array
            for slot, array in zip(self._slots, otherwise, strict=True)
        ]


def _remade(kind: type[Stream], made: tuple[Any, ...], initial: dict[str, Any], state: dict[str, Any]) -> Stream:
    """A stream from its pickle."""
    graph, batch_size, options, dtype, pairs = made
    stream = kind(graph, batch_size, *options, dtype=dtype, states=pairs, initial_state=initial)
    stream.state = state
    return stream


def _with_axis(x: np.ndarray, axis: int | None) -> np.ndarray:
    return x if axis is None or x.ndim < axis else np.expand_dims(x, axis)


def _without(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    return tuple(d for i, d in enumerate(shape) if i != axis)


def _step_of(y: np.ndarray | None, result: Result) -> np.ndarray | None:
    """The only step of a result, without the axis of time; None where there is none."""
    if y is None or result.time is None:
        return y
    if y.shape[result.time] == 0:
        return None
    return y.take(0, result.time) if result.times == 1 else y


def _given(results: list[np.ndarray | None], out: Any) -> Any:
    """Results as a caller gets them, in `out` where that is given."""
    if out is not None:
        into = list(out) if isinstance(out, (tuple, list)) else [out]
        specs = [None if y is None else (y.dtype, y.shape) for y in results]
        if [(a.dtype, a.shape) if isinstance(a, np.ndarray) else None for a in into] != specs:
            raise ShapeError(f"out does not fit; the outputs are {specs}")
        for y, place in zip(results, into, strict=True):
            np.copyto(place, y)  # type: ignore[arg-type]
        results = into
    return results[0] if len(results) == 1 else tuple(results)
