"""Lowering of LSTM, GRU and RNN: weights packed in panels, and the kernel call.

The call's operands are described where they are read, in src_pyx/rnnrt/_kernels/isa/recurrent.h.

A panel holds as many hidden units as a vector register has lanes, with all their gates: `[k][gate][lane]`. Hidden
sizes that do not fill the last panel are padded with zero weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.ir import Dim, Node
from rnnrt.ops.activations import ACTIVATIONS
from rnnrt.ops.base import KernelCall, LowerContext, TensorSpec
from rnnrt.ops.recurrent_shapes import DROP, LENGTHS, MASK

CODES = {name: code for code, name in enumerate(sorted(ACTIVATIONS))}
"""Number of each activation in the kernels: its place in the alphabet, as in activations.h."""

CHUNK_BYTES = 256 * 1024
"""What the input projection of a chunk of steps may take of a thread's L2 cache."""

ROWS_AT_ONCE = 48
"""Rows that a product takes through a buffer at once, as in the kernels' panel_rows.h."""

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
    packed = np.zeros((panels, depth, gates, lanes), weights.dtype)
    weights = weights.reshape(gates, hidden, depth)
    whole = hidden // lanes
    packed[:whole] = weights[:, : whole * lanes].reshape(gates, whole, lanes, depth).transpose(1, 3, 0, 2)
    packed[whole:, ..., : hidden - whole * lanes] = weights[:, whole * lanes :].transpose(2, 0, 1)
    return packed


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


