"""Reading HDF5 that nobody vouches for: no links or data outside the file, no array larger than it can hold.

h5py is imported where it is used.
"""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError

MAX_OBJECTS = 200_000
MAX_DEPTH = 64
MAX_ATTRIBUTE = 64 << 20
_HEAP, _HEAP_VERSION = b"GCOL", b"\x01\0\0\0"
_FLOOR = 64 << 20
_RATIO = 200


def import_h5py() -> Any:
    """The h5py module.

    Raises
    ------
    RnnrtError
        It is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise RnnrtError('reading Keras files needs h5py: pip install "rnnrt[convert]"') from None
    return h5py


def _has_endless_heap(data: bytes | mmap.mmap) -> bool:
    """Whether reading some global heap would never end.

    The HDF5 library walks a heap by the sizes of its objects and stands still at free space of size 0.
    """
    at = data.find(_HEAP)
    while at >= 0:
        size = int.from_bytes(data[at + 8 : at + 16], "little")
        if data[at + 4 : at + 8] == _HEAP_VERSION and at + size <= len(data):
            step, end = at + 16, at + size
            while step + 16 <= end:
                index, length = struct.unpack("<H6xQ", data[step : step + 16])
                if index == 0 and length == 0:
                    return True
                step += length if index == 0 else 16 + (length + 7) // 8 * 8
        at = data.find(_HEAP, at + 4)
    return False


class H5Reader:
    """A file of HDF5, in a path or in memory.

    Parameters
    ----------
    source : Path or bytes
    label : str
        How messages name the file.
    """

    def __init__(self, source: Path | bytes, label: str) -> None:
        self.h5py = import_h5py()
        self.label = label
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        self.budget = max(_FLOOR, _RATIO * size)
        with self.guard("the file"):
            self._check_heaps(source)
            self.file = self.h5py.File(io.BytesIO(source) if isinstance(source, bytes) else str(source), "r")

    def _check_heaps(self, source: Path | bytes) -> None:
        if isinstance(source, bytes):
            endless = _has_endless_heap(source)
        else:
            with source.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view:
                endless = _has_endless_heap(view)
        if endless:
            raise ModelFormatError(f"{self.label}: a heap of the HDF5 data is damaged; fetch or save the file again")

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn what h5py raises on a damaged file into a `ModelFormatError`."""
        try:
            yield
        except RnnrtError:
            raise
        except Exception as error:  # h5py raises nearly every kind on damaged files
            raise ModelFormatError(
                f"{self.label}: {what} cannot be read, the HDF5 data is damaged: {str(error)[:200]}"
            ) from error

    def attribute(self, where: Any, name: str) -> Any:
        """An attribute of texts or numbers, or None."""
        h5 = self.h5py
        with self.guard(f"attribute {name!r}"):
            if not h5.h5a.exists(where.id, name.encode()):
                return None
            found = h5.h5a.open(where.id, name.encode())
            # Sequences of other types would be followed wherever damaged bytes point.
            if found.get_type().get_class() not in (h5.h5t.STRING, h5.h5t.INTEGER, h5.h5t.FLOAT):
                raise ModelFormatError(f"{self.label}: attribute {name!r} is neither text nor numbers")
            if not found.get_space().get_simple_extent_npoints():  # which has no size that could be asked for
                return np.zeros(0, "S1")
            if found.get_storage_size() > MAX_ATTRIBUTE:
                raise ModelFormatError(f"{self.label}: attribute {name!r} is larger than any of Keras")
            return where.attrs[name]

    def text(self, where: Any, name: str) -> str | None:
        """A text attribute, or None."""
        value = self.attribute(where, name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        with self.guard(f"attribute {name!r}"):
            return value.decode("utf-8") if isinstance(value, bytes) else str(value) if value is not None else None

    def names(self, where: Any, name: str) -> list[str] | None:
        """A list of texts: one attribute, or `name0`, `name1`, ... when it was too long for one."""
        value = self.attribute(where, name)
        if value is None:
            parts: list[np.ndarray] = []
            while (part := self.attribute(where, f"{name}{len(parts)}")) is not None:
                parts.append(np.asarray(part).reshape(-1))
            if not parts:
                return None
            value = np.concatenate(parts)
        with self.guard(f"attribute {name!r}"):
            items = np.asarray(value).reshape(-1).tolist()
            return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in items]

    def child(self, group: Any, path: str) -> Any:
        """What lies at a path below a group, reached by hard links alone; None when there is nothing."""
        at = group
        for part in path.split("/"):
            if not part:
                continue
            if not isinstance(at, self.h5py.Group):
                return None
            at = self._step(at, part)
            if at is None:
                return None
        return at

    def _step(self, group: Any, name: str) -> Any:
        with self.guard(f"{group.name}/{name}"):
            link = group.get(name, getlink=True)
            if link is None:
                return None
            if not isinstance(link, self.h5py.HardLink):
                raise ModelFormatError(
                    f"{self.label}: {group.name}/{name} is a {type(link).__name__} that leads elsewhere; "
                    "links are not followed: save the model again with Keras"
                )
            return group.get(name)

    def groups(self, group: Any) -> dict[str, Any]:
        """Every group below by its path; Windows wrote backslashes, which become slashes."""
        found: dict[str, Any] = {}
        seen: set[Any] = set()
        stack: list[tuple[str, Any, int]] = [("", group, 0)]
        count = 0
        while stack:
            path, at, depth = stack.pop()
            with self.guard(f"group {path!r}"):
                key = self.h5py.h5o.get_info(at.id).addr
                if key in seen:
                    continue
                seen.add(key)
                found[path] = at
                names = list(at)
            count += len(names)
            if count > MAX_OBJECTS or depth > MAX_DEPTH:
                raise ModelFormatError(f"{self.label}: holds more groups than a model can have")
            for name in names:
                if not path and name in ("optimizer", "optimizer_weights", "metrics"):
                    continue
                item = self._step(at, name)
                if isinstance(item, self.h5py.Group):
                    full = f"{path}/{name}" if path else name
                    stack.append((full.replace("\\", "/"), item, depth + 1))
        return found

    def array(self, dataset: Any, what: str) -> np.ndarray:
        """The numbers of a dataset.

        Raises
        ------
        ModelFormatError
            It is no dataset of numbers, lies outside the file, or is larger than the file can honestly hold.
        """
        if not isinstance(dataset, self.h5py.Dataset):
            raise ModelFormatError(f"{self.label}: {what} is not an array")
        with self.guard(what):
            dtype, shape = dataset.dtype, dataset.shape
            half = dtype.kind == "V" and dtype.itemsize == 2  # how Keras writes bfloat16
            if (dtype.kind not in "fiu" and not half) or shape is None:
                raise ModelFormatError(f"{self.label}: {what} has type {dtype}, not numbers")
            if dataset.is_virtual or dataset.external:
                raise ModelFormatError(
                    f"{self.label}: {what} keeps its numbers in another file; save the model again with Keras"
                )
            need = int(np.prod(shape, dtype=object)) * dtype.itemsize if shape else dtype.itemsize
            self.budget -= need
            if self.budget < 0:
                raise ModelFormatError(
                    f"{self.label}: {what} claims shape {shape}, more than a file of this size can hold"
                )
            values = np.asarray(dataset[()])
            return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32) if half else values
