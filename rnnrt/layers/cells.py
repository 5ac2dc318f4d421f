"""Recurrent cells: weights and activations of one step, held by recurrent layers. H units, I inputs, G gates."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.layers import activations
from rnnrt.layers.base import Layer
from rnnrt.layers.gates import cudnn_weights, keras_weights


class Cell(Layer):
    """What the cells share.

    Class attributes
    ----------------
    op : operator of the IR that runs the cell over a sequence.
    gates : number of gates.
    state_count : number of states, 2 for LSTM (h, c) and 1 otherwise.
    """

    arguments: ClassVar[tuple[str, ...]] = ("units", "activation", "use_bias")
    op: ClassVar[str]
    gates: ClassVar[int]
    state_count: ClassVar[int] = 1

    def __init__(self, units: int, activation: str | None = "tanh", use_bias: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.units = int(units)
        self.use_bias = bool(use_bias)
        self.activation = self._checked("activation", activation)
        if self.units < 1:
            raise UnsupportedModelError(self.label(), [f"{self.label()}: units={units} must be positive"])

    def _checked(self, key: str, name: str | None) -> str | None:
        if isinstance(name, (str, type(None))) and activations.is_recurrent(name):
            return name
        do = "use one that works element by element, such as tanh"
        raise UnsupportedModelError(self.label(), [f"{self.label()}: {key} {name!r} cannot run inside a cell; {do}"])

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "recurrent_kernel", "bias") if self.use_bias else ("kernel", "recurrent_kernel")

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of Keras's bias."""
        return (self.gates * self.units,)

    def arrays(self, input_size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Kernel (I, G*H), recurrent kernel (H, G*H) and bias in Keras's layouts, checked."""
        width = self.gates * self.units
        kernel = self.array("kernel", (input_size, width))
        recurrent = self.array("recurrent_kernel", (self.units, width))
        return kernel, recurrent, self.array("bias", self.bias_shape()) if self.use_bias else None

    def ir_arrays(self, input_size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """W (G*H, I), R (G*H, H) and B (2*G*H,) of one direction of the IR's operator."""
        W, R, B = keras_weights(self.op, *self.arrays(input_size))
        return W, R, np.zeros(2 * self.gates * self.units, W.dtype) if B is None else B

    def ir_activations(self, legacy: bool) -> list[tuple[str, float, float]]:
        """Name, alpha and beta of each activation, in the IR's order."""
        return [activations.recurrent(self.activation, legacy)]

    def ir_attributes(self) -> dict[str, Any]:
        """Further attributes of the operator."""
        return {}


class SimpleRNNCell(Cell):
    """h = activation(x W + h R + b)."""

    op = "RNN"
    gates = 1


class GatedCell(Cell):
    """A cell whose gates have an activation of their own."""

    arguments = ("recurrent_activation",)

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, use_bias, **options)
        self.recurrent_activation = self._checked("recurrent_activation", recurrent_activation)

    def ir_activations(self, legacy: bool) -> list[tuple[str, float, float]]:
        return [activations.recurrent(a, legacy) for a in (self.recurrent_activation, self.activation)]


class LSTMCell(GatedCell):
    """c = f c + i activation(.), h = o activation(c)."""

    op = "LSTM"
    gates = 4
    state_count = 2

    def ir_activations(self, legacy: bool) -> list[tuple[str, float, float]]:
        gate, inner = super().ir_activations(legacy)
        return [gate, inner, inner]


class GRUCell(GatedCell):
    """h = z h + (1 - z) activation(.); `reset_after` applies the reset gate after the recurrent product."""

    arguments = ("reset_after",)
    op = "GRU"
    gates = 3

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.reset_after = bool(reset_after)

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def ir_attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": int(self.reset_after)}


class CuDNNLSTMCell(LSTMCell):
    """The weights of CuDNNLSTM, in cuDNN's layouts."""

    def bias_shape(self) -> tuple[int, ...]:
        return (8 * self.units,)

    def arrays(self, input_size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        kernel, recurrent, bias = super().arrays(input_size)
        assert bias is not None
        return cudnn_weights("LSTM", kernel, recurrent, bias)


class CuDNNGRUCell(GRUCell):
    """The weights of CuDNNGRU, in cuDNN's layouts."""

    def bias_shape(self) -> tuple[int, ...]:
        return (6 * self.units,)

    def arrays(self, input_size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        kernel, recurrent, bias = super().arrays(input_size)
        assert bias is not None
        return cudnn_weights("GRU", kernel, recurrent, bias)


class StackedRNNCells(Layer):
    """Cells on top of each other, run as one cell."""

    arguments = ("cells",)

    def __init__(self, cells: list[Cell], **options: Any) -> None:
        super().__init__(**options)
        self.cells = list(cells)
        bad = [c for c in self.cells if not isinstance(c, Cell)]
        if bad or not self.cells:
            what = f"holds {type(bad[0]).__name__}" if bad else "holds no cell"
            raise UnsupportedModelError(
                self.label(), [f"{self.label()}: {what}; use LSTMCell, GRUCell or SimpleRNNCell"]
            )

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"cells": list(self.cells)}
