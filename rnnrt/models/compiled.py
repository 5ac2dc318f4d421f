"""What training keeps of a model: how it was compiled, its trainer, and the state of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt import optimizers as optimizers_module
from rnnrt import random as random_module
from rnnrt.errors import RnnrtError, StateError
from rnnrt.layers.variable import Changes
from rnnrt.losses import SparseCategoricalCrossentropy
from rnnrt.runtime.threads import thread_count
from rnnrt.training.batches import Batches
from rnnrt.training.objective import Objective
from rnnrt.training.trainer import Trainer

_IGNORED = ("run_eagerly", "jit_compile", "auto_scale_loss", "steps_per_execution")


class Compiled:
    """What `Training` takes from here: `compile` and the trainer behind it."""

    stop_training: bool
    _compiled: dict[str, Any] | None
    _trainer: Trainer | None
    _trained: tuple[int, list[int]]
    _threads: int | None
    _running_batches: Batches | None
    _resumed_batches: Any
    _states: dict[str, np.ndarray]
    _see: Any
    built: Any
    inputs: Any
    outputs: Any
    name: Any
    trainable_weights: Any
    training_graph: Any
    mark_changed: Any

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
        if self._running_batches is not None and self._trainer is not None:
            return self._trainer  # that of the running fit: another one would take the weights away from it
        if self._trainer is not None and self._trainer.carries_all == carry_all and self._is_as_it_was():
            return self._trainer
        self._see((list(xs) if len(xs) > 1 else xs[0],))
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
        self._trained = Changes.structure, [id(v) for v in self.trainable_weights]
        return self._trainer

    def _is_as_it_was(self) -> bool:
        """Whether the trainer still trains what is to be trained."""
        if self._trained[0] != Changes.structure:
            now = Changes.structure, [id(v) for v in self.trainable_weights]
            if now[1] != self._trained[1]:
                return False
            self._trained = now
        return True

    def _sparse(self) -> bool | None:
        loss = self._settings()["loss"]
        if isinstance(loss, SparseCategoricalCrossentropy) or loss == "sparse_categorical_crossentropy":
            return True
        return False if isinstance(loss, str) and loss.startswith(("categorical", "binary")) else None

    def _data_names(self, *data: Any) -> dict[str, Any]:
        """The order of inputs and outputs, where dicts among the data name them."""
        # To know names is to build the graph that runs, whose weights an update has just made stale.
        if not any(isinstance(part, Mapping) for part in data) or not self.built:
            return {}
        return {"input_names": [v.name for v in self.inputs], "output_names": [v.name for v in self.outputs]}

    def reset_states(self) -> None:
        """Let the next batch begin with zeros in all stateful layers."""
        self._states.clear()
        if self._trainer is not None:
            self._trainer.reset_states()

    def reset_metrics(self) -> None:
        """Begin anew with the metrics that `train_on_batch` and `test_on_batch` give."""
        if self._trainer is not None:
            self._trainer.objective.reset()

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
