"""The gradient of LSTM, GRU and RNN: back through time.

Operators LSTMGradient, GRUGradient and RNNGradient take the operands of the forward operator, its workspace, and the
gradients of its results; they give dX, dW, dR, dB, dinitial_h, for LSTM dinitial_c and dP, and last dH, the gradient of
the loss with respect to each step's state, shaped as Y. Letters and layouts as in `recurrent`.

The references run the forward pass again and do not read the workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops.activations import activate, slope
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.recurrent_pack import lower_backward
from rnnrt.ops.recurrent_shapes import from_ir_layout, in_ir_layout

Array = Any
GIVEN = ("X", "W", "R", "B", "initial_h", "initial_c", "P")
"""Operands that have gradients, in the order in which these are given."""


def recurrent_gradient(op: Any, node: Node, grads: Sequence[str], b: GradientContext) -> list[str]:
    """Add the gradient operator of a recurrent node; gradients of its inputs."""
    count = len(op.operands)
    inputs = [*node.inputs, *[""] * (count - len(node.inputs))]
    by_result = [*grads, *[""] * len(op.results)][: len(op.results)]
    named = dict(zip(op.operands, inputs, strict=True))
    given = [key for key in GIVEN if key in named]
    wanted = [bool(named[key]) and b.wanted(named[key]) for key in given]
    outputs = b.node(f"{node.op}Gradient", [*inputs, node.outputs[-1], *by_result], [*wanted, False], **node.attrs)
    found = dict(zip(given, outputs, strict=False))
    return [found.get(key, "") for key in op.operands]


class RecurrentGradient(Operator):
    """What the three share; `forward` is the operator whose gradient it is."""

    forward: ClassVar[Any]
    internal = True
    min_inputs = 3
    max_inputs = 14

    @classmethod
    def split(cls, items: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Forward operands by name, and the workspace and gradients of results by name."""
        op = cls.forward
        padded = [*items, *[None] * (len(op.operands) + 1 + len(op.results) - len(items))]
        count = len(op.operands)
        rest = ("workspace", *(f"d{name}" for name in op.results))
        return dict(zip(op.operands, padded[:count], strict=True)), dict(zip(rest, padded[count:], strict=True))

    @classmethod
    def gradient_names(cls) -> tuple[str, ...]:
        """Operands whose gradients are given, in order; "Y" stands for dH."""
        op = cls.forward
        return (*(key for key in GIVEN if key in op.operands), "Y")

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        specs, _ = cls.split(inputs)
        op = cls.forward
        plain = Node(op.name, node.inputs[: len(op.operands)], ("Y",), node.attrs, node.name)
        shown = op.infer(plain, list(specs.values()))[0]
        found = [shown if key == "Y" else specs[key] or TensorSpec(shown.dtype, None) for key in cls.gradient_names()]
        return [TensorSpec(spec.dtype, spec.shape) for spec in found[: len(node.outputs)]]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        op = cls.forward
        given, results = cls.split(inputs)
        arg = in_ir_layout(op, node, given)
        batch_first = bool(cls.attr(node, "layout"))

        def by_direction(array: Array, axes: Sequence[int]) -> Array:
            return None if array is None else array.transpose(axes) if batch_first else array

        dY = by_direction(results["dY"], (1, 2, 0, 3))
        last = [by_direction(results[f"d{name}"], (1, 0, 2)) for name in op.results[1:]]
        parts = []
        with np.errstate(all="ignore"):
            for d, walk in enumerate(op.walks(node, arg)):
                shape = (*walk.x.shape[:2], walk.state[0].shape[1])
                dy = np.zeros(shape, walk.x.dtype) if dY is None else dY[:, d]
                ends = [np.zeros_like(walk.state[0]) if s is None else s[d] for s in last]
                parts.append(_backward(walk, dy, ends))
        sums: dict[str, Array] = {key: np.stack([part[key] for part in parts]) for key in parts[0]}
        dX, dH = sums.pop("X").sum(0), sums.pop("Y").transpose(1, 0, 2, 3)
        states: dict[str, Array] = {key: sums[key] for key in ("initial_h", "initial_c") if key in sums}
        if batch_first:
            dX, dH = dX.swapaxes(0, 1), dH.transpose(2, 0, 1, 3)
            states = {key: array.swapaxes(0, 1) for key, array in states.items()}
        dW, dR, dB = from_ir_layout(op, node, sums["W"], sums["R"], sums["B"], given["B"])
        found: dict[str, Array] = {**sums, **states, "X": dX, "Y": dH, "W": dW, "R": dR, "B": dB}
        return [
            np.ascontiguousarray(found[key]) if name else np.zeros(())
            for key, name in zip(cls.gradient_names(), node.outputs, strict=False)
        ]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        specs, results = cls.split(inputs)
        return lower_backward(cls.forward, node, specs, results, cls.gradient_names(), ctx)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        return 2 * cls.forward.flops(node, inputs, outputs)


