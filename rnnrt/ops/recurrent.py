"""LSTM, GRU and RNN: attributes, shape rules and references.

T steps, B rows of the batch, I inputs, H hidden units, D directions (2 when bidirectional), G gates: LSTM i o f c,
GRU z r h. Operands: X (T, B, I), W (D, G*H, I), R (D, G*H, H), bias (D, 2*G*H), sequence_lens (B,),
initial_h (D, B, H) and, for LSTM, initial_c like it and P (D, 3*H) in the order i o f; last rnnrt's own `mask`
(T, B) of bool. Results: Y (T, D, B, H), Y_h (D, B, H), LSTM also Y_c. With layout=1 the batch comes first: X (B, T, I),
states (B, D, H), Y (B, T, D, H); the mask stays (T, B). Behind the mask may come `recurrent_mask` (D, B, H): h times
it is what the recurrent products see, in every step, which is dropout with one mask a sequence.

With weight_layout="keras", for one direction, W is a kernel (I, G*H), R a recurrent kernel (H, G*H) and bias (G*H,) or
(2, G*H). `gate_order` says where in W, R and bias the IR's gates are; empty: in the IR's order. A further output,
`workspace`, holds what the gradient reads.

Beyond ONNX: where `mask` is False a step holds the state and repeats the output of the step before (zeros before the
first step that counted), or with zero_output_for_mask=1 gives zeros. Steps at or beyond a row's sequence length give
zeros; a row of length 0 has zeros as its last state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError, UnsupportedModelError
from rnnrt.ir import Node, Shape
from rnnrt.ops.activations import ACTIVATIONS, DEFAULTS, activate
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.recurrent_backward import recurrent_gradient, register_gradient
from rnnrt.ops.recurrent_pack import lower_recurrent, workspace_size
from rnnrt.ops.recurrent_shapes import DROP, LENGTHS, MASK, STATES, in_ir_layout, infer_dims, is_zero
from rnnrt.ops.recurrent_walk import Direction, Walk

Array = Any
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


class Recurrent(Operator):
    """What the three operators share. Subclasses say how many gates there are and what one step computes."""

    gates: ClassVar[int]
    default_activations: ClassVar[tuple[str, ...]]
    operands: ClassVar[tuple[str, ...]] = ("X", "W", "R", "B", LENGTHS, "initial_h", MASK, DROP)
    results: ClassVar[tuple[str, ...]] = ("Y", "Y_h")
    min_inputs = 3
    max_inputs = 8
    has_workspace = True
    attributes: ClassVar[Mapping[str, Any]] = {
        "direction": "forward",
        "hidden_size": 0,
        "activations": (),
        "activation_alpha": (),
        "activation_beta": (),
        "clip": 0.0,
        "layout": 0,
        "zero_output_for_mask": 0,
        "weight_layout": "onnx",
        "gate_order": (),
    }

    @classmethod
    def step(
        cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...], seen: Array
    ) -> tuple[Array, ...]:
        """States after one step.

        `xw` (B, G*H) is the step's input projection without bias, `seen` (B, H) is h as the recurrent product sees it.
        """
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
    def without_defaults(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> Node:
        """Without initial states that are constant zeros: exporters write them for the batch they happened to see."""
        states = {name for name, spec in cls.named(inputs).items() if name in STATES and is_zero(spec)}
        names = ["" if cls.operands[k] in states else name for k, name in enumerate(node.inputs)]
        return replace(node, inputs=tuple(names)) if states else node

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
        known = {"D": DIRECTIONS[direction], "H": cls.attr(node, "hidden_size") or None}
        keras = cls.attr(node, "weight_layout") == "keras"
        if keras and DIRECTIONS[direction] > 1:
            raise ShapeError(f"{node.label()}: weight_layout='keras' is for one direction")
        dims = infer_dims(node, spec, cls.gates, known, batch_first, keras)
        steps, batch, count, hidden = (dims.get(k) for k in "TBDH")
        full: Shape = (batch, steps, count, hidden) if batch_first else (steps, count, batch, hidden)
        last: Shape = (batch, count, hidden) if batch_first else (count, batch, hidden)
        found = [TensorSpec(x.dtype, full if name == "Y" else last) for name in cls.results[: len(node.outputs)]]
        if len(node.outputs) > len(cls.results):
            found.append(TensorSpec(x.dtype, (workspace_size(cls, dims, x.dtype, spec[DROP] is not None),)))
        return found

    @classmethod
    def result_count(cls) -> int:
        return len(cls.results)

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return recurrent_gradient(cls, node, grads, b)

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        arg = in_ir_layout(cls, node, cls.named(inputs))
        batch_first = bool(cls.attr(node, "layout"))
        outputs, lasts = [], []
        with np.errstate(all="ignore"):
            for walk in cls.walks(node, arg):
                y, last = walk.forward()
                outputs.append(y)
                lasts.append(last)
        found = [np.stack(outputs, 1), *(np.stack(s) for s in zip(*lasts, strict=True))]
        if batch_first:
            found = [found[0].transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in found[1:])]
        if len(node.outputs) > len(cls.results):
            dims = dict(zip("TBI", arg["X"].shape, strict=True), H=arg["R"].shape[2], D=len(outputs))
            if batch_first:
                dims["T"], dims["B"] = dims["B"], dims["T"]
            size = workspace_size(cls, dims, arg["X"].dtype, arg[DROP] is not None)
            found.append(np.zeros(size or 0, arg["X"].dtype))
        return [np.ascontiguousarray(a) for a in found[: len(node.outputs)]]

    @classmethod
    def walks(cls, node: Node, arg: Mapping[str, Array]) -> list[Walk]:
        """One walk for each direction."""
        x, states = arg["X"], [arg["initial_h"], arg.get("initial_c")][: len(cls.results) - 1]
        if cls.attr(node, "layout"):
            x = x.swapaxes(0, 1)
            states = [None if s is None else s.swapaxes(0, 1) for s in states]
        direction, zero = cls.attr(node, "direction"), bool(cls.attr(node, "zero_output_for_mask"))
        none = np.zeros((x.shape[1], arg["R"].shape[2]), x.dtype)
        return [
            Walk(
                cls,
                node,
                cls.weights(node, arg, d, acts),
                x,
                tuple(none if s is None else s[d] for s in states),
                arg[LENGTHS],
                arg[MASK],
                None if arg[DROP] is None else arg[DROP][d],
                zero,
                direction == "reverse" or d == 1,
            )
            for d, acts in enumerate(cls.direction_activations(node))
        ]

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


@register_gradient
@register
class LSTM(Recurrent):
    """i = f(.), f = f(.) or 1 - i, c~ = g(.), C = f C + i c~, o = f(.), H = o h(C)."""

    name = "LSTM"
    gates = 4
    default_activations = ("Sigmoid", "Tanh", "Tanh")
    operands = ("X", "W", "R", "B", LENGTHS, "initial_h", "initial_c", "P", MASK, DROP)
    results = ("Y", "Y_h", "Y_c")
    max_inputs = 10
    attributes: ClassVar[Mapping[str, Any]] = {**Recurrent.attributes, "input_forget": 0}

    @classmethod
    def step(
        cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...], seen: Array
    ) -> tuple[Array, ...]:
        c = state[1]
        gate_i, gate_o, gate_f, gate_c = np.split(xw + seen @ weights.R.T + (weights.Wb + weights.Rb), 4, axis=1)
        peep_i, peep_o, peep_f = np.split(weights.P, 3) if weights.P is not None else (0, 0, 0)
        i = weights.act(0, gate_i + peep_i * c)
        f = 1 - i if cls.attr(node, "input_forget") else weights.act(0, gate_f + peep_f * c)
        c = f * c + i * weights.act(1, gate_c)
        o = weights.act(0, gate_o + peep_o * c)
        name, alpha, beta = weights.activations[2]
        return o * activate(name, c, alpha, beta), c


@register_gradient
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
    def step(
        cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...], seen: Array
    ) -> tuple[Array, ...]:
        (h,) = state
        n = h.shape[1]
        first = xw[:, : 2 * n] + seen @ weights.R[: 2 * n].T + (weights.Wb + weights.Rb)[: 2 * n]
        z, r = weights.act(0, first[:, :n]), weights.act(0, first[:, n:])
        R, Wb, Rb = weights.R[2 * n :], weights.Wb[2 * n :], weights.Rb[2 * n :]
        inner = r * (seen @ R.T + Rb) if cls.attr(node, "linear_before_reset") else (r * seen) @ R.T + Rb
        new = weights.act(1, xw[:, 2 * n :] + inner + Wb)
        return ((1 - z) * new + z * h,)


@register_gradient
@register
class RNN(Recurrent):
    """H = f(x W + H R + b)."""

    name = "RNN"
    gates = 1
    default_activations = ("Tanh",)

    @classmethod
    def step(
        cls, node: Node, weights: Direction, xw: Array, state: tuple[Array, ...], seen: Array
    ) -> tuple[Array, ...]:
        return (weights.act(0, xw + seen @ weights.R.T + (weights.Wb + weights.Rb)),)
