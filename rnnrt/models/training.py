"""compile, fit, evaluate: what a model does to learn."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt import optimizers as optimizers_module
from rnnrt import random as random_module
from rnnrt.callbacks import CallbackList
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.losses import SparseCategoricalCrossentropy
from rnnrt.runtime.threads import thread_count
from rnnrt.training.batches import Batches, make_batches, split_validation
from rnnrt.training.loop import Loop, Validation
from rnnrt.training.objective import Objective
from rnnrt.training.trainer import Trainer

if TYPE_CHECKING:
    from rnnrt.training.gradients import GradientReport

_IGNORED = ("run_eagerly", "jit_compile", "auto_scale_loss", "steps_per_execution")


class Training:
    """What `Model` takes from here."""

    stop_training: bool
    _compiled: dict[str, Any] | None
    _trainer: Trainer | None
    _trained_ids: tuple[int, ...] | None
    _threads: int | None
    _initial_epoch: int | None
    _initial_batch: int | None
    _running_batches: Batches | None
    _resumed_batches: Any
    name: Any
    training_graph: Any
    mark_changed: Any
    history: Any

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **options: Any,
    ) -> None:
        """Say how the model learns.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, Loss, function, or a list or dict of them by output
        loss_weights : float, or a list or dict by output, optional
        metrics, weighted_metrics : list, or a list of lists or a dict by output, optional
            Names or `Metric` objects; weighted ones get `sample_weight` and `class_weight`.
        **options
            `run_eagerly`, `jit_compile`, `auto_scale_loss` and `steps_per_execution` change nothing here.

        Raises
        ------
        RnnrtError
            A name or an argument is not known.
        """
        unknown = sorted(set(options) - set(_IGNORED))
        if unknown:
            raise RnnrtError(f"compile: {unknown} are not known; it takes optimizer, loss, loss_weights and metrics")
        self._compiled = {
            "optimizer": optimizers_module.get(optimizer),
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self._trainer = None
        self.stop_training = False

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` got."""
        return self._settings()["optimizer"]

    @property
    def loss(self) -> Any:
        """The loss that `compile` got."""
        return self._settings()["loss"]

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    @property
    def metrics(self) -> list[Any]:
        """The metrics in use: the loss first."""
        return [] if self._trainer is None else self._trainer.objective.everything()

    @property
    def metrics_names(self) -> list[str]:
        """Names of `metrics`."""
        return [metric.name for metric in self.metrics]

    def _settings(self) -> dict[str, Any]:
        if self._compiled is None:
            raise StateError(f"model {self.name!r} is not compiled; call compile(optimizer, loss) first")
        return self._compiled

    def _trainer_for(self, xs: Sequence[Any], ys: Sequence[Any], carry_all: bool = False) -> Trainer:
        """The trainer; made when the first data shows what the model is built for, and anew after `compile`."""
        settings = self._settings()
        frozen = tuple(id(v) for v in self.trainable_weights) if self.built else None  # type: ignore[attr-defined]
        if self._trainer is not None and self._trainer.carries_all == carry_all and self._trained_ids == frozen:
            return self._trainer
        if not self.built:  # type: ignore[attr-defined]
            self._build_for(xs)
        graphs = {training: self.training_graph(training, carry_all) for training in (True, False)}
        objective = Objective(
            graphs[True].outputs,
            settings["loss"],
            settings["metrics"],
            settings["weighted_metrics"],
            settings["loss_weights"],
            [(np.shape(y), v.shape) for y, v in zip(ys, graphs[True].graph.outputs, strict=False)]
            if len(ys) == len(graphs[True].outputs)
            else (),
        )
        seed = int(random_module.generator().integers(0, 2**62))
        self._trainer = Trainer(graphs, objective, settings["optimizer"], seed, thread_count(self._threads), carry_all)
        self._trained_ids = tuple(id(v) for v in self.trainable_weights)  # type: ignore[attr-defined]
        return self._trainer

    def _build_for(self, xs: Sequence[Any]) -> None:
        shapes = [(None, *np.shape(x)[1:]) for x in xs]
        self.build(shapes[0] if len(shapes) == 1 else shapes)  # type: ignore[attr-defined]

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
        names = self._data_names(x)
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
        batches = make_batches(x, y, sample_weight, batch_size, steps, **self._data_names(x))
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

    def reset_states(self) -> None:
        """Let the next batch begin with zeros in all stateful layers."""
        self._states.clear()  # type: ignore[attr-defined]
        if self._trainer is not None:
            self._trainer.reset_states()

    def reset_metrics(self) -> None:
        """Begin anew with the metrics that `train_on_batch` and `test_on_batch` give."""
        if self._trainer is not None:
            self._trainer.objective.reset()

    def _one_batch(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> tuple[Trainer, Any]:
        batch = self._rows_at_once(x, y, sample_weight, class_weight)
        return self._trainer_for(batch[0], batch[1]), batch

    def _rows_at_once(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
        self._settings()
        first = next(iter(x.values() if isinstance(x, Mapping) else x)) if isinstance(x, (list, tuple, Mapping)) else x
        size = np.shape(first)[0] if np.ndim(first) else 0
        if not size:
            raise ShapeError("the batch is empty; give at least one row")
        batches = make_batches(
            x, y, sample_weight, size, class_weight=class_weight, sparse_targets=self._sparse(), **self._data_names(x)
        )
        return next(iter(batches))

    def _so_far(self, trainer: Trainer, return_dict: bool) -> Any:
        logs = trainer.objective.result()
        return logs if return_dict else _flat(logs)

    def _sparse(self) -> bool | None:
        loss = self._settings()["loss"]
        if isinstance(loss, SparseCategoricalCrossentropy) or loss == "sparse_categorical_crossentropy":
            return True
        return False if isinstance(loss, str) and loss.startswith(("categorical", "binary")) else None

    def _data_names(self, x: Any) -> dict[str, Any]:
        """The order of inputs and outputs, where dicts name them."""
        if not self.built:  # type: ignore[attr-defined]
            return {}
        graph_inputs = [info.name for info in self.inputs]  # type: ignore[attr-defined]
        return {"input_names": graph_inputs, "output_names": [info.name for info in self.outputs]}  # type: ignore[attr-defined]

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
        if not self.built:  # type: ignore[attr-defined]
            self._build_for(batch[0])
        # A trainer that is made for this alone would have drawn its seed earlier than fit does.
        trainer, drawn = self._trainer, random_module.state()
        try:
            # One that fit runs just now holds the weights, whatever it carries from piece to piece.
            carry_all = trainer is not None and trainer.carries_all
            return make_report(self._trainer_for(batch[0], batch[1], carry_all), *batch)
        finally:
            if trainer is None:
                self._trainer = None
                random_module.restore(drawn)

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a training needs to go on as if it had never stopped: arrays, and what JSON can say."""
        if self._trainer is None:
            raise StateError(f"model {self.name!r} has not been trained; there is no state of a training to save")
        arrays, meta = self._trainer.state()
        batches = self._running_batches
        more = {"random": random_module.state(), "batches": None if batches is None else batches.state()}
        return arrays, {**meta, **more}

    def restore_training_state(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Go on where `training_state` was taken.

        Raises
        ------
        StateError
            It belongs to another model.
        """
        if self._trainer is None:
            raise StateError(f"model {self.name!r} has no trainer yet; restore within fit, by BackupAndRestore")
        self._trainer.load_state(arrays, meta)
        random_module.restore(meta["random"])
        self._resumed_batches = meta["batches"]
        self.mark_changed()


def _flat(logs: Mapping[str, Any]) -> Any:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
