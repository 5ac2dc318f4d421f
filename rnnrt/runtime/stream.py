"""A stream: a network that is fed piece by piece and owns its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt._kernels import program
from rnnrt._kernels.stepper import BusyError, Stepper
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.ir import Graph
from rnnrt.plan import PackCache, Target
from rnnrt.runtime.feeding import Source
from rnnrt.runtime.kept import BUSY, Kept
from rnnrt.runtime.layout import Layout
from rnnrt.runtime.pieces import Arrays, fitting_state, in_order, step_of, with_axis


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

    def step(self, x: Any, *more: Any, out: Any = None) -> Any:
        """One time step; of a network that takes a block a call, one call.

        Parameters
        ----------
        x : array_like or mapping of str to array_like
            The input without its time axis, such as (batch_size, features); of several inputs the first one, or all by
            name.
        *more : array_like
            Further inputs, in their order.
        out : ndarray or tuple of ndarray, optional
            Where the outputs go: C-contiguous arrays of exactly their dtypes and shapes.

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
        if stepper is not None and not more:
            try:
                y = stepper.step(x) if out is None else _step_into(stepper, x, out)
            except (BusyError, program.KernelError) as error:
                raise _explained(error) from None
            if y is not None:
                return y
        arrays = [np.asarray(a) for a in in_order((x, *more), self._names, self._source.pairs)]
        with self._alone():
            pieces = self._open()
            full = [with_axis(a, feed.time) for a, feed in zip(arrays, pieces.layout.feeds, strict=True)]
            stepper = self._stepper  # another thread may have made it meanwhile
            exact = pieces.exact(full[0]) if len(full) == 1 else None
            if stepper is None and exact is not None:
                stepper = pieces.stepper(full, self._held)
                if stepper is not None:
                    self._held, self._stepper = [], stepper
            if stepper is None or exact is None:
                results, states = pieces.advance(full, self._states)
                y = _given([step_of(y, r) for y, r in zip(results, pieces.layout.results, strict=True)], out)
                self._states = states
                return y
        try:
            y = stepper.step(exact) if out is None else _step_into(stepper, exact, out)
        except (BusyError, program.KernelError) as error:
            raise _explained(error) from None
        if y is not None:
            return y
        with self._alone():  # `out` has other strides, or a block has another size than the first one
            results, states = pieces.advance(full, self._states)
            y = _given([step_of(y, r) for y, r in zip(results, pieces.layout.results, strict=True)], out)
            self._states = states
            return y

    def run(self, chunk: Any, *more: Any) -> Any:
        """A piece of any length, also an empty one, in the network's own layout; the state goes on from the last call.

        Parameters
        ----------
        chunk : array_like or mapping of str to array_like
            The input, or all inputs by name.
        *more : array_like
            Further inputs, in their order.

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
        arrays = [np.asarray(x) for x in in_order((chunk, *more), self._names, self._source.pairs)]
        with self._alone():
            pieces = self._open()
            if pieces.layout.whole:
                raise StateError(
                    f"the network cannot be cut along time ({pieces.layout.whole}); call step for each block"
                )
            results, self._states = pieces.advance(arrays, self._states)
        return _given(list(results), None)

    @property
    def time_axis(self) -> int | None:
        """The axis of time of the first input that has one; None of a network that takes a block a call."""
        return next((f.time for f in self._layout.feeds if f.time is not None), None)

    @property
    def output_axes(self) -> tuple[int | None, ...]:
        """For each output of `run` the axis that time has in it; None where it has none."""
        return tuple(result.time for result in self._layout.results)

    @property
    def _layout(self) -> Layout:
        return self._open().layout

    def __reduce__(self) -> tuple[Any, ...]:
        source = self._source
        if any(node.op == "Python" for g in (source.given, *source.given.subgraphs()) for node in g.nodes):
            raise StateError("the network holds a Python function, which cannot be sent to another process")
        made = source.given, self.batch_size, source.options, source.dtype, source.pairs
        initial = {slot.name: array for slot, array in zip(self._slots, self._initial, strict=True)}
        return _remade, (type(self), made, initial, self.state)

    def _checked(self, given: Mapping[str, Any], otherwise: Arrays) -> Arrays:
        """States as the caller gives them, or what there is."""
        names = [slot.name for slot in self._slots]
        if unknown := [name for name in given if name not in names]:
            raise StateError(f"initial_state: {unknown} are not known; the stream's states are {names}")
        return [
            fitting_state(slot, given[slot.name]) if slot.name in given else array
            for slot, array in zip(self._slots, otherwise, strict=True)
        ]


def _step_into(stepper: Stepper, x: Any, out: Any) -> Any:
    """One step by the fast path into the caller's memory; None where the arrays are not exactly what it takes."""
    into = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    arrays = [x, *into]
    if any(np.may_share_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i]):
        raise ShapeError("out shares memory with the input or with itself; give arrays of their own")
    y = stepper.step_into(x, into)
    return out if y is not None and not isinstance(out, list) else y


def _explained(error: Exception) -> RnnrtError:
    return StateError(BUSY) if isinstance(error, BusyError) else RnnrtError(str(error))


def _remade(kind: type[Stream], made: tuple[Any, ...], initial: dict[str, Any], state: dict[str, Any]) -> Stream:
    """A stream from its pickle."""
    graph, batch_size, options, dtype, pairs = made
    stream = kind(graph, batch_size, *options, dtype=dtype, states=pairs, initial_state=initial)
    stream.state = state
    return stream


def _given(results: list[np.ndarray | None], out: Any) -> Any:
    """Results as a caller gets them, in `out` where that is given."""
    if out is not None:
        into = list(out) if isinstance(out, (tuple, list)) else [out]
        specs = [None if y is None else (y.dtype, y.shape) for y in results]
        if [(a.dtype, a.shape) if isinstance(a, np.ndarray) else None for a in into] != specs:
            raise ShapeError(f"out does not fit; the outputs are {specs}")
        if not all(a.flags.writeable for a in into):
            raise ShapeError("out cannot be written to; give an array that can")
        for y, place in zip(results, into, strict=True):
            np.copyto(place, y)  # type: ignore[arg-type]
        results = into
    return results[0] if len(results) == 1 else tuple(results)
