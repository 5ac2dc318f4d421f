"""predict: a model on many rows, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.callbacks import CallbackList
from rnnrt.errors import ShapeError
from rnnrt.layers.graphs import StateSlot, inference_graph
from rnnrt.layers.leading import Leading
from rnnrt.runtime import Session
from rnnrt.training.batches import make_batches

if TYPE_CHECKING:
    from rnnrt.layers import Network


class Prediction:
    """What `Model` takes from here: `predict` and `predict_on_batch`."""

    network: Network | None
    legacy: bool
    stateful: Any
    name: Any
    _input_names: Any
    _session: Any
    _threads: int | None
    _carrying: tuple[Session, tuple[StateSlot, ...]] | None
    _states: dict[str, np.ndarray]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for many rows.

        Parameters
        ----------
        x : array_like, or a list or dict of them; or a PyDataset, a generator or an iterable of batches
            One array for each input, all with the same number of rows.
        batch_size : int, optional
            Rows of one run, 32 unless told. Stateful layers carry their states from batch to batch.
        verbose : ignored
        steps : int, optional
            Stop after so many batches.
        callbacks : list of Callback, optional

        Returns
        -------
        ndarray or list of ndarray
            A list for a model with several outputs.

        Raises
        ------
        ShapeError
            The arrays do not fit the inputs, or each other.
        """
        every = CallbackList(callbacks, model=self, verbose=0, epochs=1, steps=steps)
        every.on_predict_begin()
        parts: list[list[np.ndarray]] = []
        for batch in self._batches_of(x, batch_size, steps):
            every.on_predict_batch_begin(len(parts))
            parts.append(self._run_batch(batch))
            every.on_predict_batch_end(len(parts) - 1, {})
        every.on_predict_end()
        results = parts[0] if len(parts) == 1 else [np.concatenate(group) for group in zip(*parts, strict=True)]
        return results[0] if len(results) == 1 else results

    def _batches_of(self, x: Any, batch_size: int | None, steps: int | None) -> Iterator[list[np.ndarray]]:
        if not isinstance(x, (Mapping, list, tuple)) and not hasattr(x, "__array__"):
            for xs, _, _ in make_batches(x, steps=steps):
                yield self._arrays_of(xs if len(xs) > 1 else xs[0])
            return
        arrays = self._arrays_of(x)
        rows = len(arrays[0])
        size = 32 if batch_size is None else int(batch_size)
        if size < 1:
            raise ShapeError(f"batch_size={batch_size} must be positive")
        if self.network is not None and any(isinstance(part, Leading) for part in self.network.walk()):
            size = max(rows, 1)  # the first axis is not the batch
        for number, start in enumerate(range(0, max(rows, 1), size)):
            if steps is not None and number >= steps:
                return
            self._fits_states(min(rows - start, size))
            yield [a[start : start + size] for a in arrays]

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        results = self._run_batch(self._arrays_of(x))
        return results[0] if len(results) == 1 else results

    def _see(self, args: Sequence[Any]) -> None:
        """What there is to learn from the first arrays."""

    def _arrays_of(self, x: Any) -> list[np.ndarray]:
        self._see((x,))
        names = self._input_names
        if isinstance(x, Mapping):
            missing, unknown = [n for n in names if n not in x], [n for n in x if n not in names]
            if missing or unknown:
                raise ShapeError(f"inputs do not match: missing {missing}, unknown {unknown}; the model takes {names}")
            given: Sequence[Any] = [x[name] for name in names]
        elif isinstance(x, (list, tuple)) and len(names) > 1:
            given = x
        else:
            given = [x]
        if len(given) != len(names):
            raise ShapeError(f"the model takes {len(names)} inputs {names}, got {len(given)}")
        if any(not hasattr(a, "__array__") and not isinstance(a, (list, tuple)) for a in given):
            raise ShapeError(f"predict takes arrays, got {[type(a).__name__ for a in given]}; convert them before")
        arrays = [np.asarray(a) for a in given]
        if any(a.ndim == 0 for a in arrays) or len({len(a) for a in arrays}) != 1:
            raise ShapeError(f"all inputs need the same number of rows, got the shapes {[a.shape for a in arrays]}")
        return arrays

    def _run_batch(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        session = self._session  # also finds out whether weights have changed
        if not self.stateful:
            return list(session.run(arrays))
        if self._carrying is None:
            assert self.network is not None
            graph, slots = inference_graph(self.network, self.legacy, carry=True)
            self._carrying = (Session(graph, threads=self._threads), slots)
        carrying, slots = self._carrying
        for slot in slots:
            if slot.input not in self._states:
                self._states[slot.input] = np.zeros((len(arrays[0]), slot.units), slot.dtype)
        results = carrying.run([*arrays, *(self._states[slot.input] for slot in slots)])
        count = len(results) - len(slots)
        self._states.update(zip([slot.input for slot in slots], results[count:], strict=True))
        return list(results[:count])

    def _fits_states(self, rows: int) -> None:
        known = {len(state) for state in self._states.values()}
        if known and known != {rows}:
            raise ShapeError(
                f"model {self.name!r}: is stateful and its states have {known.pop()} rows, the batch {rows}; "
                "call reset_states(), or give a number of rows that batch_size divides"
            )