def _backward(walk: Any, dY: Array, ends: Sequence[Array]) -> dict[str, Array]:
    """Gradients of one direction, from those of Y (T, B, H) and of the last states (B, H)."""
    op, node, weights, x = walk.op, walk.node, walk.weights, walk.x
    xw = x @ weights.W.T
    before, shows, state = {}, {}, walk.state
    seen = np.zeros((x.shape[1], 1), bool)
    for t in walk.steps():
        before[t], seen = state, seen | walk.counts(t)
        shows[t] = walk.counts(t) if walk.zero else walk.inside(t) & seen
        new = op.step(node, weights, xw[t], state, walk.seen(state[0]))
        state = tuple(np.where(walk.counts(t), a, b) for a, b in zip(new, state, strict=True))
    found = {key: np.zeros_like(getattr(weights, key)) for key in ("W", "R")}
    found["B"] = np.zeros(2 * len(weights.Wb), x.dtype)
    found["X"], found["Y"] = np.zeros_like(x), np.zeros_like(dY)
    if weights.P is not None:
        found["P"] = np.zeros_like(weights.P)
    elif op.name == "LSTM":
        found["P"] = np.zeros(0, x.dtype)
    carry = tuple(np.where(walk.any_steps(), end, 0) for end in ends)
    shown = np.zeros_like(dY[0]) if len(dY) else np.zeros_like(walk.state[0])
    last = max((t for t in walk.steps() if walk.inside(t).any()), default=-1)
    for t in reversed(walk.steps()):
        counts = walk.counts(t)
        shown = shown + np.where(shows[t], dY[t], 0)
        # A row that repeats its output shows the state it holds, so that its gradient belongs to that state.
        found["Y"][t] = carry[0] + shown if t <= last else 0
        dh = carry[0] + np.where(counts, shown, 0)
        dstate = tuple(np.where(counts, d, 0) for d in (dh, *carry[1:]))
        dxw, drw, dold = _STEPS[op.name](walk, xw[t], before[t], dstate, found)
        found["X"][t] = dxw @ weights.W
        found["W"] += dxw.T @ x[t]
        found["B"] += np.concatenate([dxw.sum(0), drw.sum(0)])
        carry = tuple(np.where(counts, d, c) for d, c in zip(dold, carry, strict=True))
        shown = np.zeros_like(shown) if walk.zero else np.where(counts, 0, shown)
    for key, array in zip(("initial_h", "initial_c"), carry, strict=False):
        found[key] = array
    return found


def _slopes(walk: Any, k: int, x: Array) -> Array:
    """The derivative of activation k after the clip."""
    clip = walk.weights.clip
    inside = x if clip is None else np.clip(x, -clip, clip)
    found = slope(walk.weights.activations[k][0], inside, *walk.weights.activations[k][1:])
    return found if clip is None else np.where(inside == x, found, 0)


