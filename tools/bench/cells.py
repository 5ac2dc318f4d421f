"""The grid of recurrent layers that the benchmarks measure, and the floor below which no CPU of this kind can go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GATES = {"LSTM": 4, "GRU": 3}

GRID = (
    (1, 1, 64, 64),
    (1, 1, 128, 256),
    (1, 1, 512, 512),
    (100, 1, 64, 128),
    (100, 1, 128, 256),
    (100, 1, 512, 512),
    (100, 8, 128, 256),
    (100, 32, 128, 256),
    (50, 64, 512, 512),
    (1000, 1, 64, 128),
    (100, 1, 32, 32),
    (50, 1, 1024, 1024),
    (100, 64, 64, 128),
    (20, 64, 1024, 1024),
    (10, 256, 128, 256),
)
"""T, B, input size, hidden size."""

TINY = ((1, 1, 3, 5), (4, 2, 8, 16), (7, 3, 17, 33))
"""For checking the benchmark itself, where nobody looks at the clock."""


@dataclass(frozen=True)
class Ceilings:
    """What the processor can do, by measurement: floating point and bytes per second of one core, cores, caches."""

    flops: float = 115e9
    l1: float = 49 * 3.7e9
    l2: float = 31 * 3.7e9
    l3: float = 26.5 * 3.7e9
    cores: int = 2
    l1_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20

    def stream(self, nbytes: float) -> float:
        """Bytes per second over all cores for data of this size, shared out among their caches."""
        share = nbytes / self.cores
        rate = self.l1 if share <= self.l1_bytes else self.l2 if share <= self.l2_bytes else self.l3
        return rate * self.cores


@dataclass(frozen=True)
class Cell:
    """One layer and the shape of one call."""

    kind: str
    T: int
    B: int
    I: int  # noqa: E741  the field's name for the input size
    H: int

    @property
    def label(self) -> str:
        """How tables name it."""
        return f"{self.kind} T={self.T} B={self.B} {self.I}->{self.H}"

    def floor(self, ceilings: Ceilings | None = None) -> float:
        """Seconds that one call must take: multiply-adds at the FMA peak or weights streamed from their cache."""
        c = ceilings or Ceilings()
        gates, peak = GATES[self.kind], c.flops * c.cores
        w_bytes, r_bytes = 4.0 * gates * self.H * self.I, 4.0 * gates * self.H * self.H
        projection = 2.0 * self.T * self.B * gates * self.H * self.I / peak
        step = 2.0 * self.B * gates * self.H * self.H / peak
        if self.T == 1:
            nbytes = w_bytes + r_bytes
            return max(projection + step, nbytes / c.stream(nbytes))
        return projection + self.T * max(step, r_bytes / c.stream(r_bytes))

    def backward_floor(self, first: bool, ceilings: Ceilings | None = None) -> float:
        """Seconds that the way back must take: a step's product with R as in `floor`, then dR, dW, and dX.

        The products that do not wait for each other's steps, 2 T B G H (H + 2 I) floating point operations, are counted
        at the FMA peak. The first layer of a network has no dX.
        """
        c = ceilings or Ceilings()
        peak, row = c.flops * c.cores, 2.0 * self.B * GATES[self.kind] * self.H
        r_bytes = 4.0 * GATES[self.kind] * self.H * self.H
        step = max(row * self.H / peak, r_bytes / c.stream(r_bytes))
        return self.T * (step + row * (self.H + self.I * (1 if first else 2)) / peak)

    def weights(self, seed: int = 0) -> dict[str, np.ndarray]:
        """W, R and B in ONNX's layouts, float32."""
        rng = np.random.default_rng(seed)
        gates = GATES[self.kind]
        scale = 1 / np.sqrt(self.H)
        return {
            "W": rng.uniform(-scale, scale, (1, gates * self.H, self.I)).astype(np.float32),
            "R": rng.uniform(-scale, scale, (1, gates * self.H, self.H)).astype(np.float32),
            "B": rng.uniform(-scale, scale, (1, 2 * gates * self.H)).astype(np.float32),
        }

    def input(self, seed: int = 1) -> np.ndarray:
        """X (T, B, I)."""
        return np.random.default_rng(seed).standard_normal((self.T, self.B, self.I)).astype(np.float32)


def cells(grid: tuple[tuple[int, int, int, int], ...] = GRID, kinds: tuple[str, ...] = ("LSTM", "GRU")) -> list[Cell]:
    """The grid for each kind of layer."""
    return [Cell(kind, *sizes) for kind in kinds for sizes in grid]
