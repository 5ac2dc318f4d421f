"""The demo's picture: what the network thinks while the rows of a digit come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.models import Model


def draw_digit(model: Model, pictures: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Draw a digit and the class probabilities after each of its rows.

    Parameters
    ----------
    model : Model
        The digits network; (N, 8, 8) to (N, 10).
    pictures : ndarray (N, 8, 8), values in [0, 1]
    labels : ndarray (N,)
    path : Path
        Where the PNG goes.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        raise RnnrtError('drawing needs matplotlib: pip install "rnnrt[bench]"') from None
    chosen = _interesting(model, pictures, labels)
    steps = _after_each_row(model, pictures[chosen])
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), width_ratios=(1, 2), layout="constrained", gridspec_kw={"wspace": 0.08}
    )
    left.imshow(pictures[chosen], cmap="gray_r", vmin=0, vmax=1)
    left.set(xticks=[], yticks=range(8), yticklabels=range(1, 9), ylabel="row", title=f"a handwritten {labels[chosen]}")
    for digit in range(10):
        final = digit == labels[chosen]
        right.plot(range(1, 9), steps[:, digit], color=f"C{digit}", lw=2.5 if final else 1.2, alpha=1 if final else 0.7)
    for digit in np.argsort(steps.max(0))[-4:]:
        peak = int(steps[:, digit].argmax())
        right.annotate(
            str(digit), (peak + 1, steps[peak, digit]), xytext=(0, 4), textcoords="offset points",
            color=f"C{digit}", ha="center", fontweight="bold",
        )  # fmt: skip
    right.set(
        xlabel="rows seen", ylabel="probability", ylim=(0, 1.1), xticks=range(1, 9), title="what the network thinks"
    )
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _after_each_row(model: Model, picture: np.ndarray) -> np.ndarray:
    """Probabilities (8, 10) after each row."""
    stream = model.stream()
    return np.stack([np.ravel(stream.step(np.ascontiguousarray(row[None]))) for row in picture])


def _interesting(model: Model, pictures: np.ndarray, labels: np.ndarray) -> int:
    """A digit that is recognised in the end, after some other guesses."""
    best, most = 0, -1
    for k in range(min(len(pictures), 60)):
        guesses = _after_each_row(model, pictures[k]).argmax(1)
        if guesses[-1] == labels[k] and len(set(guesses)) > most:
            best, most = k, len(set(guesses))
    return best
