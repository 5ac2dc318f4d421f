"""LSTM, GRU, SimpleRNN and RNN over cells. B rows of the batch, T steps, I inputs, H units."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.cells import Cell, CuDNNGRUCell, CuDNNLSTMCell, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells


class RNN(Layer):
    """A cell, or StackedRNNCells, over the steps of a sequence (B, T, I).

    Gives (B, H), or (B, T, H) with `return_sequences`; with `return_state` the last states follow, h before c.

    Parameters
    ----------
    cell : Cell or StackedRNNCells
    return_sequences, return_state : bool
    go_backwards : bool
        Last step first; a returned sequence is in that order too.
    stateful : bool
        Kept as a fact of the model; a call starts from zeros unless it is given states.
    unroll : bool
        Changes nothing here.
    zero_output_for_mask : bool
        Masked steps give zeros instead of the output before.
    """

    arguments = (
        "cell",
        "return_sequences",
        "return_state",
        "go_backwards",
        "stateful",
        "unroll",
        "zero_output_for_mask",
    )

    def __init__(
        self,
        cell: Cell | StackedRNNCells,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        time_major: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = cell
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        if not isinstance(cell, (Cell, StackedRNNCells)):
            raise self.unsupported(f"cell is a {type(cell).__name__}", "use LSTMCell, GRUCell or SimpleRNNCell")
        if time_major:
            raise self.unsupported("time_major=True", "save the model with time_major=False")

    @property
    def cells(self) -> list[Cell]:
        """The cells from the bottom up."""
        return [self.cell] if isinstance(self.cell, Cell) else self.cell.cells

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"cell": self.cell}

    def emit(
        self, b: GraphBuilder, inputs: Any, initial_state: Any = None, mask: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        x, states, mask = split_call(self, b, inputs, initial_state, mask)
        outputs, last, finals = self.run(b, x, states, mask)
        if self.return_sequences:
            result = b.flip(outputs, 1) if self.go_backwards else outputs
            result = result.with_mask(x.mask)
        else:
            result = last
        return [result, *finals] if self.return_state else result

    def run(
        self, b: GraphBuilder, x: Tensor, states: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Outputs (B, T, H) in the order of time, the output of the last step walked (B, H), and the states."""
        if self.stateful:
            b.stateful.append(self.name)
        expected = sum(cell.state_count for cell in self.cells)
        if states and len(states) != expected:
            raise self.unsupported(f"is called with {len(states)} initial states", f"it has {expected}")
        finals: list[Tensor] = []
        remaining = list(states)
        top = len(self.cells) - 1
        zero = self.zero_output_for_mask and mask is not None
        direction = "reverse" if self.go_backwards else "forward"
        for k, cell in enumerate(self.cells):
            own, remaining = remaining[: cell.state_count], remaining[cell.state_count :]
            x, last = recur(b, self, [cell], x, own, mask, direction, zero and k == top)
            x = b.squeeze(x, 2)
            last = [b.squeeze(s, 1) for s in last]
            finals += last
        # Behind a mask the last output differs from the state h: zeros until the first step that counts.
        if mask is not None and (states or zero):
            return x, b.take(x, 0 if self.go_backwards else -1, 1), finals
        return x, last[0], finals


def split_call(
    layer: Layer, b: GraphBuilder, inputs: Any, initial_state: Any, mask: Any
) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """The sequence, the initial states and the mask of a recurrent layer's call, in any form Keras has.

    Keras 2 puts the states behind the sequence in one list. Keras 3 does not hand the sequence's mask to a call that
    has initial states, unless it is told to; behind such a layer the mask goes on. The mask of the sequence that is
    returned is the one that goes on.
    """
    flat = flatten(inputs)
    states = flat[1:] + flatten(initial_state)
    x = flat[0]
    masks = flatten(mask)
    if masks:
        x = x.with_mask(masks[0])
    found = masks[0] if masks else None if states and not b.legacy else x.mask
    if x.rank != 3:
        raise layer.unsupported(f"its input has shape {x.shape}", "it needs (batch, time, features)")
    for state in states:
        if state.rank != 2:
            raise layer.unsupported(f"an initial state has shape {state.shape}", "it needs (batch, units)")
    return x, states, found


def flatten(value: Any) -> list[Any]:
    """The leaves of nested lists, without None."""
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flatten(item)]
    return [] if value is None else [value]


