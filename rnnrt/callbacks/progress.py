"""How far training is: a bar over the batches, or a line an epoch."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rnnrt.callbacks.base import Callback, LazyLogs, Logs, plain_logs
from rnnrt.errors import RnnrtError

_WIDTH = 20
_SECONDS_BETWEEN_REDRAWS = 0.1


class ProgressBar(Callback):
    """Show progress and metrics as Keras does.

    Parameters
    ----------
    verbose : {None, "auto", 0, 1, 2}
        0 is silent, 1 a bar over the batches, 2 a line an epoch; "auto" is 1 on a terminal and 2 elsewhere. None
        takes what the running call (`fit`, `evaluate`, `predict`) was given.
    file : text stream, optional
        Default: `sys.stdout`, looked up when something is written.

    Notes
    -----
    The bar is drawn at most ten times a second, and the logs of other batches are not even made. With a line an
    epoch, batches are not reported to this callback at all.

    Raises
    ------
    RnnrtError
        `verbose` is something else, or tqdm, which draws the bar, is not installed.
    """

    takes_lazy_logs = True

    def __init__(self, verbose: int | str | None = None, file: TextIO | None = None) -> None:
        super().__init__()
        self._given = verbose
        self._file = file
        self._clock: Callable[[], float] = time.perf_counter
        self._bar: Any = None
        self._in_fit = False
        self.epochs = 1
        self.target: int | None = None
        self.seen = 0
        self.verbose = self._resolve(verbose)
        self._restart()

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.verbose = self._resolve(params.get("verbose", "auto") if self._given is None else self._given)
        self.epochs = params.get("epochs") or 1
        self.target = params.get("steps")

    def uses(self, hook: str) -> bool:
        if hook.endswith("_batch_end"):
            return self.verbose == 1 or (self.verbose == 2 and self.target is None)
        return super().uses(hook)

    def _resolve(self, verbose: int | str | None) -> int:
        if verbose is None or verbose == "auto":
            return 1 if getattr(self._out, "isatty", lambda: False)() else 2
        if not isinstance(verbose, int) or verbose not in (0, 1, 2):
            raise RnnrtError(f"verbose={verbose!r}: give 0 (silent), 1 (a bar), 2 (a line an epoch) or 'auto'")
        return int(verbose)

    @property
    def _out(self) -> TextIO:
        return sys.stdout if self._file is None else self._file

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True  # validation is silent then

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._restart()
        if self.verbose and self.epochs > 1:
            self._write(f"Epoch {epoch + 1}/{self.epochs}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._restart()

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._restart()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(None)

    def on_train_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        self._advance(batch, logs)

    def on_test_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        if not self._in_fit:
            self._advance(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        self._advance(batch, None)

    def _restart(self) -> None:
        self._close()
        self.seen = 0
        self._begin = self._drawn = self._clock()
        self._after_first: float | None = None

    def _advance(self, batch: int, logs: LazyLogs) -> None:
        self.seen = batch + 1
        if self.verbose != 1:
            return
        now = self._clock()
        if self.seen == 1:
            self._after_first = now
        if now - self._drawn < _SECONDS_BETWEEN_REDRAWS:
            return
        self._drawn = now
        if self._bar is None:
            self._bar = self._new_bar()
        step = self._seconds_a_step(now)
        left = "" if self.target is None else f" {_duration(step * (self.target - self.seen))}"
        made = plain_logs(logs() if callable(logs) else logs)
        self._bar.n = self.seen
        self._bar.set_description_str(f"{left} {_per_step(step)}{_metrics(made)}", refresh=False)
        self._bar.refresh()

    def _new_bar(self) -> Any:
        try:
            from tqdm import tqdm
        except ImportError:
            raise RnnrtError('progress bars need tqdm: pip install "rnnrt[train]", or give verbose=2') from None

        class Bar(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
            monitor_interval = 0  # no thread of its own

        total = f"{{total_fmt}} {{bar:{_WIDTH}}}" if self.target else "Unknown"
        bar = Bar(
            total=self.target or None,
            file=self._out,
            leave=False,
            delay=1e9,  # not drawn when it is made
            dynamic_ncols=True,
            ascii=f" {self._block}",
            bar_format="{n_fmt}/" + total + "{desc}",
        )
        bar.delay = 0  # or closing would not clear it
        return bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _finish(self, logs: Mapping[str, Any] | None) -> None:
        self._close()
        if self.target is None:
            self.target = self.seen or None
        if not self.verbose or self.target is None:
            return
        now = self._clock()
        self.seen = self.target
        elapsed, step = f"{now - self._begin:.0f}s", _per_step(self._seconds_a_step(now))
        if self.verbose == 1:
            head = f"{self.seen}/{self.target} {self._block * _WIDTH} {elapsed} {step}"
        else:
            head = f"{self.seen}/{self.target} - {elapsed} - {step}"
        self._write(head + _metrics(plain_logs(logs)))

    def _seconds_a_step(self, now: float) -> float:
        """The mean over the steps so far, without the first where there are more: it also pays for preparations."""
        if not self.seen:
            return 0.0
        if self._after_first is not None and self.seen > 1:
            return (now - self._after_first) / (self.seen - 1)
        return (now - self._begin) / self.seen

    @property
    def _block(self) -> str:
        try:
            "━".encode(getattr(self._out, "encoding", None) or "ascii")
        except (UnicodeEncodeError, LookupError):
            return "="
        return "━"

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


ProgbarLogger = ProgressBar
"""Keras's name."""


def _metrics(logs: Mapping[str, Any]) -> str:
    return "".join(f" - {name}: {_number(value)}" for name, value in logs.items())


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}" if minutes else f"{seconds}s"


def _per_step(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"
