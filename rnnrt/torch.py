"""Weights that torch saved: torch's layers for `rnnrt.load`, and `load_state_dict` for models of rnnrt's layers.

torch itself is not needed, and nothing is unpickled: ``safetensors.torch.save_file(model.state_dict(), path)`` writes
the file, or ``safetensors.torch.save_model`` where modules share tensors.

>>> from rnnrt.torch import Embedding, Linear, LSTM
>>> model = rnnrt.load("tagger.safetensors", layers=[
...     Embedding("embed"),
...     LSTM("lstm", batch_first=True, output="both_hidden"),
...     Linear("fc"),
... ])
"""

from __future__ import annotations

from rnnrt.formats.torch_functions import (
    ELU,
    GELU,
    SELU,
    AvgPool1d,
    Dropout,
    Flatten,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Max,
    MaxPool1d,
    Mean,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Select,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Transpose,
)
from rnnrt.formats.torch_layers import BatchNorm1d, Conv1d, Embedding, LayerNorm, Linear
from rnnrt.formats.torch_recurrent import GRU, LSTM, RNN
from rnnrt.models.torch_weights import load_state_dict

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "AvgPool1d",
    "BatchNorm1d",
    "Conv1d",
    "Dropout",
    "Embedding",
    "Flatten",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Max",
    "MaxPool1d",
    "Mean",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Select",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Transpose",
    "load_state_dict",
]
