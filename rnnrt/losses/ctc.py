"""Connectionist temporal classification: Graves, Fernández, Gomez and Schmidhuber, ICML 2006.

The forward and backward recursions (their equations 6, 7, 10 and 11) run in log space, over the whole batch at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses.base import BuiltinLoss
from rnnrt.losses.reduction import as_float, check_finite
from rnnrt.numerics import log_softmax

__all__ = ["CTC"]

_BLANK = 0


class CTC(BuiltinLoss):
    """``-log(probability of the labels)``, over all alignments of the labels with the steps.

    `y_true` (batch, max_length) holds classes from 1, padded at the end with 0, which is the blank; `y_pred`
    (batch, steps, classes) holds logits. All steps count. Computed in float64.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "ctc", dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(reduction, name, dtype)

    def prepare(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        labels, p = np.asarray(y_true), as_float(y_pred, self.dtype)
        if p.ndim != 3 or labels.ndim != 2 or len(labels) != len(p):
            raise ShapeError(
                f"{self.name}: y_true has the shape {labels.shape} and y_pred {p.shape}; "
                f"they must be (batch, max_length) and (batch, steps, classes)"
            )
        if labels.dtype.kind not in "iub":
            check_finite(as_float(labels), self.name)
            if (labels != np.floor(labels)).any():
                raise RnnrtError(f"{self.name}: labels must be whole numbers, the classes")
        labels = labels.astype(np.int64)
        _, steps, n_classes = p.shape
        if labels.size and (labels.min() < 0 or labels.max() >= n_classes):
            raise RnnrtError(
                f"{self.name}: labels go from {labels.min()} to {labels.max()}; y_pred has {n_classes} classes, of "
                f"which 0 is the blank and the padding, so labels lie from 1 to {n_classes - 1}"
            )
        used = labels != _BLANK
        lengths = used.sum(axis=1)
        inner = np.flatnonzero((used != (np.arange(labels.shape[1]) < lengths[:, None])).any(axis=1))
        if inner.size:
            raise RnnrtError(f"{self.name}: sample {inner[0]} has a 0 before a label; 0 is padding, at the end only")
        repeats = ((labels[:, 1:] == labels[:, :-1]) & used[:, 1:]).sum(axis=1)
        short = np.flatnonzero(lengths + repeats > steps)
        if short.size:
            raise RnnrtError(
                f"{self.name}: the labels of sample {short[0]} need {(lengths + repeats)[short[0]]} steps (one each, "
                f"and a blank between equal ones), but y_pred has {steps}; drop the sample or give it more steps"
            )
        return labels, p

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> tuple[np.ndarray, np.ndarray | None]:
        batch, _, n_classes = p.shape
        states = 2 * t.shape[1] + 1
        path = np.full((batch, states), _BLANK)
        path[:, 1::2] = t
        logs = log_softmax(p.astype(np.float64), -1)
        emits = np.ascontiguousarray(np.take_along_axis(logs, path[:, None, :], 2).transpose(1, 0, 2))
        # A state may be reached from two before it where that skips a blank between different labels.
        skips = np.zeros((batch, states), bool)
        skips[:, 2:] = (path[:, 2:] != _BLANK) & (path[:, 2:] != path[:, :-2])

        last = 2 * (t != _BLANK).sum(axis=1)
        ends = (np.arange(states) == last[:, None]) | (np.arange(states) == last[:, None] - 1)
        starts = np.broadcast_to(np.arange(states) < 2, ends.shape)
        forward = _walk(emits, skips, starts)
        total = np.logaddexp.reduce(np.where(ends, forward[-1], -np.inf), axis=1)
        if not gradient:
            return (-total).astype(p.dtype), None

        # Backwards is the same walk over mirrored states; a mirrored skip starts where the plain one ended.
        mirrored = np.zeros_like(skips)
        mirrored[:, 2:] = skips[:, :1:-1]
        backward = _walk(emits[::-1, :, ::-1], mirrored, ends[:, ::-1])[::-1, :, ::-1]
        occupied = np.exp(forward + backward - emits - total[None, :, None])
        one_hot = (path[:, :, None] == np.arange(n_classes)).astype(np.float64)
        slopes = np.exp(logs) - occupied.transpose(1, 0, 2) @ one_hot
        return (-total).astype(p.dtype), slopes.astype(p.dtype)


def _walk(emits: np.ndarray, skips: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities of being in each state (steps, batch, states) with all emissions up to then."""
    result = np.empty(emits.shape)
    result[0] = np.where(starts, emits[0], -np.inf)
    for step in range(1, len(emits)):
        before = result[step - 1]
        reach = before.copy()
        reach[:, 1:] = np.logaddexp(reach[:, 1:], before[:, :-1])
        reach[:, 2:] = np.where(skips[:, 2:], np.logaddexp(reach[:, 2:], before[:, :-2]), reach[:, 2:])
        result[step] = reach + emits[step]
    return result
