"""Whole networks beside onnxruntime, on the inputs recorded with them, interleaved in one run.

python tools/bench/networks.py FOLDER           every NAME.onnx below FOLDER with a NAME.case.npz beside it
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

from engines import installed, onnxruntime_session
from timing import best, geometric_mean, interleaved

import rnnrt

TOLERANCE = 2e-5
"""As the tests have it: relative to the larger of 1 and the largest magnitude."""


def check(path: Path, got: list[np.ndarray], want: list[np.ndarray]) -> None:
    """Raise unless the outputs agree."""
    for a, b in zip(got, want, strict=True):
        worst = float(np.max(np.abs(a - b), initial=0)) / max(1.0, float(np.max(np.abs(b), initial=0)))
        if not worst <= TOLERANCE:
            raise SystemExit(f"{path}: outputs differ by {worst:.2e}")


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--threads", default="1,2", help="thread settings, each engine at its better one")
@click.option("--seconds", default=0.05, help="slice of time for one measurement")
@click.option("--rounds", default=7, help="measurements of each engine; 0 compares outputs only")
@click.option("--json", "json_path", type=click.Path(), help="write the figures here too")
def main(folder: Path, threads: str, seconds: float, rounds: int, json_path: str | None) -> None:
    peers = installed("onnxruntime")
    table = Table("network", "rnnrt us", "onnxruntime us", "ratio")
    rows = []
    for path in sorted(folder.rglob("*.onnx")):
        case = path.with_suffix(".case.npz")
        if not case.exists():
            continue
        with np.load(case) as arrays:
            feeds = {key[4:]: arrays[key] for key in arrays if key.startswith("in__")}
            want = {key[5:]: arrays[key] for key in arrays if key.startswith("out__")}
        calls = {}
        for n in map(int, threads.split(",")):
            model = rnnrt.load(path, threads=n)
            check(path, model.run(None, feeds), [want[info.name] for info in model.outputs])
            calls[f"rnnrt/{n}"] = partial(model.run, None, feeds)
            if peers:
                calls[f"onnxruntime/{n}"] = partial(onnxruntime_session(str(path), n).run, None, feeds)
        if not rounds:
            continue
        times = interleaved(calls, seconds, rounds)
        own, other = best(times, "rnnrt"), best(times, "onnxruntime")
        rows.append({"network": path.relative_to(folder).as_posix(), "times": times, "ratio": other / own})
        table.add_row(rows[-1]["network"], f"{own * 1e6:.1f}", f"{other * 1e6:.1f}", f"{other / own:.2f}")
    if not rounds:
        Console().print("outputs agree with the recorded ones")
        return
    Console(width=100).print(table)
    if rows and not math.isnan(rows[0]["ratio"]):
        Console().print(f"geometric mean {geometric_mean(row['ratio'] for row in rows):.2f}")
    if json_path:
        Path(json_path).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
