"""Recurrent layers, their states and their masks."""

from __future__ import annotations

from typing import Any

from tests.conformance.keras_cases.registry import add, case, chain, tokens

for _kind in ("LSTM", "GRU", "SimpleRNN"):
    for _options in (
        {},
        {"return_sequences": True, "go_backwards": True},
        {"use_bias": False, "return_sequences": True},
        {"unroll": True},
        {"activation": "relu"},
    ):
        add(
            f"{_kind}_{'_'.join(_options) or 'plain'}",
            lambda k, kind=_kind, options=_options: chain(k, (7, 5), getattr(k.layers, kind)(6, **options)),
        )
    for _mode in ("concat", "sum", "mul", "ave"):
        add(
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

        add(f"masked_{_kind}_{'back' if _backwards else 'forth'}", _masked)

for _name in ("hard_sigmoid", "softsign", "elu", "selu", "softplus", "gelu", "swish", "linear", "exponential"):
    add(
        f"lstm_recurrent_{_name}",
        lambda k, name=_name: chain(k, (6, 4), k.layers.LSTM(5, activation="tanh", recurrent_activation=name)),
    )
    add(
        f"gru_and_dense_{_name}",
        lambda k, name=_name: chain(
            k,
            (6, 4),
            k.layers.GRU(5, activation=name if name != "exponential" else "tanh"),
            k.layers.Dense(4, activation=name),
        ),
    )


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
def merged_masks(k: Any) -> Any:
    x, e = tokens(k)
    y, f = tokens(k)
    added = k.layers.LSTM(3, return_sequences=True)(k.layers.Add()([e, f]))
    joined = k.layers.LSTM(3)(k.layers.Concatenate()([e, f]))
    longer = k.layers.GRU(3)(k.layers.Concatenate(axis=1)([e, f]))
    return k.Model([x, y], [added, joined, longer])


@case
def no_mask_after_the_last_step(k: Any) -> Any:
    """What gives its last step has no mask to hand on, and a softmax over units takes all of them."""
    x, y = tokens(k)
    g = k.layers
    return k.Model(x, [g.Softmax()(g.LSTM(4)(y)), g.Softmax()(g.Bidirectional(g.GRU(3))(y))])


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
def zeros_for_masked_steps(k: Any) -> Any:
    x, e = tokens(k)
    h, g = k.Input((3,)), k.layers
    last = g.LSTM(3, zero_output_for_mask=True)(e)
    every = g.LSTM(3, zero_output_for_mask=True, return_sequences=True, go_backwards=True)(e)
    states = g.GRU(3, zero_output_for_mask=True, return_state=True, go_backwards=True)(e)
    return k.Model([x, h], [last, every, *states, g.GRU(3)(e, initial_state=h)])


@case
def bidirectional_last_outputs_apart(k: Any) -> Any:
    x, e = tokens(k)
    apart = k.layers.Bidirectional(k.layers.GRU(3), merge_mode=None)(e)
    return k.Model(x, [*apart, *k.layers.Bidirectional(k.layers.LSTM(2, return_state=True), merge_mode="mul")(e)])


@case
def bidirectional_the_other_way_round(k: Any) -> Any:
    x, e = tokens(k)
    g = k.layers
    first = g.GRU(3, go_backwards=True, return_sequences=True)
    every = g.Bidirectional(first, backward_layer=g.GRU(3, return_sequences=True))(e)
    return k.Model(x, [every, g.Bidirectional(g.LSTM(3, go_backwards=True), backward_layer=g.LSTM(2))(e)])


@case
def bidirectional_stack_of_cells(k: Any) -> Any:
    cells = [k.layers.LSTMCell(3), k.layers.LSTMCell(2)]
    return chain(k, (6, 4), k.layers.Bidirectional(k.layers.RNN(cells, return_sequences=True)))
