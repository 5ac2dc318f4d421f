"""`rnnrt demo`: the bundled network of handwritten digits, read from both its files, checked, timed and drawn."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

import rnnrt
from rnnrt.cli.common import JSON, console, quantiles, say, say_json, stopwatch
from rnnrt.errors import RnnrtError
from rnnrt.models import Model, load

DATA = Path(rnnrt.__file__).parent / "demo_data"
FILES = ("digits.keras", "digits.onnx")
TOLERANCE = 2e-5
BATCH = 64


@click.command()
@click.option("--plot", type=click.Path(), help="Draw a digit and its probabilities, row by row, to this PNG.")
@click.option("--seconds", default=0.5, show_default=True, help="Time for each measurement.")
@JSON
def demo(plot: str | None, seconds: float, as_json: bool) -> None:
    """Classify handwritten digits with the bundled network, LSTM(128) -> LSTM(64) -> Dense(10).

    Converts it from its .keras and its .onnx file, checks that both give the stored outputs, classifies the 360 digits
    held back from training, and times it: a row at a time with the state kept, a whole digit, and batches of 64.
    """
    with np.load(DATA / "digits.npz") as arrays:
        pictures = arrays["pictures"].astype(np.float32) / 16
        labels, stored = arrays["labels"], arrays["outputs"]
    models = {name: _converted(DATA / name) for name in FILES}
    figures: dict[str, Any] = {"files": {}}
    for name, model in models.items():
        probabilities = _run(model, pictures)
        difference = float(np.abs(probabilities - stored).max())
        accuracy = float((probabilities.argmax(1) == labels).mean())
        figures["files"][name] = {"largest_difference": difference, "accuracy": accuracy}
        if not as_json:
            say(
                f"[bold]{name}[/]: read and converted; {len(labels)} digits held back from training, "
                f"accuracy {accuracy:.1%}; largest difference to Keras's outputs {difference:.1e}"
            )
        if not difference <= TOLERANCE:
            raise RnnrtError(
                f"{name}: outputs differ from the stored ones by {difference:.1e}, more than {TOLERANCE:.0e}"
            )
    model = models["digits.keras"]
    figures["rows_equal_whole"] = _row_by_row(model, pictures)
    if not figures["rows_equal_whole"]:
        raise RnnrtError("fed row by row with its state kept, the network answers otherwise than on whole digits")
    if not as_json:
        say("fed row by row with its state kept, the network gives the same bits as on whole digits")
    figures["times"] = _times(model, pictures, seconds)
    if as_json:
        say_json(figures)
    else:
        _table(figures["times"])
    if plot:
        from rnnrt.cli.plot import draw_digit

        draw_digit(model, pictures, labels, Path(plot))
        if not as_json:
            say(f"[bold]drew[/] {escape(plot)}")


def _converted(source: Path) -> Model:
    """The network as it comes back from a .rnnrt file."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, source.name).with_suffix(".rnnrt")
        load(source).save(target)
        return load(target)


def _row_by_row(model: Model, pictures: np.ndarray) -> bool:
    """Whether a stream ends with exactly what a call on whole digits gives."""
    stream = model.stream(batch_size=len(pictures))
    for k in range(pictures.shape[1]):
        last = stream.step(np.ascontiguousarray(pictures[:, k]))
    return np.array_equal(last, _run(model, pictures))


def _run(model: Model, x: np.ndarray) -> np.ndarray:
    return model.run(None, {model.inputs[0].name: x})[0]


def _times(model: Model, pictures: np.ndarray, seconds: float) -> dict[str, dict[str, Any]]:
    """Figures by what is timed, then by engine."""
    stream = model.stream()
    row = np.ascontiguousarray(pictures[0, :1])
    one, many = pictures[:1], pictures[:BATCH]
    peer = _onnxruntime()
    jobs: dict[str, dict[str, Callable[[], Any]]] = {
        "one row, state kept": {"rnnrt": lambda: stream.step(row)},
        "one digit": {"rnnrt": lambda: _run(model, one)},
        f"batch of {BATCH}": {"rnnrt": lambda: _run(model, many)},
    }
    if peer is not None:
        jobs["one digit"]["onnxruntime"] = lambda: peer(one)
        jobs[f"batch of {BATCH}"]["onnxruntime"] = lambda: peer(many)
    results: dict[str, dict[str, Any]] = {}
    for job, engines in jobs.items():
        digits = BATCH if job.startswith("batch") else 1
        for engine, call in engines.items():
            times = stopwatch(call, seconds)
            results.setdefault(job, {})[engine] = {
                **quantiles(times),
                "per_second": digits * len(times) / sum(times),
            }
    return results


def _onnxruntime() -> Callable[[np.ndarray], Any] | None:
    if not importlib.util.find_spec("onnxruntime"):
        return None
    import onnxruntime as ort

    session = ort.InferenceSession(str(DATA / "digits.onnx"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def _table(times: dict[str, dict[str, Any]]) -> None:
    table = Table("", "engine", "p50 us", "p99 us", "per second")
    for job, engines in times.items():
        for engine, figures in engines.items():
            table.add_row(
                job,
                engine,
                f"{figures['p50_us']:.1f}",
                f"{figures['p99_us']:.1f}",
                f"{figures['per_second']:,.0f}",
            )
    console().print(table)
    if not any("onnxruntime" in engines for engines in times.values()):
        say("install onnxruntime to see its figures beside these")
