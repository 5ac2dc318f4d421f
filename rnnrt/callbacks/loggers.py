"""Callbacks that keep what an epoch gave: in memory, or in a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from rnnrt.callbacks.base import Callback, Logs
from rnnrt.errors import RnnrtError


class History(Callback):
    """The logs of all epochs; `fit` adds one by itself and returns it.

    Attributes
    ----------
    epoch : list of int
    history : dict of str to list
        A list over the epochs for each name of the logs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if self.model is not None:
            self.model.history = self

    def resume(self, epoch: Sequence[int], history: Mapping[str, Sequence[Any]]) -> None:
        """Go on from the logs of an earlier, interrupted run instead of from nothing."""
        self.epoch = list(epoch)
        self.history = {name: list(values) for name, values in history.items()}


class CSVLogger(Callback):
    r"""Write a line an epoch to a CSV file.

    Parameters
    ----------
    filename : path-like
    separator : str, default ","
    append : bool, default False
        Go on in a file that exists (its header is not repeated) instead of starting it anew.

    Notes
    -----
    Columns are `epoch` and the sorted names of the first epoch's logs; where these have no validation, columns
    ``val_...`` are added. A missing value is NA. Lines end in ``\r\n``.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        if not isinstance(separator, str) or len(separator) != 1:
            raise RnnrtError(f"CSVLogger: separator={separator!r} is not one character, such as ',' or ';'")
        self.sep = separator
        self.filename = os.fspath(filename)
        self.append = append
        self.keys: list[str] | None = None
        self.append_header = True
        self.csv_file: TextIO | None = None
        self.writer: csv.DictWriter | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.append and os.path.exists(self.filename):
            self.append_header = os.path.getsize(self.filename) == 0
        self._close()
        self.csv_file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.csv_file is None:
            raise RnnrtError("CSVLogger: on_epoch_end came before on_train_begin, which opens the file")
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
        if self.writer is None:
            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)
            if self.append_header:
                self.writer.writeheader()
        self.writer.writerow({"epoch": epoch, **{key: _cell(logs.get(key, "NA")) for key in self.keys}})
        self.csv_file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def _close(self) -> None:
        if self.csv_file is not None:
            self.csv_file.close()
        self.csv_file = self.writer = None


def _cell(value: Any) -> Any:
    """A value of the logs as one cell; a list keeps its brackets, in quotes."""
    if isinstance(value, str) or not isinstance(value, Iterable) or (isinstance(value, np.ndarray) and not value.ndim):
        return value
    return f'"[{", ".join(map(str, value))}]"'
