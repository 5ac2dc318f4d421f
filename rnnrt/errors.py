"""The errors rnnrt raises on purpose. Everything a bad file or a bad call can cause derives from `RnnrtError`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class RnnrtError(Exception):
    """Base of every error that rnnrt raises on purpose."""


class ModelFormatError(RnnrtError):
    """The file is not what it claims to be: truncated, corrupt, hostile, or of an unknown kind."""


class UnsupportedModelError(RnnrtError):
    """The model is sound, but rnnrt cannot run it exactly, or not write it so in the format asked for, so it refuses.

    Parameters
    ----------
    source : str
        The file or object that was read.
    reasons : iterable of str
        Every reason at once; each names the node or layer, the attribute and its value, and what to do.
    task : str
        What cannot be done with it exactly, as in "cannot be run exactly".
    """

    def __init__(self, source: str, reasons: Iterable[str], task: str = "run") -> None:
        self.source, self.task = source, task
        self.reasons: tuple[str, ...] = tuple(dict.fromkeys(reasons))
        lines = "\n".join(f"  - {reason}" for reason in self.reasons)
        super().__init__(f"{source} cannot be {task} exactly:\n{lines}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.reasons, self.task)  # else a pickle calls the class with the message


class ShapeError(RnnrtError, ValueError):
    """An array has a shape, rank or dtype that the model does not take."""


class StateError(RnnrtError):
    """A recurrent state is missing, malformed, or used by two callers at once."""
