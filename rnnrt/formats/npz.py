"""Arrays in a .npz file that Keras wrote where h5py was missing: dictionaries of arrays, as pickles.

A pickle is a program. It is never run here: its instructions are read one by one, and only those are understood that
put together numbers, texts, lists, dictionaries and numpy's arrays. Nothing that a file names is imported or called.
The forms are those of numpy.lib.format, of pickletools, and of ndarray.__reduce__.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError

_FLOOR = 64 << 20
_RATIO = 200
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "class",
    "numpy dtype": "dtype",
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "_codecs encode": "bytes",
}
"""What a pickle of arrays may name."""


class _Mark:
    """Where a list of operands begins."""


class _Made:
    """An array or a dtype that is being put together."""

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = ()


class NpzReader:
    """The arrays of a .npz file, with the methods of `H5Reader` by which weights are read.

    Parameters
    ----------
    data : bytes
    label : str
        How messages name the file.

    Raises
    ------
    ModelFormatError
        It is damaged, or holds something else than dictionaries of arrays.
    """

    def __init__(self, data: bytes, label: str) -> None:
        self.label, self.file = label, None
        self._groups: dict[str, dict[str, np.ndarray]] = {}
        self.budget = max(_FLOOR, _RATIO * len(data))
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist():
                    self.budget -= info.file_size
                    if self.budget < 0:
                        raise ModelFormatError(f"{label}: unpacks to far more than its size; refused as a zip bomb")
                    path = info.filename.removesuffix(".npy").replace("\\", "/")
                    self._groups["vars" if path == "__root__" else f"{path}/vars"] = self._member(archive.read(info))
        except RnnrtError:
            raise
        except (zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError,
                NotImplementedError, OverflowError, MemoryError, EOFError) as error:  # fmt: skip
            raise ModelFormatError(f"{label}: cannot be read, the data is damaged: {str(error)[:200]}") from error

    def _member(self, data: bytes) -> dict[str, np.ndarray]:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if shape != () or dtype != np.dtype(object):
            raise ModelFormatError(f"{self.label}: holds {dtype} {shape} where Keras keeps a dictionary of arrays")
        whole = self._unpickled(data[stream.tell() :])
        found = _array(whole)[0] if isinstance(whole, _Made) else whole
        if not isinstance(found, dict):
            raise ModelFormatError(f"{self.label}: holds a {type(found).__name__} where Keras keeps a dictionary")
        return {str(key): np.asarray(_array(value)) for key, value in found.items()}

    def _unpickled(self, data: bytes) -> Any:
        """What a pickle stands for, with `_Made` for arrays and dtypes."""
        stack: list[Any] = []
        memo: dict[int, Any] = {}

        def since_mark() -> list[Any]:
            at = max(k for k, item in enumerate(stack) if isinstance(item, _Mark))
            items = stack[at + 1 :]
            del stack[at:]
            return items

        argument: Any
        for op, argument, _ in pickletools.genops(data):
            name = op.name
            if name in ("PROTO", "FRAME"):
                continue
            if name == "STOP":
                break
            if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _VALUES:
                stack.append(argument)
            elif name in _EMPTY:
                stack.append(_EMPTY[name]())
            elif name == "MARK":
                stack.append(_Mark())
            elif name == "TUPLE":
                stack.append(tuple(since_mark()))
            elif name in _TUPLES:
                count = _TUPLES[name]
                stack[-count:] = [tuple(stack[-count:])]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in _PUTS:
                memo[int(argument)] = stack[-1]
            elif name in _GETS:
                stack.append(memo[int(argument)])
            elif name == "APPEND":
                last = stack.pop()
                stack[-1].append(last)
            elif name == "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            elif name in ("SETITEM", "SETITEMS"):
                items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            elif name in ("GLOBAL", "STACK_GLOBAL"):
                words = argument if name == "GLOBAL" else f"{stack.pop(-2)} {stack.pop()}"
                if words not in _NAMES:
                    raise ModelFormatError(
                        f"{self.label}: holds a pickle that names {words[:80]!r}, which no array needs; it may run "
                        "code and is not read. Save the model with h5py installed"
                    )
                stack.append(_NAMES[words])
            elif name == "REDUCE":
                arguments = stack.pop()
                stack.append(_made(stack.pop(), arguments))
            elif name == "BUILD":
                state = stack.pop()
                if not isinstance(stack[-1], _Made):
                    raise ModelFormatError(f"{self.label}: holds a pickle of something else than arrays")
                stack[-1].state = state
            else:
                raise ModelFormatError(
                    f"{self.label}: holds a pickle with the instruction {name}, which no array needs; "
                    "save the model with h5py installed"
                )
        return stack[-1]

    def close(self) -> None:
        """Nothing is open."""

    def groups(self, group: Any) -> dict[str, Any]:
        """Every group by its path."""
        return dict(self._groups)

    def child(self, group: Any, path: str) -> Any:
        """An array of a group."""
        return group.get(path)

    def array(self, dataset: Any, what: str) -> np.ndarray:
        """The array itself, checked to be one of numbers."""
        if not isinstance(dataset, np.ndarray) or dataset.dtype.kind not in "fiub":
            raise ModelFormatError(f"{self.label}: {what} is no array of numbers")
        return dataset


def _made(kind: Any, arguments: Any) -> Any:
    if kind == "bytes":
        text, encoding = arguments
        if encoding != "latin1":
            raise ValueError(f"bytes are written as {encoding!r}")
        return text.encode("latin1")
    if kind not in ("array", "dtype", "scalar") or not isinstance(arguments, tuple):
        raise ValueError(f"a pickle calls {str(kind)[:80]!r}")
    return _Made(kind, arguments)


def _array(value: Any) -> Any:
    """The array of what was put together, or the list that an array of objects holds."""
    if not isinstance(value, _Made):
        raise ValueError(f"a {type(value).__name__} is no array")
    if value.kind == "scalar":
        dtype, data = value.arguments
        return np.frombuffer(data, _dtype(dtype)).reshape(()).copy()
    _, shape, dtype, by_columns, data = value.state
    if isinstance(dtype, _Made) and dtype.arguments[0] in ("O8", "O", "O4"):
        return data
    flat = np.frombuffer(data, _dtype(dtype))
    return flat.reshape(shape, order="F" if by_columns else "C").copy()


def _dtype(value: Any) -> np.dtype:
    name = value.arguments[0] if isinstance(value, _Made) and value.kind == "dtype" else None
    if not isinstance(name, str) or name[:1] not in "fiub" or not name[1:].isdigit():
        raise ValueError(f"dtype {name!r} is not one of numbers")
    order = value.state[1] if len(value.state) > 1 else "="
    return np.dtype(f"{order}{name}" if order in ("<", ">") else name)
