"""`rnnrt bench`: how long a user's own file takes here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from rnnrt.cli.common import JSON, MODEL, SAMPLE, console, inputs_for, quantiles, say, say_json, shape_text, stopwatch
from rnnrt.formats import kind_of
from rnnrt.models import load


@click.command()
@MODEL
@click.option("--batch", default=1, show_default=True, help="Extent of a free batch axis.")
@click.option("--steps", default=10, show_default=True, help="Extent of other free axes.")
@click.option("--seconds", default=1.0, show_default=True, help="Time for each measurement.")
@click.option("--threads", type=int, help="Threads to use; by default all processors.")
@click.option("--nodes", is_flag=True, help="Show where the time goes, node by node.")
@SAMPLE
@JSON
def bench(
    model: str,
    batch: int,
    steps: int,
    seconds: float,
    threads: int | None,
    nodes: bool,
    sample: str | None,
    as_json: bool,
) -> None:
    """Time MODEL; beside onnxruntime where that is installed and the file is ONNX."""
    loaded = load(model, threads=threads)
    feeds = inputs_for(loaded, sample, batch, steps)
    calls: dict[str, Callable[[], Any]] = {"rnnrt": lambda: loaded.run(None, feeds)}
    if kind_of(model) == "onnx" and importlib.util.find_spec("onnxruntime"):
        calls["onnxruntime"] = _onnxruntime(model, feeds, threads)
    rows = {}
    for name, call in calls.items():
        times = stopwatch(call, seconds)
        rows[name] = {**quantiles(times), "calls_per_second": len(times) / sum(times)}
    profile = loaded.profile(*(feeds[info.name] for info in loaded.inputs)) if nodes else []
    if as_json:
        shapes = {name: list(x.shape) for name, x in feeds.items()}
        parts = [{"node": node, "kernel": kernel, "us": t * 1e6} for node, kernel, t in profile]
        say_json({"shapes": shapes, "figures": rows, **({"nodes": parts} if nodes else {})})
        return
    for name, x in feeds.items():
        say(f"{escape(name)}: {x.dtype} {shape_text(x.shape)}")
    table = Table("", "p50 us", "p99 us", "calls/s")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.1f}" for key in ("p50_us", "p99_us", "calls_per_second")))
    console().print(table)
    if nodes:
        total = sum(t for *_, t in profile)
        table = Table("node", "kernel", "us", "share")
        for node, kernel, t in sorted(profile, key=lambda row: -row[2]):
            table.add_row(escape(node), kernel, f"{t * 1e6:.2f}", f"{t / total:.0%}")
        console().print(table)


def _onnxruntime(path: str, feeds: dict[str, Any], threads: int | None) -> Callable[[], Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)
