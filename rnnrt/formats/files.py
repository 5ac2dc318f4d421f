"""What readers ask of a file before they open it, and how files are put in their place."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LFS_POINTER = b"version https://git-lfs"
"""How the small file begins that git-lfs keeps in the place of a large one."""

PICKLE_ADVICE = """pickles can run code and are never loaded. Export the model to ONNX, or write its tensors in torch:
  from safetensors.torch import save_file
  state = torch.load("weights.pt", map_location="cpu", weights_only=True)
  save_file({name: t.contiguous().clone() for name, t in state.items()}, "weights.safetensors")
and give rnnrt.load("weights.safetensors", layers=[...]) the layers (see rnnrt.torch)"""
"""What to do with what torch.save wrote."""


def is_regular(path: Path) -> bool:
    """Whether there is an ordinary file: opening a pipe waits for a writer, and a device never ends.

    Raises
    ------
    OSError
        There is nothing of that name, or it must not be looked at.
    """
    return stat.S_ISREG(path.stat().st_mode)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream whose contents become the file at `path` when the block ends well: whole, durable, in one step.

    Where the block raises, what was there before is left as it was. A link stays one, its target is replaced.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    with open(temporary, "xb") as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
