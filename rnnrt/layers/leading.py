"""Layers that move or take the first axis, where torch keeps time or the layers of a stack. Keras has none of these."""

from __future__ import annotations

from typing import Any

from rnnrt.layers.base import GraphBuilder, Layer
from rnnrt.layers.shape_operations import concat


class Leading(Layer):
    """Base of these: networks that have one keep their batch elsewhere, so inputs cannot be cut into batches."""

    def check(self, b: GraphBuilder) -> None:
        """Refuse to be trained or evaluated, which cuts inputs along the first axis."""
        if b.variables and not b.create:
            raise self.unsupported(
                "the first axis of the network's inputs is not their batch, so it can neither be trained nor evaluated",
                "load it with batch_first=True and without initial_states, and give it the batch first",
            )


class SwapLeading(Leading):
    """(T, B, ...) to (B, T, ...), and back."""

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.check(b)
        if inputs.rank < 2:
            raise self.unsupported(f"its input has shape {inputs.shape}", "it needs time and batch in front")
        return b.transpose(inputs, (1, 0, *range(2, inputs.rank))).with_mask(None)


class TakeLeading(Leading):
    """Entry `index` of the first axis, which disappears."""

    arguments = ("index",)

    def __init__(self, index: int, **options: Any) -> None:
        super().__init__(**options)
        self.index = int(index)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.check(b)
        return b.take(inputs.with_mask(None), self.index, 0)


class StackLeading(Leading):
    """A list of tensors along a new first axis."""

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.check(b)
        return concat(b, [b.unsqueeze(x, 0) for x in inputs], 0)
