"""The references of recurrent operators: one direction, step by step. Letters as in `recurrent`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.activations import activate

Array = Any


@dataclass(frozen=True)
class Direction:
    """Weights of one direction in their ONNX layouts, and its activations: name, alpha, beta for each."""

    W: Array
    R: Array
    Wb: Array
    Rb: Array
    P: Array | None
    activations: tuple[tuple[str, float, float], ...]
    clip: float | None

    def act(self, k: int, x: Array) -> Array:
        """Activation `k`, after the clip."""
        if self.clip is not None:
            x = np.clip(x, -self.clip, self.clip)
        return activate(self.activations[k][0], x, *self.activations[k][1:])


@dataclass(frozen=True)
class Walk:
    """One direction over all steps: x (T, B, I), the states before the first one (B, H) each."""

    op: Any
    node: Node
    weights: Direction
    x: Array
    state: tuple[Array, ...]
    lengths: Array | None
    mask: Array | None
    drop: Array | None
    zero: bool
    backwards: bool

    def steps(self) -> list[int]:
        """The steps in the order in which they are taken."""
        steps = range(len(self.x))
        return list(reversed(steps)) if self.backwards else list(steps)

    def inside(self, t: int) -> Array:
        """Which rows (B, 1) have a step t at all."""
        batch = self.x.shape[1]
        lengths = np.full(batch, len(self.x)) if self.lengths is None else self.lengths
        return (t < lengths)[:, None]

    def counts(self, t: int) -> Array:
        """Which rows (B, 1) do more in step t than hold their state."""
        return self.inside(t) if self.mask is None else self.inside(t) & self.mask[t].astype(bool)[:, None]

    def any_steps(self) -> Array:
        """Which rows (B, 1) have a last state: those of length 0 do not, unless there are no steps at all."""
        return self.inside(0) if len(self.x) else np.ones((self.x.shape[1], 1), bool)

    def seen(self, h: Array) -> Array:
        """What the recurrent products see of h."""
        return h if self.drop is None else h * self.drop

    def forward(self) -> tuple[Array, tuple[Array, ...]]:
        """Outputs (T, B, H) and the last states."""
        state, dtype = self.state, self.x.dtype
        xw = self.x @ self.weights.W.T
        y = np.zeros((*self.x.shape[:2], self.weights.R.shape[1]), dtype)
        shown = np.zeros_like(state[0])
        for t in self.steps():
            counts = self.counts(t)
            new = self.op.step(self.node, self.weights, xw[t], state, self.seen(state[0]))
            state = tuple(np.where(counts, a, b) for a, b in zip(new, state, strict=True))
            shown = np.where(counts, new[0], np.zeros_like(shown) if self.zero else shown)
            y[t] = np.where(self.inside(t), shown, 0)
        return y, tuple(np.where(self.any_steps(), s, 0).astype(dtype, copy=False) for s in state)
