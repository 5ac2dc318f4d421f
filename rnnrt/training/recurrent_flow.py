"""What a recurrent node did with its gates, and how a gradient fares on its way back through its steps.

Both are computed anew in float64 by the operators' references, from what the node read in a step of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops import get_operator
from rnnrt.ops.recurrent_shapes import in_ir_layout
from rnnrt.ops.recurrent_walk import Direction, Walk

ROWS = 16
"""Rows of the batch that are looked at, those with the most steps: references are slow."""

MARGIN = 0.05
"""A value is saturated within this share of the range between its activation's bounds.

For a sigmoid that is below 0.05 or above 0.95, for a tanh beyond 0.9 either way: at both the slope is 0.19 of what it
is at most, for tanh(x) is 2 sigmoid(2 x) - 1.
"""

GATES = {"LSTM": ("input", "forget", "candidate", "output"), "GRU": ("update", "reset", "candidate"), "RNN": ("state",)}
"""What the activations of a step give, in the order in which the operators' `step` calls them."""

_BOUNDS = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Softsign": (-1.0, 1.0)}


@dataclass(frozen=True)
class Flow:
    """One direction of a recurrent node.

    Attributes
    ----------
    backwards : bool
        Whether it walks from the last step to the first.
    carry : ndarray (L,)
        The norm of what k steps back is left of a gradient for the last state, relative to it; 1 at k = 0. The mean
        over rows. Steps that a mask leaves out are not counted.
    saturated : dict of str to float
        By gate, the share of values within `MARGIN` of a bound; activations without bounds are left out.
    means : dict of str to float
        By gate, the mean value.
    radius : float or None
        The largest magnitude of an eigenvalue of the recurrent weights, for RNN of up to 512 units.
    """

    backwards: bool
    carry: np.ndarray
    saturated: dict[str, float]
    means: dict[str, float]
    radius: float | None


def flows(node: Node, operands: Mapping[str, np.ndarray], gradient: np.ndarray) -> list[Flow]:
    """Look at each direction of a recurrent node.

    Parameters
    ----------
    node : Node
        LSTM, GRU or RNN.
    operands : mapping of str to ndarray
        What it read, by the operator's names.
    gradient : ndarray
        Of the loss for its states, shaped as Y.
    """
    op: Any = get_operator(node.op)
    batch_first = bool(op.attr(node, "layout"))
    full = {key: np.asarray(operands[key], np.float64) if key not in _KEPT else operands[key] for key in operands}
    given = _some_rows(op, node, full, batch_first)
    named = {key: given.get(key) for key in op.operands}
    chosen = given["rows"]
    dY = gradient.astype(np.float64).transpose(1, 2, 0, 3) if batch_first else gradient.astype(np.float64)
    walks = op.walks(node, in_ir_layout(op, node, named))
    counts = [np.stack([walk.counts(t)[:, 0] for t in walk.steps()]) for walk in walks]
    ends = np.stack([_last_gradient(dY[:, d, chosen], walk.backwards) for d, walk in enumerate(walks)])
    back = _carried(op, node, named, ends, batch_first)
    return [_look(walk, back[:, d], ends[d], counts[d]) for d, walk in enumerate(walks)]


_KEPT = ("mask", "sequence_lens")


def _some_rows(op: Any, node: Node, operands: dict[str, Any], batch_first: bool) -> dict[str, Any]:
    """The operands for the rows with the most steps, and under "rows" which they are."""
    x = operands["X"]
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    counted = np.full(batch, steps)
    if "sequence_lens" in operands:
        counted = np.minimum(counted, operands["sequence_lens"])
    if "mask" in operands:
        counted = np.minimum(counted, operands["mask"].astype(bool).sum(0))
    rows = np.sort(np.argsort(-counted, kind="stable")[:ROWS])
    axis_of = {"X": 0 if batch_first else 1, "mask": 1, "sequence_lens": 0, "recurrent_mask": 1}
    axis_of |= dict.fromkeys(("initial_h", "initial_c"), 0 if batch_first else 1)
    found = {key: np.take(array, rows, axis_of[key]) if key in axis_of else array for key, array in operands.items()}
    return {**found, "rows": rows}


