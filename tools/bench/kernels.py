"""Kernels by themselves against what one core can do: GFLOP/s, and bytes a second of weights, on one thread.

python tools/bench/kernels.py                   measures the ceilings first (needs a C compiler)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from cells import GATES, Cell
from engines import rnnrt_model

from rnnrt.ir import Graph, Node, Value
from rnnrt.models import Model

F32 = np.dtype("float32")
FLAGS = {
    "avx512": ["-mavx512f", "-mprefer-vector-width=512"],
    "avx2": ["-mavx2", "-mfma"],
    "base": ["-march=x86-64-v2"],
}


def ceilings(isa: str) -> dict[str, float]:
    """Multiply-adds and streams of one core, measured by a small program of the same instruction set."""
    source = Path(__file__).with_name("ceilings.c")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "ceilings")
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O3", *FLAGS[isa], "-o", program, source], check=True)
        return json.loads(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def product(rows: int, depth: int, columns: int) -> tuple[Model, np.ndarray, float, float]:
    """A product with packed weights: model, input, floating point operations, bytes of weights."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((depth, columns)).astype(F32)
    graph = Graph(
        (Value("x", F32, (None, depth)),), (Value("y", F32),), (Node("MatMul", ("x", "w"), ("y",)),), {"w": w}
    )
    x = rng.standard_normal((rows, depth)).astype(F32)
    return Model.from_graph(graph, threads=1), x, 2.0 * rows * depth * columns, 4.0 * depth * columns


def convolution(channels: int, filters: int, kernel: int, positions: int) -> tuple[Model, np.ndarray, float, float]:
    """A 1-D convolution: model, input, floating point operations, bytes of weights."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((filters, channels, kernel)).astype(F32)
    graph = Graph(
        (Value("x", F32, (1, channels, None)),), (Value("y", F32),), (Node("Conv", ("x", "w"), ("y",)),), {"w": w}
    )
    x = rng.standard_normal((1, channels, positions + kernel - 1)).astype(F32)
    return Model.from_graph(graph, threads=1), x, 2.0 * filters * channels * kernel * positions, 4.0 * w.size


def recurrent(kind: str, batch: int, hidden: int) -> tuple[Model, np.ndarray, float, float]:
    """Steps of a layer whose input is one number: model, input, operations and bytes of R over all steps."""
    steps = 200 if batch * hidden < 4096 else 20
    cell = Cell(kind, steps, batch, 1, hidden)
    weights = GATES[kind] * hidden * hidden
    return rnnrt_model(cell, 1), cell.input(), 2.0 * steps * batch * weights, 4.0 * steps * weights


CASES = {
    **{f"{k.lower()} step B={b} H={h}": (recurrent, k, b, h)
       for k in GATES for b in (1, 2, 8, 64) for h in (32, 128, 256, 512)},
    **{f"matmul {m}x{k}x{n}": (product, m, k, n) for m, k, n in ((1, 256, 1024), (8, 256, 1024), (256, 256, 1024))},
    **{f"conv {c}->{f} k={k} at {n}": (convolution, c, f, k, n)
       for c, f, k, n in ((64, 64, 3, 4), (64, 64, 3, 400), (1, 256, 256, 4))},
}  # fmt: skip


@click.command(help=__doc__)
@click.option("--match", default="", help="only cases whose name contains this")
@click.option("--tiny", is_flag=True, help="each kernel once, nothing measured")
@click.option("--json", "json_path", type=click.Path(), help="write the figures here too")
def main(match: str, tiny: bool, json_path: str | None) -> None:
    chosen = {name: case for name, case in CASES.items() if match in name}
    if tiny:
        for make, *sizes in chosen.values():
            model, x, _, _ = make(*sizes)
            assert all(np.isfinite(y).all() for y in model.run(None, {model.inputs[0].name: x}))
        Console().print(f"{len(chosen)} kernels ran")
        return
    made = next(iter(chosen.values()))
    isa = made[0](*made[1:])[0].isa
    limits = ceilings(isa)
    console = Console(width=110)
    console.print(
        f"one core on {isa}: {limits['flops'] / 1e9:.0f} GFLOP/s; GB/s from "
        + ", ".join(f"{name} {limits[name] / 1e9:.0f}" for name in ("l1", "l2", "l3", "dram"))
    )
    table = Table("kernel", "us", "GFLOP/s", "of the peak", "weights GB/s", "of the L2 stream")
    rows = []
    for name, (make, *sizes) in chosen.items():
        model, x, flops, nbytes = make(*sizes)
        runs = int(np.clip(2e9 / flops, 5, 2000))
        seconds = min(sum(s for *_, s in model.profile(x, runs=runs)) for _ in range(5))
        row = {"kernel": name, "us": seconds * 1e6, "flops": flops / seconds, "bytes": nbytes / seconds}
        rows.append(row)
        table.add_row(
            name,
            f"{row['us']:.2f}",
            f"{row['flops'] / 1e9:.1f}",
            f"{row['flops'] / limits['flops']:.2f}",
            f"{row['bytes'] / 1e9:.1f}",
            f"{row['bytes'] / limits['l2']:.2f}",
        )
    console.print(table)
    if json_path:
        Path(json_path).write_text(json.dumps({"isa": isa, "ceilings": limits, "kernels": rows}, indent=1))


if __name__ == "__main__":
    main()
