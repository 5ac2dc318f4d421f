"""`rnnrt run`: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape

from rnnrt.cli.common import CONSTANT, MODEL, read_arrays, say
from rnnrt.errors import RnnrtError
from rnnrt.models import load


@click.command()
@MODEL
@click.argument("inputs", type=click.Path())
@click.option("-o", "--output", type=click.Path(), default="out.npz", show_default=True, help="Where the outputs go.")
@CONSTANT
def run(model: str, inputs: str, output: str, constants: dict[str, Any]) -> None:
    """Run MODEL on INPUTS: an .npz with arrays by input name, or one .npy for a model of one input."""
    target = Path(output)
    if target.suffix != ".npz":
        raise RnnrtError(f"{output}: outputs are written as .npz; give a path that ends so")
    loaded = load(model, constants=constants)
    results = loaded.run(None, read_arrays(inputs, loaded))
    arrays = {info.name: y for info, y in zip(loaded.outputs, results, strict=True)}
    with target.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    for name, y in arrays.items():
        say(f"{escape(name)}: {y.dtype} {y.shape}")
    say(f"[bold]wrote[/] {escape(output)}")
