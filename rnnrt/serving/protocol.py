"""The Open Inference Protocol (V2): its tensors as arrays, and what a request asks for.

Requests come as objects with the protocol's field names, as mlserver's types have them. The parameters of a request
that are understood are Triton's: sequence_id, sequence_start, sequence_end, and timeout in microseconds.
Source: the protocol's "Inference Request JSON Object" and Triton's "Sequence Extension".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.models import TensorInfo

DATATYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_KNOWN = ("sequence_id", "sequence_start", "sequence_end", "timeout")
_OF_NO_EFFECT = ("headers", "binary_data_output")  # of the transport; answers are JSON, which is always allowed


@dataclass(frozen=True)
class Wanted:
    """What the parameters of a request say: a sequence (None: no), its two flags, and the seconds it may take."""

    sequence: int | str | None
    start: bool
    end: bool
    deadline: float | None


def datatype_of(dtype: np.dtype) -> str:
    """The protocol's name of a dtype.

    Raises
    ------
    ShapeError
        It has none.
    """
    if dtype.name not in _NAMES:
        raise ShapeError(f"the protocol has no datatype for {dtype}")
    return _NAMES[dtype.name]


def parameters_of(holder: Any) -> dict[str, Any]:
    """The parameters of a request, an input or an output by name."""
    parameters = getattr(holder, "parameters", None)
    if parameters is None:
        return {}
    found = {**parameters.__dict__, **(getattr(parameters, "model_extra", None) or {})}
    return {name: value for name, value in found.items() if value is not None}


def wanted(request: Any) -> Wanted:
    """What the parameters of a request say.

    Raises
    ------
    ShapeError
        A parameter is not known, or has a value of a wrong kind.
    """
    given = parameters_of(request)
    _content_type(given, "the request")
    unknown = sorted(name for name in given if name not in (*_KNOWN, *_OF_NO_EFFECT))
    if unknown:
        raise ShapeError(f"parameters {unknown} are not understood; those of a request are {list(_KNOWN)}")
    name, timeout = given.get("sequence_id"), given.get("timeout")
    if name is not None and (isinstance(name, bool) or not isinstance(name, (int, str))):
        raise ShapeError(f"sequence_id={name!r} must be a whole number or a text")
    flags = []
    for flag in ("sequence_start", "sequence_end"):
        value = given.get(flag, False)
        if not isinstance(value, bool):
            raise ShapeError(f"{flag}={value!r} must be true or false")
        flags.append(value)
    if not name:
        if any(flags):
            raise ShapeError("sequence_start and sequence_end need a sequence_id that is neither 0 nor empty")
        name = None
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int) or timeout <= 0):
        raise ShapeError(f"timeout={timeout!r} must be a whole number of microseconds above 0")
    return Wanted(name, flags[0], flags[1], None if timeout is None else timeout / 1e6)


def arrays_of(request: Any, inputs: Sequence[TensorInfo]) -> dict[str, np.ndarray]:
    """The request's inputs by name.

    Raises
    ------
    ShapeError
        An input is missing, unknown or given twice, or its data do not fit its shape, its datatype or the model.
    """
    names = [info.name for info in inputs]
    given = [item.name for item in request.inputs]
    if sorted(given) != sorted(names):
        raise ShapeError(f"the model takes the inputs {names}, each once; got {given}")
    arrays = {item.name: _array(item) for item in request.inputs}
    for info in inputs:
        x = arrays[info.name]
        if info.shape is not None and (
            x.ndim != len(info.shape) or any(w not in (None, g) for w, g in zip(info.shape, x.shape, strict=True))
        ):
            shape = [-1 if d is None else d for d in info.shape]
            raise ShapeError(f"input {info.name!r} takes the shape {shape} (-1: any), got {list(x.shape)}")
        same = np.can_cast(x.dtype, info.dtype, "same_kind") or (x.dtype.kind in "iu" and info.dtype.kind == "f")
        if not same or (x.dtype.kind == "b") != (info.dtype.kind == "b"):
            raise ShapeError(f"input {info.name!r} takes {datatype_of(info.dtype)}, got {datatype_of(x.dtype)}")
    return arrays


def _array(item: Any) -> np.ndarray:
    name = item.name
    parameters = parameters_of(item)
    _content_type(parameters, f"input {name!r}")
    if "binary_data_size" in parameters:
        raise ShapeError(f"input {name!r} comes as binary data; send JSON, as tritonclient does with binary_data=False")
    if parameters:
        raise ShapeError(f"input {name!r}: parameters {sorted(parameters)} are not understood")
    datatype = getattr(item.datatype, "value", item.datatype)
    if datatype not in DATATYPES:
        raise ShapeError(f"input {name!r}: datatype {datatype} is not one of {sorted(DATATYPES)}")
    dtype = np.dtype(DATATYPES[datatype])
    try:
        data = np.asarray(getattr(item.data, "root", item.data))
    except (ValueError, OverflowError):
        raise ShapeError(f"input {name!r}: the data are nested unevenly") from None
    allowed = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[dtype.kind]
    if data.size and data.dtype.kind not in allowed:
        raise ShapeError(f"input {name!r}: the data are no numbers of datatype {datatype}")
    shape = tuple(item.shape)
    if any(d < 0 for d in shape) or math.prod(shape) != data.size or (data.ndim > 1 and data.shape != shape):
        raise ShapeError(f"input {name!r}: shape {list(shape)} does not fit the data, {list(data.shape)} numbers")
    with np.errstate(over="ignore"):
        array = data.astype(dtype).reshape(shape)
    if dtype.kind in "iu" and not np.array_equal(array.ravel(), data.ravel()):
        raise ShapeError(f"input {name!r}: a number is out of the range of {datatype}")
    if dtype.kind == "f" and data.dtype.kind == "f" and np.isinf(array.ravel()[np.isfinite(data.ravel())]).any():
        raise ShapeError(f"input {name!r}: a number is out of the range of {datatype}")
    return array


def _content_type(parameters: dict[str, Any], what: str) -> None:
    kind = parameters.pop("content_type", "np")
    if kind != "np":
        raise ShapeError(f"{what}: content_type {kind!r} is not understood; leave it out, or give 'np'")


def output_names(request: Any, outputs: Sequence[TensorInfo]) -> list[str]:
    """The outputs asked for, in order; all where none are named.

    Raises
    ------
    ShapeError
        An output or a parameter of one is not known.
    """
    names = [info.name for info in outputs]
    if not request.outputs:
        return names
    for item in request.outputs:
        parameters = parameters_of(item)
        _content_type(parameters, f"output {item.name!r}")
        unknown = sorted(set(parameters) - {"binary_data"})
        if unknown:
            raise ShapeError(f"output {item.name!r}: parameters {unknown} are not understood")
        if item.name not in names:
            raise ShapeError(f"output {item.name!r} is not known; the model gives {names}")
    return [item.name for item in request.outputs]


def tensors_of(names: Sequence[str], results: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Outputs as the protocol has them.

    Raises
    ------
    ShapeError
        An output holds nan or inf, for which JSON has no word, or is of a dtype without a datatype.
    """
    found = []
    for name in names:
        y = results[name]
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ShapeError(f"output {name!r} holds nan or inf, which the protocol's JSON cannot say")
        tensor = {"name": name, "shape": list(y.shape), "datatype": datatype_of(y.dtype), "data": y.ravel().tolist()}
        found.append(tensor)
    return found
