"""Lowering of LSTM, GRU and RNN: weights packed in panels, and the kernel call.

The call's operands are described where they are read, in src_pyx/rnnrt/_kernels/isa/recurrent.h.

A panel holds as many hidden units as a vector register has lanes, with all their gates: `[k][gate][lane]`. Hidden
sizes that do not fill the last panel are padded with zero weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.activations import ACTIVATIONS
from rnnrt.ops.base import KernelCall, LowerContext, TensorSpec

CODES = {name: code for code, name in enumerate(sorted(ACTIVATIONS))}
"""Number of each activation in the kernels: its place in the alphabet, as in activations.h."""

CHUNK_BYTES = 256 * 1024
"""What the input projection of a chunk of steps may take of a thread's L2 cache."""

FAST: dict[str, dict[tuple[str, ...], int]] = {
    "LSTM": {("Sigmoid", "Tanh", "Tanh"): 1},
    "GRU": {("Sigmoid", "Tanh"): 1},
    "RNN": {("Tanh",): 1, ("Relu",): 2},
}
"""Activations with a compiled path of their own."""


def pack_panels(weights: np.ndarray, gates: int, lanes: int) -> np.ndarray:
    """(gates*H, K) -> (panels, K, gates, lanes), the last panel padded with zeros."""
    hidden, depth = weights.shape[0] // gates, weights.shape[1]
    panels = -(-hidden // lanes)
    padded = np.zeros((gates, panels * lanes, depth), weights.dtype)
    padded[:, :hidden] = weights.reshape(gates, hidden, depth)
    return np.ascontiguousarray(padded.reshape(gates, panels, lanes, depth).transpose(1, 3, 0, 2))


def pack_parts(weights: np.ndarray, parts: Sequence[int], lanes: int) -> np.ndarray:
    """(D, G*H, K) -> (D, panels*lanes*G*K): for each direction the panels of every part, one after the other.

    `parts` says how many gates, in order, are packed together: (4,) for LSTM, (2, 1) for a GRU that resets first.
    """
    hidden = weights.shape[1] // sum(parts)
    ends = np.cumsum([0, *parts]) * hidden
    return np.stack(
        [
            np.concatenate(
                [pack_panels(one[ends[k] : ends[k + 1]], gates, lanes).ravel() for k, gates in enumerate(parts)]
            )
            for one in weights
        ]
    )


def merge_bias(bias: np.ndarray, gates: int, keep_last: bool) -> np.ndarray:
    """(D, 2*G*H) -> (D, G*H), Wb + Rb; with `keep_last` (D, (G+1)*H): the last gate's Rb stays apart at the end."""
    rows = bias.shape[1] // 2
    merged = bias[:, :rows] + bias[:, rows:]
    if not keep_last:
        return merged
    first = rows - rows // gates
    return np.concatenate([merged[:, :first], bias[:, first:rows], bias[:, rows + first :]], axis=1)


def lower_recurrent(
    op: Any, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
) -> list[KernelCall] | None:
    """The kernel call of a recurrent node, or None when its weights are not constants or its dtype is not native.

    Parameters
    ----------
    op : a subclass of `rnnrt.ops.recurrent.Recurrent`
    """
    spec: dict[str, TensorSpec | None] = op.named(inputs)
    x, w, r = spec["X"], spec["W"], spec["R"]
    peepholes, mask, lengths, bias = spec.get("P"), spec["mask"], spec["sequence_lens"], spec["B"]
    if x is None or w is None or r is None or x.dtype.name not in ("float32", "float64") or x.shape is None:
        return None
    if any(s is not None and s.value is None for s in (w, r, bias, peepholes)):
        return None
    if (mask is not None and mask.dtype != np.bool_) or (
        lengths is not None and lengths.dtype.name not in ("int32", "int64")
    ):
        return None
    lanes = ctx.vector_bytes // x.dtype.itemsize
    gates, variant = op.gates, 0
    if node.op == "LSTM":
        variant = int(bool(op.attr(node, "input_forget")))
    if node.op == "GRU":
        variant = int(bool(op.attr(node, "linear_before_reset")))
    resets_first = node.op == "GRU" and not variant
    parts = (2, 1) if resets_first else (gates,)
    bias_parts = (3, 1) if node.op == "GRU" and variant else parts
    wv, rv = w.value, r.value
    directions, hidden = wv.shape[0], rv.shape[2]  # type: ignore[union-attr]
    layout = f"panels{lanes}:{parts}"

    def pack_bias() -> np.ndarray:
        given = np.zeros((directions, 2 * gates * hidden), x.dtype) if bias is None else bias.value
        merged = merge_bias(given, gates, keep_last=len(bias_parts) > len(parts))  # type: ignore[arg-type]
        return pack_parts(merged[:, :, None], bias_parts, lanes)

    packed = {
        "W": ctx.packed(wv, layout, lambda: pack_parts(wv, parts, lanes)),  # type: ignore[arg-type]
        "R": ctx.packed(rv, layout, lambda: pack_parts(rv, parts, lanes)),  # type: ignore[arg-type]
        "B": ctx.packed(wv if bias is None else bias.value, f"bias:{layout}:{bias_parts}", pack_bias),  # type: ignore[arg-type]
        "P": None if peepholes is None else ctx.packed(peepholes.value, layout, _packer(peepholes.value, lanes)),  # type: ignore[arg-type]
    }
    batch_first = int(bool(op.attr(node, "layout")))
    steps, batch = int(x.shape[batch_first]), int(x.shape[1 - batch_first])  # type: ignore[arg-type]
    padded = -(-hidden // lanes) * lanes
    row = gates * padded * x.dtype.itemsize
    threads, split, short = ctx.share_recurrence(
        gates=gates,
        stages=1 + resets_first,
        directions=directions,
        seq_len=steps,
        batch_size=batch,
        input_size=int(x.shape[2]),  # type: ignore[arg-type]
        hidden_size=hidden,
        itemsize=x.dtype.itemsize,
    )
    chunk = max(1, min(steps, threads * CHUNK_BYTES // max(1, batch * row)))
    states = 2 + (node.op == "LSTM") + 2 * resets_first
    scratch = batch * (states * padded * x.dtype.itemsize + chunk * row + 2 * threads)
    scratch = -(-scratch // 64) * 64
    per_direction = op.direction_activations(node)
    names = {tuple(act[0] for act in acts) for acts in per_direction}
    clip = float(op.attr(node, "clip") or 0.0)
    plain = not clip and peepholes is None and not (node.op == "LSTM" and variant)
    fast = FAST[node.op].get(next(iter(names)), 0) if plain and len(names) == 1 else 0
    acts = [act for acts in per_direction for act in acts]
    position = {name: k for k, name in enumerate(op.operands) if k < len(inputs) and inputs[k] is not None}
    return [
        KernelCall(
            node.op.lower(),
            (
                position["X"],
                packed["W"],
                packed["R"],
                packed["B"],
                position.get("sequence_lens"),
                position.get("initial_h"),
                position.get("initial_c"),
                packed["P"],
                position.get("mask"),
            ),
            tuple(k if k < len(outputs) and node.outputs[k] else None for k in range(3)),
            (
                batch_first,
                int(op.attr(node, "direction") == "reverse"),
                directions,
                hidden,
                chunk,
                scratch,
                int(bool(op.attr(node, "zero_output_for_mask"))),
                variant,
                fast,
                threads,
                split,
                short,
                *(CODES[name] for name, _, _ in acts),
            ),
            (clip, *(float(v) for _, alpha, beta in acts for v in (alpha, beta))),
            scratch * directions,
        )
    ]


def _packer(peepholes: np.ndarray, lanes: int) -> Callable[[], np.ndarray]:
    return lambda: pack_parts(peepholes[:, :, None], (3,), lanes)