def recur(
    b: GraphBuilder,
    layer: Layer,
    cells: Sequence[Cell],
    x: Tensor,
    states: Sequence[Tensor],
    mask: Tensor | None,
    direction: str,
    zero_output: bool,
) -> tuple[Tensor, list[Tensor]]:
    """One recurrent operator: one cell, or two for both directions.

    Returns
    -------
    Y (B, T, D, H), and the last states, each (B, D, H)
    """
    first, units = cells[0], cells[0].units
    x = b.cast(x, layer.dtype)
    input_size = x.shape[2]

    def stacked(k: int) -> np.ndarray:
        return np.stack([cell.ir_arrays(input_size)[k] for cell in cells])

    operands = [x.name] + [b.weight(cells[0], key, partial(stacked, k)) for k, key in enumerate("WRB")]
    operands += [""] + [""] * first.state_count
    for k in range(len(states) // len(cells)):
        parts = [b.unsqueeze(b.cast(s, layer.dtype), 1) for s in states[k :: first.state_count]]
        both = parts[0] if len(parts) == 1 else b.op("Concat", parts, (parts[0].shape[0], 2, units), axis=1)
        operands[5 + k] = both.name
    if mask is not None:
        if mask.rank != 2:
            raise layer.unsupported(f"its mask has shape {mask.shape}", "it needs (batch, time)")
        operands += [""] * (first.op == "LSTM") + [b.transpose(b.cast(mask, np.dtype(bool)), (1, 0)).name]
    while operands[-1] == "":
        operands.pop()
    acts = [a for cell in cells for a in cell.ir_activations(b.legacy)]
    attrs: dict[str, Any] = {
        "direction": direction,
        "hidden_size": units,
        "activations": tuple(a[0] for a in acts),
        "activation_alpha": tuple(a[1] for a in acts),
        "activation_beta": tuple(a[2] for a in acts),
        "layout": 1,
        **first.ir_attributes(),
    }
    if zero_output and mask is not None:
        attrs["zero_output_for_mask"] = 1
    names = b.node(first.op, operands, 1 + first.state_count, **attrs)
    batch, steps = x.shape[:2]
    last = (batch, len(cells), units)
    y = Tensor(names[0], (batch, steps, len(cells), units), layer.dtype)
    return y, [Tensor(name, last, layer.dtype) for name in names[1:]]


class _WithOwnCell(RNN):
    """A recurrent layer that makes its cell from its own arguments."""

    cell_class: ClassVar[type[Cell]]
    cell_arguments: ClassVar[tuple[str, ...]] = ("activation", "recurrent_activation", "use_bias")

    def __init__(self, units: int, *args: Any, **options: Any) -> None:
        arguments = dict(zip(self.cell_arguments, args, strict=False))
        arguments.update({key: options.pop(key) for key in self.cell_arguments if key in options})
        shared = {key: options[key] for key in ("name", "dtype", "trainable") if key in options}
        super().__init__(self.cell_class(units, **arguments, **shared), **options)

    @property
    def units(self) -> int:
        """Hidden units."""
        return self.cells[0].units

    def get_config(self) -> dict[str, Any]:
        kept = ("units", *self.cell_arguments)
        config = {key: value for key, value in super().get_config().items() if key != "cell"}
        return {**config, **{key: getattr(self.cell, key) for key in kept}}


class LSTM(_WithOwnCell):
    """Long short-term memory: LSTM(units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, ...)."""

    cell_class = LSTMCell


class GRU(_WithOwnCell):
    """Gated recurrent unit: GRU(units, activation, recurrent_activation, use_bias, reset_after=True, ...)."""

    cell_class = GRUCell
    cell_arguments = ("activation", "recurrent_activation", "use_bias", "reset_after")


class SimpleRNN(_WithOwnCell):
    """Plain recurrence: SimpleRNN(units, activation="tanh", use_bias=True, ...)."""

    cell_class = SimpleRNNCell
    cell_arguments = ("activation", "use_bias")


class CuDNNLSTM(_WithOwnCell):
    """Keras 2's LSTM for cuDNN only, with cuDNN's weight layouts."""

    cell_class = CuDNNLSTMCell
    cell_arguments = ()


class CuDNNGRU(_WithOwnCell):
    """Keras 2's GRU for cuDNN only, with cuDNN's weight layouts."""

    cell_class = CuDNNGRUCell
    cell_arguments = ()
