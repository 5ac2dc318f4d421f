"""Measure rnnrt beside its peers, interleaved in one run, and compare all outputs.

python tools/bench/peers.py                     the whole grid
python tools/bench/peers.py --match "T=100 B=1" --json out.json
python tools/bench/peers.py --tiny              correctness only, as CI runs it
"""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from cells import TINY, Cell, cells
from engines import ENGINES, installed
from timing import best, geometric_mean, interleaved

TOLERANCE = 2e-5
ROUNDS = 7
"""Every engine is measured this often, in turn, so that a drift of the clock meets all of them."""


def compare(cell: Cell, names: list[str], threads: list[int], seconds: float, rounds: int) -> dict[str, float]:
    """Median seconds by "engine/threads"; raises when an engine's output differs from the first one's."""
    x = cell.input()
    runs = {f"{name}/{n}": ENGINES[name](cell, n) for name in names for n in threads}
    expected = None
    for key, run in runs.items():
        y = np.asarray(run(x)).reshape(cell.T, 1, cell.B, cell.H)
        if expected is None:
            expected = y.copy()
        worst = float(np.max(np.abs(y - expected)))
        if not worst <= TOLERANCE * 10:
            raise SystemExit(f"{cell.label}: {key} differs from {next(iter(runs))} by {worst:.2e}")
    if not rounds:
        return {}
    return interleaved({key: partial(run, x) for key, run in runs.items()}, seconds, rounds)


@click.command(help=__doc__)
@click.option("--match", default="", help="only cells whose label contains this")
@click.option("--threads", default="1,2", help="thread settings, each engine at its better one")
@click.option("--seconds", default=0.03, help="slice of time for one measurement")
@click.option("--rounds", default=ROUNDS, help="measurements of each engine")
@click.option("--tiny", is_flag=True, help="tiny cells, outputs compared, nothing measured")
@click.option("--json", "json_path", type=click.Path(), help="write the figures here too")
def main(match: str, threads: str, seconds: float, rounds: int, tiny: bool, json_path: str | None) -> None:
    console = Console()
    names = [name for name in ENGINES if installed(name)]
    peers = [name for name in names if name != "rnnrt"]
    counts = [int(n) for n in threads.split(",")]
    chosen = [cell for cell in (cells(TINY) if tiny else cells()) if match in cell.label]
    table = Table("layer", *(f"{name} us" for name in names), "to best peer", "to floor")
    rows, ratios = [], []
    for cell in chosen:
        times = compare(cell, names, counts, seconds, 0 if tiny else rounds)
        if tiny:
            continue
        own = best(times, "rnnrt")
        ratio = min(best(times, p) for p in peers) / own if peers else math.nan
        ratios.append(ratio)
        rows.append({"cell": cell.label, "times": times, "to_best_peer": ratio, "to_floor": own / cell.floor()})
        console.print(f"{cell.label}: {ratio:.2f}", style="dim")
        table.add_row(
            cell.label,
            *(f"{best(times, name) * 1e6:.1f}" for name in names),
            f"{ratio:.2f}",
            f"{own / cell.floor():.2f}",
        )
    if tiny:
        console.print(f"{len(chosen)} cells agree between {', '.join(names)}")
        return
    Console(width=max(console.width, 110)).print(table)
    if ratios and peers:
        console.print(f"geometric mean over the best peer {geometric_mean(ratios):.2f}, lowest {min(ratios):.2f}")
    if json_path:
        Path(json_path).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
