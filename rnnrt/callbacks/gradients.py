"""A callback that watches gradients while a network is trained."""

from __future__ import annotations

import os
import warnings
from typing import Any

from rnnrt.callbacks.base import Callback, Logs, say
from rnnrt.errors import RnnrtError


class GradientMonitor(Callback):
    """Make a gradient report after epochs.

    Parameters
    ----------
    data : tuple (x, y) or (x, y, sample_weight)
        A batch that the reports are about, always the same one.
    every : int, default 1
        After every so many epochs.
    path : path-like, optional
        Where to draw the reports, each in place of the one before; with a field ``{epoch}`` (from 1) each has its own
        file. Ends in ``.png``.
    log : bool, default True
        Put numbers into the logs, so that `History`, `CSVLogger` and a progress bar have them: ``gradient_norm``,
        and for each recurrent layer ``gradient_log10_ratio/<layer>``, the logarithm of what is left of a gradient at
        the first step. Epochs without a report repeat the numbers of the last one.
    verbose : int, default 0
        1 prints each report.

    Attributes
    ----------
    reports : list of GradientReport

    Notes
    -----
    The first report that says vanishing and the first that says exploding give a warning each.

    Raises
    ------
    RnnrtError
        An argument is not understood; there is no epoch's report to draw.
    """

    runs_first = True

    def __init__(
        self,
        data: Any,
        every: int = 1,
        path: str | os.PathLike[str] | None = None,
        log: bool = True,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise RnnrtError("GradientMonitor: data must be a batch (x, y) or (x, y, sample_weight)")
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise RnnrtError(f"GradientMonitor: every={every!r}: give a number of epochs, 1 or more")
        self.path = None if path is None else os.fspath(path)
        if self.path is not None:
            self._path(0)
        self.data, self.every, self.log, self.verbose = tuple(data), every, bool(log), verbose
        self.reports: list[Any] = []
        self._warned: set[str] = set()
        self._numbers: dict[str, float] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._numbers = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if (epoch + 1) % self.every == 0:
            self._report(epoch)
        if self.log and logs is not None:
            logs.update(self._numbers)

    def _report(self, epoch: int) -> None:
        report = self.model.gradient_report(*self.data)
        self.reports.append(report)
        self._numbers = {"gradient_norm": report.gradient_norm}
        self._numbers |= {f"gradient_log10_ratio/{layer.name}": layer.log10_ratio for layer in report.layers}
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1}: {report}")
        if self.path is not None and report.layers:
            report.plot(self._path(epoch))
        if report.verdict != "healthy" and report.verdict not in self._warned:
            self._warned.add(report.verdict)
            layers = [layer for layer in report.layers if layer.verdict == report.verdict]
            what = "; ".join(f"{layer.name}: {layer.reason}" for layer in layers[:3])
            warnings.warn(
                f"gradients are {report.verdict} after epoch {epoch + 1}{f' ({what})' if what else ''}; "
                "print(monitor.reports[-1]) says what to change",
                stacklevel=2,
            )

    def _path(self, epoch: int) -> str:
        assert self.path is not None
        try:
            found = self.path.format(epoch=epoch + 1)
        except (KeyError, IndexError, ValueError) as error:
            raise RnnrtError(
                f"GradientMonitor: path={self.path!r} has a field that is not understood ({error}); there is {{epoch}}"
            ) from None
        if not found.endswith(".png"):
            raise RnnrtError(f"GradientMonitor: path={self.path!r} must end in .png")
        return found
