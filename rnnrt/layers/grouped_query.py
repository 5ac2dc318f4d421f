"""Attention whose heads share keys and values. B batch, T and S steps, U heads of the query, V of key and value."""

from __future__ import annotations

from typing import Any

from rnnrt.layers.attention import both
from rnnrt.layers.base import GraphBuilder, Tensor
from rnnrt.layers.core import positive
from rnnrt.layers.multi_head import HeadedAttention, near


class GroupedQueryAttention(HeadedAttention):
    """Attention of every head of the query, with one key and value for each group of heads (Ainslie et al., 2023).

    Parameters
    ----------
    head_dim : int
        Features of a head.
    num_query_heads, num_key_value_heads : int
        The first is a multiple of the second.
    dropout, use_bias, sliding_window, flash_attention, use_gate
        As in `MultiHeadAttention`.
    """

    hidden = ("query_dense", "key_dense", "gate_dense", "value_dense", "output_dense")
    arguments = ("head_dim", "num_query_heads", "num_key_value_heads", "sliding_window")

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.head_dim = positive(self, "head_dim", head_dim)
        self.num_query_heads = positive(self, "num_query_heads", num_query_heads)
        self.num_key_value_heads = positive(self, "num_key_value_heads", num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            what = f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}"
            raise self.unsupported(what, "let the first be a multiple of the second")
        self.sliding_window = None if sliding_window is None else positive(self, "sliding_window", sliding_window)
        self.keep(locals())
        self._prepare()
        wide, narrow = (self.num_query_heads, self.head_dim), (self.num_key_value_heads, self.head_dim)
        self.query_dense = self.projection("query", "...a,abc->...bc", wide, "bc")
        self.key_dense = self.projection("key", "...a,abc->...bc", narrow, "bc")
        if self.use_gate:
            self.gate_dense = self.projection("gate", "...a,abc->...bc", wide, "bc", "sigmoid")
        self.value_dense = self.projection("value", "...a,abc->...bc", narrow, "bc")
        self.output_dense = self.projection("attention_output", "...ab,abc->...c", (None,), "c")

    def emit(
        self,
        b: GraphBuilder,
        inputs: Any,
        value: Any = None,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        **kwargs: Any,
    ) -> Any:
        x, v, k = self.three(inputs, value, key)
        if any(part.rank != 3 for part in (x, v, k)):
            raise self.unsupported(f"inputs of shapes {[p.shape for p in (x, v, k)]}", "give (batch, time, features)")
        self.output_dense.output_shape = (x.shape[-1],)
        query_mask = query_mask or x.mask
        masks = [query_mask, value_mask or v.mask, key_mask or (None if key is None else k.mask)]
        x, v, k = x.with_mask(None), v.with_mask(None), k.with_mask(None)
        mask = self.attention_mask(b, x, v, masks, attention_mask, use_causal_mask)
        if self.sliding_window is not None:
            mask = both(b, mask, near(b, x, v, self.sliding_window))
        while mask is not None and mask.rank < 4:
            mask = b.unsqueeze(mask, mask.rank - 2)
        q, k, v = self.query_dense.apply(b, x), self.key_dense.apply(b, k), self.value_dense.apply(b, v)
        heads, weights = self.attend(
            b,
            self._grouped(b, b.transpose(q, (0, 2, 1, 3))),
            b.unsqueeze(b.transpose(k, (0, 2, 1, 3)), 2),
            b.unsqueeze(b.transpose(v, (0, 2, 1, 3)), 2),
            None if mask is None else self._grouped(b, mask),
            zero=self.dropout > 0 or return_attention_scores,
        )
        heads = b.transpose(self._joined(b, heads), (0, 2, 1, 3))
        return self.result(b, heads, x, self._joined(b, weights), query_mask, return_attention_scores)

    def _grouped(self, b: GraphBuilder, x: Tensor) -> Tensor:
        """(B, U, ...) as (B, V, U / V, ...); what holds for all heads gets another axis of extent one."""
        if x.shape[1] == 1:
            return b.unsqueeze(x, 1)
        apart = [self.num_key_value_heads, self.num_query_heads // self.num_key_value_heads]
        dims = b.dims_of(x)
        return b.reshape(x, [dims[0], *apart, *dims[2:]], (x.shape[0], *apart, *x.shape[2:]))

    def _joined(self, b: GraphBuilder, x: Tensor) -> Tensor:
        """(B, V, U / V, ...) as (B, U, ...)."""
        dims = b.dims_of(x)
        return b.reshape(
            x, [dims[0], self.num_query_heads, *dims[3:]], (x.shape[0], self.num_query_heads, *x.shape[3:])
        )
