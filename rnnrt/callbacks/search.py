"""Callbacks for the search of hyperparameters."""

from __future__ import annotations

from typing import Any

from rnnrt.callbacks.base import Callback, Logs
from rnnrt.errors import RnnrtError


class OptunaPruning(Callback):
    """Tell an Optuna trial how training goes, and end it where the study's pruner says so.

    Parameters
    ----------
    trial : optuna.trial.Trial
        What the objective of a study gets.
    monitor : str, default "val_loss"
        The name of the logs to report after each epoch. Whether less is better is the study's `direction`.

    Raises
    ------
    optuna.TrialPruned
        Out of `fit`, when the trial is to end; the study catches it.
    RnnrtError
        Optuna is not installed, `trial` is no trial, or the logs have no such number.
    """

    def __init__(self, trial: Any, monitor: str = "val_loss") -> None:
        super().__init__()
        try:
            import optuna
        except ImportError:
            raise RnnrtError('OptunaPruning needs optuna: pip install "rnnrt[tune]"') from None
        if not isinstance(trial, optuna.trial.BaseTrial):
            kind = type(trial).__name__
            raise RnnrtError(f"OptunaPruning: trial is of type {kind}; give what the study's objective gets")
        self.trial, self.monitor = trial, monitor
        self._pruned = optuna.TrialPruned

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = (logs or {}).get(self.monitor)
        if not isinstance(value, (int, float)):
            there = ", ".join(sorted(logs or {})) or "nothing"
            raise RnnrtError(
                f"OptunaPruning: monitor={self.monitor!r} is no number in the logs, which have {there}; "
                "validation_data or validation_split give the names with val_"
            )
        self.trial.report(float(value), step=epoch)
        if self.trial.should_prune():
            raise self._pruned(f"pruned after epoch {epoch + 1} with {self.monitor} {value:.5g}")
