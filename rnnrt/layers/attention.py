"""Attention of a query over a sequence. B batch, Q steps of the query, V steps of value and key, D features."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.merge import choose, combine_masks, several

_MUCH = 1e9
BOOL, _INT64 = np.dtype(bool), np.dtype(np.int64)


def causal(b: GraphBuilder, query: Tensor, value: Tensor) -> Tensor:
    """(Q, V): whether a step of the query may look at one of the value, which comes no later."""
    return b.op("GreaterOrEqual", list(places(b, query, value)), (query.shape[1], value.shape[1]), BOOL)


def places(b: GraphBuilder, query: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of the steps: of the query (Q, 1), of the value (1, V)."""
    return b.unsqueeze(_counted(b, query), 1), b.unsqueeze(_counted(b, value), 0)


def _counted(b: GraphBuilder, x: Tensor) -> Tensor:
    steps = x.shape[1]
    if steps is not None:
        return Tensor(b.constant(np.arange(steps), "steps"), (steps,), _INT64)
    count = b.squeeze(Tensor(b.extent(x, 1), (1,), _INT64), 0)
    return b.op("Range", [b.scalar(0, _INT64), count, b.scalar(1, _INT64)], (None,), _INT64)


def both(b: GraphBuilder, first: Tensor | None, second: Tensor) -> Tensor:
    """Two masks joined by And; None counts everything."""
    return second if first is None else combine_masks(b, [first, second], "And")


def dropped(b: GraphBuilder, weights: Tensor, rate: float) -> Tensor:
    """What dropout leaves of weights in training."""
    if not b.training or not rate:
        return weights
    drop = b.random("dropout", b.dims_of(weights), weights.shape, weights.dtype, rate)
    return b.op("Mul", [weights, drop], weights.shape)


class Attention(Layer):
    """softmax(scores of [query (B, Q, D), key (B, V, D)]) value; inputs are [query, value] or [query, value, key].

    Scores are products ("dot"), or sums of tanh(query + key) ("concat"). Masked steps of the value take no part, masked
    steps of the query give zeros.
    """

    arguments = ("use_scale", "score_mode", "dropout", "seed")
    call_arguments = ("mask", "return_attention_scores", "use_causal_mask")
    scale_initializer, concat_score_weight_initializer = "ones", "ones"

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.use_scale, self.score_mode = bool(use_scale), score_mode
        self.dropout, self.seed = float(dropout), seed
        if not 0 <= self.dropout < 1:
            raise self.unsupported(f"dropout={dropout}", "give a number from 0 to below 1")
        if score_mode not in ("dot", "concat"):
            raise self.unsupported(f"score_mode={score_mode!r}", "use 'dot' or 'concat'")

    def weight_names(self) -> tuple[str, ...]:
        return ("scale",) * self.use_scale + ("concat_score_weight",) * (self.score_mode == "concat")

    def emit(
        self,
        b: GraphBuilder,
        inputs: Any,
        mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        **kwargs: Any,
    ) -> Any:
        given = several(self, inputs)
        if len(given) not in (2, 3) or any(x.rank != 3 for x in given):
            raise self.unsupported(f"inputs of shapes {[x.shape for x in given]}", "give [query, value] of three axes")
        query, value, key = given[0], given[1], given[-1]
        masks = list(mask) if isinstance(mask, (list, tuple)) else [x.mask for x in given]
        scores = self.scores(b, query, key)
        shown = None if masks[1] is None else b.unsqueeze(b.cast(masks[1], BOOL), 1)
        if use_causal_mask:
            shown = both(b, shown, causal(b, query, value))
        if shown is not None:
            far = b.op("Sub", [scores, b.scalar(_MUCH, scores.dtype)], scores.shape)
            scores = choose(b, shown, scores, far)
        weights = b.op("Softmax", [scores], scores.shape, axis=2)
        kept = dropped(b, weights, self.dropout)
        result = b.op("MatMul", [kept, value], (query.shape[0], query.shape[1], value.shape[2]))
        if masks[0] is not None:
            counts = b.unsqueeze(b.cast(masks[0], BOOL), 2)
            result = choose(b, counts, result, b.scalar(0, result.dtype)).with_mask(masks[0])
        return [result, kept] if return_attention_scores else result

    def scores(self, b: GraphBuilder, query: Tensor, key: Tensor) -> Tensor:
        """Scores (B, Q, V)."""
        if self.score_mode == "dot":
            shape = (query.shape[0], query.shape[1], key.shape[1])
            scores = b.op("MatMul", [query, b.transpose(key, (0, 2, 1))], shape)
            return self._scaled(b, scores)
        summed = b.op("Tanh", [self._scaled(b, self.sums(b, query, key))], (None,) * 4)
        weight = b.variable(self, "concat_score_weight", ())
        scores = b.reduce("ReduceSum", self._shaped(summed, query, key), [3])
        return b.op("Mul", [scores, weight], scores.shape)

    def sums(self, b: GraphBuilder, query: Tensor, key: Tensor) -> Tensor:
        """Query and key added for every pair of steps: (B, Q, V, D)."""
        pair = [b.unsqueeze(query, 2), b.unsqueeze(key, 1)]
        return self._shaped(b.op("Add", pair, (None,) * 4), query, key)

    def _shaped(self, x: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return Tensor(x.name, (query.shape[0], query.shape[1], key.shape[1], query.shape[2]), x.dtype)

    def _scaled(self, b: GraphBuilder, x: Tensor) -> Tensor:
        if not self.use_scale:
            return x
        return b.op("Mul", [x, b.variable(self, "scale", ())], x.shape)


class AdditiveAttention(Attention):
    """Attention whose scores are sums of scale tanh(query + key), scale (D,)."""

    scale_initializer = "glorot_uniform"

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **options)

    def weight_names(self) -> tuple[str, ...]:
        return ("scale",) * self.use_scale

    def scores(self, b: GraphBuilder, query: Tensor, key: Tensor) -> Tensor:
        """Scores (B, Q, V)."""
        bent = b.op("Tanh", [self.sums(b, query, key)], (query.shape[0], query.shape[1], key.shape[1], query.shape[2]))
        if self.use_scale:
            width = query.shape[2]
            bent = b.op("Mul", [bent, b.variable(self, "scale", (width,))], bent.shape)
        return b.reduce("ReduceSum", bent, [3])
