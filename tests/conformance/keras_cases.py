"""Small models for comparison with Keras: each case takes keras or tf_keras and gives a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Case = Callable[[Any], Any]
CASES: dict[str, Case] = {}
KERAS3_ONLY: set[str] = set()
KERAS2_ONLY: set[str] = set()
VOCABULARY = 11


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def chain(k: Any, shape: tuple[int | None, ...], *layers: Any, dtype: str = "float32") -> Any:
    return k.Sequential([k.Input(shape=shape, dtype=dtype), *layers])


def tokens(k: Any, steps: int | None = 7) -> tuple[Any, Any]:
    """An integer input and its embedding, masked where it is 0."""
    x = k.Input(shape=(steps,), dtype="int32")
    return x, k.layers.Embedding(VOCABULARY, 5, mask_zero=True)(x)


def _add(name: str, build: Case, only: int = 0) -> None:
    CASES[name] = build
    if only:
        (KERAS3_ONLY if only == 3 else KERAS2_ONLY).add(name)


for _kind in ("LSTM", "GRU", "SimpleRNN"):
    for _options in (
        {},
        {"return_sequences": True, "go_backwards": True},
        {"use_bias": False, "return_sequences": True},
        {"unroll": True},
        {"activation": "relu"},
    ):
        _add(
            f"{_kind}_{'_'.join(_options) or 'plain'}",
            lambda k, kind=_kind, options=_options: chain(k, (7, 5), getattr(k.layers, kind)(6, **options)),
        )
    for _mode in ("concat", "sum", "mul", "ave"):
        _add(
            f"bidirectional_{_kind}_{_mode}",
            lambda k, kind=_kind, mode=_mode: chain(
                k,
                (None, 5),
                k.layers.Bidirectional(getattr(k.layers, kind)(4, return_sequences=True), merge_mode=mode),
                k.layers.Bidirectional(getattr(k.layers, kind)(3), merge_mode=mode),
            ),
        )
    for _backwards in (False, True):

        def _masked(k: Any, kind: str = _kind, backwards: bool = _backwards) -> Any:
            x, e = tokens(k)
            y = getattr(k.layers, kind)(6, return_sequences=True, return_state=True, go_backwards=backwards)(e)
            return k.Model(x, [*y, getattr(k.layers, kind)(3)(y[0])])

        _add(f"masked_{_kind}_{'back' if _backwards else 'forth'}", _masked)

for _name in ("hard_sigmoid", "softsign", "elu", "selu", "softplus", "gelu", "swish", "linear", "exponential"):
    _add(
        f"lstm_recurrent_{_name}",
        lambda k, name=_name: chain(k, (6, 4), k.layers.LSTM(5, activation="tanh", recurrent_activation=name)),
    )
    _add(
        f"gru_and_dense_{_name}",
        lambda k, name=_name: chain(
            k,
            (6, 4),
            k.layers.GRU(5, activation=name if name != "exponential" else "tanh"),
            k.layers.Dense(4, activation=name),
        ),
    )
for _name in ("softmax", "relu", "relu6", "tanh", "sigmoid", "leaky_relu", "silu", "mish"):
    _add(f"dense_{_name}", lambda k, name=_name: chain(k, (3, 4), k.layers.Dense(5, activation=name)),
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
    _add(f"activation_{_name}", lambda k, name=_name: chain(k, (3, 4), k.layers.Dense(5), k.layers.Activation(name)), 3)


@case
def gru_reset_before(k: Any) -> Any:
    first = k.layers.GRU(6, reset_after=False, return_sequences=True)
    return chain(k, (7, 5), first, k.layers.GRU(3, reset_after=False, use_bias=False))


@case
def initial_state(k: Any) -> Any:
    x, h, c = k.Input((7, 5)), k.Input((6,)), k.Input((6,))
    y = k.layers.LSTM(6, return_state=True)(x, initial_state=[h, c])
    return k.Model([x, h, c], y)


@case
def encoder_decoder(k: Any) -> Any:
    x, e = tokens(k)
    _, h, c = k.layers.LSTM(6, return_state=True)(e)
    d = k.Input((4, 5))
    y = k.layers.LSTM(6, return_sequences=True)(d, initial_state=[h, c])
    return k.Model([x, d], k.layers.Dense(3, activation="softmax")(y))


@case
def masked_with_initial_state(k: Any) -> Any:
    x, e = tokens(k)
    h = k.Input((6,))
    y = k.layers.GRU(6, return_state=True)(e, initial_state=h)
    z = k.layers.Bidirectional(k.layers.GRU(6, return_sequences=False))(e, initial_state=[h, h])
    return k.Model([x, h], [*y, z])


@case
def bidirectional_states(k: Any) -> Any:
    x, e = tokens(k)
    y = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True, return_state=True))(e)
    z = k.layers.Bidirectional(k.layers.GRU(3), merge_mode="sum")(y[0])
    return k.Model(x, [*y, z])


@case
def bidirectional_apart(k: Any) -> Any:
    x = k.Input((7, 5))
    y = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True), merge_mode=None)(x)
    return k.Model(x, [y[0], y[1], k.layers.Dense(2)(y[1])])


@case
def bidirectional_of_two_kinds(k: Any) -> Any:
    forward, backward = (
        k.layers.LSTM(4, return_sequences=True),
        k.layers.GRU(3, return_sequences=True, go_backwards=True),
    )
    x, e = tokens(k)
    return k.Model(x, k.layers.Bidirectional(forward, backward_layer=backward)(e))


@case
def stacked_cells(k: Any) -> Any:
    cells = [k.layers.LSTMCell(5), k.layers.GRUCell(4), k.layers.SimpleRNNCell(3), k.layers.LSTMCell(2)]
    return chain(k, (6, 4), k.layers.RNN(cells, return_sequences=True))


@case
def stacked_cells_masked_backwards(k: Any) -> Any:
    cells = [k.layers.LSTMCell(5), k.layers.GRUCell(4, reset_after=False)]
    x, e = tokens(k)
    return k.Model(x, k.layers.RNN(cells, return_sequences=True, go_backwards=True)(e))


@case
def rnn_of_one_cell(k: Any) -> Any:
    x = k.Input((None, 4))
    y = k.layers.Bidirectional(k.layers.RNN(k.layers.LSTMCell(5)))(x)
    return k.Model(x, [y, *k.layers.RNN(k.layers.GRUCell(3), return_state=True)(x)])


@case
def masking_layer(k: Any) -> Any:
    return chain(k, (None, 4), k.layers.Masking(0.0), k.layers.Dropout(0.3), k.layers.LSTM(5, return_sequences=True),
                 k.layers.BatchNormalization(), k.layers.Dense(4, activation="relu"), k.layers.LayerNormalization(),
                 k.layers.Activation("tanh"), k.layers.GRU(3))  # fmt: skip


@case
def dropout_and_kin(k: Any) -> Any:
    return chain(k, (6, 4), k.layers.SpatialDropout1D(0.2), k.layers.GaussianNoise(0.1), k.layers.GaussianDropout(0.1),
                 k.layers.AlphaDropout(0.1), k.layers.ActivityRegularization(0.1), k.layers.LSTM(3, dropout=0.2,
                 recurrent_dropout=0.1), k.layers.Dropout(0.5))  # fmt: skip


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
def time_distributed_model(k: Any) -> Any:
    inner = chain(k, (6, 4), k.layers.Conv1D(3, 2, activation="relu"), k.layers.MaxPooling1D(2), k.layers.Flatten())
    return chain(k, (5, 6, 4), k.layers.TimeDistributed(inner), k.layers.LSTM(3))


@case
def time_distributed_lstm(k: Any) -> Any:
    return chain(k, (None, 6, 4), k.layers.TimeDistributed(k.layers.LSTM(3)), k.layers.GRU(2))


for _padding in ("valid", "same", "causal"):
    for _stride, _dilation, _groups in ((1, 1, 1), (2, 1, 2), (1, 2, 1)):
        _add(
            f"conv_{_padding}_{_stride}_{_dilation}_{_groups}",
            lambda k, p=_padding, s=_stride, d=_dilation, g=_groups: chain(
                k, (9, 4), k.layers.Conv1D(6, 3, strides=s, padding=p, dilation_rate=d, groups=g, activation="relu")
            ),
        )
for _padding in ("valid", "same"):
    _add(f"pools_{_padding}", lambda k, p=_padding: chain(k, (11, 4), k.layers.MaxPooling1D(3, strides=1, padding=p),
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
def merged_masks(k: Any) -> Any:
    x, e = tokens(k)
    y, f = tokens(k)
    added = k.layers.LSTM(3, return_sequences=True)(k.layers.Add()([e, f]))
    joined = k.layers.LSTM(3)(k.layers.Concatenate()([e, f]))
    longer = k.layers.GRU(3)(k.layers.Concatenate(axis=1)([e, f]))
    return k.Model([x, y], [added, joined, longer])


@case
def masked_products_and_extremes(k: Any) -> Any:
    x, e = tokens(k)
    y, f = tokens(k)
    g, free = k.layers, k.Input((7, 5))
    outs = [m()([e, f]) for m in (g.Multiply, g.Maximum, g.Minimum, g.Average, g.Subtract)]
    return k.Model([x, y, free], [*outs, g.Multiply()([e, free]), g.Maximum()([free, e]), g.GRU(2)(outs[0])])


@case
def output_of_a_nested_model(k: Any) -> Any:
    i = k.Input((6, 4))
    inner = k.Model(i, k.layers.Dense(4)(i))
    chained = chain(k, (6, 4), k.layers.Dense(4))
    x = k.Input((6, 4))
    once = inner(x)
    return k.Model(x, [once, k.layers.LSTM(2)(once), chained(inner(once))])


@case
def half_masked_concatenate(k: Any) -> Any:
    x, e = tokens(k)
    f = k.Input((7, 5))
    return k.Model([x, f], [k.layers.LSTM(3)(k.layers.Concatenate()([e, f])), k.layers.LSTM(3)(k.layers.Add()([e, f]))])


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
def shared_layers(k: Any) -> Any:
    x, y = k.Input((6, 4)), k.Input((6, 4))
    lstm, dense = k.layers.LSTM(3, return_sequences=True), k.layers.Dense(3)
    return k.Model([x, y], [dense(lstm(x)), dense(dense(lstm(y)))])


@case
def nested(k: Any) -> Any:
    inner = chain(k, (6, 4), k.layers.LSTM(3, return_sequences=True), k.layers.BatchNormalization(), k.layers.Dense(4))
    a = k.Input((6, 4))
    b = k.Input((6, 4))
    functional = k.Model([a, b], [k.layers.Add()([a, b]), k.layers.GRU(2)(b)])
    x = k.Input((6, 4))
    first = inner(x)
    p, q = functional([first, inner(first)])
    return k.Model(x, [k.layers.LSTM(2)(p), k.layers.Dense(3)(q)])


@case
def nested_in_sequential(k: Any) -> Any:
    inner = chain(
        k, (6, 4), k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True)), k.layers.BatchNormalization()
    )
    other = chain(k, (6, 6), k.layers.Dense(2), k.layers.BatchNormalization(), k.layers.Dense(3))
    return k.Sequential([k.Input((6, 4)), inner, other, k.layers.LSTM(2)])


@case
def many_of_a_class(k: Any) -> Any:
    dense = [k.layers.Dense(3, name=f"z{9 - n}") for n in range(4)]
    lstm = [k.layers.LSTM(3, return_sequences=True, name=f"a{20 - n}") for n in range(12)]
    return chain(k, (5, 3), dense[0], *lstm, *dense[1:])


@case
def frozen_layers(k: Any) -> Any:
    norm = k.layers.BatchNormalization
    inner = chain(k, (6, 4), norm(), k.layers.LSTM(3, return_sequences=True), norm())
    inner.layers[0].trainable = False
    inner.layers[1].trainable = False
    other = chain(k, (6, 3), k.layers.BatchNormalization(), k.layers.Dense(3))
    other.trainable = False
    return k.Sequential([k.Input((6, 4)), inner, other])


@case
def float64(k: Any) -> Any:
    x = k.Input((6, 4), dtype="float64")
    return k.Model(x, k.layers.Dense(2, dtype="float64")(k.layers.LSTM(3, dtype="float64")(x)))


@case
def stateful(k: Any) -> Any:
    if k.__name__.startswith("tf"):
        return k.Sequential([k.layers.LSTM(3, stateful=True, batch_input_shape=(3, 6, 4))])
    return k.Sequential([k.Input(batch_shape=(3, 6, 4)), k.layers.LSTM(3, stateful=True)])


@case
def activation_is_a_layer(k: Any) -> Any:
    first = k.layers.Dense(3, activation=k.layers.LeakyReLU())
    return chain(k, (6, 4), first, k.layers.LSTM(3), k.layers.Dense(2, activation=k.layers.PReLU()))


@case
def arithmetic(k: Any) -> Any:
    x, y = k.Input((6, 4)), k.Input((6, 4))
    ops = k.ops
    return k.Model([x, y], [x + y, x - 2 * y, x * y + 1.0, x / (y * y + 1.0), -x, ops.tanh(x), ops.mean(x, axis=1),
                            ops.sum(x, axis=-1, keepdims=True), ops.maximum(x, y), ops.concatenate([x, y], axis=-1),
                            ops.expand_dims(x, -1), ops.transpose(x, (0, 2, 1)), ops.softmax(x)])  # fmt: skip


KERAS3_ONLY.add("arithmetic")


@case
def masks_through_models(k: Any) -> Any:
    g = k.layers
    inner = chain(k, (7, 5), g.Dense(4), g.LSTM(3, return_sequences=True), g.Dropout(0.1))
    i = k.Input((7, 5))
    functional = k.Model(i, g.GRU(3, return_sequences=True)(g.Dense(5)(i)))
    x, e = tokens(k)
    return k.Model(x, [g.LSTM(2)(inner(e)), g.LSTM(2)(functional(e)), inner(e)])


@case
def masked_bidirectional_simple(k: Any) -> Any:
    x, e = tokens(k)
    y = k.layers.Bidirectional(k.layers.SimpleRNN(3, return_sequences=True), merge_mode="ave")(e)
    return k.Model(x, [y, k.layers.Bidirectional(k.layers.SimpleRNN(2))(y)])


@case
def time_distributed_bidirectional(k: Any) -> Any:
    g = k.layers
    both = g.TimeDistributed(g.Bidirectional(g.GRU(3, return_sequences=True)))
    return chain(k, (None, None, 4), both, g.TimeDistributed(g.TimeDistributed(g.Dense(2))))


@case
def hierarchical_tokens(k: Any) -> Any:
    g = k.layers
    words = k.Sequential([k.Input((7,), dtype="int32"), g.Embedding(VOCABULARY, 4, mask_zero=True), g.LSTM(3)])
    x = k.Input((5, 7), dtype="int32")
    return k.Model(x, g.LSTM(2)(g.TimeDistributed(words)(x)))


@case
def named_inputs_and_outputs(k: Any) -> Any:
    x, y = k.Input((6, 4), name="zeta"), k.Input((4,), name="alpha")
    h = k.layers.LSTM(4, name="core")(x)
    return k.Model({"zeta": x, "alpha": y}, {"q": k.layers.Add(name="last")([h, y]), "a": h})


@case
def odd_outputs(k: Any) -> Any:
    x = k.Input((6, 4), name="same")
    h = k.layers.LSTM(4, name="twice")(x)
    return k.Model(x, [h, x, h, k.layers.Dropout(0.1, name="through")(h)])


@case
def tokens_as_floats(k: Any) -> Any:
    x = k.Input((7,), name="ids")
    return k.Model(x, k.layers.GRU(3)(k.layers.Embedding(VOCABULARY, 4)(k.layers.ReLU(max_value=9)(x))))


@case
def stacked_cells_states(k: Any) -> Any:
    x = k.Input((6, 4))
    cells = [k.layers.LSTMCell(3), k.layers.GRUCell(2)]
    found = k.layers.RNN(cells, return_sequences=True, return_state=True)(x)
    return k.Model(x, [leaf for y in found for leaf in (y if isinstance(y, (list, tuple)) else [y])])


@case
def layer_names_with_slashes(k: Any) -> Any:
    return chain(k, (6, 4), k.layers.LSTM(3, name="enc_1/lstm"), k.layers.Dense(2, name="enc_1/dense"))


KERAS2_ONLY.add("layer_names_with_slashes")


@case
def no_declared_input(k: Any) -> Any:
    model = k.Sequential([k.layers.LSTM(3, return_sequences=True), k.layers.Dense(2)])
    model.build((None, 6, 4))
    return model


KERAS3_ONLY.add("no_declared_input")


@case
def slices(k: Any) -> Any:
    x = k.Input((6, 4))
    y = k.layers.LSTM(4, return_sequences=True)(x)
    last = [y[:, -1], y[:, -1, :], y[:, 1:4], y[:, ::2, 1], y[:, :-1, 1:3]]
    return k.Model(x, [*last, k.layers.Concatenate()([y[:, 0], y[:, -1, :]])])


@case
def tensorflow_functions(k: Any) -> Any:
    tf = __import__("tensorflow")
    x, y = k.Input((6, 4)), k.Input((6, 4))
    mean, top = tf.reduce_mean(x, axis=1, keepdims=True), tf.reduce_max(tf.tanh(x), axis=-1)
    joined = [tf.concat([x, y], -1), tf.stack([x, y], 2), tf.matmul(x, y, transpose_b=True), tf.maximum(x, y)]
    moved = [tf.transpose(x, [0, 2, 1]), tf.reverse(x, [1]), tf.reshape(x, (-1, 24)), tf.squeeze(x[:, :1], 1)]
    return k.Model([x, y], [mean, top, *joined, *moved, tf.expand_dims(x, 1), tf.nn.softmax(x, axis=1)])


KERAS2_ONLY.add("tensorflow_functions")


@case
def ellipsis(k: Any) -> Any:
    x = k.Input((6, 4))
    return k.Model(x, [x[..., 0], x[..., 1:3], x[:, ..., -1], k.ops.matmul(x, k.ops.transpose(x, (0, 2, 1)))])


KERAS3_ONLY.add("ellipsis")


@case
def operators(k: Any) -> Any:
    x, y = k.Input((6, 4)), k.Input((6, 4))
    return k.Model([x, y], [x + y, x - y, x * y, x / (y * y + 1.0), -x, 1.0 - x, 2.0 * x, x**2.0])


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


WITH_KERAS_2 = {
    "GRU_plain", "LSTM_return_sequences_go_backwards", "activation_is_a_layer", "bidirectional_GRU_sum",
    "bidirectional_of_two_kinds", "bidirectional_states", "conv_same_2_1_2", "encoder_decoder", "frozen_layers",
    "global_pools", "gru_and_dense_hard_sigmoid", "gru_reset_before", "half_masked_concatenate", "initial_state",
    "lstm_recurrent_hard_sigmoid", "masked_LSTM_back", "masked_SimpleRNN_forth", "masked_with_initial_state",
    "merged_masks", "nested", "nested_in_sequential", "shared_layers", "stacked_cells",
    "stacked_cells_masked_backwards", "stateful", "time_distributed_masked",
}  # fmt: skip
"""Building models takes Keras 2 long; the cases in which it may differ from Keras 3. RNNRT_ALL_CASES=1 runs all."""


def worth_trying(name: str, major: int) -> bool:
    if name in (KERAS2_ONLY if major == 3 else KERAS3_ONLY):
        return False
    return major == 3 or name in WITH_KERAS_2 | KERAS2_ONLY or "RNNRT_ALL_CASES" in os.environ
