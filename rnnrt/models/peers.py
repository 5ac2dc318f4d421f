"""A network beside onnxruntime, and beside calls that came with its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.formats import kind_of
from rnnrt.formats.onnx_test_data import RecordedSet, find_sets, read_set
from rnnrt.models.comparing import largest_difference, tolerance_of
from rnnrt.models.model import Model
from rnnrt.models.verifying import Comparison, case_text

PEER_TOLERANCE = 1e-4
"""Largest difference to onnxruntime in float32: both round, and neither is exact."""

ONNXRUNTIME = "onnxruntime"


class PeerRefusedError(RnnrtError):
    """The other runtime does not run the model, which says nothing about rnnrt."""


def need_onnxruntime(path: str | os.PathLike[str]) -> Any:
    """The onnxruntime package, where it can read this file.

    Raises
    ------
    RnnrtError
        It is not installed, or the file is not ONNX.
    """
    kind = kind_of(path)
    if kind != "onnx":
        what = {"keras": "a Keras file", "container": "a container of rnnrt"}.get(kind, f"of kind {kind}")
        raise RnnrtError(
            f"{os.fspath(path)}: is {what}, which onnxruntime cannot read; give the .onnx file, or leave --against away"
        )
    try:
        import onnxruntime
    except ImportError:
        raise RnnrtError("comparing with onnxruntime needs that package: pip install onnxruntime") from None
    return onnxruntime


def _session(path: str | os.PathLike[str]) -> Any:
    """A session on the original file, on the CPU."""
    onnxruntime = need_onnxruntime(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base but this
        raise PeerRefusedError(f"onnxruntime does not load the model: {_first_line(error)}") from None


def against_onnxruntime(
    model: Model,
    path: str | os.PathLike[str],
    calls: Sequence[Mapping[str, np.ndarray]],
    tolerance: float | None = None,
) -> list[Comparison]:
    """Results of the compiled network beside those of onnxruntime on the original file.

    Parameters
    ----------
    model : Model
    path : path-like
        The .onnx file that the model came from.
    calls : sequence of mapping of str to ndarray
        Inputs by name.
    tolerance : float, optional
        By default `PEER_TOLERANCE`.

    Raises
    ------
    PeerRefusedError
        onnxruntime does not run the model on any of the calls.
    RnnrtError
        It is not installed, or the file is not ONNX.
    """
    session = _session(path)
    taken = {i.name: i.type for i in session.get_inputs()}
    names = [v.name for v in model.graph.outputs]
    found: list[Comparison] = []
    refused: Exception | None = None
    for feeds in calls:
        given = {name: _as_declared(x, taken[name]) for name, x in feeds.items() if name in taken}
        try:
            theirs = session.run(None, given)
        except Exception as error:
            refused = error
            continue
        for name, got, want in zip(names, model.run(None, feeds), theirs, strict=True):
            allowed = max(PEER_TOLERANCE, tolerance_of(got.dtype)) if tolerance is None else tolerance
            if tolerance is None and np.asarray(want).dtype == np.float16:
                allowed = 4e-3
            difference = largest_difference(got, np.asarray(want))
            found.append(Comparison(case_text(feeds), ONNXRUNTIME, name, difference, allowed))
    if not found:
        raise PeerRefusedError(f"onnxruntime does not run the model: {_first_line(refused)}")
    return found


def _as_declared(x: np.ndarray, kind: str) -> np.ndarray:
    return x.astype(np.float16) if kind == "tensor(float16)" else x


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def recorded_sets(model: Model, path: str | os.PathLike[str], notes: list[str]) -> list[RecordedSet]:
    """The calls in test_data_set_N folders beside an .onnx file.

    They are left out, with a note, where other .onnx files lie in the same folder: nothing says whose they are.
    """
    folders = find_sets(path)
    if not folders or kind_of(path) != "onnx":
        return []
    if len(list(Path(path).parent.glob("*.onnx"))) > 1:
        notes.append("the test_data_set folders were left out: several .onnx files lie beside them")
        return []
    return [read_set(folder, model.graph.inputs, model.graph.outputs) for folder in folders]


def against_recorded(model: Model, sets: Sequence[RecordedSet], tolerance: float | None = None) -> list[Comparison]:
    """Results of the compiled network beside recorded ones."""
    found = []
    for one in sets:
        got = dict(zip((v.name for v in model.graph.outputs), model.run(None, one.inputs), strict=True))
        found += [
            Comparison(
                one.name,
                "recorded",
                name,
                largest_difference(got[name], want),
                one.tolerances[name] if tolerance is None else tolerance,
            )
            for name, want in one.outputs.items()
        ]
    return found
