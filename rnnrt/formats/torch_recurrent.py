"""torch's LSTM, GRU and RNN from a state_dict. B batch, T steps, I inputs, H units, G gates, P projected units.

Equations and layouts are those of the documentation of torch.nn. rnnrt's operators have no projection, but need none:
with h = W_hr m, where m = o tanh(c), the gates see W_hh h = (W_hh W_hr) m. So an LSTM of H units with the recurrent
weights W_hh W_hr has m as its outputs, and W_hr behind it gives those of the projected one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import rnnrt.layers as own
from rnnrt.errors import RnnrtError
from rnnrt.formats.state_dict import StateDict
from rnnrt.formats.torch_layers import Flow, Named, filled
from rnnrt.layers import Layer
from rnnrt.layers.gates import IR_ORDER, torch_weights
from rnnrt.layers.leading import StackLeading, SwapLeading, TakeLeading
from rnnrt.layers.symbolic import KerasTensor

OUTPUTS = ("sequence", "last_step", "last_hidden", "both_hidden")


@dataclass(frozen=True)
class Direction:
    """Weights of one direction in Keras's layouts, and the projection (H, P) behind it."""

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray | None
    projection: np.ndarray | None

    @property
    def width(self) -> int:
        """How many outputs it has."""
        return len(self.recurrent) if self.projection is None else self.projection.shape[1]

    def into(self, layer: Layer) -> None:
        """Give a recurrent layer these weights."""
        arrays = {"kernel": self.kernel, "recurrent_kernel": self.recurrent}
        filled(layer.cell, arrays if self.bias is None else arrays | {"bias": self.bias})  # type: ignore[attr-defined]


Stack = list[list[Direction]]
"""The directions of each layer, forward before backward."""


def read_stack(state: StateDict, prefix: str, op: str) -> Stack:
    """The layers of one module; what does not fit goes to the state_dict's problems, and ends the stack."""
    stack: Stack = []
    suffixes = ("", "_reverse") if state.has(f"{prefix}weight_ih_l0_reverse") else ("",)
    inputs: int | None = None
    while not stack or state.has(f"{prefix}weight_ih_l{len(stack)}"):
        found = [_read_direction(state, prefix, f"_l{len(stack)}{suffix}", op, inputs) for suffix in suffixes]
        known = [d for d in found if d is not None]
        if len(known) < len(found):
            return []
        if len({len(d.recurrent) for d in known} | {d.width for d in known}) > 1 + (known[0].projection is not None):
            state.problems.append(f"{prefix}: the directions of layer {len(stack)} differ in size")
            return []
        stack.append(known)
        inputs = sum(d.width for d in known)
    return stack


