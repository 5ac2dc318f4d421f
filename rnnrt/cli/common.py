"""What the verbs share: the console, wording of numbers, inputs for a model, and a stopwatch."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from rich.console import Console

from rnnrt.ir import Graph
from rnnrt.models import Model, TensorInfo

MODEL = click.argument("model", type=click.Path())
JSON = click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")

RECURRENT = ("LSTM", "GRU", "RNN")


def console() -> Console:
    """Where text goes; made at each call so that redirections are seen."""
    return Console(highlight=False)


def say(text: str = "") -> None:
    """Print a line that may hold rich's markup. Text from files must be escaped by the caller."""
    console().print(text, soft_wrap=True)


def say_json(value: Any) -> None:
    """Print figures for programs."""
    click.echo(json.dumps(value, indent=1))


def count(number: float) -> str:
    """A large number in few digits: 1.2 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"


def shape_text(shape: tuple[int | None, ...] | None) -> str:
    """A shape with `?` for free extents."""
    return "unknown rank" if shape is None else "(" + ", ".join("?" if d is None else str(d) for d in shape) + ")"


def info_rows(infos: tuple[TensorInfo, ...]) -> list[dict[str, Any]]:
    """Inputs or outputs as JSON has them."""
    return [{"name": i.name, "dtype": i.dtype.name, "shape": None if i.shape is None else list(i.shape)} for i in infos]


def free_shapes(model: Model, free: int) -> dict[str, tuple[int, ...]]:
    """Input shapes, every free extent being `free`."""
    return {i.name: tuple(free if d is None else d for d in i.shape or ()) for i in model.inputs}


def parameters(graph: Graph) -> int:
    """How many weights a graph holds, bodies included; integers are indices, not weights."""
    graphs = [graph, *graph.subgraphs()]
    return sum(int(a.size) for g in graphs for a in g.constants.values() if a.dtype.kind == "f" and a.ndim)


def operators(graph: Graph) -> Counter[str]:
    """How often each operator occurs, bodies included."""
    return Counter(node.op for g in (graph, *graph.subgraphs()) for node in g.nodes)


def recurrent_layers(graph: Graph) -> list[str]:
    """A line for each recurrent node: kind, sizes, direction."""
    lines = []
    for g in (graph, *graph.subgraphs()):
        for node in g.nodes:
            if node.op in RECURRENT:
                weights = graph.constants.get(node.inputs[1], g.constants.get(node.inputs[1]))
                recurrent = graph.constants.get(node.inputs[2], g.constants.get(node.inputs[2]))
                sizes = "sizes known at run time"
                if weights is not None and recurrent is not None:
                    sizes = f"{weights.shape[-1]} -> {recurrent.shape[-1]}"
                lines.append(f"{node.op} {sizes}, {node.attrs.get('direction', 'forward')}")
    return lines


def largest_difference(got: np.ndarray, want: np.ndarray) -> float:
    """The largest absolute difference, relative to the largest expected magnitude where that exceeds 1."""
    if got.shape != want.shape:
        return float("inf")
    if got.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
    difference = np.where(got == want, 0.0, difference)
    if np.any(np.isnan(difference) & ~(np.isnan(got) & np.isnan(want))):
        return float("inf")
    finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind == "f" else np.abs(want)
    scale = max(1.0, float(finite.max(initial=0)))
    return float(np.nanmax(difference, initial=0)) / scale


def stopwatch(call: Callable[[], Any], seconds: float = 1.0, least: int = 20) -> list[float]:
    """Seconds of each call, for about `seconds` altogether; a few calls warm up first."""
    for _ in range(5):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or times[-1] + time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if len(times) >= 200_000:
            break
    return times


def quantiles(times: list[float]) -> dict[str, float]:
    """Median and 99th percentile, in microseconds."""
    ordered = sorted(times)
    return {
        "p50_us": statistics.median(ordered) * 1e6,
        "p99_us": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1e6,
    }
