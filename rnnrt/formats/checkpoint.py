"""Checkpoints: arrays and a JSON document in one safetensors file, replaced in one step.

The header's metadata has the key "rnnrt_checkpoint": a JSON object with `revision`, `crc32` and `meta`. The sum is
over the document and every array's name, type, shape and bytes, so damage does not go unseen. Nothing in the file is
ever executed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError

REVISION = 1
"""Grows when checkpoints are written that older versions cannot read."""

_KEY = "rnnrt_checkpoint"
_ADVICE = "give another checkpoint, or remove the file to start anew"


def save_checkpoint(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint: after a kill or a loss of power at any moment, the old one or the new one is there whole.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.
    arrays : mapping of str to ndarray
        Numbers or bools of any shape.
    meta : mapping
        What JSON can say; NumPy's scalars and arrays become Python's numbers and lists, NaN and infinity are kept.

    Raises
    ------
    RnnrtError
        An array or a part of `meta` cannot be written.
    OSError
        The file cannot be written; what was there before is left as it was.
    """
    from safetensors.numpy import save

    path = Path(os.path.realpath(path))  # a link stays one
    whole = {_checked_name(name): _checked_array(name, array) for name, array in arrays.items()}
    try:
        text = json.dumps(dict(meta), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise RnnrtError(f"the checkpoint's meta cannot be written as JSON: {error}") from None
    document = json.dumps({"revision": REVISION, "crc32": _checksum(whole, text), "meta": text})
    data = save(whole, {_KEY: document})  # save_file has temporary files of its own, which a kill leaves behind
    # One name, so that what a kill leaves behind is replaced by the next checkpoint.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the document of a checkpoint.

    Returns
    -------
    arrays : dict of str to ndarray
        Writable, and independent of the file.
    meta : dict

    Raises
    ------
    ModelFormatError
        The file is missing, truncated, damaged, no checkpoint, or of a newer revision.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        what = "is not a file" if path.exists() else "no such file"
        raise ModelFormatError(f"{path}: {what}; give the path of a checkpoint")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: np.array(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118  it is no mapping
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFormatError(f"{path}: is not a whole checkpoint ({error}); {_ADVICE}") from None
    if _KEY not in metadata:
        raise ModelFormatError(f"{path}: is a safetensors file but no checkpoint of rnnrt; {_ADVICE}")
    try:
        document = json.loads(metadata[_KEY])
        revision, checksum, text = document["revision"], document["crc32"], document["meta"]
        if isinstance(revision, int) and revision > REVISION:
            raise ModelFormatError(
                f"{path}: is of revision {revision}, this version reads up to {REVISION}; upgrade rnnrt"
            )
        if checksum != _checksum(arrays, text):
            raise ModelFormatError(f"{path}: is damaged (its checksum differs); {_ADVICE}")
        meta = json.loads(text)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ModelFormatError(f"{path}: its header is damaged; {_ADVICE}") from None
    return arrays, meta


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or name == "__metadata__":
        raise RnnrtError(f"an array of a checkpoint is named {name!r}; use a text other than '__metadata__'")
    return name


def _checked_array(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise RnnrtError(f"array {name!r} is of type {array.dtype}; a checkpoint holds numbers and bools")
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        total = zlib.crc32(repr((name, array.dtype.str, array.shape)).encode(), total)
        if array.size:
            total = zlib.crc32(memoryview(array.reshape(-1)).cast("B"), total)
    return total


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r:.60} is a {type(value).__name__}")
