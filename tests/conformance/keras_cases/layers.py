"""All other layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.keras_cases.registry import KERAS2_ONLY, KERAS3_ONLY, VOCABULARY, add, case, chain, tokens

for _name in ("softmax", "relu", "relu6", "tanh", "sigmoid", "leaky_relu", "silu", "mish"):
    add(f"dense_{_name}", lambda k, name=_name: chain(k, (3, 4), k.layers.Dense(5, activation=name)),
         3 if _name in ("relu6", "leaky_relu", "silu") else 0)  # fmt: skip
for _name in (
    "log_softmax",
    "hard_silu",
    "log_sigmoid",
    "celu",
    "hard_tanh",
    "tanh_shrink",
    "soft_shrink",
    "squareplus",
):
    add(f"activation_{_name}", lambda k, name=_name: chain(k, (3, 4), k.layers.Dense(5), k.layers.Activation(name)), 3)


@case
def time_distributed_free_time(k: Any) -> Any:
    head = k.layers.TimeDistributed(k.layers.Dense(3, activation="relu"))
    return chain(k, (None, 4), k.layers.LSTM(5, return_sequences=True), head)


@case
def time_distributed_masked(k: Any) -> Any:
    x, e = tokens(k)
    y = k.layers.TimeDistributed(k.layers.Dense(3))(e)
    return k.Model(x, k.layers.LSTM(2)(y))


@case
def time_distributed_tokens(k: Any) -> Any:
    """Keras 2 hands on the mask that the embedding gives each step; Keras 3 does not."""
    g = k.layers
    x = k.Input(shape=(4, 6), dtype="int32")
    each = g.TimeDistributed(g.LSTM(3))(g.TimeDistributed(g.Embedding(VOCABULARY, 3, mask_zero=True))(x))
    return k.Model(x, [each, g.GRU(2)(each)])


@case
def masked_rescaling(k: Any) -> Any:
    """Keras 3 hands the mask on, Keras 2 does not."""
    x, y = tokens(k)
    return k.Model(x, k.layers.GRU(3)(k.layers.Rescaling(2.0, offset=0.5)(y)))


@case
def time_distributed_model(k: Any) -> Any:
    inner = chain(k, (6, 4), k.layers.Conv1D(3, 2, activation="relu"), k.layers.MaxPooling1D(2), k.layers.Flatten())
    return chain(k, (5, 6, 4), k.layers.TimeDistributed(inner), k.layers.LSTM(3))


@case
def time_distributed_lstm(k: Any) -> Any:
    return chain(k, (None, 6, 4), k.layers.TimeDistributed(k.layers.LSTM(3)), k.layers.GRU(2))


for _padding in ("valid", "same", "causal"):
    for _stride, _dilation, _groups in ((1, 1, 1), (2, 1, 2), (1, 2, 1)):
        add(
            f"conv_{_padding}_{_stride}_{_dilation}_{_groups}",
            lambda k, p=_padding, s=_stride, d=_dilation, g=_groups: chain(
                k, (9, 4), k.layers.Conv1D(6, 3, strides=s, padding=p, dilation_rate=d, groups=g, activation="relu")
            ),
        )
for _padding in ("valid", "same"):
    add(f"pools_{_padding}", lambda k, p=_padding: chain(k, (11, 4), k.layers.MaxPooling1D(3, strides=1, padding=p),
         k.layers.AveragePooling1D(2, padding=p), k.layers.Conv1D(3, 2, padding="same", use_bias=False)))  # fmt: skip


@case
def global_pools(k: Any) -> Any:
    x, e = tokens(k)
    f = k.Input((None, 4))
    g = k.layers
    means = [g.GlobalAveragePooling1D()(e), g.GlobalAveragePooling1D(keepdims=True)(f)]
    return k.Model([x, f], [*means, g.GlobalMaxPooling1D()(f)])


@case
def norms(k: Any) -> Any:
    x = k.Input((6, 4))
    g = k.layers
    return k.Model(x, [g.BatchNormalization(axis=1)(x), g.BatchNormalization(scale=False, epsilon=1e-2)(x),
                       g.BatchNormalization(center=False)(x), g.LayerNormalization(axis=[1, 2])(x),
                       g.LayerNormalization(scale=False)(x),
                       g.LayerNormalization(center=False, epsilon=0.1)(x)])  # fmt: skip


@case
def layer_norm_along_time(k: Any) -> Any:
    return chain(k, (6, 4), k.layers.LayerNormalization(axis=1), k.layers.LayerNormalization(axis=1, scale=False))


# Keras 3 fails on this with torch.
KERAS2_ONLY.add("layer_norm_along_time")


@case
def merges(k: Any) -> Any:
    x, y = k.Input((6, 4)), k.Input((6, 4))
    g = k.layers
    outs = [m()([x, y]) for m in (g.Add, g.Subtract, g.Multiply, g.Average, g.Maximum, g.Minimum, g.Concatenate)]
    return k.Model([x, y], [*outs, g.Concatenate(axis=1)([x, y]), g.Add()([x, y, x]), g.Average()([x, y, y])])


@case
def merges_of_ranks(k: Any) -> Any:
    x, y = k.Input((6, 4)), k.Input((4,))
    return k.Model([x, y], [k.layers.Multiply()([x, y]), k.layers.Add()([y, x])])


@case
def dots(k: Any) -> Any:
    x, y, v = k.Input((6, 4)), k.Input((6, 4)), k.Input((4,))
    d = k.layers.Dot
    return k.Model([x, y, v], [d(axes=2)([x, y]), d(axes=(1, 1))([x, y]), d(axes=1)([v, v]), d(axes=(2, 1))([x, v]),
                               d(axes=(1, 2))([v, y]), d(axes=2, normalize=True)([x, y])])  # fmt: skip


@case
def attention_by_hand(k: Any) -> Any:
    x, g = k.Input((7, 4)), k.layers
    h = g.Bidirectional(g.LSTM(3, return_sequences=True))(x)
    weights = g.Softmax(axis=1)(g.Dense(1, activation="tanh")(h))
    context = g.Flatten()(g.Dot(axes=1)([weights, h]))
    tiled = g.Permute([2, 1])(g.RepeatVector(6)(g.Flatten()(weights)))
    return k.Model(x, [g.Dense(2)(context), g.Multiply()([h, tiled])])


@case
def activation_layers(k: Any) -> Any:
    x, g = k.Input((3, 4)), k.layers
    return k.Model(x, [g.ReLU()(x), g.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.2)(x), g.ReLU(max_value=6)(x),
                       g.ReLU(negative_slope=0.2)(x), g.LeakyReLU()(x), g.ELU(alpha=0.7)(x), g.Softmax()(x),
                       g.Softmax(axis=1)(x), g.PReLU()(x), g.PReLU(shared_axes=[1])(x)])  # fmt: skip


@case
def thresholded_relu(k: Any) -> Any:
    return chain(k, (3, 4), k.layers.ThresholdedReLU(theta=0.3))


KERAS2_ONLY.add("thresholded_relu")


@case
def shapes(k: Any) -> Any:
    x, g = k.Input((6, 4)), k.layers
    free = k.Input((None, 4))
    fixed = [g.Reshape((4, 6))(x), g.Reshape((-1, 2, 3))(x), g.Permute((2, 1))(x), g.RepeatVector(3)(g.Flatten()(x))]
    return k.Model([x, free], [*fixed, g.Reshape((-1, 2))(free), g.Flatten()(g.LSTM(3)(free))])


@case
def changes_of_length(k: Any) -> Any:
    x, g = k.Input((8, 4)), k.layers
    padded = [g.ZeroPadding1D(2)(x), g.ZeroPadding1D((1, 3))(x)]
    return k.Model(x, [*padded, g.Cropping1D((1, 2))(x), g.UpSampling1D(3)(x), g.Rescaling(0.5, offset=1.0)(x)])


@case
def other_convolutions(k: Any) -> Any:
    x, g = k.Input((8, 4)), k.layers
    apart = [
        g.SeparableConv1D(5, 3, padding="same")(x),
        g.DepthwiseConv1D(3, depth_multiplier=2, activation="relu")(x),
    ]
    back = [g.Conv1DTranspose(3, 3, strides=2)(x), g.Conv1DTranspose(3, 4, strides=2, padding="same")(x)]
    return k.Model(x, [*apart, *back, g.Conv1DTranspose(2, 2, strides=3)(x), g.UnitNormalization()(x)])


@case
def attention(k: Any) -> Any:
    x, e = tokens(k)
    y, f = tokens(k)
    q, v, g = k.Input((6, 4)), k.Input((None, 4)), k.layers
    plain = [g.Attention()([q, v]), g.Attention(use_scale=True)([q, v, v]), g.Attention(score_mode="concat")([q, v])]
    added = [g.AdditiveAttention()([q, v]), g.AdditiveAttention(use_scale=False)([q, v]), g.AdditiveAttention()([e, f])]
    return k.Model([x, y, q, v], [*plain, *added, g.LSTM(2)(g.Attention()([e, f]))])


@case
def normalization(k: Any) -> Any:
    layer = k.layers.Normalization(axis=-1)
    layer.adapt(np.arange(24.0).reshape(2, 3, 4) ** 1.5)
    given = k.layers.Normalization(axis=-1, mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])
    return chain(k, (None, 4), layer, k.layers.LSTM(3, return_sequences=True), given)


@case
def channels_first(k: Any) -> Any:
    x, g = k.Input((4, 9)), k.layers
    first = {"data_format": "channels_first"}
    whole = [g.GlobalMaxPooling1D(**first)(x), g.GlobalAveragePooling1D(**first)(x), g.Flatten(**first)(x)]
    return k.Model(x, [*whole, g.MaxPooling1D(2, **first)(x), g.Conv1D(5, 3, **first)(x)])


# TensorFlow convolves channels first on no CPU.
KERAS3_ONLY.add("channels_first")


@case
def lengths_unknown(k: Any) -> Any:
    x, g = k.Input((None, 4)), k.layers
    longer = [g.ZeroPadding1D(1)(x), g.UpSampling1D(2)(x)]
    shorter = [g.Cropping1D(1)(x), g.Conv1D(3, 2, strides=2, padding="same")(x), g.MaxPooling1D(2, padding="same")(x)]
    return k.Model(x, [*longer, *shorter, g.Permute((2, 1))(x), g.GlobalMaxPooling1D(keepdims=True)(x)])


@case
def four_axes(k: Any) -> Any:
    x, g = k.Input((3, 4, 5)), k.layers
    norms = [g.LayerNormalization()(x), g.BatchNormalization()(x)]
    return k.Model(x, [*norms, g.Dense(2)(x), g.Softmax(axis=2)(x), g.Permute((3, 1, 2))(x)])


@case
def convolution_of_every_step(k: Any) -> Any:
    g = k.layers
    inner = [g.Conv1D(4, 3, activation="relu"), g.MaxPooling1D(2), g.Flatten(), g.Dropout(0.2)]
    return chain(k, (None, 8, 3), *[g.TimeDistributed(layer) for layer in inner], g.LSTM(5))
