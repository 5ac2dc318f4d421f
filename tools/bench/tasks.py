"""What the training benchmark trains: two recurrent layers and a classifier, with their weights, data and floor."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cells import GATES, Ceilings, Cell
from initial_weights import initial_weights

CLASSES = 10
SIZES = ((100, 64, 32), (8, 64, 8), (50, 16, 64), (100, 1, 32), (200, 128, 64))
"""T, B, features; 8 64 8 are scikit-learn's digits."""
TINY = ((4, 3, 5), (7, 2, 3))
"""For checking the benchmark itself, where nobody looks at the clock."""


@dataclass(frozen=True)
class Task:
    """One update of layer(units[0], return_sequences=True) -> layer(units[1]) -> Dense(10, softmax)."""

    kind: str
    T: int
    B: int
    features: int
    units: tuple[int, int] = (128, 64)

    @property
    def label(self) -> str:
        """How tables name it."""
        return f"{self.kind} T={self.T} B={self.B} {self.features}->{'->'.join(map(str, self.units))}"

    @property
    def cells(self) -> tuple[Cell, Cell]:
        """Its recurrent layers."""
        inputs = (self.features, self.units[0])
        first, second = (Cell(self.kind, self.T, self.B, i, h) for i, h in zip(inputs, self.units, strict=True))
        return first, second

    def floor(self, ceilings: Ceilings | None = None) -> float:
        """Seconds of forward and backward of all layers; gates, loss and optimizer are not counted."""
        c = ceilings or Ceilings()
        recurrent = sum(cell.floor(c) + cell.backward_floor(k == 0, c) for k, cell in enumerate(self.cells))
        return recurrent + 3 * 2.0 * self.B * self.units[-1] * CLASSES / (c.flops * c.cores)

    def weights(self, seed: int = 0) -> list[np.ndarray]:
        """Initial weights, float32; see `initial_weights`."""
        return initial_weights(self.kind, self.features, self.units, CLASSES, np.random.default_rng(seed))

    def batches(self, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (count, B, T, features) and one-hot targets (count, B, 10), float32."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((count, self.B, self.T, self.features)).astype(np.float32)
        return x, np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, (count, self.B))]

    def arrays(self, batches: int) -> dict[str, np.ndarray]:
        """All that an engine needs, by name."""
        x, y = self.batches(batches)
        return {"x": x, "y": y, **{f"weight_{k}": w for k, w in enumerate(self.weights())}}


def tasks(sizes: tuple[tuple[int, int, int], ...] = SIZES, units: tuple[int, int] = (128, 64)) -> list[Task]:
    """LSTM and GRU at each size."""
    return [Task(kind, *size, units) for size in sizes for kind in GATES]
