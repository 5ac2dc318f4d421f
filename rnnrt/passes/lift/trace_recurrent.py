"""LSTM, GRU and RNN nodes of one step, as the bodies of loops have them: the forms of their equations.

The equations are those of the operators' texts in ONNX.
"""

from __future__ import annotations

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops import get_operator
from rnnrt.passes.lift.forms import Form, NotLinear
from rnnrt.passes.lift.trace import RULES, Tracer

_PLAIN = frozenset({"Sigmoid", "Tanh", "Relu", "Softsign", "Softplus"})
_WITH_ALPHA = frozenset({"Elu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid"})
_ANY = frozenset({"hidden_size", "activations", "activation_alpha", "activation_beta", "linear_before_reset"})
"""Attributes whose every value is understood here."""


class _Cell:
    """One node's operands as forms."""

    def __init__(self, tracer: Tracer, node: Node, gates: int) -> None:
        self.tracer, self.algebra, self.node = tracer, tracer.algebra, node
        operator = get_operator(node.op)
        operands = [*node.inputs, *[""] * (8 - len(node.inputs))]
        if any(operands[k] for k in (4, 7)) or len(operands) > 8:
            raise NotLinear  # lengths, peepholes and masks
        for key, default in operator.attributes.items():
            value = node.attrs.get(key, default)
            plain = value == "forward" or value == "reverse" if key == "direction" else value == default
            if key not in _ANY and not plain:
                raise NotLinear
        shape = tracer.specs[operands[0]].shape
        if shape is None or len(shape) != 3 or shape[0] != 1:
            raise NotLinear
        W, R = (self.weights(name) for name in operands[1:3])
        self.width = R.shape[0]
        if W.shape[1] != gates * self.width:
            raise NotLinear
        self.bias = tracer.constant(operands[3])[0] if operands[3] else np.zeros(2 * gates * self.width, np.float32)
        self.xw = self.algebra.matmul(tracer.vector(operands[0]), W)
        self.R, self.h = R, tracer.vector(operands[5])
        self.c = tracer.factor(operands[6]) if node.op == "LSTM" else self.h

    def weights(self, name: str) -> np.ndarray:
        """The matrix of the one direction, transposed: one array for all visits of the node."""
        known = self.tracer.transposes.get(name)
        if known is None:
            given = self.tracer.constant(name)
            if given.ndim != 3 or given.shape[0] != 1:
                raise NotLinear
            known = self.tracer.transposes[name] = np.ascontiguousarray(given[0].T)
        return known

    def at(self, gate: int, count: int = 1) -> slice:
        return slice(gate * self.width, (gate + count) * self.width)

    def input_part(self, gate: int) -> Form:
        """W x + Wb of one gate."""
        part = self.algebra.columns(self.xw, gate * self.width, (gate + 1) * self.width)
        return self.algebra.add(part, self.algebra.constant(self.bias[self.at(gate)]))

    def state_part(self, gate: int, h: Form) -> Form:
        """R h + Rb of one gate."""
        second = self.bias[len(self.bias) // 2 :]
        part = self.algebra.matmul(h, np.ascontiguousarray(self.R[:, self.at(gate)]))
        return self.algebra.add(part, self.algebra.constant(second[self.at(gate)]))

    def gate(self, gate: int, function: int = 0) -> Form:
        return self.activated(function, self.algebra.add(self.input_part(gate), self.state_part(gate, self.h)))

    def activated(self, which: int, form: Form) -> Form:
        """The node's activation number `which` of a form."""
        defaults = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
        names = self.node.attrs.get("activations") or defaults[self.node.op]
        name = names[which]
        if name in _PLAIN:
            return self.algebra.activation(name, form)
        alpha, beta = (self.node.attrs.get(f"activation_{key}", ()) for key in ("alpha", "beta"))
        if name not in _WITH_ALPHA or which >= len(alpha) or which >= len(beta):
            raise NotLinear
        return self.algebra.activation(name, form, float(alpha[which]), float(beta[which]))


def _lstm(cell: _Cell) -> list[Form]:
    algebra = cell.algebra
    i, o, f, g = cell.gate(0), cell.gate(1), cell.gate(2), cell.gate(3, 1)
    c = algebra.add(algebra.multiply(f, cell.c), algebra.multiply(i, g))
    h = algebra.multiply(o, cell.activated(2, c))
    return [h, h, c]


def _gru(cell: _Cell) -> list[Form]:
    algebra = cell.algebra
    z, r = cell.gate(0), cell.gate(1)
    if cell.node.attrs.get("linear_before_reset", 0):
        inner = algebra.multiply(r, cell.state_part(2, cell.h))
    else:
        inner = cell.state_part(2, algebra.multiply(r, cell.h))
    n = cell.activated(1, algebra.add(cell.input_part(2), inner))
    rest = algebra.add(algebra.constant(np.ones(cell.width)), algebra.scale(z, -1.0))
    h = algebra.add(algebra.multiply(rest, n), algebra.multiply(z, cell.h))
    return [h, h]


def _rnn(cell: _Cell) -> list[Form]:
    h = cell.gate(0)
    return [h, h]


_EQUATIONS = {"LSTM": (4, _lstm), "GRU": (3, _gru), "RNN": (1, _rnn)}


def _recurrent(tracer: Tracer, node: Node) -> list[Form]:
    if tracer.unknown_as_source:
        raise NotLinear  # outside of loops the node is what is looked for
    gates, equations = _EQUATIONS[node.op]
    return equations(_Cell(tracer, node, gates))


RULES.update(dict.fromkeys(_EQUATIONS, _recurrent))
