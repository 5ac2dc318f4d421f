"""How many threads a recurrent call is worth, and how they share it: a model of what the kernels cost.

The figures are of one kind of processor (Zen 4 at 3.7 GHz); only their proportions matter. `tools/bench/kernels.py`
measures them.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

FMA_PER_CYCLE = {64: 16, 32: 16, 16: 4}
"""float32 multiply-adds a cycle by the width of a register in bytes; the narrowest has no fused ones."""

L1_RATE, L2_RATE, L3_RATE = 49.0, 31.0, 26.5
"""Bytes a cycle at which one core streams weights from each cache."""

BARRIER = 1200.0
"""Cycles that a step loses at a barrier: the wait itself, and reading what the other threads wrote."""

START = 3000.0
"""Cycles until threads that are awake are under way."""

SHORT = 250_000.0
"""Cycles of work below which only threads that are awake help: waking one takes longer than it saves."""

TILE_EFFICIENCY = (0.6, 0.8, 0.9, 0.95)
"""Share of the multiply-add peak that a tile of 1, 2, 3, and of more rows reaches."""

TILE_ACCUMULATORS = {64: 24, 32: 12, 16: 12}
"""Accumulators of a register tile by the width of a register, as in isa/panel_tile.h."""


class Split(IntEnum):
    """How threads share a recurrent call: `enum rn_split` of isa/recurrent.h."""

    DIRECTIONS = 0
    ROWS = 1
    PANELS = 2


@dataclass(frozen=True, slots=True)
class RecurrentWork:
    """The sizes that decide: gates and stages of the cell, directions, T, B, I, H, bytes of a real, of a register."""

    gates: int
    stages: int
    directions: int
    seq_len: int
    batch_size: int
    input_size: int
    hidden_size: int
    itemsize: int
    vector_bytes: int

    @property
    def panels(self) -> int:
        """Panels of hidden units."""
        return -(-self.hidden_size * self.itemsize // self.vector_bytes)


@lru_cache(maxsize=1)
def _cache_sizes() -> tuple[int, int]:
    """Bytes of the first and second cache of a core."""

    def size(name: str, default: int) -> int:
        try:
            found = os.sysconf(name)
        except (ValueError, OSError, AttributeError):
            return default
        return found if found > 0 else default

    return size("SC_LEVEL1_DCACHE_SIZE", 32 << 10), size("SC_LEVEL2_CACHE_SIZE", 1 << 20)


def _efficiency(rows: float) -> float:
    """Of tiles with so many rows in the mean: between those of whole numbers."""
    below = min(max(int(rows), 1), len(TILE_EFFICIENCY))
    above = min(below + 1, len(TILE_EFFICIENCY))
    share = min(max(rows - below, 0.0), 1.0)
    return TILE_EFFICIENCY[below - 1] * (1 - share) + TILE_EFFICIENCY[above - 1] * share


def _product(work: RecurrentWork, rows: float, depth: int, panels: int, resident: int) -> float:
    """Cycles of rows x depth times `panels` panels; `resident`: bytes of weights that share their cache."""
    nbytes = panels * work.gates * work.vector_bytes * depth
    first, second = _cache_sizes()
    rate = L1_RATE if resident <= first else L2_RATE if resident <= second else L3_RATE
    most = 6 if work.gates < 3 else TILE_ACCUMULATORS[work.vector_bytes] // work.gates
    tiles = math.ceil(rows / most)
    lanes = work.vector_bytes / work.itemsize
    efficiency = _efficiency(rows / tiles)
    peak = FMA_PER_CYCLE[work.vector_bytes] * 4 / work.itemsize * efficiency
    streams = nbytes / rate + (tiles - 1) * nbytes / max(rate, L2_RATE)  # each further tile finds them in L2
    return max(rows * depth * panels * work.gates * lanes / peak, streams)


def _direction(work: RecurrentWork, rows: float, panels: int) -> float:
    """Cycles of all steps of one direction for a share of rows and panels."""
    weights = panels * work.gates * work.vector_bytes
    step = _product(work, rows, work.hidden_size, panels, weights * work.hidden_size)
    at_once = rows * work.seq_len
    project = _product(work, max(at_once, 1), work.input_size, panels, weights * work.input_size)
    return project + work.seq_len * step


def choose_split(work: RecurrentWork, threads: int) -> tuple[int, Split, bool]:
    """Number of threads, how they share the call, and whether it is short; one thread where more would not pay."""
    alone = work.directions * _direction(work, work.batch_size, work.panels)
    best, cost = (1, Split.DIRECTIONS), alone
    options = [(min(threads, work.directions), Split.DIRECTIONS)]
    options += [(n, Split.ROWS) for n in range(2, min(threads, work.batch_size) + 1)]
    options += [(n, Split.PANELS) for n in range(2, min(threads, work.panels) + 1)]
    for n, split in options:
        if n < 2:
            continue
        directions = work.directions
        rows, panels, waits = float(work.batch_size), work.panels, 0.0
        if split is Split.DIRECTIONS:
            directions = -(-directions // n)
        elif split is Split.ROWS:
            rows = -(-work.batch_size // n)
        else:
            panels = -(-panels // n)
            waits = work.seq_len * work.stages * BARRIER
        total = START + directions * (_direction(work, rows, panels) + waits)
        if total < cost:
            best, cost = (n, split), total
    return *best, alone < SHORT
