"""LSTM, GRU and SimpleRNN: recurrent layers that make their cell from their own arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.layers.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from rnnrt.layers.gates import fold_gru_convention
from rnnrt.layers.recurrent import RNN

_OF_THE_LAYER = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "activity_regularizer")


class OwnCell(RNN):
    """A recurrent layer that makes its cell.

    Parameters
    ----------
    cell_class : type of Cell
    cell_name : str
    scope : mapping of str to object
        The arguments of the layer's constructor, among them those of the cell.
    options : mapping of str to object
        What was given beyond them.
    """

    def __init__(
        self, cell_class: type[Cell], cell_name: str, scope: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        names = [key for cls in cell_class.__mro__ for key in vars(cls).get("arguments", ())]
        given = {**{key: scope[key] for key in names if key in scope}, **{k: options[k] for k in names if k in options}}
        shared = {key: options[key] for key in ("dtype", "trainable") if key in options}
        rest = {key: value for key, value in options.items() if key not in names}
        own = {key: scope[key] for key in _OF_THE_LAYER if key in scope}
        super().__init__(cell_class(name=cell_name, **given, **shared), **own, **rest)

    def __getattr__(self, key: str) -> Any:
        """What the layer's cell was made with: `units`, `kernel_initializer` and so on."""
        cell = vars(self).get("cell")
        if cell is None or key not in cell_arguments(cell):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}")
        return getattr(cell, key)

    def get_config(self) -> dict[str, Any]:
        config = {key: value for key, value in super().get_config().items() if key != "cell"}
        inner = self.cell.get_config()
        return {**config, **{key: inner[key] for key in cell_arguments(self.cell)}}


def cell_arguments(cell: Any) -> list[str]:
    """Names of what a cell is made with."""
    return [key for cls in type(cell).__mro__ for key in vars(cls).get("arguments", ())]


class SimpleRNN(OwnCell):
    """Plain recurrence: h = activation(x W + h R + b).

    The arguments are those of `SimpleRNNCell` and of `RNN`, in Keras's order.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(SimpleRNNCell, "simple_rnn_cell", locals(), options)


class LSTM(OwnCell):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997).

    The arguments are those of `LSTMCell` and of `RNN`, in Keras's order.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **options: Any,
    ) -> None:
        super().__init__(LSTMCell, "lstm_cell", locals(), options)


class GRU(OwnCell):
    """Gated recurrent unit (Cho et al., 2014).

    The arguments are those of `GRUCell` and of `RNN`, in Keras's order.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **options: Any,
    ) -> None:
        super().__init__(GRUCell, "gru_cell", locals(), options)

    def load_convention(
        self, weights: Sequence[np.ndarray], update_gate: str = "keep", reset_gate: str = "keep"
    ) -> None:
        """Take weights that were made for another convention of the gates.

        Parameters
        ----------
        weights : sequence of ndarray
            Kernel (I, 3*H), recurrent kernel (H, 3*H) and, with `use_bias`, bias, in Keras's layouts.
        update_gate : {"keep", "new"}
            What the update gate weighs: the state that was, as in Keras, or the candidate.
        reset_gate : {"keep", "drop"}
            What the reset gate lets through, or holds back.

        Raises
        ------
        ShapeError
            The number of arrays or their shapes do not fit this layer.
        UnsupportedModelError
            The gates have an activation for which no weights of the other convention exist.

        See Also
        --------
        rnnrt.layers.gates.fold_gru_convention
        """
        cell = self.cells[0]
        assert isinstance(cell, GRUCell)
        names = cell.weight_names()
        if len(weights) != len(names):
            raise ShapeError(f"{self.label()}: takes {len(names)} arrays, {list(names)}; got {len(weights)}")
        kernel, recurrent, *rest = weights
        folded = fold_gru_convention(
            kernel,
            recurrent,
            rest[0] if rest else None,
            update_gate=update_gate,
            reset_gate=reset_gate,
            recurrent_activation=cell.recurrent_activation,
        )
        arrays = {name: a for name, a in zip(names, folded, strict=False) if a is not None}
        shapes: dict[str, tuple[int, ...]] = {name: v.shape for name, v in cell.own_variables.items()}
        shapes |= {"recurrent_kernel": (cell.units, 3 * cell.units), "bias": cell.bias_shape()}
        for name, array in arrays.items():
            if array.shape != shapes.get(name, array.shape):
                raise ShapeError(f"{self.label()}: {name} has shape {array.shape}, it needs {shapes[name]}")
        for name, array in arrays.items():
            if name in cell.own_variables:
                cell.own_variables[name].assign(array)
            else:
                cell.put_array(name, array)