def _read_direction(state: StateDict, prefix: str, suffix: str, op: str, inputs: int | None) -> Direction | None:
    gates = len(IR_ORDER[op])
    names = [f"{prefix}{key}{suffix}" for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")]
    W, R = state.take(names[0], (None, inputs)), state.take(names[1], (None, None))
    has_bias = state.has(names[2]) or state.has(names[3])
    rows = None if W is None else len(W)
    biases = [state.take(name, (rows,)) for name in names[2:4]] if has_bias else [None, None]
    project = None
    if state.has(names[4]) and op == "LSTM":
        project = state.take(names[4], (None if R is None else R.shape[1], None))
        if project is None:
            return None
    if W is None or R is None or (has_bias and any(b is None for b in biases)):
        return None
    hidden = R.shape[1] if project is None else project.shape[1]
    if len(W) != gates * hidden or len(R) != len(W):
        fits = [name for name, order in IR_ORDER.items() if len(W) == len(order) * hidden]
        state.problems.append(
            f"{names[0]} has {len(W)} rows and {names[1]} {R.shape}; {op} needs {gates} times the {hidden} units"
            + (f", so it is rather {fits[0]}" if fits and len(W) == len(R) else "")
        )
        return None
    if project is not None:
        R = (R.astype(np.float64) @ project.astype(np.float64)).astype(R.dtype)
    kernel, recurrent, bias = torch_weights(op, W, R, *biases)
    return Direction(kernel, recurrent, bias, None if project is None else project.T)


@dataclass(frozen=True, eq=False)
class Recurrent(Named):
    """A stack of recurrent layers.

    Sizes, biases, the number of layers, projections and whether it is bidirectional are read from the names and shapes
    of the tensors; where they are given all the same, they are checked.

    Parameters
    ----------
    name : str
        What stands before the tensors: "rnn" for "rnn.weight_ih_l0". "" where nothing does.
    input_size, hidden_size, num_layers, proj_size : int, optional
    bias, bidirectional : bool, optional
    batch_first : bool
        (B, T, I) in the place of (T, B, I), as in torch.
    dropout : float
        Between the layers of the stack, in training alone.
    output : {"sequence", "last_step", "last_hidden", "both_hidden"}
        What goes on to the next layer, of `y, h_n = rnn(x)`: y, all steps; y[:, -1] (y[-1] without `batch_first`);
        h_n[-1]; or torch.cat([h_n[-2], h_n[-1]], 1), both directions of the last layer. "last_step" of a bidirectional
        stack holds the first step of the backward direction, as y[:, -1] does in torch.
    initial_states : bool
        The model takes h_0 (and c_0) as further inputs, (layers times directions, B, H).
    return_states : bool
        The model gives h_n (and c_n) as further outputs, of the same shape.
    """

    keeps_shape: ClassVar[bool] = False
    op: ClassVar[str]
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    input_size: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    bias: bool | None = None
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool | None = None
    proj_size: int | None = None
    output: str = "sequence"
    initial_states: bool = False
    return_states: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output not in OUTPUTS:
            raise RnnrtError(f"{self.label()}: output={self.output!r}; use one of {', '.join(OUTPUTS)}")

    def read(self, state: StateDict) -> Stack:
        stack = read_stack(state, self.prefix(), self.op)
        if stack:
            first = stack[0][0]
            found = {
                "input_size": len(first.kernel),
                "hidden_size": len(first.recurrent),
                "num_layers": len(stack),
                "bias": first.bias is not None,
                "bidirectional": len(stack[0]) == 2,
                "proj_size": 0 if first.projection is None else first.width,
            }
            for key, value in found.items():
                given = getattr(self, key)
                if given is not None and given != value:
                    state.problems.append(f"{self.label()}: {key}={given}, but its tensors have {key}={value}")
        return stack

    def input_shape(self, made: Stack, has_time: bool) -> tuple[int | None, ...]:
        return (None, len(made[0][0].kernel))

    def build(self, made: Stack, flow: Flow, name: str, known: dict[int, Any]) -> None:
        if id(self) in known:
            raise self.unsupported("stands in the list twice", "build a model of rnnrt's layers, and load_state_dict")
        if self.output == "both_hidden" and len(made[0]) == 1:
            raise self.unsupported("output='both_hidden', but it has one direction", "use 'last_hidden'")
        if made[0][0].projection is not None and (self.initial_states or self.return_states):
            raise self.unsupported("a projected LSTM with states", "leave initial_states and return_states at False")
        known[id(self)] = self
        x = flow.x if self.batch_first else SwapLeading(name=f"{name}_batch_first")(flow.x)
        initial = self._initial(made, flow, name)
        finals: list[list[KerasTensor]] = []
        for k, directions in enumerate(made):
            if k and self.dropout:
                x = own.Dropout(self.dropout, name=f"{name}_dropout_l{k}", dtype=flow.dtype)(x)
            is_last = k == len(made) - 1
            whole = not is_last or self.output == "sequence" or (self.output == "last_step" and len(directions) == 2)
            label = name if len(made) == 1 else f"{name}_l{k}"
            x, states = self._layer(directions, x, initial[k] if initial else None, whole, label, flow.dtype)
            finals += states
        if self.output == "last_step" and len(made[0]) == 2:
            x = x[:, -1]
        elif self.output == "last_hidden" and len(made[0]) == 2:
            x = x[:, made[-1][0].width :]
        elif self.output == "sequence" and not self.batch_first:
            x = SwapLeading(name=f"{name}_time_first")(x)
        flow.x = x
        if self.return_states:
            for n, letter in enumerate(self.state_names):
                flow.outputs.append(StackLeading(name=f"{name}_{letter}n", dtype=flow.dtype)([f[n] for f in finals]))

    def _initial(self, made: Stack, flow: Flow, name: str) -> list[list[KerasTensor]]:
        """The initial states of each layer in Keras's order: h and c forwards, then backwards."""
        if not self.initial_states:
            return []
        units = len(made[0][0].recurrent)
        whole = [
            own.Input(batch_shape=(None, None, units), dtype=flow.dtype, name=f"{name}_{letter}0")
            for letter in self.state_names
        ]
        flow.inputs += whole
        width = len(made[0])
        return [
            [
                TakeLeading(k * width + d, name=f"{name}_{letter}0_{k * width + d}", dtype=flow.dtype)(state)
                for d in range(width)
                for letter, state in zip(self.state_names, whole, strict=True)
            ]
            for k in range(len(made))
        ]

    def _layer(
        self, directions: list[Direction], x: KerasTensor, initial: Any, whole: bool, name: str, dtype: str
    ) -> tuple[KerasTensor, list[list[KerasTensor]]]:
        """One layer of the stack: what it gives, and the final states of each direction."""
        parts = [self._keras_layer(d, whole, bool(k), name, dtype) for k, d in enumerate(directions)]
        layer: Layer = parts[0]
        if len(parts) == 2:
            layer = own.Bidirectional(parts[0], backward_layer=parts[1], name=name, dtype=dtype)  # type: ignore[arg-type]
        result = layer(x) if initial is None else layer(x, initial_state=initial)
        y, *states = result if self.return_states else [result]
        count = len(self.state_names)
        finals = [states[k : k + count] for k in range(0, len(states), count)]
        if directions[0].projection is not None:
            y = _projected(directions, name, dtype)(y)
        return y, finals

    def _keras_layer(self, d: Direction, whole: bool, backwards: bool, name: str, dtype: str) -> Layer:
        made = self.make_layer(
            len(d.recurrent), use_bias=d.bias is not None, return_sequences=whole, return_state=self.return_states,
            go_backwards=backwards, name=f"backward_{name}" if backwards else name, dtype=dtype,
        )  # fmt: skip
        d.into(made)
        return made

    def make_layer(self, units: int, **options: Any) -> Layer:
        """The rnnrt layer of one direction."""
        raise NotImplementedError(self.kind)  # abstract


def _projected(directions: list[Direction], name: str, dtype: str) -> Layer:
    """W_hr of each direction on its own part of the outputs."""
    parts = [d.projection for d in directions if d.projection is not None]
    kernel = np.zeros([sum(p.shape[k] for p in parts) for k in (0, 1)], parts[0].dtype)
    row = column = 0
    for p in parts:
        kernel[row : row + len(p), column : column + p.shape[1]] = p
        row, column = row + len(p), column + p.shape[1]
    dense = own.Dense(kernel.shape[1], use_bias=False, name=f"{name}_projection", dtype=dtype)
    return filled(dense, {"kernel": kernel})


@dataclass(frozen=True, eq=False)
class LSTM(Recurrent):
    """torch.nn.LSTM; the parameters are those of `Recurrent`."""

    op = "LSTM"
    state_names = ("h", "c")

    def make_layer(self, units: int, **options: Any) -> Layer:
        return own.LSTM(units, **options)


@dataclass(frozen=True, eq=False)
class GRU(Recurrent):
    """torch.nn.GRU; the parameters are those of `Recurrent`."""

    op = "GRU"

    def make_layer(self, units: int, **options: Any) -> Layer:
        return own.GRU(units, **options)


@dataclass(frozen=True, eq=False)
class RNN(Recurrent):
    """torch.nn.RNN; the parameters are those of `Recurrent`, and `nonlinearity`: "tanh" or "relu"."""

    op = "RNN"
    nonlinearity: str = "tanh"

    def make_layer(self, units: int, **options: Any) -> Layer:
        if self.nonlinearity not in ("tanh", "relu"):
            raise self.unsupported(f"nonlinearity={self.nonlinearity!r}", "use 'tanh' or 'relu'")
        return own.SimpleRNN(units, self.nonlinearity, **options)
