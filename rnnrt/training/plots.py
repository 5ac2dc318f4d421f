"""Pictures of a training: its curves, and how gradients flow back through time."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError

COLOURS = ("#c1440e", "#4a6fa5", "#7a9e7e", "#9c89b8", "#c9a227", "#6b4e3d", "#3a8f9e", "#b56576")


class LayerGradients(Protocol):
    """What `plot_gradient_report` reads of a layer: see `rnnrt.training.gradients.LayerGradients`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def step_norms(self) -> np.ndarray: ...
    @property
    def carry(self) -> np.ndarray: ...
    @property
    def gates(self) -> Mapping[str, float]: ...
    @property
    def verdict(self) -> str: ...


class GradientReport(Protocol):
    """What `plot_gradient_report` reads."""

    @property
    def layers(self) -> Sequence[LayerGradients]: ...


def plot_history(history: Mapping[str, Sequence[float]], path: str | os.PathLike[str]) -> None:
    """Draw loss and metrics over the epochs, each with its validation.

    Parameters
    ----------
    history : dict of str to list of float
        As `History.history` has it: a list over the epochs for each name; ``val_...`` is drawn with its twin.
    path : path-like
        Where the PNG goes.

    Raises
    ------
    ShapeError
        There is nothing to draw.
    RnnrtError
        matplotlib is not installed.
    """
    curves = {name: np.asarray(values, float) for name, values in history.items() if np.ndim(values) == 1}
    names = list(dict.fromkeys(name.removeprefix("val_") for name, values in curves.items() if values.size))
    if not names:
        raise ShapeError("plot_history: the history has no epoch; train first")
    names.sort(key=lambda name: (name != "loss", name == "learning_rate"))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = _figure(1 + 4.2 * columns, 0.4 + 3.1 * rows)
    for place, name in enumerate(names):
        ax = _axes(figure, rows, columns, place)
        for key, label, style in ((name, "training", "--"), (f"val_{name}", "validation", "-")):
            values = curves.get(key, np.empty(0))
            if not values.size:
                continue
            alone = f"val_{name}" not in curves
            colour = COLOURS[1] if label == "training" and not alone else COLOURS[0]
            ax.plot(
                np.arange(1, values.size + 1), values, "-" if alone else style, color=colour, label=label,
                linewidth=1.8, marker="o" if values.size < 15 else None, markersize=3.5,
            )  # fmt: skip
        _mark_best(ax, name, curves)
        if name == "learning_rate" and (curves[name] > 0).all():
            ax.set_yscale("log")
        ax.set_title(name.replace("_", " "), fontsize=10)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if f"val_{name}" in curves:
            ax.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120, format="png")


