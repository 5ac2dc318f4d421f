"""compile, fit, evaluate: what a model does to learn."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt import random as random_module
from rnnrt.callbacks import CallbackList
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.models.compiled import Compiled
from rnnrt.training.batches import Batches, make_batches, split_validation
from rnnrt.training.loop import Loop, Validation
from rnnrt.training.trainer import Trainer

if TYPE_CHECKING:
    from rnnrt.training.gradients import GradientReport


class Training(Compiled):
    """What `Model` takes from here: `fit`, `evaluate` and single steps."""

    _initial_epoch: int | None
    _initial_batch: int | None
    history: Any

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        bptt_steps: int | None = None,
    ) -> Any:
        """Train.

        Parameters
        ----------
        x, y, sample_weight
            Arrays, lists or dicts of them; or x alone: a PyDataset, a generator, or any iterable of batches
            ``(x, y)`` or ``(x, y, sample_weight)``, which may be larger than memory.
        batch_size : int, default 32
        epochs : int
            The number of the last epoch; with `initial_epoch` fewer are run.
        verbose : {"auto", 0, 1, 2}
            0 prints nothing, 1 shows a progress bar, 2 a line for each epoch; "auto" is 1 on a terminal and else 2.
        callbacks : list of Callback, optional
        validation_split : float
            The share of the arrays, taken from their end before shuffling, that is validated on.
        validation_data : tuple (x, y) or (x, y, sample_weight), or what gives batches, optional
        shuffle : bool or "batch"
        class_weight : dict of int to float, optional
        initial_epoch, steps_per_epoch, validation_steps, validation_batch_size, validation_freq : int
            As in Keras.
        bptt_steps : int, optional
            Truncated back-propagation through time: sequences are cut into pieces of so many steps, each piece makes
            an update, and states go on from piece to piece, gradients do not. States begin with zeros in each batch,
            but where the model is stateful.

        Returns
        -------
        History
            Its `history` is a dict of lists, a value for each epoch.

        Raises
        ------
        StateError
            The model is not compiled.
        ShapeError, RnnrtError
            Data does not fit the model, holds NaN or infinity, or an argument is not understood.
        """
        if not 0 <= validation_split < 1:
            raise RnnrtError(f"validation_split={validation_split}: give a share from 0 to below 1")
        if epochs < 0 or validation_freq < 1:
            raise RnnrtError(f"epochs={epochs}, validation_freq={validation_freq}: give positive whole numbers")
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = split_validation((x, y, sample_weight), validation_split)
        self._settings()
        names = self._data_names(x, y, sample_weight, validation_data, *_flat_pair(validation_data))
        batches = make_batches(
            x,
            y,
            sample_weight,
            batch_size,
            steps_per_epoch,
            shuffle,
            class_weight,
            sparse_targets=self._sparse(),
            **names,
        )
        xs, ys, _ = batches.peek()
        trainer = self._trainer_for(xs, ys, bptt_steps is not None)
        trainer.objective.check(ys)
        validation = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            validation = Validation(self._validation(validation_data, size, validation_steps, names), validation_freq)
        every = CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=batches.num_batches,
        )
        try:
            Loop(self, trainer, every, bptt_steps).fit(batches, epochs, initial_epoch, validation)
        finally:
            self._running_batches = None
            self.mark_changed()
        return self.history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on data; parameters and errors as of `fit`.

        Returns
        -------
        float, list of float, or dict of str to float
            The loss alone where there are no metrics; a dict with `return_dict`.
        """
        self._settings()
        batches = make_batches(x, y, sample_weight, batch_size, steps, **self._data_names(x, y, sample_weight))
        xs, ys, _ = batches.peek()
        trainer = self._trainer_for(xs, ys)
        every = CallbackList(callbacks, model=self, verbose=0, epochs=1, steps=batches.num_batches)
        logs = Loop(self, trainer, every).evaluate(batches)
        if verbose not in (0, "auto") or (verbose == "auto" and sys.stdout.isatty()):
            print(" - ".join(f"{name}: {value:.4f}" for name, value in logs.items()))
        return logs if return_dict else _flat(logs)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One update on one batch; what it gives is as of `evaluate`, over the batches since the last reset."""
        trainer, batch = self._one_batch(x, y, sample_weight, class_weight)
        trainer.train(*batch)
        return self._so_far(trainer, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss and the metrics of one batch, added to those since the last reset."""
        trainer, batch = self._one_batch(x, y, sample_weight, None)
        trainer.test(*batch)
        return self._so_far(trainer, return_dict)

    def _one_batch(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> tuple[Trainer, Any]:
        batch = self._rows_at_once(x, y, sample_weight, class_weight)
        trainer = self._trainer_for(batch[0], batch[1])
        trainer.reset_memory()
        return trainer, batch

    def _rows_at_once(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
        self._settings()
        first = next(iter(x.values() if isinstance(x, Mapping) else x)) if isinstance(x, (list, tuple, Mapping)) else x
        size = np.shape(first)[0] if np.ndim(first) else 0
        if not size:
            raise ShapeError("the batch is empty; give at least one row")
        names = self._data_names(x, y, sample_weight)
        batches = make_batches(
            x, y, sample_weight, size, class_weight=class_weight, sparse_targets=self._sparse(), **names
        )
        return next(iter(batches))

    def _so_far(self, trainer: Trainer, return_dict: bool) -> Any:
        logs = trainer.objective.result()
        return logs if return_dict else _flat(logs)

    def _validation(self, data: Any, batch_size: int | None, steps: int | None, names: Mapping[str, Any]) -> Batches:
        if isinstance(data, (tuple, list)):
            if len(data) not in (1, 2, 3):
                raise ShapeError(f"validation_data has {len(data)} entries; give (x, y) or (x, y, sample_weight)")
            x, y, weight = (*data, None, None)[:3]
            return make_batches(x, y, weight, batch_size, steps, **names)
        return make_batches(data, None, None, None, steps, **names)

    def gradient_report(self, x: Any, y: Any, sample_weight: Any = None) -> GradientReport:
        """How gradients fare on their way back through time, on one batch.

        Nothing is updated, and training goes on as if there had been no report; dropout has the masks of its next step.
        Layers with states begin with zeros.

        Parameters
        ----------
        x, y, sample_weight
            A batch, as `train_on_batch` takes it.

        Returns
        -------
        GradientReport
            Print it, or see its `layers`, `variables` and `plot(path)`.

        Raises
        ------
        StateError
            The model is not compiled.
        ShapeError, RnnrtError
            Data does not fit the model.
        """
        from rnnrt.training.gradients import make_report

        batch = self._rows_at_once(x, y, sample_weight, None)
        self._see((list(batch[0]) if len(batch[0]) > 1 else batch[0][0],))
        # A trainer that is made for this alone would have drawn its seed earlier than fit does.
        trainer, drawn = self._trainer, random_module.state()
        try:
            # One that fit runs just now holds the weights, whatever it carries from piece to piece.
            carry_all = trainer is not None and trainer.carries_all
            return make_report(self._trainer_for(batch[0], batch[1], carry_all), *batch)
        finally:
            if self._trainer is not trainer:
                self._trainer = None
                random_module.restore(drawn)


def _flat(logs: Mapping[str, Any]) -> Any:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _flat_pair(data: Any) -> tuple[Any, ...]:
    return tuple(data) if isinstance(data, (tuple, list)) else ()
