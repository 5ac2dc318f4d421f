"""Recorded calls in ONNX's own layout: folders test_data_set_0, ... with input_0.pb, output_0.pb, ... beside a model.

Each .pb file is a serialised onnx.TensorProto. Files count inputs and outputs by position; where the tensors are named
after the model's inputs (or outputs), the names decide.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats.files import LFS_POINTER, is_regular
from rnnrt.ir import Value

TOLERANCE = 1e-3
"""What ONNX's own test runner allows between two implementations."""

_TOLERANCES = {10: 4e-3, 16: 3e-2}
"""By ONNX type: float16 and bfloat16 have steps of 1e-3 and 8e-3, and who recorded them may have computed in them."""

_SET = re.compile(r"test_data_set_(\d+)")
_FILE = re.compile(r"(input|output)_(\d+)\.pb")


@dataclass(frozen=True)
class RecordedSet:
    """A recorded call: arrays by name of input and output, and what is allowed for each output."""

    name: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    tolerances: Mapping[str, float]


def model_in(path: str | os.PathLike[str]) -> Path:
    """The .onnx file in a folder that holds one; any other path as it is.

    Raises
    ------
    ModelFormatError
        The folder holds none, or several.
    """
    folder = Path(path)
    if not folder.is_dir():
        return folder
    found = sorted(file for file in folder.glob("*.onnx") if not file.is_dir())
    if len(found) == 1:
        return found[0]
    what = "no .onnx file" if not found else f"{len(found)} .onnx files, {', '.join(file.name for file in found[:5])}"
    raise ModelFormatError(f"{folder}: is a folder that holds {what}; give the model file itself")


def find_sets(model: str | os.PathLike[str]) -> list[Path]:
    """The folders test_data_set_N beside an .onnx file, by number."""
    found = [(int(m[1]), p) for p in Path(model).parent.glob("test_data_set_*") if (m := _SET.fullmatch(p.name))]
    return [path for _, path in sorted(found) if path.is_dir()]


def read_set(folder: Path, inputs: Sequence[Value], outputs: Sequence[Value]) -> RecordedSet:
    """The call that one test_data_set folder holds.

    Parameters
    ----------
    folder : Path
    inputs, outputs : sequence of Value
        What the model takes and gives. Outputs that are not recorded are left out.

    Raises
    ------
    ModelFormatError
        A file is damaged, missing or one too many; the message names it.
    UnsupportedModelError
        A file holds a sequence or an optional, strings, or data that lies elsewhere.
    RnnrtError
        The onnx package is not installed.
    """
    tensors = {"input": _tensors(folder, "input"), "output": _tensors(folder, "output")}
    if len(tensors["input"]) != len(inputs):
        names = [v.name for v in inputs]
        raise ModelFormatError(f"{folder}: holds {len(tensors['input'])} inputs, the model takes {len(names)}: {names}")
    if not 0 < len(tensors["output"]) <= len(outputs):
        names = [v.name for v in outputs]
        raise ModelFormatError(
            f"{folder}: holds {len(tensors['output'])} outputs, the model gives {len(names)}: {names}"
        )
    given, results = _by_name(tensors["input"], inputs), _by_name(tensors["output"], outputs)
    return RecordedSet(
        folder.name,
        {name: array for name, (_, array) in given.items()},
        {name: array for name, (_, array) in results.items()},
        {name: _TOLERANCES.get(proto.data_type, TOLERANCE) for name, (proto, _) in results.items()},
    )


def _by_name(found: list[tuple[Any, np.ndarray]], values: Sequence[Value]) -> dict[str, tuple[Any, np.ndarray]]:
    names = [v.name for v in values]
    own = [proto.name for proto, _ in found]
    named = len(set(own)) == len(own) and set(own) <= set(names)
    return dict(zip(own if named else names, found, strict=False))


def _tensors(folder: Path, kind: str) -> list[tuple[Any, np.ndarray]]:
    numbered = sorted(
        (int(m[2]), path) for path in folder.iterdir() if (m := _FILE.fullmatch(path.name)) and m[1] == kind
    )
    for k, (number, path) in enumerate(numbered):
        if number != k:
            raise ModelFormatError(f"{path}: there is no {kind}_{k}.pb before it; copy the whole folder again")
    return [_tensor(path) for _, path in numbered]


def _tensor(path: Path) -> tuple[Any, np.ndarray]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise RnnrtError('reading .pb files needs the onnx package: pip install "rnnrt[convert]"') from None
    from google.protobuf.message import DecodeError

    if not is_regular(path):
        raise ModelFormatError(f"{path}: is a folder, pipe or device, not a tensor")
    data = path.read_bytes()
    if data.startswith(LFS_POINTER):
        raise ModelFormatError(f"{path}: is a git-lfs pointer, not the tensor; run `git lfs pull` to fetch the file")
    proto = onnx.TensorProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelFormatError(f"{path}: is no tensor, or is truncated ({error}); copy it again") from None
    if proto.HasField("segment"):
        # Their third field, where a TensorProto has `segment`, is what sequences and optionals hold.
        raise UnsupportedModelError(
            str(path), [f"{path.name}: holds a sequence or an optional; rnnrt has tensors alone: record it as tensors"]
        )
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        raise UnsupportedModelError(str(path), [f"{path.name}: its data lies in another file; store it in this one"])
    try:
        array = np.asarray(numpy_helper.to_array(proto))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ModelFormatError(f"{path}: is no whole tensor ({error}); copy it again") from None
    if array.dtype.kind in "OSU":
        raise UnsupportedModelError(str(path), [f"{path.name}: holds strings; rnnrt has numbers and bools alone"])
    if array.dtype.kind not in "fiub":  # bfloat16 comes as a type of its own
        array = array.astype(np.float32)
    return proto, array
