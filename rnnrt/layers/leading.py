"""Layers that move or take the first axis, where torch keeps time or the layers of a stack. Keras has none of these."""

from __future__ import annotations

from typing import Any

from rnnrt.layers.base import GraphBuilder, Layer
from rnnrt.layers.shape_operations import concat


class SwapLeading(Layer):
    """(T, B, ...) to (B, T, ...), and back."""

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if inputs.rank < 2:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs time and batch in front")
        return b.transpose(inputs, (1, 0, *range(2, inputs.rank))).with_mask(None)


class TakeLeading(Layer):
    """Entry `index` of the first axis, which disappears."""

    arguments = ("index",)

    def __init__(self, index: int, **options: Any) -> None:
        super().__init__(**options)
        self.index = int(index)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return b.take(inputs.with_mask(None), self.index, 0)


class StackLeading(Layer):
    """A list of tensors along a new first axis."""

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return concat(b, [b.unsqueeze(x, 0) for x in inputs], 0)
