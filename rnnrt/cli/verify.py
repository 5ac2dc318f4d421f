"""`rnnrt verify`: does a file still give what it gave, or what others say it gives."""

from __future__ import annotations

from dataclasses import replace

import click
import numpy as np

from rnnrt.cli.common import (
    AGAINST,
    JSON,
    MODEL,
    SAMPLE,
    read_arrays,
    say,
    say_json,
    verification_json,
    verification_lines,
)
from rnnrt.errors import RnnrtError
from rnnrt.formats import kind_of
from rnnrt.formats.container import read_vectors
from rnnrt.formats.onnx_test_data import RecordedSet, model_in
from rnnrt.models import Model, load
from rnnrt.models.checking import told
from rnnrt.models.comparing import tolerance_of
from rnnrt.models.loading import as_read
from rnnrt.models.peers import (
    PeerRefusedError,
    against_onnxruntime,
    against_recorded,
    need_onnxruntime,
    recorded_sets,
)
from rnnrt.models.verifying import Verification, blame
from rnnrt.models.verifying import verify as verify_model


@click.command()
@MODEL
@click.option("--tolerance", type=float, help="Largest difference allowed; by default by the type of an output.")
@SAMPLE
@AGAINST
@JSON
def verify(model: str, tolerance: float | None, sample: str | None, against: str | None, as_json: bool) -> None:
    """Replay the calls recorded in MODEL (.rnnrt), or in test_data_set_N folders beside it (.onnx).

    Any other file, and any file with --sample, is compared with the float64 reference, as a whole and step by step.
    MODEL may be a folder that holds one .onnx file.
    """
    source = str(model_in(model))
    if against is not None:
        need_onnxruntime(source)
    loaded = load(source)
    feeds = None if sample is None else read_arrays(sample, loaded)
    notes: list[str] = []
    sets: list[RecordedSet] = []
    if feeds is None:
        sets = _own_calls(source, tolerance) if kind_of(source) == "container" else recorded_sets(loaded, source, notes)
    original = as_read(source) if told(loaded.graph) else None
    if sets:
        calls = tuple({name: np.asarray(x) for name, x in one.inputs.items()} for one in sets)
        found = Verification(tuple(against_recorded(loaded, sets, tolerance)), tuple(notes), None, calls)
    else:
        found = verify_model(loaded, feeds, tolerance, original=original)
        found = replace(found, notes=(*notes, *found.notes))
    if against is not None:
        found = with_onnxruntime(found, loaded, source, tolerance)
    if not found.passed and found.divergence is None:
        found = replace(found, divergence=blame(loaded, found.calls, original))
    if as_json:
        shown = found.comparisons if sets else found.worst().values()
        rows = {f"{c.case}, {c.output}" if sets else c.output: c.difference for c in shown}
        say_json({"recorded": bool(sets), "differences": rows, "tolerance": tolerance, **verification_json(found)})
    else:
        verification_lines(found)
    if not found.passed:
        worst = max((c for c in found.comparisons if not c.passed), key=lambda c: c.difference)
        raise RnnrtError(
            f"{source}: results differ by {worst.difference:.1e}, more than {worst.tolerance:.0e}:\n{found.explain()}"
        )
    if not as_json:
        what = "recorded calls were replayed" if sets else "plan and float64 reference agree"
        say(f"[green]verified[/]: {what}")


def with_onnxruntime(found: Verification, model: Model, source: str, tolerance: float | None = None) -> Verification:
    """The verification with comparisons with onnxruntime, or with a note that it does not run the model.

    Raises `RnnrtError` where onnxruntime is not installed, or the file is not ONNX.
    """
    try:
        more = against_onnxruntime(model, source, found.calls, tolerance)
    except PeerRefusedError as error:
        return replace(found, notes=(*found.notes, f"{error}; that is no failure of rnnrt"))
    return replace(found, comparisons=(*found.comparisons, *more))


def _own_calls(path: str, tolerance: float | None) -> list[RecordedSet]:
    vectors = read_vectors(path)
    if not vectors:
        raise RnnrtError(f"{path}: holds no recorded calls; convert the original again")
    return [
        RecordedSet(
            f"call {k}",
            vector.inputs,
            vector.outputs,
            {name: tolerance_of(y.dtype, tolerance) for name, y in vector.outputs.items()},
        )
        for k, vector in enumerate(vectors)
    ]
