"""A layer whose computation is a function of symbolic tensors that the user gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnrt.layers.base import GraphBuilder, Layer
from rnnrt.layers.called import emit_call


class Custom(Layer):
    """A function that takes symbolic tensors and gives such; it has no weights.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {}

    def cast_inputs(self, b: GraphBuilder, inputs: Any) -> Any:
        return inputs

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return emit_call(self, self.function, b, (inputs, *args), kwargs)