@dataclass(frozen=True)
class _Sizes:
    """What the kernels of a recurrent node are told, and what they need."""

    gates: int
    parts: tuple[int, ...]
    variant: int
    lanes: int
    directions: int
    steps: int
    batch: int
    inputs: int
    hidden: int
    itemsize: int
    threads: int
    ints: tuple[int, ...]
    floats: tuple[float, ...]
    scratch: int

    @property
    def padded(self) -> int:
        """Hidden units with those that fill the last panel."""
        return -(-self.hidden // self.lanes) * self.lanes


def _sizes(op: Any, node: Node, spec: Mapping[str, TensorSpec | None], ctx: LowerContext) -> _Sizes | None:
    """None where the kernels do not take the operands' dtypes."""
    x, w, r, mask, lengths = (spec[key] for key in ("X", "W", "R", MASK, LENGTHS))
    if x is None or w is None or r is None or x.dtype.name not in ("float32", "float64") or not x.is_static:
        return None
    if (mask is not None and mask.dtype != np.bool_) or (
        lengths is not None and lengths.dtype.name not in ("int32", "int64")
    ):
        return None
    itemsize, gates, variant = x.dtype.itemsize, op.gates, 0
    lanes = ctx.vector_bytes // itemsize
    if node.op.startswith("LSTM"):
        variant = int(bool(op.attr(node, "input_forget")))
    if node.op.startswith("GRU"):
        variant = int(bool(op.attr(node, "linear_before_reset")))
    resets_first = op.name == "GRU" and not variant
    per_direction = op.direction_activations(node)
    directions, hidden = len(per_direction), r.known_shape[0 if op.attr(node, "weight_layout") == "keras" else 2]
    batch_first = int(bool(op.attr(node, "layout")))
    steps, batch, inputs = x.known_shape[batch_first], x.known_shape[1 - batch_first], x.known_shape[2]
    padded = -(-hidden // lanes) * lanes
    row = gates * padded * itemsize
    threads, split, short = ctx.share_recurrence(
        gates=gates,
        stages=1 + resets_first,
        directions=directions,
        seq_len=steps,
        batch_size=batch,
        input_size=inputs,
        hidden_size=hidden,
        itemsize=itemsize,
    )
    chunk = max(1, min(steps, threads * CHUNK_BYTES // max(1, batch * row)))
    states = 2 + (op.name == "LSTM") + 2 * resets_first + 3 * (spec[DROP] is not None)
    scratch = batch * (states * padded * itemsize + chunk * row + 2 * threads)
    scratch = -(-scratch // 64) * 64
    names = {tuple(act[0] for act in acts) for acts in per_direction}
    clip = float(op.attr(node, "clip") or 0.0)
    plain = not clip and spec.get("P") is None and not (op.name == "LSTM" and variant)
    fast = FAST[op.name].get(next(iter(names)), 0) if plain and len(names) == 1 else 0
    acts = [act for acts in per_direction for act in acts]
    order = tuple(op.attr(node, "gate_order")) or tuple(range(gates))
    ints = (
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
        int(op.attr(node, "weight_layout") == "keras"),
        *order,
        *[0] * (4 - len(order)),
        *(CODES[name] for name, _, _ in acts),
    )
    floats = (clip, *(float(v) for _, alpha, beta in acts for v in (alpha, beta)))
    parts = (2, 1) if resets_first else (gates,)
    return _Sizes(
        gates, parts, variant, lanes, directions, steps, batch, inputs, hidden, itemsize, threads, ints, floats,
        scratch * directions,
    )  # fmt: skip


def lower_recurrent(
    op: Any, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
) -> list[KernelCall] | None:
    """The kernel call of a recurrent node, or None when its dtype is not native.

    Weights that are constants are packed once; others, and those of a node with a workspace, on each run.

    Parameters
    ----------
    op : a subclass of `rnnrt.ops.recurrent.Recurrent`
    """
    spec: dict[str, TensorSpec | None] = op.named(inputs)
    sizes = _sizes(op, node, spec, ctx)
    if sizes is None:
        return None
    position = {name: k for k, name in enumerate(op.operands) if k < len(inputs) and inputs[k] is not None}
    kept = len(op.results) if len(node.outputs) > len(op.results) else None
    order = ("X", "W", "R", "B", LENGTHS, "initial_h", "initial_c", "P", MASK, DROP)
    operands: list[Any] = [position.get(key) for key in order]
    results = [k if k < min(len(outputs), len(op.results)) and node.outputs[k] else None for k in range(3)]
    weights = [spec.get(key) for key in ("W", "R", "B", "P")]
    computed = any(s is not None and s.value is None for s in weights) or spec[DROP] is not None or sizes.ints[12]
    if kept is None and not computed:
        operands[1:4], operands[7] = _pack(sizes, weights, ctx), _pack_peepholes(sizes, spec.get("P"), ctx)
        return [KernelCall(op.name.lower(), tuple(operands), (*results, None), sizes.ints, sizes.floats, sizes.scratch)]
    if 0 in (sizes.steps, sizes.batch, sizes.inputs, sizes.hidden):
        return None
    width = sizes.gates * (sizes.inputs + sizes.hidden + 1) + 1 + 3
    packed = sizes.directions * width * sizes.padded * sizes.itemsize
    return [
        KernelCall(
            f"{op.name.lower()}_train",
            tuple(operands),
            (*results, kept),
            sizes.ints,
            sizes.floats,
            packed + sizes.scratch,
        )
    ]


def _pack(sizes: _Sizes, weights: Sequence[TensorSpec | None], ctx: LowerContext) -> list[np.ndarray]:
    """W, R and bias in panels."""
    w, r, bias = (None if s is None else s.value for s in weights[:3])
    assert w is not None and r is not None
    parts, gates = sizes.parts, sizes.gates
    bias_parts = (3, 1) if gates == 3 and sizes.variant else parts
    layout = f"panels{sizes.lanes}:{parts}"

    def pack_bias() -> np.ndarray:
        given = np.zeros((sizes.directions, 2 * gates * sizes.hidden), w.dtype) if bias is None else bias
        merged = merge_bias(given, gates, keep_last=len(bias_parts) > len(parts))
        return pack_parts(merged[:, :, None], bias_parts, sizes.lanes)

    return [
        ctx.packed(w, layout, lambda: pack_parts(w, parts, sizes.lanes)),
        ctx.packed(r, layout, lambda: pack_parts(r, parts, sizes.lanes)),
        ctx.packed(w if bias is None else bias, f"bias:{layout}:{bias_parts}", pack_bias),
    ]


def _pack_peepholes(sizes: _Sizes, spec: TensorSpec | None, ctx: LowerContext) -> np.ndarray | None:
    if spec is None or spec.value is None:
        return None
    values = spec.value
    layout = f"panels{sizes.lanes}:{sizes.parts}"
    return ctx.packed(values, layout, lambda: pack_parts(values[:, :, None], (3,), sizes.lanes))


KEPT_GATES = {"LSTM": 4, "GRU": 4, "RNN": 1}
"""Values of each unit and step that the gradient reads, as in the kernels' recurrent_kept.h."""


def workspace_size(op: Any, dims: Mapping[str, Dim], dtype: np.dtype, has_drop: bool) -> int | None:
    """Elements of a workspace, enough for the widest registers; None while extents are free."""
    T, B, H, D = (dims.get(k) for k in "TBHD")
    if not (isinstance(T, int) and isinstance(B, int) and isinstance(H, int) and isinstance(D, int)):
        return None
    widest = 64 // dtype.itemsize
    padded = -(-H // widest) * widest
    histories = 1 + (op.name == "LSTM") + has_drop
    modes = -(-T * B // 64) * widest
    return D * (T * B * KEPT_GATES[op.name] * padded + (T + 1) * B * histories * padded + modes)


def lower_backward(
    op: Any,
    node: Node,
    spec: Mapping[str, TensorSpec | None],
    results: Mapping[str, TensorSpec | None],
    gradients: Sequence[str],
    ctx: LowerContext,
) -> list[KernelCall] | None:
    """The kernel call of a gradient node, or None when its dtype is not native.

    Parameters
    ----------
    op : a subclass of `rnnrt.ops.recurrent.Recurrent`
    spec, results : mapping
        Forward operands, and the workspace and gradients of results, by name in the node's order.
    gradients : sequence of str
        Whose gradients the node's outputs are, "Y" for dH.
    """
    sizes = _sizes(op, node, spec, ctx)
    if sizes is None or 0 in (sizes.steps, sizes.batch, sizes.inputs, sizes.hidden) or results["workspace"] is None:
        return None
    every = {**spec, **results}
    position = {key: k for k, key in enumerate(every) if every[key] is not None}
    order = ("X", "W", "R", "B", LENGTHS, "initial_h", "initial_c", "P", MASK, DROP, "workspace", "dY", "dY_h", "dY_c")
    where = {key: k for k, key in enumerate(gradients) if k < len(node.outputs) and node.outputs[k]}
    hs, wide = sizes.padded, -(-sizes.inputs // sizes.lanes) * sizes.lanes
    columns = sizes.gates * hs
    elements = 3 * sizes.batch * hs + max(wide, 4 * hs) + 7 * hs + columns * (hs + wide + sizes.hidden)
    elements += max(columns * sizes.inputs, sizes.threads * ROWS_AT_ONCE * sizes.inputs)
    return [
        KernelCall(
            f"{op.name.lower()}_backward",
            tuple(position.get(key) for key in order),
            tuple(where.get(key) for key in ("X", "W", "R", "B", "initial_h", "initial_c", "P", "Y")),
            sizes.ints,
            sizes.floats,
            elements * sizes.itemsize,
        )
    ]
