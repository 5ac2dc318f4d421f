"""`rnnrt convert`: an ONNX or Keras file into rnnrt's own container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.progress import Progress

from rnnrt.cli.common import (
    CONSTANT,
    JSON,
    SAMPLE,
    console,
    count,
    info_rows,
    inputs_for,
    largest_difference,
    operators,
    parameters,
    read_arrays,
    recurrent_layers,
    say,
    say_json,
    shape_text,
)
from rnnrt.errors import RnnrtError
from rnnrt.models import Model, load
from rnnrt.models.description_text import read_values
from rnnrt.ops.evaluate import evaluate

TOLERANCE = 2e-5
"""Largest difference to the float64 reference that still counts as the same result."""


@click.command()
@click.argument("source", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="Where to write; by default SOURCE with .rnnrt as its ending.")
@CONSTANT
@SAMPLE
@click.option(
    "--layers",
    type=click.Path(),
    help="The layers of a state_dict: a .yaml or .json list of {type, name, ...}, or an object with `layers` and the "
    "other arguments of rnnrt.load.",
)
@click.option("--no-check", is_flag=True, help="Do not compare with the float64 reference.")
@JSON
def convert(
    source: str,
    output: str | None,
    constants: dict[str, Any],
    sample: str | None,
    layers: str | None,
    no_check: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE (.onnx, .keras, .h5, .rnnrt, RTNeural's .json, or .safetensors with --layers) to a .rnnrt file.

    Prints what was read, what was recognised, and for each output the largest difference between the compiled result
    and the float64 reference. The call with --sample is recorded for `rnnrt verify`, else calls with made-up inputs.
    """
    target = Path(output) if output else Path(source).with_suffix(".rnnrt")
    steps = 2 if no_check else 3
    screen = console()
    with Progress(console=screen, transient=True, disable=as_json or not screen.is_terminal) as progress:
        task = progress.add_task(f"reading {escape(source)}", total=steps)
        model = load_tensors(source, layers, constants) if layers else load(source, constants=constants)
        given = None if sample is None else read_arrays(sample, model)
        differences: dict[str, float] | None = None
        progress.advance(task)
        if not no_check:
            progress.update(task, description="comparing with the reference")
            differences = compare(model, given or inputs_for(model, None, 3, 3))
            progress.advance(task)
        progress.update(task, description=f"writing {escape(str(target))}")
        model.save(target, given)
        progress.advance(task)
    graph = model.graph
    if as_json:
        say_json(
            {
                "source": source,
                "target": str(target),
                "metadata": dict(graph.metadata),
                "inputs": info_rows(model.inputs),
                "outputs": info_rows(model.outputs),
                "parameters": parameters(graph),
                "operators": dict(operators(graph)),
                "recurrent": recurrent_layers(graph),
                "largest_difference": differences,
            }
        )
    else:
        _report(source, model, target, differences)
    largest = max((differences or {}).values(), default=0.0)
    if largest > TOLERANCE:
        raise RnnrtError(
            f"the compiled result differs from the reference by {largest:.1e}, more than {TOLERANCE:.0e}; "
            "the file was written, but please report this with the model"
        )


def load_tensors(source: str, layers: str, constants: Mapping[str, Any]) -> Model:
    """The model of a state_dict and of the file that describes its layers.

    Raises `RnnrtError` where that file does not say what it should.
    """
    values = read_values(layers)
    arguments = values if isinstance(values, dict) else {"layers": values}
    known = ("layers", "input_shape", "prefix", "ignore", "shared")
    if "layers" not in arguments or not set(arguments) <= set(known):
        raise RnnrtError(f"{layers}: has the keys {[str(k) for k in arguments]}; give a list, or {', '.join(known)}")
    return load(source, constants=constants, **arguments)


def compare(model: Model, feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Largest difference between the plan and the float64 reference, by output."""
    got = model.run(None, feeds)
    want = evaluate(model.graph, feeds, np.float64)
    return {o.name: largest_difference(a, b) for o, a, b in zip(model.outputs, got, want, strict=True)}


def _report(source: str, model: Model, target: Path, differences: dict[str, float] | None) -> None:
    graph = model.graph
    facts = ", ".join(f"{key} {value}" for key, value in graph.metadata.items())
    say(f"[bold]read[/] {escape(source)}" + (f" ({escape(facts)})" if facts else ""))
    for word, infos in (("input", model.inputs), ("output", model.outputs)):
        for info in infos:
            say(f"  {word} {escape(info.name)}: {info.dtype} {shape_text(info.shape)}")
    say(f"  {count(parameters(graph))} parameters in {sum(operators(graph).values())} nodes")
    say("[bold]recognised[/]")
    for line, n in Counter(recurrent_layers(graph)).items() or [("no LSTM, GRU or RNN operator", 1)]:
        say(f"  {line}" + (f", {n} times" if n > 1 else ""))
    rest = ", ".join(f"{op} {n}" if n > 1 else op for op, n in sorted(operators(graph).items()))
    say(f"  operators: {rest}")
    if differences is not None:
        say("[bold]compared[/] with the float64 reference")
        for name, difference in differences.items():
            colour = "green" if difference <= TOLERANCE else "red"
            say(f"  {escape(name)}: largest difference [{colour}]{difference:.1e}[/]")
    say(f"[bold]wrote[/] {escape(str(target))}, {count(target.stat().st_size)}B")
