"""Keras's layers as builders of IR: the same names, arguments and defaults."""

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from rnnrt.layers.core import (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Identity,
    InputLayer,
    Masking,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
)
from rnnrt.layers.network import Call, InputSpec, Network, Ref
from rnnrt.layers.recurrent import GRU, LSTM, RNN, CuDNNGRU, CuDNNLSTM, SimpleRNN
from rnnrt.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "GRU",
    "LAYERS",
    "LSTM",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "Bidirectional",
    "Call",
    "CuDNNGRU",
    "CuDNNLSTM",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GraphBuilder",
    "Identity",
    "InputLayer",
    "InputSpec",
    "LSTMCell",
    "Layer",
    "Masking",
    "Network",
    "Permute",
    "Ref",
    "RepeatVector",
    "Reshape",
    "SimpleRNN",
    "SimpleRNNCell",
    "SpatialDropout1D",
    "StackedRNNCells",
    "Tensor",
    "TimeDistributed",
]

LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation,
        ActivityRegularization,
        AlphaDropout,
        Bidirectional,
        CuDNNGRU,
        CuDNNLSTM,
        Dense,
        Dropout,
        Embedding,
        Flatten,
        GRU,
        GRUCell,
        GaussianDropout,
        GaussianNoise,
        Identity,
        InputLayer,
        LSTM,
        LSTMCell,
        Masking,
        Permute,
        RNN,
        RepeatVector,
        Reshape,
        SimpleRNN,
        SimpleRNNCell,
        SpatialDropout1D,
        StackedRNNCells,
        TimeDistributed,
    )
}
"""Keras's class name to the class."""
