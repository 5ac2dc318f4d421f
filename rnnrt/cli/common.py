"""What the verbs share: the console, wording of numbers, inputs for a model, and a stopwatch."""

from __future__ import annotations

import json
import statistics
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.markup import escape

from rnnrt.errors import RnnrtError
from rnnrt.ir import Graph
from rnnrt.models import Model, TensorInfo
from rnnrt.models.checking import told
from rnnrt.models.diverging import Divergence
from rnnrt.models.verifying import Verification
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.lift import LIFTED, NOT_LIFTED
from rnnrt.samples import suitable_inputs

MODEL = click.argument("model", type=click.Path())
JSON = click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
SAMPLE = click.option(
    "--sample", type=click.Path(), help="Inputs to use (.npz by input name, or .npy); by default they are made up."
)

AGAINST = click.option(
    "--against",
    type=click.Choice(["onnxruntime"]),
    help="Compare with onnxruntime, too, on the original .onnx file.",
)

WAYS = {
    "whole": "with the float64 reference",
    "step by step": "step by step with the whole sequence",
    "recorded": "with recorded calls",
    "onnxruntime": "with onnxruntime",
}
"""How messages call the ways of comparing."""


def _constants(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Values by name from NAME=VALUE."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r}: give an input's name and its value, as in sr=16000")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        try:
            found[name] = load_arrays(value) if value.endswith(".npy") else json.loads(value)
        except ValueError:
            raise click.BadParameter(
                f"{text!r}: {value!r} is no value; give a number, true, false, a list as in [1,2], or an .npy file"
            ) from None
        except RnnrtError as error:
            raise click.BadParameter(str(error)) from None
    return found


CONSTANT = click.option(
    "--constant",
    "constants",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_constants,
    help="Make an input a constant (sr=16000): a number, true, false, a JSON list or an .npy file. May be repeated.",
)

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


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


def inputs_for(model: Model, sample: str | None, batch: int, steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs by name: those of a file, or made-up ones that suit the model, as near to `batch` and `steps` as it takes.

    Raises `RnnrtError` where the file cannot be read, or where nothing made up suits.
    """
    if sample is not None:
        return read_arrays(sample, model)
    return suitable_inputs(model.graph, lambda feeds: model.run(None, feeds), batch, steps, seed)


def read_arrays(path: str, model: Model) -> dict[str, np.ndarray]:
    """Arrays by input name from an .npz, or the only input from an .npy.

    Raises `RnnrtError` where the file is no such file.
    """
    names = [info.name for info in model.inputs]
    data = load_arrays(path)
    if isinstance(data, dict):
        return data
    if len(names) != 1:
        raise RnnrtError(f"{path}: holds one array, the model takes {names}; give an .npz with these names")
    return {names[0]: data}


def load_arrays(path: str) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy, or the arrays of an .npz by name.

    Raises `RnnrtError` where the file is no such file.
    """
    try:
        data = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise RnnrtError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RnnrtError(f"{path}: is not a whole .npy or .npz file of plain arrays ({error})") from None
    if isinstance(data, np.ndarray):
        return data
    with data:
        try:
            return {name: data[name] for name in data.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise RnnrtError(f"{path}: cannot be read: {error}") from None


def parameters(graph: Graph) -> int:
    """How many weights a graph holds, bodies included; integers are indices, not weights."""
    graphs = [graph, *graph.subgraphs()]
    return sum(int(a.size) for g in graphs for a in g.constants.values() if a.dtype.kind == "f" and a.ndim)


def operators(graph: Graph) -> Counter[str]:
    """How often each operator occurs, bodies included."""
    return Counter(node.op for g in (graph, *graph.subgraphs()) for node in g.nodes)


def recurrent_layers(graph: Graph) -> list[str]:
    """A line for each recurrent node: kind, sizes, direction."""
    specs = {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs}
    folded, _ = specialise(graph, specs)  # weights may come through Slice and Concat
    lines = []
    for g in (folded, *folded.subgraphs()):
        for node in g.nodes:
            if node.op in GATES:
                weights = g.constants.get(node.inputs[1], folded.constants.get(node.inputs[1]))
                sizes = "? -> ?" if weights is None else f"{weights.shape[-1]} -> {weights.shape[1] // GATES[node.op]}"
                lines.append(f"{node.op} {sizes}, {node.attrs.get('direction', 'forward')}")
    return lines


def facts(graph: Graph) -> str:
    """The graph's metadata on one line, without what `lifted_lines` prints."""
    return ", ".join(f"{key} {value}" for key, value in graph.metadata.items() if key not in (LIFTED, NOT_LIFTED))


def lifted_lines(graph: Graph) -> None:
    """Print what was recognised as a recurrence, and which loops were not."""
    for key, word in ((LIFTED, "lifted"), (NOT_LIFTED, "not lifted")):
        for line in told(graph, key):
            say(f"  {word}: {escape(line)}")


def lifted_rows(graph: Graph) -> dict[str, list[str]]:
    """The same for programs."""
    return {"lifted": list(told(graph)), "not_lifted": list(told(graph, NOT_LIFTED))}


def verification_lines(found: Verification) -> None:
    """Print, for each way and each output, the largest difference and what is allowed; then what was left out."""
    for how in found.ways():
        calls = len({c.case for c in found.comparisons if c.how == how})
        say(f"[bold]compared[/] {WAYS.get(how, how)}, {calls} call{'s' if calls != 1 else ''}")
        for name, c in found.worst(how).items():
            colour = "green" if c.passed else "red"
            say(
                f"  {escape(name)}: largest difference [{colour}]{c.difference:.1e}[/], {c.tolerance:.0e} is allowed"
                f" ({escape(c.case)})"
            )
    for note in found.notes:
        say(f"  note: {escape(note)}")


def verification_json(found: Verification) -> dict[str, Any]:
    """A verification for programs."""
    divergence = found.divergence
    return {
        "passed": found.passed,
        "comparisons": [{**asdict(c), "passed": c.passed} for c in found.comparisons],
        "notes": list(found.notes),
        "divergence": asdict(divergence) if isinstance(divergence, Divergence) else divergence,
    }


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
