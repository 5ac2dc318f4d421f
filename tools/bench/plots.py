"""Draw the figures of docs/performance.md from what the benchmarks wrote; how all figures look.

python tools/bench/plots.py --peers peers.json --scaling scaling.json -o docs/images
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parent))

from timing import best

COLOURS = {"rnnrt": "#c1440e", "onnxruntime": "#4a6fa5", "torch": "#7a9e7e", "openvino": "#9c89b8"}
ENGINES = tuple(COLOURS)


def panels(width: float, height: float, columns: int) -> tuple[Any, list[Any]]:
    """A figure with some axes side by side."""
    figure, grid = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for ax in grid[0]:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, linewidth=0.6)
    return figure, list(grid[0])


def axes(width: float, height: float) -> tuple[Any, Any]:
    figure, (ax,) = panels(width, height, 1)
    return figure, ax


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
    click.echo(path)


def draw_cells(rows: list[dict[str, Any]], path: Path) -> None:
    """Each layer's time over the floor, for every engine at its better number of threads."""
    figure, ax = axes(9, 8.5)
    labels = [row["cell"] for row in rows]
    for name in reversed(ENGINES):
        over = [best(row["times"], name) * row["to_floor"] / best(row["times"], "rnnrt") for row in rows]
        ax.plot(over, range(len(rows)), "o" if name == "rnnrt" else "D", color=COLOURS[name], label=name,
                markersize=7 if name == "rnnrt" else 5)  # fmt: skip
    ax.axvline(1, color="black", linewidth=1)
    ax.set_xscale("log")
    ax.set_xticks([1, 1.5, 2, 3, 5, 10, 30, 100], ["1", "1.5", "2", "3", "5", "10", "30", "100"])
    ax.set_yticks(range(len(rows)), labels, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("time of a call over the floor (lower is better)")
    ax.legend(frameon=False)
    save(figure, path)


def draw_hidden(rows: list[dict[str, Any]], path: Path) -> None:
    """Time over hidden size."""
    figure, ax = axes(7, 4.5)
    sizes = [row["H"] for row in rows]
    for name in ENGINES:
        times = [best(row["times"], name) / row["T"] * 1e6 for row in rows]
        ax.loglog(sizes, times, "o-", color=COLOURS[name], label=name, linewidth=2 if name == "rnnrt" else 1.2)
    ax.loglog(sizes, [row["floor"] / row["T"] * 1e6 for row in rows], "--", color="black", label="floor", linewidth=1)
    ax.set_xticks(sizes, [str(s) for s in sizes])
    ax.set_xlabel("input and hidden size")
    ax.set_ylabel("microseconds a step")
    ax.set_title(f"LSTM, batch 1, {rows[0]['T']} steps a call, better of 1 and 2 threads", fontsize=10)
    ax.legend(frameon=False)
    save(figure, path)


def draw_length(rows: list[dict[str, Any]], path: Path) -> None:
    """Time a step over the length of the sequence, on one thread and on two."""
    figure, ax = axes(7, 4)
    lengths = [row["T"] for row in rows]
    for threads, style in (("1", "o--"), ("2", "o-")):
        times = [row["times"][f"rnnrt/{threads}"] / row["T"] * 1e6 for row in rows]
        ax.semilogx(lengths, times, style, color=COLOURS["rnnrt"], label=f"{threads} thread" + "s" * (threads != "1"))
    ax.set_ylim(0)
    ax.set_xlabel("steps of the sequence")
    ax.set_ylabel("microseconds a step")
    ax.set_title(f"rnnrt, LSTM {rows[0]['I']} -> {rows[0]['H']}, batch 1", fontsize=10)
    ax.legend(frameon=False)
    save(figure, path)


@click.command(help=__doc__)
@click.option("--peers", type=click.Path(exists=True), help="what peers.py --json wrote")
@click.option("--scaling", type=click.Path(exists=True), help="what scaling.py --json wrote")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("docs/images"), help="folder of the PNGs")
def main(peers: str | None, scaling: str | None, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    if peers:
        draw_cells(json.loads(Path(peers).read_text()), output / "cells.png")
    if scaling:
        figures = json.loads(Path(scaling).read_text())
        draw_hidden(figures["hidden"], output / "hidden.png")
        draw_length(figures["length"], output / "length.png")


if __name__ == "__main__":
    main()
