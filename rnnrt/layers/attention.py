"""Attention of a query over a sequence. B batch, Q steps of the query, V steps of value and key, D features."""

from __future__ import annotations

from typing import Any

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.merge import choose, several

_MUCH = 1e9


class Attention(Layer):
    """softmax(scores of [query (B, Q, D), key (B, V, D)]) value; inputs are [query, value] or [query, value, key].

    Scores are products ("dot"), or sums of tanh(query + key) ("concat"). Masked steps of the value take no part, masked
    steps of the query give zeros.
    """

    arguments = ("use_scale", "score_mode", "dropout", "seed")
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

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        given = several(self, inputs)
        if len(given) not in (2, 3) or any(x.rank != 3 for x in given):
            raise self.unsupported(f"inputs of shapes {[x.shape for x in given]}", "give [query, value] of three axes")
        query, value, key = given[0], given[1], given[-1]
        masks = list(mask) if isinstance(mask, (list, tuple)) else [x.mask for x in given]
        scores = self.scores(b, query, key)
        if masks[1] is not None:
            far = b.op("Sub", [scores, b.scalar(_MUCH, scores.dtype)], scores.shape)
            scores = choose(b, b.unsqueeze(masks[1], 1), scores, far)
        weights = b.op("Softmax", [scores], scores.shape, axis=2)
        if b.training and self.dropout:
            drop = b.random("dropout", b.dims_of(weights), weights.shape, weights.dtype, self.dropout)
            weights = b.op("Mul", [weights, drop], weights.shape)
        result = b.op("MatMul", [weights, value], (query.shape[0], query.shape[1], value.shape[2]))
        if masks[0] is None:
            return result
        shown = choose(b, b.unsqueeze(masks[0], 2), result, b.scalar(0, result.dtype))
        return shown.with_mask(masks[0])

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
