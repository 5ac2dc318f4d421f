"""Keras 2's recurrent layers for cuDNN, whose weights lie as cuDNN has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Tensor
from rnnrt.layers.cells import GRUCell, LSTMCell
from rnnrt.layers.gates import cudnn_weights
from rnnrt.layers.rnn_layers import OwnCell


class CuDNNLSTMCell(LSTMCell):
    """The weights of CuDNNLSTM, in cuDNN's layouts."""

    def variables_in(self, b: GraphBuilder, input_size: int | None) -> list[Tensor | str]:
        return _refuse(self, b, super().variables_in(b, input_size))

    def initial(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        return super(LSTMCell, self).initial(name, shape)

    def bias_shape(self) -> tuple[int, ...]:
        return (8 * self.units,)

    def arrays(self, input_size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        kernel, recurrent, bias = super().arrays(input_size)
        assert bias is not None
        return cudnn_weights("LSTM", kernel, recurrent, bias)


class CuDNNGRUCell(GRUCell):
    """The weights of CuDNNGRU, in cuDNN's layouts."""

    def variables_in(self, b: GraphBuilder, input_size: int | None) -> list[Tensor | str]:
        return _refuse(self, b, super().variables_in(b, input_size))

    def bias_shape(self) -> tuple[int, ...]:
        return (6 * self.units,)

    def arrays(self, input_size: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        kernel, recurrent, bias = super().arrays(input_size)
        assert bias is not None
        return cudnn_weights("GRU", kernel, recurrent, bias)


def _refuse(cell: LSTMCell | GRUCell, b: GraphBuilder, variables: list[Tensor | str]) -> list[Tensor | str]:
    if b.create:
        return variables  # shapes only
    raise cell.unsupported("cannot be trained", "use LSTM or GRU, which compute the same")


class CuDNNLSTM(OwnCell):
    """Keras 2's LSTM for cuDNN only."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(CuDNNLSTMCell, "cu_dnnlstm_cell", {"units": units}, options)


class CuDNNGRU(OwnCell):
    """Keras 2's GRU for cuDNN only."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(CuDNNGRUCell, "cu_dnngru_cell", {"units": units}, options)
