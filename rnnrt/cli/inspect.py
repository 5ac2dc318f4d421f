"""`rnnrt inspect`: what a file holds and how it will run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import click
from rich.markup import escape
from rich.table import Table

from rnnrt.cli.common import (
    JSON,
    MODEL,
    console,
    count,
    free_shapes,
    info_rows,
    parameters,
    recurrent_layers,
    say,
    say_json,
    shape_text,
)
from rnnrt.models import load


@click.command()
@MODEL
@click.option("--free", default=1, show_default=True, help="Extent of free axes.")
@click.option("--nodes", is_flag=True, help="List every node.")
@JSON
def inspect(model: str, free: int, nodes: bool, as_json: bool) -> None:
    """Show inputs, outputs, layers, sizes and operations of MODEL, and which operators run natively."""
    loaded = load(model)
    graph, rows = loaded.graph, loaded.describe(free_shapes(loaded, free))
    flops = sum(row.flops for row in rows)
    hosted = [row for row in rows if not row.native]
    if as_json:
        say_json(
            {
                "metadata": dict(graph.metadata),
                "inputs": info_rows(loaded.inputs),
                "outputs": info_rows(loaded.outputs),
                "parameters": parameters(graph),
                "recurrent": recurrent_layers(graph),
                "flops": flops,
                "nodes": [asdict(row) for row in rows],
                "hosted": [row.label for row in hosted],
            }
        )
        return
    facts = ", ".join(f"{key} {value}" for key, value in graph.metadata.items())
    say(f"[bold]{escape(model)}[/]" + (f": {escape(facts)}" if facts else ""))
    for word, infos in (("input", loaded.inputs), ("output", loaded.outputs)):
        for info in infos:
            say(f"  {word} {escape(info.name)}: {info.dtype} {shape_text(info.shape)}")
    for line in recurrent_layers(graph):
        say(f"  {line}")
    work = f"{count(flops)} floating point operations a run with free axes of {free}"
    say(f"  {count(parameters(graph))} parameters; {work}")
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