def _last_gradient(dY: np.ndarray, backwards: bool) -> np.ndarray:
    """For each row the gradient (B, H) for the last state that has one, of (T, B, H); of ones where there is none."""
    along = dY if backwards else dY[::-1]
    there = np.isfinite(along).all(2) & along.any(2)
    first = there.argmax(0)
    rows = np.arange(dY.shape[1])
    found = np.where(there[first, rows][:, None], along[first, rows], 1.0)
    size = np.abs(found).max(axis=1, keepdims=True, initial=1e-300)
    return found / size  # far from where squares overflow or vanish


def _carried(op: Any, node: Node, named: Mapping[str, Any], ends: np.ndarray, batch_first: bool) -> np.ndarray:
    """The gradient (T, D, B, H) for every state, of a loss whose gradients for the last ones are `ends` (D, B, H)."""
    gradient: Any = get_operator(f"{node.op}Gradient")
    wanted = [""] * (len(gradient.gradient_names()) - 1)
    last = ends.swapaxes(0, 1) if batch_first else ends
    dH: np.ndarray = gradient.reference(
        Node(gradient.name, (), (*wanted, "dH"), node.attrs, node.name), [*named.values(), None, None, last]
    )[-1]
    return dH.transpose(1, 2, 0, 3) if batch_first else dH


def _look(walk: Walk, back: np.ndarray, ends: np.ndarray, counts: np.ndarray) -> Flow:
    """`back` (T, B, H) lies in the order of time, `counts` (T, B) in that of the walk."""
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(back, axis=2)[walk.steps()] / np.linalg.norm(ends, axis=1)
    by_lag = [norms[::-1, row][counts[::-1, row]] for row in range(norms.shape[1])]
    longest = max(map(len, by_lag), default=0)
    carry = np.array([np.mean([own[k] for own in by_lag if len(own) > k]) for k in range(longest)])
    tally = _gates(walk)
    square = walk.weights.R
    radius = None
    if walk.op.name == "RNN" and len(square) <= 512 and np.isfinite(square).all():
        radius = float(np.abs(np.linalg.eigvals(square)).max())
    means = {name: t.total / t.count for name, t in tally.items() if t.count}
    shares = {name: t.saturated / t.count for name, t in tally.items() if t.count and t.bounds}
    return Flow(walk.backwards, carry, shares, means, radius)


@dataclass
class _Tally:
    bounds: tuple[float, float] | None
    count: int = 0
    total: float = 0.0
    saturated: int = 0

    def add(self, values: np.ndarray) -> None:
        self.count += values.size
        self.total += float(values.sum())
        if self.bounds:
            low, high = self.bounds
            edge = MARGIN * (high - low)
            self.saturated += int(np.count_nonzero((values < low + edge) | (values > high - edge)))


@dataclass(frozen=True)
class _Recording(Direction):
    """Weights whose activations are kept as they are computed."""

    seen: list[np.ndarray] = field(default_factory=list)

    def act(self, k: int, x: Any) -> Any:
        self.seen.append(super().act(k, x))
        return self.seen[-1]


def _gates(walk: Walk) -> dict[str, _Tally]:
    """The values of each gate, counted up over the steps that count."""
    op, node = walk.op, walk.node
    recording = _Recording(**vars(walk.weights))
    walk = replace(walk, weights=recording)
    names: Sequence[str] = GATES[op.name]
    if op.name == "LSTM" and op.attr(node, "input_forget"):
        names = [name for name in names if name != "forget"]
    kinds = [0 if op.name == "RNN" or name != "candidate" else 1 for name in names]
    tally = {name: _Tally(_bounds(walk.weights.activations[k])) for name, k in zip(names, kinds, strict=True)}
    state = walk.state
    with np.errstate(all="ignore"):
        xw = walk.x @ recording.W.T
        for t in walk.steps():
            counts = walk.counts(t)
            recording.seen.clear()
            new = op.step(node, recording, xw[t], state, walk.seen(state[0]))
            state = tuple(np.where(counts, a, b) for a, b in zip(new, state, strict=True))
            for name, values in zip(names, recording.seen, strict=True):
                tally[name].add(values[counts[:, 0]])
    return tally


def _bounds(activation: tuple[str, float, float]) -> tuple[float, float] | None:
    name, alpha, _ = activation
    return (-abs(alpha), abs(alpha)) if name == "ScaledTanh" and alpha else _BOUNDS.get(name)
