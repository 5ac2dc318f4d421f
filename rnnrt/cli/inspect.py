"""`rnnrt inspect`: what a file holds and how it will run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from rnnrt.cli.common import (
    CONSTANT,
    JSON,
    MODEL,
    SAMPLE,
    console,
    count,
    facts,
    info_rows,
    inputs_for,
    lifted_lines,
    lifted_rows,
    parameters,
    recurrent_layers,
    say,
    say_json,
    shape_text,
)
from rnnrt.models import load
from rnnrt.runtime.states import find_state_pairs


@click.command()
@MODEL
@click.option("--batch", default=1, show_default=True, help="Extent of a free batch axis.")
@click.option("--steps", default=10, show_default=True, help="Extent of other free axes.")
@CONSTANT
@SAMPLE
@click.option("--nodes", is_flag=True, help="List every node.")
@JSON
def inspect(
    model: str, batch: int, steps: int, constants: dict[str, Any], sample: str | None, nodes: bool, as_json: bool
) -> None:
    """Show inputs, outputs, layers, sizes and operations of MODEL, and which operators run natively."""
    loaded = load(model, constants=constants)
    feeds = {name: np.asarray(x) for name, x in inputs_for(loaded, sample, batch, steps).items()}
    shapes = {name: x.shape for name, x in feeds.items()}
    graph, rows = loaded.graph, loaded.describe(feeds)
    flops = sum(row.flops for row in rows)
    hosted = [row for row in rows if not row.native]
    states = find_state_pairs(graph)
    if as_json:
        say_json(
            {
                "metadata": dict(graph.metadata),
                "inputs": info_rows(loaded.inputs),
                "outputs": info_rows(loaded.outputs),
                "parameters": parameters(graph),
                "recurrent": recurrent_layers(graph),
                "states": [asdict(pair) for pair in states.pairs],
                "unclear_states": {name: list(options) for name, options in states.ambiguous.items()},
                **lifted_rows(graph),
                "shapes": {name: list(shape) for name, shape in shapes.items()},
                "flops": flops,
                "nodes": [asdict(row) for row in rows],
                "hosted": [row.label for row in hosted],
            }
        )
        return
    about = facts(graph)
    say(f"[bold]{escape(model)}[/]" + (f": {escape(about)}" if about else ""))
    for word, infos in (("input", loaded.inputs), ("output", loaded.outputs)):
        for info in infos:
            say(f"  {word} {escape(info.name)}: {info.dtype} {shape_text(info.shape)}")
    for line, n in Counter(recurrent_layers(graph)).items():
        say(f"  {line}" + (f", {n} times" if n > 1 else ""))
    for pair in states.pairs:
        say(f"  state {escape(pair.input)}: output {escape(pair.output)} of the call before (told by {pair.how})")
    for name, options in states.ambiguous.items():
        say(f"  state {escape(name)}? one of the outputs {escape(', '.join(options))}: give stream(states=...)")
    lifted_lines(graph)
    say(f"  {count(parameters(graph))} parameters")
    say("[bold]a run[/] with " + ", ".join(f"{escape(name)} {shape_text(shape)}" for name, shape in shapes.items()))
    loops = ", bodies of Loop not counted" if any(row.op == "Loop" for row in rows) else ""
    say(f"  {count(flops)} floating point operations{loops}")
    say(f"  {len(rows)} nodes after folding, {len(rows) - len(hosted)} native on {loaded.isa}")
    if hosted:
        kinds = Counter(row.op for row in hosted)
        say("  run as numpy: " + ", ".join(f"{op} {n}" if n > 1 else op for op, n in sorted(kinds.items())))
    if nodes:
        table = Table("node", "output", "FLOP", "runs")
        for row in rows:
            table.add_row(
                escape(row.label),
                shape_text(row.output_shape),
                count(row.flops) if row.flops else "",
                "native" if row.native else "numpy",
            )
        console().print(table)
