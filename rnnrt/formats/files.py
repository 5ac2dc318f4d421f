"""What readers ask of a file before they open it."""

from __future__ import annotations

import stat
from pathlib import Path

LFS_POINTER = b"version https://git-lfs"
"""How the small file begins that git-lfs keeps in the place of a large one."""


def is_regular(path: Path) -> bool:
    """Whether there is an ordinary file: opening a pipe waits for a writer, and a device never ends.

    Raises
    ------
    OSError
        There is nothing of that name, or it must not be looked at.
    """
    return stat.S_ISREG(path.stat().st_mode)
