"""ONNX tensors and types as numpy has them. Half precision is widened to float32, in which rnnrt computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.formats.onnx_external import DataFolder
from rnnrt.ir import Dim, Value

HALF, _STRING, _BFLOAT16 = 10, 8, 16

DTYPES: dict[int, np.dtype] = {
    code: np.dtype(name)
    for code, name in {
        1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
        HALF: "float32", 11: "float64", 12: "uint32", 13: "uint64", _BFLOAT16: "float32",
    }.items()
}  # fmt: skip
"""The dtype in which rnnrt holds each of ONNX's types."""

PACKED: dict[int, tuple[np.dtype, int]] = {
    21: (np.dtype("uint8"), 4), 22: (np.dtype("int8"), 4), 25: (np.dtype("uint8"), 2), 26: (np.dtype("int8"), 2),
}  # fmt: skip
"""Integers of which several share a byte: the dtype in which rnnrt holds them, and their bits."""

_STORED = {**DTYPES, HALF: np.dtype("float16"), _BFLOAT16: np.dtype("uint16")}


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


def declared_value(info: Any, name: str, note: Callable[[str], None], optional: bool = False) -> Value:
    """What an onnx.ValueInfoProto says of a graph's input or output, as the value `name` of the IR.

    Parameters
    ----------
    info : onnx.ValueInfoProto
    name : str
    note : callable
        Told why the type is not one that rnnrt has.
    optional : bool
        Whether the type may be missing, to be inferred later.
    """
    unknown = Value(name, np.dtype(np.float32))
    kind = info.type.WhichOneof("value")
    if kind is None and optional:
        return unknown
    if kind != "tensor_type":
        note(f"{info.name!r} is of type {kind}; only tensors are supported")
        return unknown
    tensor = info.type.tensor_type
    if tensor.elem_type == 0:
        return unknown
    shape = tuple(_dim(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    try:
        return Value(name, dtype_of(tensor.elem_type, f"value {info.name!r}"), shape)
    except UnsupportedModelError as error:
        note(error.reasons[0])
        return unknown


def declared_rank(info: Any) -> int | None:
    """How many axes an onnx.ValueInfoProto gives a tensor, or the tensors of a sequence."""
    kind = info.type
    if kind.WhichOneof("value") == "sequence_type":
        kind = kind.sequence_type.elem_type
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    return len(kind.tensor_type.shape.dim)


def _dim(proto: Any) -> Dim:
    """A declared extent. Exporters make up names for what they know nothing of; such names say nothing."""
    if proto.HasField("dim_value"):
        return int(proto.dim_value) if proto.dim_value >= 0 else None
    name = proto.dim_param
    made_up = name.startswith(("?", "unk__", "unknown")) or name.lower() in ("", "none", "-1", "*")
    return None if made_up else name


def is_half(info: Any) -> bool:
    """Whether an onnx.ValueInfoProto declares a float16 tensor."""
    return info.type.WhichOneof("value") == "tensor_type" and info.type.tensor_type.elem_type == HALF


def tensor_to_array(tensor: Any, folder: DataFolder, where: str, packed: bool = False) -> np.ndarray:
    """The contents of a TensorProto.

    Parameters
    ----------
    tensor : onnx.TensorProto
    folder : DataFolder
        Where external data may lie.
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
        array = folder.read(tensor, stored.newbyteorder("<"), count, where)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
        if len(raw) != count * stored.itemsize:
            raise ModelFormatError(
                f"{where}: holds {len(raw)} bytes, shape {shape} of {stored} needs {count * stored.itemsize}; "
                "the file is corrupt"
            )
        array = np.frombuffer(raw, stored.newbyteorder("<"))
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
    if tensor.data_type == HALF:
        return values.astype(np.uint16).view(np.float16)
    return values.astype(stored)