def _lstm(
    walk: Any, xw: Array, state: Sequence[Array], dstate: Sequence[Array], found: dict[str, Array]
) -> tuple[Array, Array, tuple[Array, ...]]:
    w, (h, c) = walk.weights, state
    seen = walk.seen(h)
    pre_i, pre_o, pre_f, pre_g = np.split(xw + seen @ w.R.T + (w.Wb + w.Rb), 4, axis=1)
    P_i, P_o, P_f = np.split(w.P, 3) if w.P is not None else (0, 0, 0)
    pre_i, pre_f = pre_i + P_i * c, pre_f + P_f * c
    forget = bool(walk.op.attr(walk.node, "input_forget"))
    i, g = w.act(0, pre_i), w.act(1, pre_g)
    f = 1 - i if forget else w.act(0, pre_f)
    new_c = f * c + i * g
    pre_o = pre_o + P_o * new_c
    name, *ab = w.activations[2]
    do = dstate[0] * activate(name, new_c, *ab) * _slopes(walk, 0, pre_o)
    dc = dstate[1] + dstate[0] * w.act(0, pre_o) * slope(name, new_c, *ab) + do * P_o
    di = (dc * g - (dc * c if forget else 0)) * _slopes(walk, 0, pre_i)
    df = np.zeros_like(dc) if forget else dc * c * _slopes(walk, 0, pre_f)
    dg = dc * i * _slopes(walk, 1, pre_g)
    if w.P is not None:
        found["P"] += np.concatenate([(di * c).sum(0), (do * new_c).sum(0), (df * c).sum(0)])
    dz = np.concatenate([di, do, df, dg], axis=1)
    found["R"] += dz.T @ seen
    return dz, dz, (walk.seen(dz @ w.R), dc * f + di * P_i + df * P_f)


def _gru(
    walk: Any, xw: Array, state: Sequence[Array], dstate: Sequence[Array], found: dict[str, Array]
) -> tuple[Array, Array, tuple[Array, ...]]:
    w, (h,), (dh,) = walk.weights, state, dstate
    n, seen = h.shape[1], walk.seen(h)
    first = xw[:, : 2 * n] + seen @ w.R[: 2 * n].T + (w.Wb + w.Rb)[: 2 * n]
    z, r = w.act(0, first[:, :n]), w.act(0, first[:, n:])
    R, Wb, Rb = w.R[2 * n :], w.Wb[2 * n :], w.Rb[2 * n :]
    linear = bool(walk.op.attr(walk.node, "linear_before_reset"))
    q = seen @ R.T + Rb
    pre = xw[:, 2 * n :] + Wb + (r * q if linear else (r * seen) @ R.T + Rb)
    dn = dh * (1 - z) * _slopes(walk, 1, pre)
    dz = dh * (h - w.act(1, pre)) * _slopes(walk, 0, first[:, :n])
    if linear:
        dr, dq, past = dn * q, dn * r, 0
        found["R"][2 * n :] += dq.T @ seen
        past = dq @ R
    else:
        d_rh = dn @ R
        dr, dq, past = d_rh * seen, dn, d_rh * r
        found["R"][2 * n :] += dn.T @ (r * seen)
    dr = dr * _slopes(walk, 0, first[:, n:])
    zr = np.concatenate([dz, dr], axis=1)
    found["R"][: 2 * n] += zr.T @ seen
    past = walk.seen(past + zr @ w.R[: 2 * n])
    return np.concatenate([zr, dn], axis=1), np.concatenate([zr, dq], axis=1), (dh * z + past,)


def _rnn(
    walk: Any, xw: Array, state: Sequence[Array], dstate: Sequence[Array], found: dict[str, Array]
) -> tuple[Array, Array, tuple[Array, ...]]:
    w, seen = walk.weights, walk.seen(state[0])
    dz = dstate[0] * _slopes(walk, 0, xw + seen @ w.R.T + (w.Wb + w.Rb))
    found["R"] += dz.T @ seen
    return dz, dz, (walk.seen(dz @ w.R),)


_STEPS: Mapping[str, Callable[..., tuple[Array, Array, tuple[Array, ...]]]] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
"""One step back: gradients before the activations as W and as R see them, and of the states before the step."""


def register_gradient(op: Any) -> Any:
    """Class decorator of a recurrent operator: make its gradient operator known too."""
    name = f"{op.name}Gradient"
    body = {"__doc__": f"The gradient of {op.name}.", "name": name, "forward": op, "attributes": op.attributes}
    register(type(name, (RecurrentGradient,), body))
    return op
