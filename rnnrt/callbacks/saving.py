"""Callbacks that write files: the model as it gets better, and backups from which an interrupted run goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.callbacks.base import Callback, Logs, say
from rnnrt.callbacks.loggers import History
from rnnrt.callbacks.monitor import MonitorCallback
from rnnrt.errors import ModelFormatError, RnnrtError
from rnnrt.formats.checkpoint import load_checkpoint, save_checkpoint


class _Every:
    """Says every how many batches it is time, over the ends of epochs."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self._since = 0
        self._last: int | None = None

    def due(self, batch: int) -> bool:
        # Batches may be reported in groups, by the last of each.
        new_epoch = self._last is None or batch <= self._last
        self._since += batch + 1 if new_epoch else batch - self._last  # type: ignore[operator]
        self._last = batch
        if self._since < self.batches:
            return False
        self._since = 0
        return True

    def resume(self, batch: int) -> None:
        """Say that an epoch goes on at this batch."""
        self._last = batch - 1 if batch else None


def _check_save_freq(owner: str, save_freq: Any) -> _Every | None:
    if save_freq == "epoch":
        return None
    if not isinstance(save_freq, int) or isinstance(save_freq, bool) or save_freq < 1:
        raise RnnrtError(
            f"{owner}: save_freq={save_freq!r} is not understood; give 'epoch' or a number of batches, 1 or more"
        )
    return _Every(save_freq)


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after epochs or every so many batches.

    Parameters
    ----------
    filepath : path-like
        May have fields in braces: `epoch` (from 1), `batch` (from 1, when saving by batches) and names of the logs, as
        in ``"{epoch:02d}-{val_loss:.2f}.keras"``. Ends in ``.keras``, ``.h5`` or ``.rnnrt``; for weights alone in
        ``.weights.h5``. Folders are made.
    monitor, mode
        As for `MonitorCallback`.
    verbose : int, default 0
        1 prints what is done.
    save_best_only : bool, default False
        Save only where the metric is better than ever.
    save_weights_only : bool, default False
        `model.save_weights` instead of `model.save`.
    save_freq : "epoch" or int
        Save at the end of epochs, or every so many batches.
    initial_value_threshold : float, optional
        With `save_best_only`, the value to beat at first.

    Raises
    ------
    RnnrtError
        An argument is not understood; a field of `filepath` is not in the logs; `filepath` is a folder.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._every = _check_save_freq("ModelCheckpoint", save_freq)
        self._epoch = 0
        endings = (".weights.h5",) if save_weights_only else (".keras", ".h5", ".rnnrt")
        if not self.filepath.endswith(endings):
            raise RnnrtError(
                f"ModelCheckpoint: filepath={self.filepath} with save_weights_only={save_weights_only} must end in "
                + " or ".join(endings)
            )

    def uses(self, hook: str) -> bool:
        return super().uses(hook) and (self._every is not None or hook != "on_train_batch_end")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._every is not None and self._every.due(batch):
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_best_only:
            self._check_direction()
        if self._every is None:
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        path = self._path(epoch, batch, logs)
        if not self._should_save(epoch, logs, path):
            return
        if os.path.isdir(path):
            raise RnnrtError(f"ModelCheckpoint: {path} is a folder; give the path of a file")
        if folder := os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _should_save(self, epoch: int, logs: Logs, path: str) -> bool:
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=2)
            return True
        if np.ndim(current):
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value. Received: {current}. "
                "Falling back to `save_best_only=False`.",
                stacklevel=2,
            )
            return True
        before = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {before}")
            return False
        self._say(epoch, f"{self.monitor} improved from {before} to {current:.5f}, saving model to {path}")
        self.best = current
        return True

    def _say(self, epoch: int, message: str) -> None:
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1}: {message}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        fields = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError, ValueError) as error:
            raise RnnrtError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. '
                f"There are: {', '.join(fields)}"
            ) from None


