"""Model files: what kind a file is, and the reader for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rnnrt.errors import ModelFormatError, RnnrtError
from rnnrt.formats.files import LFS_POINTER, PICKLE_ADVICE, is_regular
from rnnrt.ir import Graph

if TYPE_CHECKING:
    from rnnrt.layers import Network

__all__ = ["foreseen", "is_hdf5", "kind_of", "read_any", "read_model"]

_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAFETENSORS_HEADER_LIMIT = 100_000_000


def kind_of(path: str | os.PathLike[str]) -> str:
    """What a file holds, told by its content: "keras", "container", "json" or "onnx".

    A container is a safetensors file, which may hold no graph; JSON may be no network.

    Raises
    ------
    ModelFormatError
        The file is missing, empty, a folder, or of a kind that cannot be a model.
    """
    file = Path(path)
    if file.is_dir():
        raise ModelFormatError(f"{file}: is a folder; give the model file itself")
    try:
        if not is_regular(file):
            raise ModelFormatError(f"{file}: is a pipe, socket or device; give the model file itself")
        with file.open("rb") as stream:
            head = stream.read(64)
    except FileNotFoundError:
        raise ModelFormatError(f"{file}: no such file") from None
    except OSError as error:
        raise ModelFormatError(f"{file}: cannot be read: {error.strerror}") from None
    if not head:
        raise ModelFormatError(f"{file}: the file is empty")
    if head.startswith(LFS_POINTER):
        raise ModelFormatError(f"{file}: is a git-lfs pointer, not the model; run `git lfs pull` to fetch the file")
    if head.startswith((_ZIP, _HDF5)):
        return "keras"
    size = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and size < _SAFETENSORS_HEADER_LIMIT:
        return "container"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ModelFormatError(f"{file}: is a pickle; {PICKLE_ADVICE}")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"{"):
        return "json"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"[")):
        raise ModelFormatError(f"{file}: is text ({head[:16]!r}...), not a model; was a web page saved instead of it?")
    return "onnx"


@contextmanager
def foreseen(path: str | os.PathLike[str]) -> Iterator[None]:
    """What a reader foresees has its own message; damage can take forms that nobody foresaw.

    Raises
    ------
    ModelFormatError
        In the place of any other error.
    """
    try:
        yield
    except RnnrtError:
        raise
    except RecursionError:
        raise ModelFormatError(f"{os.fspath(path)}: nested too deeply") from None
    except Exception as error:  # the libraries that readers use have errors of their own
        raise ModelFormatError(
            f"{os.fspath(path)}: is damaged or not as its format has it ({type(error).__name__}: {str(error)[:200]}); "
            "export or download it again"
        ) from error


def read_model(path: str | os.PathLike[str]) -> Graph:
    """The graph in an .onnx, .keras, .h5, .rnnrt or .json file; the content decides, not the name.

    Raises
    ------
    ModelFormatError
        The file is missing, truncated, corrupt or of an unknown kind.
    UnsupportedModelError
        The file holds something that rnnrt cannot run exactly; every reason is listed.
    """
    return read_any(path)[0]


def read_any(path: str | os.PathLike[str]) -> tuple[Graph, Network | None, str]:
    """As `read_model`, and for files of layers their network with the version of Keras that the layers follow."""
    kind = kind_of(path)
    with foreseen(path):
        if kind == "keras":
            from rnnrt.formats.keras_import import read_network, to_graph

            network, version = read_network(path)
            return to_graph(network, version, Path(path).name), network, version
        if kind == "container":
            from rnnrt.formats.container import read_container

            return read_container(path), None, ""
        if kind == "json":
            from rnnrt.formats.json_import import read_json

            return read_json(path)
        from rnnrt.formats.onnx_import import read_onnx

        return read_onnx(path), None, ""


def is_hdf5(file: Path) -> bool:
    """Whether a regular file is there and begins as HDF5 does."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(_HDF5)) == _HDF5
