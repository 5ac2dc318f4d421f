"""ONNX tensors and types as numpy has them. Half precision is widened to float32, in which rnnrt computes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.formats.files import LFS_POINTER, is_regular

_FLOAT16, _STRING, _BFLOAT16 = 10, 8, 16

DTYPES: dict[int, np.dtype] = {
    code: np.dtype(name)
    for code, name in {
        1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
        _FLOAT16: "float32", 11: "float64", 12: "uint32", 13: "uint64", _BFLOAT16: "float32",
    }.items()
}  # fmt: skip
"""The dtype in which rnnrt holds each of ONNX's types."""

PACKED: dict[int, tuple[np.dtype, int]] = {
    21: (np.dtype("uint8"), 4), 22: (np.dtype("int8"), 4), 25: (np.dtype("uint8"), 2), 26: (np.dtype("int8"), 2),
}  # fmt: skip
"""Integers of which several share a byte: the dtype in which rnnrt holds them, and their bits."""

_STORED = {**DTYPES, _FLOAT16: np.dtype("float16"), _BFLOAT16: np.dtype("uint16")}


def dtype_of(code: int, where: str) -> np.dtype:
    """The dtype for an ONNX type number.

    Raises
    ------
    UnsupportedModelError
        rnnrt has no such type: strings, complex numbers, 8-bit and 4-bit floats.
    """
    if code not in DTYPES:
        reason = f"{where}: element type {type_name(code)} is not supported; cast to float or int"
        raise UnsupportedModelError(where, [reason])
    return DTYPES[code]


def type_name(code: int) -> str:
    """ONNX's name of a type number."""
    import onnx

    try:
        return onnx.TensorProto.DataType.Name(code)
    except ValueError:
        return f"number {code}"


def tensor_to_array(tensor: Any, folder: Path, where: str, packed: bool = False) -> np.ndarray:
    """The contents of a TensorProto.

    Parameters
    ----------
    tensor : onnx.TensorProto
    folder : Path
        Where the model lies; external data is read from below it only.
    where : str
        How messages name the tensor's place.
    packed : bool
        Whether integers of 4 and 2 bits are welcome.

    Raises
    ------
    ModelFormatError
        The data does not fit the declared shape, or the external file is missing, too short or outside the folder.
    UnsupportedModelError
        The element type is not one that rnnrt has.
    """
    where = f"{where}: tensor {tensor.name!r}" if tensor.name else where
    held, bits = PACKED.get(tensor.data_type, (None, 8)) if packed else (None, 8)
    if held is None:
        held = dtype_of(tensor.data_type, where)
    shape = tuple(int(d) for d in tensor.dims)
    if any(d < 0 for d in shape):
        raise ModelFormatError(f"{where}: shape {shape} is negative; the file is corrupt")
    if tensor.HasField("segment"):
        raise UnsupportedModelError(where, ["it is stored in segments; save the model again with a current onnx"])
    stored = _STORED.get(tensor.data_type, np.dtype("uint8"))
    size = math.prod(shape)
    count = size if bits == 8 else -(-size * bits // 8)
    if tensor.data_location == tensor.EXTERNAL:
        raw: bytes | None = _external(tensor, folder, count * stored.itemsize, where)
    else:
        raw = tensor.raw_data if tensor.HasField("raw_data") else None
    if raw is not None:
        if len(raw) != count * stored.itemsize:
            raise ModelFormatError(
                f"{where}: holds {len(raw)} bytes, shape {shape} of {stored} needs {count * stored.itemsize}; "
                "the file is corrupt"
            )
        array = np.frombuffer(raw, stored.newbyteorder("<")).astype(stored)
    else:
        array = _typed_field(tensor, stored, where)
        if array.size != count:
            raise ModelFormatError(
                f"{where}: holds {array.size} values, shape {shape} needs {count}; the file is corrupt"
            )
    if tensor.data_type == _BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if bits < 8:
        array = _unpacked(array, held, bits)[:size]
    return array.astype(held, copy=False).reshape(shape)


def _unpacked(data: np.ndarray, held: np.dtype, bits: int) -> np.ndarray:
    """Integers that share bytes, the first in the lowest bits."""
    wide = (data[:, None] << np.arange(8 - bits, -1, -bits, dtype=np.uint8)).ravel()  # each at the top of its byte
    return wide.view(held) >> held.type(8 - bits)


def _typed_field(tensor: Any, stored: np.dtype, where: str) -> np.ndarray:
    """Values from float_data, int32_data and their kin."""
    if tensor.data_type == 1:
        return np.array(tensor.float_data, np.float32)
    if tensor.data_type == 11:
        return np.array(tensor.double_data, np.float64)
    if tensor.data_type == 7:
        return np.array(tensor.int64_data, np.int64)
    if tensor.data_type in (12, 13):
        return np.array(tensor.uint64_data, np.uint64).astype(stored)
    values = np.array(tensor.int32_data, np.int64)
    if tensor.data_type == _FLOAT16:
        return values.astype(np.uint16).view(np.float16)
    return values.astype(stored)


def _external(tensor: Any, folder: Path, needed: int, where: str) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    what = f"{where}: external data file {location!r}"
    if "\0" in location:
        raise ModelFormatError(f"{what} has no valid name; the file is corrupt")
    path = (folder / location).resolve()
    if not location or Path(location).is_absolute() or folder.resolve() not in path.parents:
        raise ModelFormatError(f"{where}: external data {location!r} lies outside the model's folder; that is not read")
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(needed)))
    except ValueError:
        raise ModelFormatError(f"{where}: external data has offset or length that is no number") from None
    if offset < 0 or length != needed:
        raise ModelFormatError(f"{where}: external data of {length} bytes at {offset}; its shape needs {needed}")
    try:
        if not is_regular(path):
            raise ModelFormatError(f"{what} is a folder, pipe or device; put the data file itself beside the model")
        with path.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ModelFormatError(
                    f"{what} is a git-lfs pointer, not the data; run `git lfs pull` to fetch the file"
                )
            size = stream.seek(0, os.SEEK_END)
            stream.seek(min(offset, size))
            raw = stream.read(length)
    except OSError as error:
        raise ModelFormatError(f"{what} cannot be read ({error.strerror}); keep it beside the model") from None
    if len(raw) != length:
        raise ModelFormatError(f"{what} ends early: {len(raw)} of {length} bytes; download or copy it again")
    return raw
