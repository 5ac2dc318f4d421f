"""A streaming step, batch 1, one thread, state kept: p50, p99 and p99.9 beside onnxruntime's IOBinding.

python tools/bench/latency.py
python tools/bench/latency.py --tiny            outputs compared, nothing measured, as CI runs it
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from cells import Cell
from engines import STATES, installed, onnx_layer, onnxruntime_session, rnnrt_model
from timing import geometric_mean

CELLS = tuple(
    Cell(kind, 1, 1, inputs, hidden)
    for kind, inputs, hidden in (
        ("LSTM", 16, 32), ("LSTM", 64, 128), ("LSTM", 128, 256), ("GRU", 16, 32), ("GRU", 64, 128), ("GRU", 257, 128),
    )
)  # fmt: skip
BLOCK = 2000
"""Steps of one engine before it is the other one's turn."""

Step = Callable[[np.ndarray], np.ndarray]


def rnnrt_step(cell: Cell) -> Step:
    """Rnnrt's stream."""
    return rnnrt_model(cell, 1).stream(batch_size=1).step


def onnxruntime_step(cell: Cell) -> Step:
    """Two bindings whose states are each other's inputs and outputs, so that a step binds nothing."""
    import onnxruntime as ort

    session = onnxruntime_session(onnx_layer(cell, states=True), 1)
    x = ort.OrtValue.ortvalue_from_numpy(np.zeros((1, 1, cell.I), np.float32))
    y = ort.OrtValue.ortvalue_from_numpy(np.zeros((1, 1, 1, cell.H), np.float32))
    values = [
        {n: ort.OrtValue.ortvalue_from_numpy(np.zeros((1, 1, cell.H), np.float32)) for n in STATES[cell.kind]}
        for _ in range(2)
    ]
    bindings = []
    for turn in range(2):
        binding = session.io_binding()
        binding.bind_ortvalue_input("X", x)
        binding.bind_ortvalue_output("Y", y)
        for n in STATES[cell.kind]:
            binding.bind_ortvalue_input(f"{n}0", values[turn][n])
            binding.bind_ortvalue_output(f"{n}1", values[1 - turn][n])
        bindings.append(binding)
    turn = 0

    def step(frame: np.ndarray) -> np.ndarray:
        nonlocal turn
        x.update_inplace(frame[None])
        session.run_with_iobinding(bindings[turn])
        turn = 1 - turn
        return y.numpy()

    return step


def kernel_seconds(cell: Cell) -> float:
    """What the plan's instructions of a step take by themselves, on one thread."""
    model = rnnrt_model(cell, 1)
    return sum(seconds for *_, seconds in model.profile(cell.input(), runs=5000))


def times_of(step: Step, frames: np.ndarray) -> list[float]:
    clock, times = time.perf_counter, []
    for frame in frames:
        start = clock()
        step(frame)
        times.append(clock() - start)
    return times


@click.command(help=__doc__)
@click.option("--rounds", default=15, help=f"turns of each engine, {BLOCK} steps each")
@click.option("--tiny", is_flag=True, help="outputs compared, nothing measured")
@click.option("--json", "json_path", type=click.Path(), help="write the figures here too")
def main(rounds: int, tiny: bool, json_path: str | None) -> None:
    table = Table("layer", "kernel us", "p50", "p99", "p99.9", "onnxruntime p50", "p99", "p99.9", "ratio of p50")
    rows: list[dict[str, Any]] = []
    for cell in CELLS:
        frames = np.random.default_rng(0).standard_normal((BLOCK, 1, cell.I)).astype(np.float32)
        steps = {"rnnrt": rnnrt_step(cell)}
        if installed("onnxruntime"):
            steps["onnxruntime"] = onnxruntime_step(cell)
            for frame in frames[:50]:
                a, b = (np.asarray(step(frame)).reshape(-1) for step in steps.values())
                if not np.max(np.abs(a - b)) < 2e-5:
                    raise SystemExit(f"{cell.label}: outputs differ")
        if tiny:
            continue
        times: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            times_of(step, frames)
        for _ in range(rounds):
            for name, step in steps.items():
                times[name] += times_of(step, frames)
        row: dict[str, Any] = {"cell": f"{cell.kind} {cell.I}->{cell.H}", "kernel_us": kernel_seconds(cell) * 1e6}
        for name, values in times.items():
            row[name] = dict(zip(("p50", "p99", "p99.9"), np.percentile(values, (50, 99, 99.9)) * 1e6, strict=True))
        row["ratio"] = row["onnxruntime"]["p50"] / row["rnnrt"]["p50"] if "onnxruntime" in row else math.nan
        rows.append(row)
        figures = [f"{v:.2f}" for name in ("rnnrt", "onnxruntime") for v in row.get(name, {}).values()]
        table.add_row(row["cell"], f"{row['kernel_us']:.2f}", *figures, f"{row['ratio']:.2f}")
    if tiny:
        Console().print(f"{len(CELLS)} layers agree step by step between {', '.join(steps)}")
        return
    Console(width=120).print(table)
    Console().print(f"geometric mean of the ratios {geometric_mean(row['ratio'] for row in rows):.2f}")
    if json_path:
        Path(json_path).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
