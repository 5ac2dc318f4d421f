"""How the time of an LSTM call grows with its hidden size and its length, on one thread and on two; beside peers.

python tools/bench/scaling.py --json scaling.json
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from cells import Cell
from engines import ENGINES, installed
from timing import best, interleaved

HIDDEN = (16, 32, 64, 128, 256, 512, 1024)
LENGTHS = (1, 10, 100, 1000, 10_000, 100_000)


def sweep(cells: list[Cell], names: list[str], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Times of each cell by engine and threads."""
    rows = []
    for cell in cells:
        x = cell.input()
        calls = {f"{name}/{n}": partial(ENGINES[name](cell, n), x) for name in names for n in (1, 2)}
        times = interleaved(calls, seconds, rounds)
        rows.append({"T": cell.T, "B": cell.B, "I": cell.I, "H": cell.H, "times": times, "floor": cell.floor()})
        Console().print(f"{cell.label}: {best(times, 'rnnrt') * 1e6:.1f} us", style="dim")
    return rows


@click.command(help=__doc__)
@click.option("--seconds", default=0.03, help="slice of time for one measurement")
@click.option("--rounds", default=5, help="measurements of each engine")
@click.option("--json", "json_path", type=click.Path(), required=True, help="where the figures go")
def main(seconds: float, rounds: int, json_path: str) -> None:
    names = [name for name in ENGINES if installed(name)]
    figures = {
        "hidden": sweep([Cell("LSTM", 100, 1, h, h) for h in HIDDEN], names, seconds, rounds),
        "length": sweep([Cell("LSTM", t, 1, 64, 256) for t in LENGTHS], ["rnnrt"], seconds, rounds),
    }
    Path(json_path).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
