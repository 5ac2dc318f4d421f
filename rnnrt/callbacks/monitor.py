"""Callbacks that watch a metric: they end training, or lower the learning rate, when it no longer improves."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from rnnrt.callbacks.base import Callback, Logs, say
from rnnrt.errors import RnnrtError


class MonitorCallback(Callback):
    """What callbacks that watch a metric share: which way is better, and what counts as better.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name in the logs.
    mode : {"auto", "min", "max"}
        Which way is better. "auto": less for a loss; for a metric of the model what its `_direction` ("up" or
        "down") says.
    baseline : float, optional
        The value to beat at first.
    min_delta : float, default 0
        An improvement of less is none; the sign does not matter.

    Notes
    -----
    Values are compared in single precision, as Keras compares them.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3)
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = baseline
        self.min_delta = abs(min_delta)
        self._more_is_better: bool | None = None

    def _is_improvement(self, value: float, reference: float | None) -> bool:
        if reference is None:
            return True
        if self._more_is_better is None:  # late: metrics may not exist before training begins
            self._more_is_better = self._find_direction()
        with np.errstate(over="ignore"):
            if self._more_is_better:
                return bool(np.float32(value - self.min_delta) > np.float32(reference))
            return bool(np.float32(value + self.min_delta) < np.float32(reference))

    def _check_direction(self) -> None:
        """Find the direction, so that an unknown one is an error in the first epoch and not in the second."""
        if self._more_is_better is None:
            self._more_is_better = self._find_direction()

    def _find_direction(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        found = False if name == "loss" else None
        for metric in _metrics(getattr(self.model, "metrics", None)):
            if getattr(metric, "name", None) == name and getattr(metric, "_direction", None) is not None:
                found = metric._direction == "up"
        if found is None:
            raise RnnrtError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but it is not known whether that "
                "metric should be maximized or minimized. Pass `mode='max'` in order to monitor based on the highest "
                "metric value, or pass `mode='min'` in order to use the lowest value."
            )
        return found


def _metrics(metrics: Any) -> Iterable[Any]:
    """All metrics of a model, those within containers too."""
    for metric in metrics or ():
        yield metric
        yield from _metrics(getattr(metric, "metrics", None))


class EarlyStopping(MonitorCallback):
    """End training when a metric no longer improves.

    Parameters
    ----------
    monitor, mode, min_delta
        As for `MonitorCallback`.
    patience : int, default 0
        How many epochs without improvement end training.
    verbose : int, default 0
        1 prints what is done.
    baseline : float, optional
        Only epochs that beat it start the patience anew.
    restore_best_weights : bool, default False
        Put back the weights of the best epoch at the end of training, however that epoch stands to the baseline.
    start_from_epoch : int, default 0
        Earlier epochs are not looked at.

    Attributes
    ----------
    stopped_epoch : int
        The epoch (from 0) that ended training, 0 while none did.
    best, best_epoch, best_weights
        Of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._check_direction()
        logs = logs or {}
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Early stopping conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}",
                stacklevel=2,
            )
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                # Copies: what get_weights gives may be the arrays that training goes on changing.
                self.best_weights = [np.array(w) for w in self.model.get_weights()]
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when a metric no longer improves.

    Parameters
    ----------
    monitor, mode
        As for `MonitorCallback`.
    factor : float, default 0.1
        The new rate is the old one times this; below 1.
    patience : int, default 10
        How many epochs without improvement lower the rate.
    verbose : int, default 0
        1 prints what is done.
    min_delta : float, default 1e-4
        An improvement of less is none.
    cooldown : int, default 0
        How many epochs to wait after the rate was lowered before looking again.
    min_lr : float, default 0
        The rate does not go below.

    Notes
    -----
    Adds `learning_rate` to the logs of the epoch: the rate it was trained with.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise RnnrtError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self._reset()

    def _reset(self) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def in_cooldown(self) -> bool:
        """Whether the rate was lowered a moment ago."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._check_direction()
        logs = logs if logs is not None else {}
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if np.float32(old) <= np.float32(self.min_lr):
            return False
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
        return True