def plot_gradient_report(report: GradientReport, path: str | os.PathLike[str]) -> None:
    """Draw for each layer the gradient's norm at each step, what is left of it so many steps back, and its gates.

    Parameters
    ----------
    report : object with `layers`
        Each layer with `name`, `kind`, `step_norms` (T,), `carry` (L,), `gates` (dict of saturated fractions) and
        `verdict`.
    path : path-like
        Where the PNG goes.

    Raises
    ------
    ShapeError
        There is nothing to draw.
    RnnrtError
        matplotlib is not installed.
    """
    layers = [layer for layer in report.layers if np.size(layer.step_norms)]
    if not layers:
        raise ShapeError("plot_gradient_report: the report has no recurrent layer")
    gated = [layer for layer in layers if layer.gates]
    bars = sum(len(layer.gates) + 1 for layer in gated) - 1
    lines_height = 3.8 + 0.2 * -(-len(layers) // 2)
    bars_height = 0.9 + 0.24 * bars if gated else 0
    figure = _figure(10, lines_height + bars_height)
    grid = figure.add_gridspec(2 if gated else 1, 2, height_ratios=(lines_height, bars_height) if gated else None)
    _draw_norms(_dress(figure.add_subplot(grid[0, 0])), layers)
    _draw_carry(_dress(figure.add_subplot(grid[0, 1])), layers)
    figure.legend(
        handles=figure.axes[0].lines, frameon=False, fontsize=8, loc="outside upper center", ncols=min(2, len(layers))
    )
    if gated:
        _draw_saturation(_dress(figure.add_subplot(grid[1, :])), gated, [layers.index(layer) for layer in gated])
    figure.savefig(path, dpi=120, format="png")


def _draw_norms(ax: Any, layers: Sequence[LayerGradients]) -> None:
    _draw_lines(ax, layers, [(np.arange(1, len(x.step_norms) + 1), x.step_norms) for x in layers])
    ax.set_xlabel("time step t")
    ax.set_ylabel("mean norm of dL/dh$_t$")
    ax.set_title("gradients of the loss", fontsize=10)


def _draw_carry(ax: Any, layers: Sequence[LayerGradients]) -> None:
    _draw_lines(ax, layers, [(np.arange(len(x.carry)), x.carry) for x in layers])
    ax.set_xlabel("steps back")
    ax.set_ylabel("share that is left")
    ax.set_title("how far back a gradient reaches", fontsize=10)


def _draw_lines(ax: Any, layers: Sequence[LayerGradients], lines: Sequence[tuple[np.ndarray, Any]]) -> None:
    """A line for each layer, on a logarithmic scale."""
    found = [np.asarray(y, float) for _, y in lines]
    everything = np.concatenate([y[np.isfinite(y) & (y > 0)] for y in found])
    # A gradient of exactly 0 has no place on a logarithmic scale; it is drawn at the bottom.
    bottom = everything.min() / 10 if everything.size else 1e-12
    for place, (layer, (x, _), y) in enumerate(zip(layers, lines, found, strict=True)):
        ax.plot(
            x, np.where(y > 0, y, np.where(np.isfinite(y), bottom, np.nan)), color=_colour(place), linewidth=1.8,
            marker="o" if y.size < 40 else None, markersize=3, label=f"{layer.name} ({layer.kind}): {layer.verdict}",
        )  # fmt: skip
    ax.set_yscale("log")
    _open_up(ax, everything)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _draw_saturation(ax: Any, layers: Sequence[LayerGradients], places: Sequence[int]) -> None:
    at, ticks, labels = 0, [], []
    for layer, place in zip(layers, places, strict=True):
        for gate, fraction in layer.gates.items():
            ax.barh(at, fraction, height=0.75, color=_colour(place))
            text, end = (f"{100 * fraction:.0f} %", fraction) if math.isfinite(fraction) else ("?", 0.0)
            ax.text(end + 0.01, at, text, va="center", fontsize=8)
            ticks.append(at)
            labels.append(f"{layer.name}  {gate}")
            at += 1
        at += 1
    ax.set_yticks(ticks, labels, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.08)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("saturated values of the gate")


def _open_up(ax: Any, values: np.ndarray) -> None:
    """Show at least two decades, so that a flat curve looks flat."""
    if not values.size:
        return
    low, high = math.log10(values.min()), math.log10(values.max())
    if high - low < 2:
        middle = (low + high) / 2
        ax.set_ylim(10 ** (middle - 1), 10 ** (middle + 1))


def _mark_best(ax: Any, name: str, curves: Mapping[str, np.ndarray]) -> None:
    """Point at the epoch of the least loss."""
    values = curves.get(f"val_{name}", curves.get(name, np.empty(0)))
    if name != "loss" or values.size < 2 or not np.isfinite(values).any():
        return
    best = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))
    ax.plot(best + 1, values[best], "o", color=COLOURS[0], markersize=7, markerfacecolor="white", zorder=3)
    ax.annotate(
        f"{values[best]:.4g} at {best + 1}", (best + 1, values[best]), xytext=(0, 9), textcoords="offset points",
        ha="right" if best > values.size / 2 else "left", fontsize=8, color=COLOURS[0],
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def check_drawing() -> None:
    """Raise `RnnrtError` where matplotlib is not installed."""
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise RnnrtError('drawing needs matplotlib: pip install "rnnrt[bench]"') from None


def _figure(width: float, height: float) -> Any:
    check_drawing()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Any, rows: int, columns: int, place: int) -> Any:
    return _dress(figure.add_subplot(rows, columns, place + 1))


def _dress(ax: Any) -> Any:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax
