"""LSTM, GRU and RNN: attributes, shape rules and references.

T steps, B rows of the batch, I inputs, H hidden units, D directions (2 when bidirectional), G gates: LSTM i o f c,
GRU z r h. Operands: X (T, B, I), W (D, G*H, I), R (D, G*H, H), bias (D, 2*G*H), sequence_lens (B,),
initial_h (D, B, H) and, for LSTM, initial_c like it and P (D, 3*H) in the order i o f; last rnnrt's own `mask`
(T, B) of bool. Results: Y (T, D, B, H), Y_h (D, B, H), LSTM also Y_c. With layout=1 the batch comes first: X (B, T, I),
states (B, D, H), Y (B, T, D, H); the mask stays (T, B).

Beyond ONNX: where `mask` is False a step holds the state and repeats the output of the step before (zeros before the
first step that counted), or with zero_output_for_mask=1 gives zeros. Steps at or beyond a row's sequence length give
zeros; a row of length 0 has zeros as its last state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError, UnsupportedModelError
from rnnrt.ir import Dim, Node, Shape
from rnnrt.ops.activations import ACTIVATIONS, DEFAULTS, activate
from rnnrt.ops.base import KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.recurrent_pack import lower_recurrent

Array = Any
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_LENGTHS = "sequence_lens"
_MASK = "mask"


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


Step = Callable[..., tuple[Array, ...]]


class Recurrent(Operator):
    """What the three operators share. Subclasses say how many gates there are and what one step computes."""

    gates: ClassVar[int]
    default_activations: ClassVar[tuple[str, ...]]
    operands: ClassVar[tuple[str, ...]] = ("X", "W", "R", "B", _LENGTHS, "initial_h", _MASK)
    results: ClassVar[tuple[str, ...]] = ("Y", "Y_h")
    min_inputs = 3
    max_inputs = 7
    attributes: ClassVar[Mapping[str, Any]] = {
        "direction": "forward",
        "hidden_size": 0,
        "activations": (),
        "activation_alpha": (),
        "activation_beta": (),
        "clip": 0.0,
        "layout": 0,
        "zero_output_for_mask": 0,
    }

    @classmethod
    def step(cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """States after one step. `xw` (B, G*H) is the step's input projection without bias."""
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def named(cls, items: Sequence[Any]) -> dict[str, Any]:
        """Operands by name; None where absent."""
        return dict(zip(cls.operands, [*items, *[None] * (len(cls.operands) - len(items))], strict=True))

    @classmethod
    def direction_activations(cls, node: Node) -> list[tuple[tuple[str, float, float], ...]]:
        """Per direction the activations as (name, alpha, beta).

        Raises
        ------
        UnsupportedModelError
            A name that is not known, or a list of the wrong length.
        """
        count = DIRECTIONS[cls.attr(node, "direction")]
        names = tuple(cls.attr(node, "activations")) or cls.default_activations * count
        if len(names) != len(cls.default_activations) * count:
            reason = f"{node.label()}: {len(names)} activations, {len(cls.default_activations) * count} are needed"
            raise UnsupportedModelError("graph", [reason])
        reasons = [f"{node.label()}: activation {n!r} is not known" for n in names if n not in ACTIVATIONS]
        if reasons:
            raise UnsupportedModelError("graph", reasons)
        defaults = [DEFAULTS.get(name, (0.0, 0.0)) for name in names]
        alphas = tuple(cls.attr(node, "activation_alpha")) or tuple(d[0] for d in defaults)
        betas = tuple(cls.attr(node, "activation_beta")) or tuple(d[1] for d in defaults)
        if len(alphas) != len(names) or len(betas) != len(names):
            reason = f"{node.label()}: activation_alpha and activation_beta need one value for each activation"
            raise UnsupportedModelError("graph", [reason])
        full = list(zip(names, alphas, betas, strict=True))
        per = len(cls.default_activations)
        return [tuple(full[d * per : (d + 1) * per]) for d in range(count)]

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        direction = cls.attr(node, "direction")
        if direction not in DIRECTIONS:
            raise UnsupportedModelError("graph", [f"{node.label()}: direction {direction!r} is not known"])
        cls.direction_activations(node)
        spec = cls.named(inputs)
        x, batch_first = spec["X"], bool(cls.attr(node, "layout"))
        if x is None or spec["W"] is None or spec["R"] is None:
            raise ShapeError(f"{node.label()}: X, W and R are needed")
        if x.dtype.kind != "f":
            raise ShapeError(f"{node.label()}: takes floating point inputs, not {x.dtype}")
        dims: dict[str, Dim] = {"D": DIRECTIONS[direction], "H": cls.attr(node, "hidden_size") or None}
        gates, extra = cls.gates, 3
        for key, shape in _operand_shapes(batch_first).items():
            if key in spec and spec[key] is not None:
                floating = key not in (_LENGTHS, _MASK)
                if floating and spec[key].dtype != x.dtype:
                    raise ShapeError(f"{node.label()}: {key} is {spec[key].dtype}, X is {x.dtype}; make them one")
                _unify(node, key, spec[key].shape, shape, dims, {"G": gates, "2G": 2 * gates, "3": extra})
        steps, batch, count, hidden = (dims.get(k) for k in "TBDH")
        full: Shape = (batch, steps, count, hidden) if batch_first else (steps, count, batch, hidden)
        last: Shape = (batch, count, hidden) if batch_first else (count, batch, hidden)
        return [TensorSpec(x.dtype, full if name == "Y" else last) for name in cls.results[: len(node.outputs)]]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        arg = cls.named(inputs)
        x, h0, c0 = arg["X"], arg["initial_h"], arg.get("initial_c")
        batch_first = bool(cls.attr(node, "layout"))
        if batch_first:
            x = x.swapaxes(0, 1)
            h0, c0 = (None if s is None else s.swapaxes(0, 1) for s in (h0, c0))
        direction, zero = cls.attr(node, "direction"), bool(cls.attr(node, "zero_output_for_mask"))
        hidden = arg["R"].shape[2]
        outputs, lasts = [], []
        with np.errstate(all="ignore"):
            for d, acts in enumerate(cls.direction_activations(node)):
                state: tuple[Array, ...] = tuple(
                    np.zeros((x.shape[1], hidden), x.dtype) if s is None else s[d]
                    for s in (h0, c0)[: len(cls.results) - 1]
                )
                backwards = direction == "reverse" or d == 1
                weights = cls.weights(node, arg, d, acts)
                y, last = _walk(cls, node, weights, x, state, arg[_LENGTHS], arg[_MASK], zero, backwards)
                outputs.append(y)
                lasts.append(last)
        found = [np.stack(outputs, 1), *(np.stack(s) for s in zip(*lasts, strict=True))]
        if batch_first:
            found = [found[0].transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in found[1:])]
        return [np.ascontiguousarray(a) for a in found[: len(node.outputs)]]

    @classmethod
    def weights(
        cls, node: Node, arg: Mapping[str, Array], d: int, acts: tuple[tuple[str, float, float], ...]
    ) -> Direction:
        """The weights of direction `d`; absent biases are zeros."""
        W, R, bias, P = arg["W"][d], arg["R"][d], arg["B"], arg.get("P")
        rows = W.shape[0]
        both = np.zeros(2 * rows, W.dtype) if bias is None else bias[d]
        clip = float(cls.attr(node, "clip") or 0.0)
        return Direction(W, R, both[:rows], both[rows:], None if P is None else P[d], acts, clip or None)

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        return lower_recurrent(cls, node, inputs, outputs, ctx)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        x, w, r = inputs[0], inputs[1], inputs[2]
        if x is None or w is None or r is None or not (x.is_static and w.is_static and r.is_static):
            return 0
        weights = int(np.prod(w.shape, dtype=np.int64)) + int(np.prod(r.shape, dtype=np.int64))  # type: ignore[arg-type]
        return 2 * int(x.shape[0]) * int(x.shape[1]) * weights  # type: ignore[index,arg-type]


def _operand_shapes(batch_first: bool) -> dict[str, tuple[str, ...]]:
    """Shapes of the operands in letters; "GH" is G*H, "2GH" 2*G*H, "3H" 3*H."""
    state = ("B", "D", "H") if batch_first else ("D", "B", "H")
    return {
        "W": ("D", "GH", "I"),
        "R": ("D", "GH", "H"),
        "X": ("B", "T", "I") if batch_first else ("T", "B", "I"),
        "B": ("D", "2GH"),
        _LENGTHS: ("B",),
        "initial_h": state,
        "initial_c": state,
        "P": ("D", "3H"),
        _MASK: ("T", "B"),
    }


def _unify(
    node: Node, key: str, shape: Shape | None, letters: tuple[str, ...], dims: dict[str, Dim], factor: Mapping[str, int]
) -> None:
    """Check `shape` against what the letters are known to be, and learn from it what was not known."""
    if shape is None:
        return
    if len(shape) != len(letters):
        raise ShapeError(f"{node.label()}: {key} has shape {shape}, {len(letters)} axes are needed")
    for found, letter in zip(shape, letters, strict=True):
        times = factor.get(letter[:-1], 1) if len(letter) > 1 else 1
        base = letter[-1] if len(letter) > 1 else letter
        known = dims.get(base)
        if isinstance(found, int):
            if found % times or (isinstance(known, int) and found != known * times):
                want = known * times if isinstance(known, int) else f"a multiple of {times}"
                raise ShapeError(f"{node.label()}: {key} has shape {shape}; its axis {letter} must be {want}")
            dims[base] = found // times
        elif known is None and times == 1:
            dims[base] = found


def _walk(
    op: type[Recurrent],
    node: Node,
    weights: Direction,
    x: Array,
    state: tuple[Array, ...],
    lengths: Array | None,
    mask: Array | None,
    zero: bool,
    backwards: bool,
) -> tuple[Array, tuple[Array, ...]]:
    """One direction over all steps: outputs (T, B, H) and the last states."""
    steps, batch = x.shape[:2]
    xw = x @ weights.W.T
    y = np.zeros((steps, batch, weights.R.shape[1]), x.dtype)
    shown = np.zeros_like(state[0])
    lengths = np.full(batch, steps) if lengths is None else lengths
    for t in reversed(range(steps)) if backwards else range(steps):
        inside = (t < lengths)[:, None]
        counts = inside if mask is None else inside & mask[t].astype(bool)[:, None]
        new = op.step(node, weights, xw[t], state)
        state = tuple(np.where(counts, a, b) for a, b in zip(new, state, strict=True))
        shown = np.where(counts, new[0], np.zeros_like(shown) if zero else shown)
        y[t] = np.where(inside, shown, 0)
    if steps:
        state = tuple(np.where((lengths > 0)[:, None], s, 0) for s in state)
    return y, tuple(s.astype(x.dtype, copy=False) for s in state)


@register
class LSTM(Recurrent):
    """i = f(.), f = f(.) or 1 - i, c~ = g(.), C = f C + i c~, o = f(.), H = o h(C)."""

    name = "LSTM"
    gates = 4
    default_activations = ("Sigmoid", "Tanh", "Tanh")
    operands = ("X", "W", "R", "B", _LENGTHS, "initial_h", "initial_c", "P", _MASK)
    results = ("Y", "Y_h", "Y_c")
    max_inputs = 9
    attributes: ClassVar[Mapping[str, Any]] = {**Recurrent.attributes, "input_forget": 0}

    @classmethod
    def step(cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = state
        gate_i, gate_o, gate_f, gate_c = np.split(xw + h @ weights.R.T + (weights.Wb + weights.Rb), 4, axis=1)
        peep_i, peep_o, peep_f = np.split(weights.P, 3) if weights.P is not None else (0, 0, 0)
        i = weights.act(0, gate_i + peep_i * c)
        f = 1 - i if cls.attr(node, "input_forget") else weights.act(0, gate_f + peep_f * c)
        c = f * c + i * weights.act(1, gate_c)
        o = weights.act(0, gate_o + peep_o * c)
        name, alpha, beta = weights.activations[2]
        return o * activate(name, c, alpha, beta), c


@register
class GRU(Recurrent):
    """z = f(.), r = f(.), H = (1 - z) n + z H.

    n = g(x W + (r H) R + b), or with linear_before_reset g(x W + Wb + r (H R + Rb)).
    """

    name = "GRU"
    gates = 3
    default_activations = ("Sigmoid", "Tanh")
    attributes: ClassVar[Mapping[str, Any]] = {**Recurrent.attributes, "linear_before_reset": 0}

    @classmethod
    def step(cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        n = h.shape[1]
        first = xw[:, : 2 * n] + h @ weights.R[: 2 * n].T + (weights.Wb + weights.Rb)[: 2 * n]
        z, r = weights.act(0, first[:, :n]), weights.act(0, first[:, n:])
        R, Wb, Rb = weights.R[2 * n :], weights.Wb[2 * n :], weights.Rb[2 * n :]
        inner = r * (h @ R.T + Rb) if cls.attr(node, "linear_before_reset") else (r * h) @ R.T + Rb
        new = weights.act(1, xw[:, 2 * n :] + inner + Wb)
        return ((1 - z) * new + z * h,)


@register
class RNN(Recurrent):
    """H = f(x W + H R + b)."""

    name = "RNN"
    gates = 1
    default_activations = ("Tanh",)

    @classmethod
    def step(cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        return (weights.act(0, xw + h @ weights.R.T + (weights.Wb + weights.Rb)),)