class BackupAndRestore(Callback):
    """Back up the whole state of training, and go on from it when an interrupted run is started again.

    A backup is one file in `backup_dir` that replaces the one before in a single step: a kill at any moment, even
    while it is written, leaves a whole one. It holds `model.training_state()` (weights, the optimizer's variables, what
    random generators stand at), epoch and batch, the logs, and the `History` so far.

    Parameters
    ----------
    backup_dir : path-like
        A folder of this run alone; it is made.
    save_freq : "epoch" or int
        Back up at the end of each epoch, or every so many batches.
    double_checkpoint : bool, default False
        Keep the backup before the last one too, and use it where the last cannot be read.
    delete_checkpoint : bool, default True
        Remove the backups when training has come to its end.

    Notes
    -----
    `on_train_begin` restores. It calls ``model.restore_training_state(arrays, meta)`` and then tells the model where
    to go on: it sets ``model._initial_epoch`` to the epoch (from 0), and ``model._initial_batch`` to how many batches
    of that epoch are done. The latter may be all of them, when only the end of the epoch is left to do. The training
    loop reads both after `on_train_begin`, and clears them. Where there is no backup, neither is set. The model's
    `History` gets the epochs of the interrupted run, so that in the end it holds all of them.

    Raises
    ------
    RnnrtError
        An argument is not understood, or the model is not built when training begins.
    ModelFormatError
        A backup cannot be read.
    """

    runs_last = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise RnnrtError("Empty `backup_dir` argument passed; give a folder")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._every = _check_save_freq("BackupAndRestore", save_freq)
        self._epoch = 0
        folder = Path(self.backup_dir)
        self._latest = folder / "latest.safetensors"
        self._previous = folder / "previous.safetensors"

    def uses(self, hook: str) -> bool:
        return super().uses(hook) and (self._every is not None or hook != "on_train_batch_end")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not getattr(self.model, "built", True):
            raise RnnrtError(
                "To use the BackupAndRestore callback, your model must be built before you call `fit()`: give its "
                "first layer an input shape, or call it on a batch of data"
            )
        found = self._read()
        if found is None:
            return
        arrays, meta = found
        try:
            epoch, batch, state, history = int(meta["epoch"]), int(meta["batch"]), meta["model"], meta["history"]
        except (KeyError, TypeError, ValueError):
            raise ModelFormatError(
                f"{self._latest}: is no backup of a training run; give backup_dir a folder of its own"
            ) from None
        self.model.restore_training_state(arrays, state)
        self.model._initial_epoch, self.model._initial_batch = epoch, batch
        self._epoch = epoch
        if self._every is not None:
            self._every.resume(batch)
        if isinstance(record := getattr(self.model, "history", None), History) and history is not None:
            record.resume(history["epoch"], history["history"])

    def _read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        if self._latest.exists():
            try:
                return load_checkpoint(self._latest)
            except ModelFormatError as error:
                if not self._previous.exists():
                    raise
                warnings.warn(f"{error}. Going on from the backup before it.", stacklevel=4)
        return load_checkpoint(self._previous) if self._previous.exists() else None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._every is not None and self._every.due(batch):
            self._save(self._epoch, batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._every is None:
            self._save(epoch + 1, 0, logs)

    def _save(self, epoch: int, batch: int, logs: Logs | None) -> None:
        arrays, state = self.model.training_state()
        record = getattr(self.model, "history", None)
        history = {"epoch": record.epoch, "history": record.history} if isinstance(record, History) else None
        meta = {"epoch": epoch, "batch": batch, "logs": logs or {}, "history": history, "model": state}
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and self._latest.exists():
            _keep(self._latest, self._previous)
        save_checkpoint(self._latest, arrays, meta)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if not self.delete_checkpoint:
            return
        for path in (self._latest, self._previous):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or other files are in it
            os.rmdir(self.backup_dir)


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name, in place of what had it, so that one of both is there at any moment."""
    temporary = kept.with_name(f".{kept.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, temporary)
    os.replace(temporary, kept)
