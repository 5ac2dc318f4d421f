"""`rnnrt bench`: how long a user's own file takes here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from rnnrt.cli.common import JSON, MODEL, console, quantiles, say, say_json, shape_text, stopwatch
from rnnrt.errors import RnnrtError
from rnnrt.formats import kind_of
from rnnrt.models import load, sample_inputs


@click.command()
@MODEL
@click.option("--batch", default=1, show_default=True, help="Extent of a free first axis.")
@click.option("--steps", default=10, show_default=True, help="Extent of other free axes.")
@click.option("--seconds", default=1.0, show_default=True, help="Time for each measurement.")
@click.option("--threads", type=int, help="Threads to use; by default all processors.")
@JSON
def bench(model: str, batch: int, steps: int, seconds: float, threads: int | None, as_json: bool) -> None:
    """Time MODEL on made-up inputs; beside onnxruntime where that is installed and the file is ONNX."""
    loaded = load(model, threads=threads)
    infos = [
        type(i)(
            i.name,
            i.dtype,
            tuple((batch if k == 0 else steps) if d is None else d for k, d in enumerate(i.shape or ())),
        )
        for i in loaded.inputs
    ]
    feeds = sample_inputs(infos)
    try:
        loaded.run(None, feeds)
    except RnnrtError as error:
        shapes = ", ".join(f"{i.name} {shape_text(i.shape)}" for i in infos)
        raise RnnrtError(
            f"made-up inputs {shapes} do not suit the model; choose --batch and --steps: {error}"
        ) from None
    calls: dict[str, Callable[[], Any]] = {"rnnrt": lambda: loaded.run(None, feeds)}
    if kind_of(model) == "onnx" and importlib.util.find_spec("onnxruntime"):
        calls["onnxruntime"] = _onnxruntime(model, feeds, threads)
    rows = {}
    for name, call in calls.items():
        times = stopwatch(call, seconds)
        rows[name] = {**quantiles(times), "calls_per_second": len(times) / sum(times)}
    if as_json:
        say_json({"shapes": {i.name: list(i.shape or ()) for i in infos}, "figures": rows})
        return
    for info in infos:
        say(f"{escape(info.name)}: {info.dtype} {shape_text(info.shape)}")
    table = Table("", "p50 us", "p99 us", "calls/s")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.1f}" for key in ("p50_us", "p99_us", "calls_per_second")))
    console().print(table)


def _onnxruntime(path: str, feeds: dict[str, Any], threads: int | None) -> Callable[[], Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)
