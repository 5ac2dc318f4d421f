"""Nested and shared models, names, and functions between layers."""

from __future__ import annotations

from typing import Any

from tests.conformance.keras_cases.registry import KERAS2_ONLY, KERAS3_ONLY, VOCABULARY, case, chain, tokens


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
