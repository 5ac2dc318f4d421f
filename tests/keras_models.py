"""Layers and models written once, for Keras and for rnnrt: `k` is either `keras` or `rnnrt`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SEQUENCE, TOKENS, ROW = (None, 6, 4), (None, 6), (None, 4)

LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "simple_rnn": (lambda g: g.SimpleRNN(3), SEQUENCE),
    "lstm": (lambda g: g.LSTM(5, return_sequences=True), SEQUENCE),
    "lstm_without_forget_bias": (lambda g: g.LSTM(5, unit_forget_bias=False, return_state=True), SEQUENCE),
    "lstm_without_bias": (lambda g: g.LSTM(5, use_bias=False), SEQUENCE),
    "gru": (lambda g: g.GRU(5), SEQUENCE),
    "gru_reset_before": (lambda g: g.GRU(5, reset_after=False), SEQUENCE),
    "rnn_of_cell": (lambda g: g.RNN(g.LSTMCell(3), return_sequences=True), SEQUENCE),
    "rnn_of_cells": (lambda g: g.RNN([g.GRUCell(3), g.SimpleRNNCell(2)], return_state=True), SEQUENCE),
    "bidirectional": (lambda g: g.Bidirectional(g.LSTM(3, return_sequences=True)), SEQUENCE),
    "bidirectional_of_two": (
        lambda g: g.Bidirectional(g.GRU(3), merge_mode=None, backward_layer=g.LSTM(3, go_backwards=True)), SEQUENCE,
    ),
    "time_distributed": (lambda g: g.TimeDistributed(g.Dense(3)), SEQUENCE),
    "dense": (lambda g: g.Dense(7, activation="relu"), ROW),
    "embedding": (lambda g: g.Embedding(11, 3), TOKENS),
    "batch_normalization": (lambda g: g.BatchNormalization(), SEQUENCE),
    "batch_normalization_plain": (lambda g: g.BatchNormalization(scale=False, center=False), SEQUENCE),
    "layer_normalization": (lambda g: g.LayerNormalization(), SEQUENCE),
    "normalization": (lambda g: g.Normalization(), SEQUENCE),
    "conv1d": (lambda g: g.Conv1D(6, 3, padding="causal", groups=2), SEQUENCE),
    "conv1d_transpose": (lambda g: g.Conv1DTranspose(5, 3, strides=2), SEQUENCE),
    "depthwise_conv1d": (lambda g: g.DepthwiseConv1D(3, depth_multiplier=2), SEQUENCE),
    "separable_conv1d": (lambda g: g.SeparableConv1D(5, 3), SEQUENCE),
    "max_pooling1d": (lambda g: g.MaxPooling1D(2), SEQUENCE),
    "average_pooling1d": (lambda g: g.AveragePooling1D(2, padding="same"), SEQUENCE),
    "global_average_pooling1d": (lambda g: g.GlobalAveragePooling1D(), SEQUENCE),
    "p_re_lu": (lambda g: g.PReLU(shared_axes=[1]), SEQUENCE),
    "flatten": (lambda g: g.Flatten(), SEQUENCE),
    "repeat_vector": (lambda g: g.RepeatVector(3), ROW),
    "reshape": (lambda g: g.Reshape((4, -1)), SEQUENCE),
    "dropout": (lambda g: g.Dropout(0.5), SEQUENCE),
    "wide_lstm": (lambda g: g.LSTM(48), (None, 6, 32)),
    "wide_gru": (lambda g: g.GRU(32), (None, 6, 48)),
    "wide_dense": (lambda g: g.Dense(64), (None, 48)),
    "wide_embedding": (lambda g: g.Embedding(200, 16), TOKENS),
    "wide_conv1d": (lambda g: g.Conv1D(48, 3), (None, 6, 32)),
    "wide_separable_conv1d": (lambda g: g.SeparableConv1D(48, 5), (None, 8, 128)),
    "wide_conv1d_transpose": (lambda g: g.Conv1DTranspose(48, 3), (None, 6, 32)),
}  # fmt: skip
"""A layer, and the shape of an input for it."""

SIGNATURES = (
    "SimpleRNN LSTM GRU SimpleRNNCell LSTMCell GRUCell RNN StackedRNNCells Bidirectional TimeDistributed Dense "
    "Embedding Masking Activation Dropout SpatialDropout1D GaussianDropout GaussianNoise AlphaDropout "
    "ActivityRegularization BatchNormalization LayerNormalization Normalization "
    "Conv1D DepthwiseConv1D SeparableConv1D Conv1DTranspose "
    "MaxPooling1D AveragePooling1D GlobalMaxPooling1D GlobalAveragePooling1D Concatenate Dot Flatten Reshape Permute "
    "RepeatVector Cropping1D ZeroPadding1D UpSampling1D Rescaling Attention AdditiveAttention ReLU LeakyReLU ELU PReLU "
    "Softmax InputLayer UnitNormalization"
).split()
"""Layers whose constructors are compared."""


def stacked(k: Any) -> Any:
    g = k.layers
    return k.Sequential([
        k.Input((6, 4)), g.LSTM(5, return_sequences=True), g.Dropout(0.2), g.BatchNormalization(),
        g.Bidirectional(g.GRU(3)), g.Dense(4, activation="relu"), g.Dense(2),
    ])  # fmt: skip


def lazy(k: Any) -> Any:
    g = k.layers
    model = k.Sequential(name="late")
    model.add(g.Embedding(11, 4, mask_zero=True))
    model.add(g.LSTM(3))
    model.add(g.Dense(1, activation="sigmoid"))
    model.build((None, 7))
    return model


def shared(k: Any) -> Any:
    g = k.layers
    x, y = k.Input((6, 4), name="x"), k.Input((5, 4), name="y")
    lstm, dense = g.LSTM(3), g.Dense(4)
    return k.Model([x, y], [dense(lstm(x)), g.Concatenate()([dense(lstm(y)), lstm(x)])], name="twice")


def states(k: Any) -> Any:
    g = k.layers
    x, y = k.Input((6, 4), name="source"), k.Input((5, 2), name="target")
    _, h, c = g.LSTM(3, return_state=True)(x)
    decoded = g.LSTM(3, return_sequences=True)(y, initial_state=[h, c])
    return k.Model([x, y], g.Dense(2)(decoded))


def nested(k: Any) -> Any:
    g = k.layers
    inner = k.Sequential([k.Input((6, 4)), g.GRU(3, return_sequences=True), g.LayerNormalization()], name="inner")
    i = k.Input((6, 3))
    side = k.Model(i, [g.Dense(2)(i), g.GRU(2)(i)], name="side")
    x = k.Input((6, 4), name="x")
    p, q = side(inner(x))
    return k.Model(x, [g.LSTM(2)(p), g.Dense(3)(q), inner(x)])


def residual(k: Any) -> Any:
    g = k.layers
    x = k.Input((6, 4))
    y = g.Conv1D(4, 3, padding="causal", activation="tanh")(x)
    z = g.Add()([x, y])
    late = g.Dense(3, name="late")(z)
    return k.Model(x, [g.GlobalAveragePooling1D()(late), g.Attention()([z, y])])


def masked(k: Any) -> Any:
    g = k.layers
    x = k.Input((6, 4))
    y = g.Bidirectional(g.LSTM(3, return_sequences=True))(g.Masking()(x))
    return k.Model(x, g.TimeDistributed(g.Dense(2))(g.BatchNormalization()(y)))


MODELS: dict[str, Callable[[Any], Any]] = {
    "stacked": stacked, "lazy": lazy, "shared": shared, "states": states, "nested": nested, "residual": residual,
    "masked": masked,
}  # fmt: skip

TRAINING: dict[str, Callable[[Any], Any]] = {
    "batch_normalization": lambda k: k.Sequential([k.Input((6, 4)), k.layers.BatchNormalization(momentum=0.9)]),
    "batch_normalization_of_rows": lambda k: k.Sequential([k.Input((4,)), k.layers.BatchNormalization()]),
    "batch_normalization_masked": lambda k: k.Sequential(
        [k.Input((6, 4)), k.layers.Masking(), k.layers.BatchNormalization(scale=False)]
    ),
    "layer_normalization": lambda k: k.Sequential([k.Input((6, 4)), k.layers.LayerNormalization()]),
    "activity": lambda k: k.Sequential(
        [k.Input((4,)), k.layers.Dense(3, activity_regularizer="l2"), k.layers.ActivityRegularization(l1=0.5)]
    ),
    "recurrent": lambda k: k.Sequential(
        [k.Input((6, 4)), k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True)), k.layers.GRU(2)]
    ),
    "recurrent_masked": lambda k: k.Sequential(
        [k.Input((6, 4)), k.layers.Masking(), k.layers.GRU(3, reset_after=False, return_sequences=True),
         k.layers.SimpleRNN(2, go_backwards=True)]
    ),
    "convolution": lambda k: k.Sequential(
        [k.Input((6, 4)), k.layers.Conv1D(3, 2), k.layers.SeparableConv1D(3, 2), k.layers.PReLU()]
    ),
}  # fmt: skip
"""Models without chance, to be called with training=True."""
