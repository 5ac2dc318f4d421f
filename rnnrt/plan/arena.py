"""Where temporaries live: offsets in one block of memory, reused once a value is dead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rnnrt._kernels.program import ALIGNMENT


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `nbytes` that is alive from instruction `first` to `last`, both included."""

    key: object
    nbytes: int
    first: int
    last: int


def place(lifetimes: Iterable[Lifetime]) -> tuple[dict[object, int], int]:
    """Offsets by key, and the size of the arena.

    Largest first, each at the lowest offset where it overlaps no buffer alive at the same time.
    """
    placed: list[tuple[int, int, Lifetime]] = []
    offsets: dict[object, int] = {}
    total = 0
    for life in sorted(lifetimes, key=lambda item: (-item.nbytes, item.first)):
        size = -(-max(life.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        offset = 0
        for start, end, other in sorted(placed, key=lambda item: item[0]):
            if other.last < life.first or life.last < other.first:
                continue
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, life))
        offsets[life.key] = offset
        total = max(total, offset + size)
    return offsets, total
