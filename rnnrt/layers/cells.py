"""Recurrent cells: weights and activations of one step, held by recurrent layers. H units, I inputs, G gates."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.layers import activations
from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.gates import keras_weights


class Cell(Layer):
    """What the cells share.

    Class attributes
    ----------------
    op : operator of the IR that runs the cell over a sequence.
    gates : number of gates.
    state_count : number of states, 2 for LSTM (h, c) and 1 otherwise.

    Parameters
    ----------
    units : int
    activation : str or None
        Works element by element.
    use_bias : bool
    dropout, recurrent_dropout : float
        In training the fraction of the inputs and of the state that is dropped, the same at all steps of a sequence.
    seed : int, optional
        Kept; in training all random numbers follow from the seed of the whole model.
    **options
        The initializers, regularizers and constraints that the class names in `arguments`, and what every layer takes.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "units",
        "activation",
        "use_bias",
        "kernel_initializer",
        "recurrent_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "recurrent_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "recurrent_constraint",
        "bias_constraint",
        "dropout",
        "recurrent_dropout",
        "seed",
    )
    op: ClassVar[str]
    gates: ClassVar[int]
    state_count: ClassVar[int] = 1

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = int(units)
        self.use_bias = bool(use_bias)
        self.activation = self._checked("activation", activation)
        self.dropout, self.recurrent_dropout = (min(1.0, max(0.0, float(d))) for d in (dropout, recurrent_dropout))
        scope = locals()
        for key in Cell.arguments:
            if key not in vars(self):
                setattr(self, key, scope[key])
        if self.units < 1 or self.units != units:
            raise UnsupportedModelError(self.label(), [f"{self.label()}: units={units} must be a positive integer"])

    def _checked(self, key: str, name: Any) -> str | None:
        if callable(name) and hasattr(name, "__name__"):
            name = name.__name__
        if isinstance(name, (str, type(None))) and activations.is_recurrent(name):
            return name
        do = "use one that works element by element, such as tanh"
        raise UnsupportedModelError(self.label(), [f"{self.label()}: {key} {name!r} cannot run inside a cell; {do}"])

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "recurrent_kernel", "bias") if self.use_bias else ("kernel", "recurrent_kernel")

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of Keras's bias."""
        return (self.gates * self.units,)

    def variables_in(self, b: GraphBuilder, input_size: int | None) -> list[Tensor | str]:
        """Kernel (I, G*H), recurrent kernel (H, G*H) and bias as tensors in Keras's layouts; "" for no bias."""
        width = self.gates * self.units
        pair = [
            b.variable(self, "kernel", (input_size, width)),
            b.variable(self, "recurrent_kernel", (self.units, width)),
        ]
        return [*pair, b.variable(self, "bias", self.bias_shape()) if self.use_bias else ""]

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
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )
        self.recurrent_activation = self._checked("recurrent_activation", recurrent_activation)

    def ir_activations(self, legacy: bool) -> list[tuple[str, float, float]]:
        return [activations.recurrent(a, legacy) for a in (self.recurrent_activation, self.activation)]


class LSTMCell(GatedCell):
    """c = f c + i activation(.), h = o activation(c); with `unit_forget_bias` the bias of f begins with ones."""

    arguments = ("unit_forget_bias",)
    op = "LSTM"
    gates = 4
    state_count = 2

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **options,
        )
        self.unit_forget_bias = bool(unit_forget_bias)

    def initial(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name != "bias" or not self.unit_forget_bias:
            return super().initial(name, shape)
        H = self.units
        rest = [super(LSTMCell, self).initial(name, (n,)) for n in (H, 2 * H)]
        return np.concatenate([rest[0], np.ones(H, rest[0].dtype), rest[1]])

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
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **options,
        )
        self.reset_after = bool(reset_after)

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def ir_attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": int(self.reset_after)}
