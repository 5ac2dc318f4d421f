"""`rnnrt convert`: an ONNX or Keras file into rnnrt's own container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.progress import Progress

from rnnrt.cli.common import (
    AGAINST,
    CONSTANT,
    JSON,
    SAMPLE,
    console,
    count,
    facts,
    info_rows,
    lifted_lines,
    lifted_rows,
    operators,
    parameters,
    read_arrays,
    recurrent_layers,
    say,
    say_json,
    shape_text,
    verification_json,
    verification_lines,
)
from rnnrt.cli.verify import with_onnxruntime
from rnnrt.errors import RnnrtError
from rnnrt.formats.container import Vector, write_container
from rnnrt.formats.onnx_test_data import RecordedSet, model_in
from rnnrt.models import Model, load
from rnnrt.models.checking import told
from rnnrt.models.comparing import largest_difference, tolerance_of
from rnnrt.models.description_text import read_values
from rnnrt.models.loading import as_read
from rnnrt.models.peers import against_recorded, need_onnxruntime, recorded_sets
from rnnrt.models.verifying import Verification, blame, verify

RECORDED_CALLS = 2
"""How many made-up calls a container holds."""


@click.command()
@click.argument("source", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="Where to write; by default SOURCE with .rnnrt as its ending.")
@CONSTANT
@SAMPLE
@AGAINST
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
    against: str | None,
    no_check: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE (.onnx, .keras, .h5, .rnnrt, RTNeural's .json, or .safetensors with --layers) to a .rnnrt file.

    Prints what was read and recognised, and for each output the largest difference between the compiled result and the
    float64 reference, over calls of several lengths and sizes of a batch, and step by step. Where that is too large,
    the first node that differs is named, and nothing is written. SOURCE may be a folder that holds one .onnx file.

    For `rnnrt verify` the call with --sample is recorded, or those of the test_data_set folders beside an .onnx file,
    or else calls with made-up inputs.
    """
    file = model_in(source)
    target = Path(output) if output else file.with_suffix(".rnnrt")
    if no_check and against:
        raise RnnrtError("--no-check and --against exclude each other; leave one away")
    if against is not None:
        need_onnxruntime(file)
    screen = console()
    with Progress(console=screen, transient=True, disable=as_json or not screen.is_terminal) as progress:
        task = progress.add_task(f"reading {escape(str(file))}", total=2 if no_check else 3)
        model = load_tensors(str(file), layers, constants) if layers else load(file, constants=constants)
        given = None if sample is None else read_arrays(sample, model)
        notes: list[str] = []
        sets = recorded_sets(model, file, notes) if given is None else []
        found: Verification | None = None
        progress.advance(task)
        if not no_check:
            progress.update(task, description="comparing with the reference")
            original = as_read(file, constants) if told(model.graph) else None
            found = verify(model, given, original=original)
            recorded = tuple(against_recorded(model, sets))
            found = replace(found, comparisons=(*found.comparisons, *recorded), notes=(*notes, *found.notes))
            if against is not None:
                found = with_onnxruntime(found, model, str(file))
            if not found.passed and found.divergence is None:
                calls = [*found.calls, *(one.inputs for one in sets)]
                found = replace(found, divergence=blame(model, calls, original))
            progress.advance(task)
    if not as_json:
        _report(str(file), model)
        if found is not None:
            verification_lines(found)
    if found is None or found.passed:
        _write(model, target, given, sets, found)
    if as_json:
        _print_json(str(file), model, target, found)
    if found is not None and not found.passed:
        worst = max((c for c in found.comparisons if not c.passed), key=lambda c: c.difference)
        raise RnnrtError(
            f"the compiled result differs from the reference by {worst.difference:.1e}, more than "
            f"{worst.tolerance:.0e}; {target} was not written, please report this with the model:\n{found.explain()}"
            if worst.how in ("whole", "step by step")
            else f"the compiled result is not what it is compared with; {target} was not written:\n{found.explain()}"
        )
    if not as_json:
        say(f"[bold]wrote[/] {escape(str(target))}, {count(target.stat().st_size)}B")


def _write(
    model: Model,
    target: Path,
    given: dict[str, np.ndarray] | None,
    sets: Sequence[RecordedSet],
    found: Verification | None,
) -> None:
    if target.suffix != ".rnnrt" or given is not None or (not sets and found is None):
        model.save(target, given)
        return
    calls = [dict(one.inputs) for one in sets]
    if not sets and found is not None:
        calls = sorted(found.calls, key=lambda feeds: sum(x.size for x in feeds.values()))[:RECORDED_CALLS]
    vectors = []
    for k, feeds in enumerate(calls):
        arrays = {name: np.asarray(x) for name, x in feeds.items()}
        results = {v.name: y for v, y in zip(model.graph.outputs, model.run(None, arrays), strict=True)}
        if sets:
            results.update(_recorded(sets[k], results))
        vectors.append(Vector(arrays, results))
    write_container(target, model.graph, vectors)


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


def _recorded(one: RecordedSet, own: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs that the set holds, where they are as near as `rnnrt verify` asks; the set may come from another type."""
    return {
        name: want
        for name, want in one.outputs.items()
        if want.dtype == own[name].dtype and largest_difference(own[name], want) <= tolerance_of(want.dtype)
    }


def _print_json(source: str, model: Model, target: Path, found: Verification | None) -> None:
    graph = model.graph
    say_json(
        {
            "source": source,
            "target": str(target),
            "written": found is None or found.passed,
            "metadata": dict(graph.metadata),
            "inputs": info_rows(model.inputs),
            "outputs": info_rows(model.outputs),
            "parameters": parameters(graph),
            "operators": dict(operators(graph)),
            "recurrent": recurrent_layers(graph),
            **lifted_rows(graph),
            "largest_difference": None if found is None else {n: c.difference for n, c in found.worst("whole").items()},
            "verification": None if found is None else verification_json(found),
        }
    )


def _report(source: str, model: Model) -> None:
    graph = model.graph
    about = facts(graph)
    say(f"[bold]read[/] {escape(source)}" + (f" ({escape(about)})" if about else ""))
    for word, infos in (("input", model.inputs), ("output", model.outputs)):
        for info in infos:
            say(f"  {word} {escape(info.name)}: {info.dtype} {shape_text(info.shape)}")
    say(f"  {count(parameters(graph))} parameters in {sum(operators(graph).values())} nodes")
    say("[bold]recognised[/]")
    for line, n in Counter(recurrent_layers(graph)).items() or [("no LSTM, GRU or RNN operator", 1)]:
        say(f"  {line}" + (f", {n} times" if n > 1 else ""))
    lifted_lines(graph)
    rest = ", ".join(f"{op} {n}" if n > 1 else op for op, n in sorted(operators(graph).items()))
    say(f"  operators: {rest}")
