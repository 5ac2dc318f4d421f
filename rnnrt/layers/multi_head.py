"""Attention with several heads. B batch, T steps of the query, S of value and key, N heads, H features of a head."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from rnnrt.layers.activation_layers import LOWEST, softmax
from rnnrt.layers.attention import BOOL, both, causal, dropped, places
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape, product
from rnnrt.layers.core import positive
from rnnrt.layers.einsum import EinsumDense


class HeadedAttention(Layer):
    """What layers share that project query, key and value to heads, and the heads' results back.

    Class attributes
    ----------------
    hidden : layers inside that Keras keeps under a name with an underscore in front.
    """

    hidden: ClassVar[tuple[str, ...]] = ("gate_dense",)

    arguments: ClassVar[tuple[str, ...]] = (
        "dropout",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
        "use_gate",
        "seed",
    )
    call_arguments = (
        "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores",
        "use_causal_mask", "mask",
    )  # fmt: skip
    dropout: float
    use_bias: bool
    use_gate: bool
    query_dense: EinsumDense
    key_dense: EinsumDense
    value_dense: EinsumDense
    output_dense: EinsumDense
    gate_dense: EinsumDense

    def _prepare(self) -> None:
        self.dropout, self.use_bias, self.use_gate = float(self.dropout), bool(self.use_bias), bool(self.use_gate)
        if not 0 <= self.dropout < 1:
            raise self.unsupported(f"dropout={self.dropout}", "give a number from 0 to below 1")

    def projection(self, name: str, equation: str, shape: Any, bias_axes: str, activation: Any = None) -> EinsumDense:
        """One of the products with a kernel, with the settings of this layer."""
        shared = {key: getattr(self, key) for key in HeadedAttention.arguments if key.startswith(("kernel", "bias"))}
        layer = EinsumDense(
            equation,
            shape,
            activation,
            bias_axes if self.use_bias else None,
            name=name,
            dtype=self.dtype.name,
            **shared,
        )
        layer.activity_regularizer = self.activity_regularizer
        return layer

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        inside: dict[str, Layer | list[Layer]] = {}
        for key in ("query_dense", "key_dense", "gate_dense", "value_dense", "output_dense"):
            if key != "gate_dense" or self.use_gate:
                inside[f"_{key}" if key in self.hidden else key] = getattr(self, key)
        return inside

    def regularize(self, b: GraphBuilder, outputs: Any) -> None:
        """The layers inside do."""

    def attention_mask(
        self, b: GraphBuilder, query: Tensor, value: Tensor, masks: list[Any], given: Any, use_causal_mask: bool
    ) -> Tensor | None:
        """Which steps of the value a step of the query sees: masks of query, value and key, and what else is asked."""
        result: Tensor | None = None
        for mask, axis in zip(masks, (-1, -2, -2), strict=True):
            if isinstance(mask, Tensor):
                wide = b.unsqueeze(b.cast(mask, BOOL), mask.rank if axis == -1 else mask.rank - 1)
                result = both(b, result, wide)
        if use_causal_mask:
            result = both(b, result, b.unsqueeze(causal(b, query, value), 0))
        if isinstance(given, Tensor):
            result = both(b, result, b.cast(given, BOOL))
        return result

    def attend(
        self, b: GraphBuilder, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, zero: bool
    ) -> tuple[Tensor, Tensor]:
        """Softmax of scores (..., T, S) of query (..., T, H) and key (..., S, H), and the mean of value by it.

        A step that sees nothing gives zeros where `zero`, else the mean of all.
        """
        swap = (*range(key.rank - 2), key.rank - 1, key.rank - 2)
        scale = 1.0 / math.sqrt(float(query.shape[-1] or 1))
        query = b.op("Mul", [query, b.scalar(scale, query.dtype)], query.shape)
        scores = b.op("MatMul", [query, b.transpose(key, swap)], (*query.shape[:-1], key.shape[-2]))
        if mask is not None:
            scores = b.op("Where", [mask, scores, b.scalar(LOWEST, scores.dtype)], scores.shape, scores.dtype)
        weights = softmax(b, scores, [-1])
        if mask is not None and zero:
            weights = b.op("Where", [mask, weights, b.scalar(0.0, weights.dtype)], weights.shape, weights.dtype)
        kept = dropped(b, weights, self.dropout)
        return b.op("MatMul", [kept, value], (*query.shape[:-1], value.shape[-1])), weights

    def result(
        self, b: GraphBuilder, heads: Tensor, query: Tensor, scores: Tensor, mask: Any, return_scores: bool
    ) -> Any:
        """The heads' results projected back, and the scores where they are asked for."""
        if self.use_gate:
            heads = b.op("Mul", [heads, self.gate_dense.apply(b, query)], heads.shape)
        y = self.output_dense.apply(b, heads).with_mask(mask if isinstance(mask, Tensor) else None)
        return [y, scores] if return_scores else y

    def three(self, inputs: Any, value: Any, key: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Query, value and key of a call; the key is the value where it is not given."""
        given = [inputs, value, value if key is None else key]
        if not all(isinstance(x, Tensor) for x in given):
            raise self.unsupported("is not called with query and value", "call it as layer(query, value)")
        return given[0], given[1], given[2]


def near(b: GraphBuilder, query: Tensor, value: Tensor, width: int) -> Tensor:
    """(1, T, S): whether two steps are less than `width` apart."""
    rows, columns = places(b, query, value)
    shape = (query.shape[1], value.shape[1])
    far = b.op("Abs", [b.op("Sub", [rows, columns], shape)], shape)
    return b.unsqueeze(b.op("Less", [far, b.scalar(width, far.dtype)], shape, BOOL), 0)


class MultiHeadAttention(HeadedAttention):
    """Attention of every head, softmax(query key / sqrt(key_dim)) value, and a product of all heads (Vaswani, 2017).

    Parameters
    ----------
    num_heads, key_dim : int
        Heads, and features of query and key in each.
    value_dim : int, optional
        Features of the value in each head; by default `key_dim`.
    dropout : float
    use_bias : bool
    output_shape : int or tuple, optional
        Features of the result; by default those of the query.
    attention_axes : int or tuple, optional
        Axes of the query that are steps; by default all between batch and features.
    sliding_window : int, optional
        A step sees those less than this far away.
    flash_attention : bool, optional
        Taken for Keras's sake; it changes no result.
    use_gate : bool
        Multiply the heads' results by sigmoids of a product of the query.
    """

    arguments = ("num_heads", "key_dim", "value_dim", "output_shape", "attention_axes", "sliding_window")

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
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
        self.num_heads, self.key_dim = positive(self, "num_heads", num_heads), positive(self, "key_dim", key_dim)
        self.value_dim = positive(self, "value_dim", value_dim) if value_dim else self.key_dim
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape or ()) or None
        axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        self.attention_axes = tuple(int(a) for a in axes) if axes else None
        self.sliding_window = None if sliding_window is None else positive(self, "sliding_window", sliding_window)
        self.keep(locals())
        self._prepare()
        heads = (self.num_heads, self.key_dim)
        self.query_dense = self.projection("query", "...a,abc->...bc", heads, "bc")
        self.key_dense = self.projection("key", "...a,abc->...bc", heads, "bc")
        values = (self.num_heads, self.value_dim)
        if self.use_gate:
            self.gate_dense = self.projection("gate", "...a,abc->...bc", values, "bc", "sigmoid")
        self.value_dense = self.projection("value", "...a,abc->...bc", values, "bc")
        letters = "cdefghij"[: len(self.output_shape or (0,))]
        out = self.output_shape or (None,)
        self.output_dense = self.projection("attention_output", f"...ab,ab{letters}->...{letters}", out, letters)

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
        if not self.output_shape:
            self.output_dense.output_shape = (x.shape[-1],)
        query_mask = query_mask or x.mask
        masks = [query_mask, value_mask or v.mask, key_mask or (None if key is None else k.mask)]
        x, v, k = x.with_mask(None), v.with_mask(None), k.with_mask(None)
        mask = self.attention_mask(b, x, v, masks, attention_mask, use_causal_mask)
        if self.sliding_window is not None:
            mask = both(b, mask, near(b, x, v, self.sliding_window))
        q, k, v = self.query_dense.apply(b, x), self.key_dense.apply(b, k), self.value_dense.apply(b, v)
        axes = self._axes(q.rank)
        before = [a for a in range(1, q.rank - 2) if a not in axes]
        order = (0, *before, q.rank - 2, *axes, q.rank - 1)
        parts = [b.transpose(part, order) for part in (q, k, v)]
        first = 2 + len(before)
        wide = [part.shape[first:-1] for part in parts[:2]]
        dims = [b.dims_of(part)[first:-1] for part in parts[:2]]
        flat = [self._flat(b, part, first) for part in parts]
        lead, known = b.dims_of(parts[0])[:first], parts[0].shape[:first]
        if mask is not None:
            mask = self._fitting(b, mask, (lead, known), dims, wide)
        # Keras gives zeros where it computes scores, and the mean of all values where one operator does it all.
        zero = self.dropout > 0 or return_attention_scores or q.rank != 4
        heads, weights = self.attend(b, flat[0], flat[1], flat[2], mask, zero)
        if len(axes) > 1:
            weights = b.reshape(weights, [*lead, *dims[0], *dims[1]], (*known, *wide[0], *wide[1]))
            heads = b.reshape(heads, [*lead, *dims[0], self.value_dim], (*known, *wide[0], self.value_dim))
        heads = b.transpose(heads, [order.index(a) for a in range(q.rank)])
        return self.result(b, heads, x, weights, query_mask, return_attention_scores)

    def _axes(self, rank: int) -> tuple[int, ...]:
        if self.attention_axes is None:
            return tuple(range(1, rank - 2))
        axes = tuple(a % (rank - 1) for a in self.attention_axes)
        if not axes or min(axes) < 1 or max(axes) > rank - 3:
            raise self.unsupported(f"attention_axes={self.attention_axes}", "name axes between batch and features")
        return axes

    def _flat(self, b: GraphBuilder, x: Tensor, first: int) -> Tensor:
        """All axes of steps as one."""
        if x.rank == first + 2:
            return x
        dims, steps = b.dims_of(x), product(x.shape[first:-1])
        if steps is None:
            raise self.unsupported(f"attends over free axes of {x.shape}", "declare their extents, or use one axis")
        return b.reshape(x, [*dims[:first], steps, *dims[-1:]], (*x.shape[:first], steps, x.shape[-1]))

    def _fitting(
        self,
        b: GraphBuilder,
        mask: Tensor,
        lead: tuple[list[int | str], TensorShape],
        dims: list[list[int | str]],
        wide: list[TensorShape],
    ) -> Tensor:
        """A mask as the scores (B, ..., N, T, S) have it: new axes come before those of the steps."""
        dims_before, known = lead
        count = 2 * len(wide[0])
        while mask.rank < len(known) + count:
            mask = b.unsqueeze(mask, mask.rank - count)
        if count == 2:
            return mask
        full = (*known, *wide[0], *wide[1])
        every = [*dims_before, *dims[0], *dims[1]]
        target = b.node("Concat", [d if isinstance(d, str) else b.ints(d) for d in every], axis=0)[0]
        mask = b.op("Expand", [mask, target], full)
        steps = [product(part) for part in wide]
        assert steps[0] is not None and steps[1] is not None
        return b.reshape(mask, [*dims_before, steps[0], steps[1]], (*known, *steps))
