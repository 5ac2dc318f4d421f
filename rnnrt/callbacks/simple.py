"""Callbacks of a few lines: a schedule of the learning rate, an end at NaN, and functions as hooks."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnrt.callbacks.base import HOOKS, Callback, Logs, say
from rnnrt.errors import RnnrtError


class LearningRateScheduler(Callback):
    """Set the learning rate at the begin of every epoch.

    Parameters
    ----------
    schedule : callable
        From epoch (int, from 0) and learning rate (float) to the new learning rate (float). One that takes the
        epoch alone is fine too.
    verbose : int, default 0
        1 prints what was set.

    Notes
    -----
    Adds `learning_rate` to the logs of the epoch.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise RnnrtError(f"LearningRateScheduler: schedule={schedule!r:.60} is not a function of epoch and rate")
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        arguments: tuple[Any, ...] = (epoch, float(optimizer.learning_rate))
        try:
            inspect.signature(self.schedule).bind(*arguments)
        except TypeError:
            arguments = arguments[:1]
        except ValueError:  # compiled functions may have no signature to look at
            pass
        rate = self.schedule(*arguments)
        if not isinstance(rate, float | np.float32 | np.float64):
            raise RnnrtError(f"The output of the `schedule` function should be a float. Got: {rate!r}")
        optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class TerminateOnNaN(Callback):
    """End training when the loss is NaN or infinite.

    Parameters
    ----------
    raise_error : bool, default False
        Raise instead of ending gracefully: other callbacks' `on_train_end` does not run then, so that a backup of
        the training stays.

    Raises
    ------
    RnnrtError
        At such a loss, with `raise_error`.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RnnrtError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training immediately."
            )
        say(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Of `epoch` and `logs`.
    on_train_begin, on_train_end : callable, optional
        Of `logs`.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Of `batch` and `logs`, the latter by name.
    **kwargs
        A function for any other hook, by the hook's name.

    Raises
    ------
    RnnrtError
        A name is not a hook's, or a value not a function.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        functions = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in functions.items():
            if name not in HOOKS:
                raise RnnrtError(f"LambdaCallback: {name} is not a hook; these are: {', '.join(HOOKS)}")
            if function is None:
                continue
            if not callable(function):
                raise RnnrtError(f"LambdaCallback: {name}={function!r:.60} is not a function")
            setattr(self, name, function)
