"""The loops over epochs and batches behind `fit` and `evaluate`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.callbacks import CallbackList
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.training.batches import Batches
from rnnrt.training.trainer import Trainer


@dataclass
class Validation:
    """What `fit` evaluates on after every `freq` epochs."""

    batches: Batches
    freq: int

    def due(self, epoch: int) -> bool:
        """Whether it is time after this epoch, counted from 0."""
        return (epoch + 1) % self.freq == 0


class Loop:
    """Runs a trainer over batches, and tells callbacks about it.

    Parameters
    ----------
    model : Model
        What callbacks see; its `stop_training` ends the loop.
    trainer : Trainer
    callbacks : CallbackList
    bptt_steps : int, optional
        Sequences are cut into pieces of so many steps; each makes an update, and the state goes on to the next.
    """

    def __init__(self, model: Any, trainer: Trainer, callbacks: CallbackList, bptt_steps: int | None = None) -> None:
        self.model, self.trainer, self.callbacks, self.bptt_steps = model, trainer, callbacks, bptt_steps
        self._warned = False

    def fit(self, batches: Batches, epochs: int, first_epoch: int, validation: Validation | None) -> None:
        """Epochs `first_epoch` up to `epochs`, or until a callback stops them."""
        model, callbacks, objective = self.model, self.callbacks, self.trainer.objective
        model.stop_training = False
        model._running_batches = batches
        callbacks.on_train_begin()
        first_batch = 0
        if model._initial_epoch is not None:
            first_epoch, first_batch = model._initial_epoch, model._initial_batch or 0
            model._initial_epoch = model._initial_batch = None
            if first_batch and model._resumed_batches is not None:
                batches.restore(model._resumed_batches)
        logs: dict[str, Any] = {}
        for epoch in range(first_epoch, epochs):
            if not first_batch:
                objective.reset()
            callbacks.on_epoch_begin(epoch)
            done = self._epoch(batches, epoch, first_batch)
            first_batch = 0
            if batches.exhausted and (not done or (batches.num_batches or 0) > done):
                model.stop_training = True
                if not done:
                    break
            logs = objective.result()
            if validation is not None and validation.due(epoch):
                found = self.evaluate(validation.batches)
                logs.update({f"val_{name}": value for name, value in found.items()})
            batches.on_epoch_end()
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        self.trainer.optimizer.finalize_variable_values(self.trainer.parameters)
        model.mark_changed()
        callbacks.on_train_end(logs)

    def _epoch(self, batches: Batches, epoch: int, first: int) -> int:
        callbacks, trainer = self.callbacks, self.trainer
        begins, ends = callbacks.wants("on_train_batch_begin"), callbacks.wants("on_train_batch_end")
        number = first
        for xs, ys, weights in batches.epoch(first):
            if begins:
                callbacks.on_train_batch_begin(number)
            self._train(xs, ys, weights)
            if not self._warned and not math.isfinite(trainer.objective.last):
                self._warned = True
                warnings.warn(
                    f"the loss is {trainer.objective.last} in batch {number} of epoch {epoch}; lower the learning "
                    "rate, clip gradients (clipnorm=1.0), or look at model.gradient_report(x, y); the callback "
                    "TerminateOnNaN stops here",
                    stacklevel=4,
                )
            if ends:
                callbacks.on_train_batch_end(number, trainer.objective.result)
            number += 1
            if self.model.stop_training:
                break
        return number - first

    def _train(self, xs: Sequence[np.ndarray], ys: Sequence[Any], weights: Sequence[Any] | None) -> None:
        trainer, steps = self.trainer, self.bptt_steps
        if steps is None:
            trainer.train(xs, ys, weights)
            return
        trainer.reset_memory()
        for piece in pieces(xs, ys, weights, steps):
            if piece.ys is None:
                trainer.advance(piece.xs)
            else:
                trainer.train(piece.xs, piece.ys, piece.weights)

    def evaluate(self, batches: Batches) -> dict[str, Any]:
        """The losses and metrics of one pass over the batches."""
        callbacks, trainer = self.callbacks, self.trainer
        begins, ends = callbacks.wants("on_test_batch_begin"), callbacks.wants("on_test_batch_end")
        trainer.objective.reset()
        callbacks.on_test_begin()
        for number, (xs, ys, weights) in enumerate(batches.epoch()):
            if begins:
                callbacks.on_test_batch_begin(number)
            trainer.reset_memory()
            trainer.test(xs, ys, weights)
            if ends:
                callbacks.on_test_batch_end(number, trainer.objective.result)
        logs = trainer.objective.result()
        callbacks.on_test_end(logs)
        return logs


@dataclass(frozen=True)
class Piece:
    """Some steps of a batch; `ys` is None where only the state matters."""

    xs: list[np.ndarray]
    ys: list[Any] | None
    weights: list[Any] | None


def pieces(xs: Sequence[np.ndarray], ys: Sequence[Any], weights: Sequence[Any] | None, steps: int) -> list[Piece]:
    """A batch cut along time into pieces of `steps` steps, the last of them shorter.

    Targets with the sequence's time axis are cut too. Others belong to the last piece; the ones before it make no
    update.

    Raises
    ------
    RnnrtError
        `steps` is no positive number.
    ShapeError
        Inputs have no time axis, or not the same number of steps.
    """
    if steps < 1:
        raise RnnrtError(f"bptt_steps={steps}: give 1 or more steps")
    lengths = {x.shape[1] if x.ndim > 1 else None for x in xs}
    if len(lengths) != 1 or None in lengths:
        raise ShapeError(f"bptt_steps cuts inputs along axis 1; their shapes are {[x.shape for x in xs]}")
    length = next(iter(lengths)) or 0

    def follows(array: Any) -> bool:
        return array is not None and np.ndim(array) > 1 and np.shape(array)[1] == length and length > 1

    timed = all(follows(y) for y in ys)
    found = []
    for start in range(0, length, steps):
        inside = slice(start, start + steps)
        last = start + steps >= length
        own: list[Any] | None = list(ys) if last else None
        if timed:
            own = [y[:, inside] for y in ys]
        cut = None if weights is None else [w[:, inside] if timed and follows(w) else w for w in weights]
        found.append(Piece([x[:, inside] for x in xs], own, cut))
    return found
