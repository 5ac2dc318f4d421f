"""Recurrence: RNN over cells, and the operator it becomes. B rows of the batch, T steps, I inputs, H units."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.builder import State
from rnnrt.layers.cells import Cell
from rnnrt.layers.gates import gate_positions


class StackedRNNCells(Layer):
    """Cells on top of each other, run as one cell."""

    arguments = ("cells",)

    def __init__(self, cells: Sequence[Cell], **options: Any) -> None:
        super().__init__(**options)
        self.cells = list(cells)
        bad = [c for c in self.cells if not isinstance(c, Cell)]
        if bad or not self.cells:
            what = f"holds {type(bad[0]).__name__}" if bad else "holds no cell"
            raise self.unsupported(what, "use LSTMCell, GRUCell or SimpleRNNCell")

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"cells": list(self.cells)}


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
        A batch begins with the states that the batch before left, in `fit` and in `predict`; see `reset_states`. A
        call of the model begins with zeros unless it is given states.
    unroll : bool
        Changes nothing here.
    zero_output_for_mask : bool
        Masked steps give zeros instead of the output before.
    time_major : bool
        The sequence, its mask and returned sequences have the time first: (T, B, I). An argument of Keras 2.

    Attributes
    ----------
    old_masking : {"", "repeat", "hold"}
        In files of Keras before it became a part of TensorFlow: masked steps never give zeros instead of the output
        before ("repeat"), and at first, up to version 2.2, not even there, but the initial state ("hold").
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
        cell: Cell | StackedRNNCells | Sequence[Cell],
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
        if isinstance(cell, Sequence):
            cell = StackedRNNCells(cell)
        self.cell: Cell | StackedRNNCells = cell
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.time_major = bool(time_major)
        self.old_masking = ""
        if not isinstance(cell, (Cell, StackedRNNCells)):
            raise self.unsupported(f"cell is a {type(cell).__name__}", "use LSTMCell, GRUCell or SimpleRNNCell")

    @property
    def cells(self) -> list[Cell]:
        """The cells from the bottom up."""
        return [self.cell] if isinstance(self.cell, Cell) else self.cell.cells

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"cell": self.cell}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **({"time_major": True} if self.time_major else {})}

    def emit(
        self, b: GraphBuilder, inputs: Any, initial_state: Any = None, mask: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        x, states, mask = split_call(self, b, inputs, initial_state, mask)
        outputs, last, finals = self.run(b, x, states, mask)
        if self.return_sequences:
            result = b.flip(outputs, 1) if self.go_backwards else outputs
            result = restored(b, self, result).with_mask(x.mask)
        else:
            result = last
        return [result, *finals] if self.return_state else result

    def run(
        self, b: GraphBuilder, x: Tensor, states: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Outputs (B, T, H) in the order of time, the output of the last step walked (B, H), and the states."""
        expected = [(cell, k) for cell in self.cells for k in range(cell.state_count)]
        carried: list[Tensor] = []
        if b.carry_all and self.go_backwards:
            raise self.unsupported("walks backwards", "train it on whole sequences, without bptt_steps")
        if self.stateful:
            b.stateful.append(self.name)
        if (self.stateful or b.carry_all) and b.carry and not states:
            carried = [b.state_input(n, cell.units, self.dtype) for n, (cell, _) in enumerate(expected)]
            states = carried
        if states and len(states) != len(expected):
            raise self.unsupported(f"is called with {len(states)} initial states", f"it has {len(expected)}")
        finals: list[Tensor] = []
        remaining = list(states)
        top = len(self.cells) - 1
        zero = self.zeroes_masked(b) and mask is not None
        if mask is not None and top and b.legacy and self.old_masking == "hold":
            raise self.unsupported(
                "gives the lowest cell's state at masked steps, as Keras up to 2.2 does", "save it with a newer Keras"
            )
        direction = "reverse" if self.go_backwards else "forward"
        for k, cell in enumerate(self.cells):
            own, remaining = remaining[: cell.state_count], remaining[cell.state_count :]
            with b.nested(*self._scope(b, cell)):
                x, last = recur(b, self, [cell], x, own, mask, direction, zero and k == top)
            x = b.squeeze(x, 2)
            last = [b.squeeze(s, 1) for s in last]
            finals += last
        if mask is not None and states and b.legacy and self.old_masking == "hold" and not self.unroll:
            x = self._held(b, x, states[0], mask)
        b.states += [State(self, n, *pair) for n, pair in enumerate(zip(carried, finals, strict=False))]
        # Behind a mask the last output differs from the state h: zeros until the first step that counts.
        if mask is not None and (states or zero):
            return x, b.take(x, 0 if self.go_backwards else -1, 1), finals
        return x, last[0], finals

    def zeroes_masked(self, b: GraphBuilder) -> bool:
        """Whether masked steps give zeros."""
        return self.zero_output_for_mask and not (b.legacy and bool(self.old_masking))

    def _held(self, b: GraphBuilder, y: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Outputs (B, T, H) with the initial state in the place of the zeros before the first step that counts."""
        steps: list[Tensor | str] = [b.cast(mask, np.dtype(np.int32)), b.scalar(1, np.dtype(np.int64))]
        counted = b.op("CumSum", steps, mask.shape, reverse=int(self.go_backwards))
        seen = b.unsqueeze(b.cast(counted, np.dtype(bool)), 2)
        return b.op("Where", [seen, y, b.unsqueeze(b.cast(state, y.dtype), 1)], y.shape, y.dtype)

    def _scope(self, b: GraphBuilder, cell: Cell) -> list[str]:
        """Names of the layers around a cell's weights."""
        if not b.variables:
            return []
        return [cell.name] if cell is self.cell else [self.cell.name, cell.name]


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
    if x.rank == 3 and getattr(layer, "time_major", False):
        x = b.transpose(x.with_mask(None), (1, 0, 2)).with_mask(x.mask)
        found = None if found is None else b.transpose(found, (1, 0))
    if x.rank != 3:
        raise layer.unsupported(f"its input has shape {x.shape}", "it needs (batch, time, features)")
    for state in states:
        if state.rank != 2:
            raise layer.unsupported(f"an initial state has shape {state.shape}", "it needs (batch, units)")
    return x, states, found


def restored(b: GraphBuilder, layer: Any, y: Tensor) -> Tensor:
    """A sequence (B, T, H) with the axes in the order that the layer has outside."""
    return b.transpose(y, (1, 0, 2)) if layer.time_major else y


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
    batch: list[int | str] = [b.extent(x, 0)] if b.training else []
    if b.training and 0 < first.dropout < 1:
        drop = b.random("dropout", [*batch, 1, b.dims_of(x)[2]], (x.shape[0], 1, input_size), x.dtype, first.dropout)
        x = b.op("Mul", [x, drop], x.shape)

    def stacked(k: int) -> np.ndarray:
        return np.stack([cell.ir_arrays(input_size)[k] for cell in cells])

    weights: list[Tensor | str] = []
    if b.variables:
        weights = first.variables_in(b, input_size)
    else:
        weights += [b.weight(first, key, partial(stacked, k)) for k, key in enumerate("WRB")]
    operands = [x.name, *(w.name if isinstance(w, Tensor) else w for w in weights)]
    operands += [""] + [""] * first.state_count
    for k in range(len(states) // len(cells)):
        parts = [b.unsqueeze(b.cast(s, layer.dtype), 1) for s in states[k :: first.state_count]]
        both = parts[0] if len(parts) == 1 else b.op("Concat", parts, (parts[0].shape[0], 2, units), axis=1)
        operands[5 + k] = both.name
    operands += [""] * (first.op == "LSTM")
    if mask is not None and mask.rank != 2:
        raise layer.unsupported(f"its mask has shape {mask.shape}", "it needs (batch, time)")
    operands.append("" if mask is None else b.transpose(b.cast(mask, np.dtype(bool)), (1, 0)).name)
    if b.training and 0 < first.recurrent_dropout < 1:
        shape = (1, x.shape[0], units)
        operands.append(b.random("dropout", [1, *batch, units], shape, x.dtype, first.recurrent_dropout).name)
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
    if b.variables:
        attrs["weight_layout"] = "keras"
        attrs["gate_order"] = gate_positions(first.op, "keras")
    if zero_output and mask is not None:
        attrs["zero_output_for_mask"] = 1
    names = b.node(first.op, operands, 1 + first.state_count, **attrs)
    last = (x.shape[0], len(cells), units)
    y = Tensor(names[0], (*x.shape[:2], len(cells), units), layer.dtype)
    return y, [Tensor(name, last, layer.dtype) for name in names[1:]]
