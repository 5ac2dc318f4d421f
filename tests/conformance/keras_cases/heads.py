"""Attention with several heads, EinsumDense, and the arguments that calls of attention take."""

from __future__ import annotations

from typing import Any

from tests.conformance.keras_cases.registry import KERAS3_ONLY, add, case, tokens


@case
def einsum_dense(k: Any) -> Any:
    x, y, g = k.Input((5, 4)), k.Input((3, 5, 4)), k.layers
    return k.Model([x, y], [
        g.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", activation="relu")(x),
        g.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")(x),
        g.EinsumDense("abc,bcd->ad", 6, bias_axes="d")(x),
        g.EinsumDense("abc,bd->adc", (3, None))(x),
        g.EinsumDense("abc,bd->acd", (4, 3), bias_axes="cd")(x),
        g.EinsumDense("abc,bcd->abd", (5, 3), bias_axes="bd")(x),
        g.EinsumDense("...x,xy->...y", 3, bias_axes="y")(y),
        g.EinsumDense("abcd,cde->abe", (None, 2), bias_axes="e")(y),
        g.EinsumDense("ab...,bc->ac...", (2,), bias_axes="c")(y),
    ])  # fmt: skip


def _attended(k: Any, **options: Any) -> Any:
    q, v, g = k.Input((5, 6)), k.Input((4, 3)), k.layers
    return k.Model([q, v], g.MultiHeadAttention(2, 3, **options)(q, v))


for _name, _options in {
    "plain": {},
    "sizes": {"value_dim": 4, "use_bias": False, "output_shape": 5},
    "dropout": {"dropout": 0.3, "output_shape": (2, 3)},
}.items():
    add(f"heads_{_name}", lambda k, o=_options: _attended(k, **o))


@case
def heads_and_calls(k: Any) -> Any:
    x, v, w, g = k.Input((5, 6)), k.Input((5, 3)), k.Input((5, 4)), k.layers
    shown = k.Input((5, 5), dtype="int32")
    whole, scores = g.MultiHeadAttention(2, 3)(x, v, return_attention_scores=True)
    return k.Model([x, v, w, shown], [
        whole, scores,
        g.MultiHeadAttention(2, 3, sliding_window=2)(x, x),
        g.MultiHeadAttention(2, 3, use_gate=True)(x, v, use_causal_mask=True),
        g.MultiHeadAttention(2, 3, sliding_window=3, dropout=0.1)(x, x, use_causal_mask=True),
        g.MultiHeadAttention(2, 3, value_dim=2)(x, v, key=w),
        g.MultiHeadAttention(2, 3, value_dim=2)(x, v, w, attention_mask=shown > 5),
    ])  # fmt: skip


@case
def heads_of_free_lengths(k: Any) -> Any:
    x, v, g = k.Input((None, 6)), k.Input((None, 3)), k.layers
    return k.Model([x, v], [g.MultiHeadAttention(3, 2)(x, v), g.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True)])


@case
def heads_over_axes(k: Any) -> Any:
    x, g = k.Input((3, 4, 5)), k.layers
    shown = k.Input((4, 4), dtype="int32")
    return k.Model([x, shown], [
        g.MultiHeadAttention(2, 3, attention_axes=2)(x, x),
        g.MultiHeadAttention(2, 3, attention_axes=(1,))(x, x),
        g.MultiHeadAttention(2, 3)(x, x),
        g.MultiHeadAttention(2, 3, attention_axes=[1, 2], value_dim=2)(x, x, return_attention_scores=True)[1],
        g.MultiHeadAttention(2, 3, attention_axes=-2)(x, x, attention_mask=k.ops.expand_dims(shown, 1) > 3),
    ])  # fmt: skip


@case
def heads_masked(k: Any) -> Any:
    """Every attention has inputs of its own: in Keras a second one on the same tensor sees no mask."""
    (t, e), (u, f), (v, h), (w, i), (x, j) = (tokens(k) for _ in range(5))
    g = k.layers
    own = g.MultiHeadAttention(2, 3)(e, e)
    other = g.MultiHeadAttention(2, 3)(f, h, return_attention_scores=True)
    plain = g.MultiHeadAttention(2, 3, dropout=0.2)(i, g.Dense(4)(j), key=j, use_causal_mask=True)
    return k.Model([t, u, v, w, x], [own, *other, plain, g.LSTM(2)(own), g.GlobalAveragePooling1D()(plain)])


@case
def heads_in_groups(k: Any) -> Any:
    x, v, g = k.Input((5, 6)), k.Input((None, 6)), k.layers
    t, e = tokens(k)
    kind = g.GroupQueryAttention
    return k.Model(
        [x, v, t],
        [
            kind(3, 4, 2)(x, v),
            kind(3, 4, 1, use_bias=False)(x, v, use_causal_mask=True),
            kind(3, 2, 2, use_gate=True)(x, v),
            *kind(2, 6, 3, dropout=0.1, sliding_window=2)(x, x, return_attention_scores=True),
            kind(2, 4, 2)(e, e),
        ],
    )


@case
def attention_calls(k: Any) -> Any:
    x, e = tokens(k)
    y, f = tokens(k)
    q, v, w, g = k.Input((6, 4)), k.Input((None, 4)), k.Input((None, 4)), k.layers
    plain = g.Attention(use_scale=True)([q, v], return_attention_scores=True)
    return k.Model([x, y, q, v, w], [
        *plain, g.Attention()([q, v, w], use_causal_mask=True), g.AdditiveAttention()([q, v], use_causal_mask=True),
        *g.AdditiveAttention()([e, f], return_attention_scores=True), g.Attention()([e, f, f], use_causal_mask=True),
        g.Attention(score_mode="concat", use_scale=True)([e, f]), g.GRU(2)(g.AdditiveAttention()([f, e])),
    ])  # fmt: skip


@case
def encoder_block(k: Any) -> Any:
    """A block of a Transformer behind an embedding."""
    t, e = tokens(k)
    g = k.layers
    y = g.LayerNormalization()(g.Add()([e, g.MultiHeadAttention(2, 4)(e, e)]))
    wide = g.Dense(5)(g.Dense(8, activation="gelu")(y))
    return k.Model(t, g.GlobalAveragePooling1D()(g.LayerNormalization()(g.Add()([y, wide]))))


KERAS3_ONLY.update({"einsum_dense", "heads_and_calls", "heads_in_groups", "attention_calls", "heads_over_axes",
                    "heads_masked", "encoder_block", "heads_of_free_lengths"})  # fmt: skip
