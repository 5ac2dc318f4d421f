"""Layers of space, attention with heads and ConvLSTM: gradients against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import layers as L
from rnnrt.errors import RnnrtError
from rnnrt.models import Model
from rnnrt.utils import set_random_seed
from tests.gradients.test_layer_gradients import check

F64 = {"dtype": "float64"}
IMAGE, SERIES, MOVIE = (5, 4, 3), (5, 4), (4, 5, 2)

MAKERS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "Conv2D": (IMAGE, lambda x: L.Conv2D(4, (2, 3), padding="same", activation="tanh", **F64)(x)),
    "Conv2D, strides": (IMAGE, lambda x: L.Conv2D(4, 2, strides=(2, 1), use_bias=False, **F64)(x)),
    "Conv3D": ((3, 3, 3, 2), lambda x: L.Conv3D(2, 2, **F64)(x)),
    "Conv2DTranspose": (IMAGE, lambda x: L.Conv2DTranspose(2, 2, strides=2, **F64)(x)),
    "DepthwiseConv2D": (IMAGE, lambda x: L.DepthwiseConv2D(2, depth_multiplier=2, **F64)(x)),
    "SeparableConv2D": (IMAGE, lambda x: L.SeparableConv2D(2, 2, **F64)(x)),
    "MaxPooling2D": (IMAGE, lambda x: L.MaxPooling2D(2, strides=1, **F64)(x)),
    "AveragePooling2D": (IMAGE, lambda x: L.AveragePooling2D(2, padding="same", **F64)(x)),
    "GlobalMaxPooling2D": (IMAGE, lambda x: L.GlobalMaxPooling2D(**F64)(x)),
    "GlobalAveragePooling2D": (IMAGE, lambda x: L.GlobalAveragePooling2D(keepdims=True, **F64)(x)),
    "resizing": (IMAGE, lambda x: L.Cropping2D(1, **F64)(L.UpSampling2D((2, 1), **F64)(L.ZeroPadding2D(1, **F64)(x)))),
    "SpatialDropout2D": (IMAGE, lambda x: L.SpatialDropout2D(0.4, **F64)(x)),
    "GroupNormalization": ((4, 6), lambda x: L.GroupNormalization(3, **F64)(x)),
    "RMSNormalization": (SERIES, lambda x: L.RMSNormalization(**F64)(x)),
    "LayerNormalization": (SERIES, lambda x: L.LayerNormalization(rms_scaling=True, **F64)(x)),
    "Softmax": (IMAGE, lambda x: L.Softmax(axis=[1, 2], **F64)(x)),
    "EinsumDense": (SERIES, lambda x: L.EinsumDense("abc,cde->aebd", (3, None, 2), bias_axes="ed", **F64)(x)),
    "EinsumDense of every step": (SERIES, lambda x: L.EinsumDense("abc,bcd->abd", (5, 2), bias_axes="bd", **F64)(x)),
    "MultiHeadAttention": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3, dropout=0.2, **F64)(x, x, use_causal_mask=True),
    ),
    "MultiHeadAttention over two axes": (
        (2, 3, 4),
        lambda x: L.MultiHeadAttention(2, 2, attention_axes=(1, 2), use_gate=True, **F64)(x, x),
    ),
    "GroupQueryAttention": (SERIES, lambda x: L.GroupQueryAttention(2, 4, 2, use_gate=True, **F64)(x, x)),
    "Attention": (SERIES, lambda x: L.Attention(use_scale=True, **F64)([x, x], use_causal_mask=True)),
    "ConvLSTM1D": (MOVIE, lambda x: L.ConvLSTM1D(3, 2, return_sequences=True, dropout=0.2, **F64)(x)),
    "ConvLSTM1D, dropped states": (
        MOVIE,
        lambda x: L.ConvLSTM1D(2, 3, recurrent_dropout=0.3, padding="same", **F64)(x),
    ),
    "ConvLSTM2D": ((3, 4, 3, 2), lambda x: L.ConvLSTM2D(2, 2, go_backwards=True, **F64)(x)),
    "Conv2D of every step": (
        (3, 4, 4, 2),
        lambda x: L.TimeDistributed(L.Conv2D(3, 2, activation="tanh", **F64), **F64)(x),
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_gradients(name: str) -> None:
    """What comes before has weights too, so that gradients pass through the layer and not only into it."""
    set_random_seed(3)
    rng = np.random.default_rng(3)
    shape, make = MAKERS[name]
    x = rng.normal(size=(2, *shape))
    i = rnnrt.Input(shape, dtype="float64")
    h = make(L.Dense(shape[-1], activation="tanh", **F64)(i))
    model = Model(i, L.Dense(2, **F64)(L.Flatten(**F64)(h)))
    for variable in model.trainable_weights:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    check(model, x, rng.normal(size=model.predict(x).shape), rng)


@pytest.mark.parametrize(
    ("shape", "make", "match"),
    [
        (MOVIE, lambda x: L.ConvLSTM1D(2, 2, stateful=True)(x), "stateful=True"),
        ((None, 5, 2), lambda x: L.ConvLSTM1D(2, 2)(x), "Scan"),
        (SERIES, lambda x: L.SpectralNormalization(L.Dense(2))(x), "train the layer that it wraps"),
    ],
)
def test_what_is_not_trained_says_so(shape: Any, make: Any, match: str) -> None:
    i = rnnrt.Input(shape)
    model = Model(i, L.Dense(1)(L.Flatten()(make(i))) if None not in shape else L.GlobalMaxPooling1D()(make(i)))
    model.compile("sgd", "mse")
    x = np.zeros((2, *(d or 3 for d in shape)), np.float32)
    with pytest.raises(RnnrtError, match=match):
        model.fit(x, np.zeros(model.predict(x).shape), verbose=0)
