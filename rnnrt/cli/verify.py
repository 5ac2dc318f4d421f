"""`rnnrt verify`: does a file still give what it gave."""

from __future__ import annotations

import click
from rich.markup import escape

from rnnrt.cli.common import JSON, MODEL, SAMPLE, inputs_for, largest_difference, say, say_json
from rnnrt.cli.convert import TOLERANCE, compare
from rnnrt.errors import RnnrtError
from rnnrt.formats import kind_of
from rnnrt.formats.container import read_vectors
from rnnrt.models import load


@click.command()
@MODEL
@click.option("--tolerance", default=TOLERANCE, show_default=True, help="Largest difference allowed.")
@SAMPLE
@JSON
def verify(model: str, tolerance: float, sample: str | None, as_json: bool) -> None:
    """Replay the calls recorded in MODEL (.rnnrt).

    Any other file, and any file with --sample, is compared with the float64 reference.
    """
    recorded = kind_of(model) == "container" and sample is None
    loaded = load(model)
    if recorded:
        vectors = read_vectors(model)
        if not vectors:
            raise RnnrtError(f"{model}: holds no recorded calls; convert the original again")
        checks = [
            (f"call {k}, {name}", largest_difference(loaded.run([name], vector.inputs)[0], want))
            for k, vector in enumerate(vectors)
            for name, want in vector.outputs.items()
        ]
    else:
        checks = list(compare(loaded, inputs_for(loaded, sample, 3, 3)).items())
    worst = max(difference for _, difference in checks)
    if as_json:
        say_json(
            {"recorded": recorded, "differences": dict(checks), "tolerance": tolerance, "passed": worst <= tolerance}
        )
    else:
        for name, difference in checks:
            say(f"{escape(name)}: largest difference {difference:.1e}")
    if not worst <= tolerance:
        raise RnnrtError(f"{model}: results differ by {worst:.1e}, more than {tolerance:.0e}")
    if not as_json:
        say(
            "[green]verified[/]: "
            + ("recorded calls were replayed" if recorded else "plan and float64 reference agree")
        )
