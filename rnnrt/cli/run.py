"""`rnnrt run`: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from rich.markup import escape

from rnnrt.cli.common import MODEL, say
from rnnrt.errors import RnnrtError
from rnnrt.models import Model, load


@click.command()
@MODEL
@click.argument("inputs", type=click.Path())
@click.option("-o", "--output", type=click.Path(), default="out.npz", show_default=True, help="Where the outputs go.")
def run(model: str, inputs: str, output: str) -> None:
    """Run MODEL on INPUTS: an .npz with arrays by input name, or one .npy for a model of one input."""
    loaded = load(model)
    results = loaded.run(None, _read(inputs, loaded))
    arrays = {info.name: y for info, y in zip(loaded.outputs, results, strict=True)}
    target = Path(output)
    if target.suffix != ".npz":
        raise RnnrtError(f"{output}: outputs are written as .npz; give a path that ends so")
    with target.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    for name, y in arrays.items():
        say(f"{escape(name)}: {y.dtype} {y.shape}")
    say(f"[bold]wrote[/] {escape(output)}")


def _read(path: str, model: Model) -> dict[str, np.ndarray]:
    names = [info.name for info in model.inputs]
    try:
        data = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RnnrtError(f"{path}: is not a whole .npy or .npz file of plain arrays ({error})") from None
    if isinstance(data, np.ndarray):
        if len(names) != 1:
            raise RnnrtError(f"{path}: holds one array, the model takes {names}; give an .npz with these names")
        return {names[0]: data}
    with data:
        try:
            return {name: data[name] for name in data.files}
        except ValueError as error:
            raise RnnrtError(f"{path}: {error}") from None
