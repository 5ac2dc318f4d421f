"""What layers share that work along the axes of space: one axis (time), two or three. B batch, S space, C channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rnnrt.layers.base import Extent, GraphBuilder, Layer, Tensor


def extents(layer: Layer, key: str, value: Any, least: int = 1) -> tuple[int, ...]:
    """An argument with an entry for each axis of space; one number stands for all.

    Raises
    ------
    UnsupportedModelError
        There are more or fewer entries than axes, or one is smaller than `least` or no integer.
    """
    space = getattr(layer, "space", 1)
    entries = tuple(value) if isinstance(value, (list, tuple)) else (value,) * space
    if len(entries) != space or any(isinstance(v, bool) or int(v) != v or v < least for v in entries):
        raise layer.unsupported(f"{key}={value!r}", f"give {space} integer(s) of at least {least}")
    return tuple(int(v) for v in entries)


def pairs(layer: Layer, key: str, value: Any) -> tuple[tuple[int, int], ...]:
    """An argument with two entries for each axis of space, before and behind: as many pairs, or fewer numbers.

    Raises
    ------
    UnsupportedModelError
        It has another form, or an entry is negative.
    """
    space = getattr(layer, "space", 1)
    entries = list(value) if isinstance(value, (list, tuple)) else [value] * space
    if space == 1 and len(entries) == 2:
        entries = [entries]
    both = [tuple(e) if isinstance(e, (list, tuple)) else (e, e) for e in entries]
    if len(both) != space or any(len(e) != 2 or int(e[0]) < 0 or int(e[1]) < 0 for e in both):
        raise layer.unsupported(f"{key}={value!r}", f"give a number, or two for each of {space} axes")
    return tuple((int(first), int(last)) for first, last in both)


def extent_after(extent: Extent, window: int, stride: int, padding: str) -> Extent:
    """How many places a window leaves along one axis."""
    if extent is None:
        return None
    if padding in ("same", "causal"):
        return -(-extent // stride)
    return max(0, (extent - window) // stride + 1)


class Spatial(Layer):
    """A layer over (B, *S, C), or (B, C, *S) with data_format="channels_first".

    Class attributes
    ----------------
    space : how many axes of space there are.
    paddings : which values of `padding` the layer takes.
    """

    space: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    data_format: str | None = None
    padding: Any

    def check_format(self, data_format: str | None) -> None:
        """Keep `data_format`, or refuse it."""
        if data_format not in (None, "channels_last", "channels_first"):
            raise self.unsupported(f"data_format={data_format!r}", "use 'channels_last' or 'channels_first'")
        self.data_format = data_format

    def check_padding(self, padding: str) -> None:
        """Keep `padding`, or refuse it."""
        self.padding = str(padding).lower()
        if self.padding not in self.paddings:
            raise self.unsupported(f"padding={padding!r}", f"use one of {self.paddings}")

    @property
    def channels_first(self) -> bool:
        """Whether the channels come before space."""
        return self.data_format == "channels_first"

    @property
    def first_axis(self) -> int:
        """Where space begins in the layer's input."""
        return 2 if self.channels_first else 1

    def checked(self, b: GraphBuilder, inputs: Any) -> Tensor:
        """The input without its mask, in the layer's dtype; refused where it has another number of axes."""
        if not isinstance(inputs, Tensor) or inputs.rank != self.space + 2:
            shape = inputs.shape if isinstance(inputs, Tensor) else [x.shape for x in inputs]
            raise self.unsupported(f"its input has shape {shape}", f"it needs {self.space + 2} axes")
        x = b.cast(inputs, self.dtype) if inputs.dtype.kind == "f" else inputs
        return x.with_mask(None)

    def enter(self, b: GraphBuilder, inputs: Any) -> Tensor:
        """The input as (B, C, *S)."""
        x = b.cast(self.checked(b, inputs), self.dtype)
        return x if self.channels_first else b.transpose(x, (0, x.rank - 1, *range(1, x.rank - 1)))

    def leave(self, b: GraphBuilder, y: Tensor) -> Tensor:
        """A result (B, C, *S) in the layer's format."""
        return y if self.channels_first else b.transpose(y, (0, *range(2, y.rank), 1))

    def window(
        self, x: Tensor, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
    ) -> tuple[dict[str, Any], tuple[Extent, ...]]:
        """The attributes of an operator that slides a window over (B, C, *S), and what remains of S."""
        spans = [d * (k - 1) + 1 for k, d in zip(sizes, dilations, strict=True)]
        attrs: dict[str, Any] = {"kernel_shape": tuple(sizes), "strides": tuple(strides)}
        if any(d > 1 for d in dilations):
            attrs["dilations"] = tuple(dilations)
        if self.padding == "causal":
            attrs["pads"] = (spans[0] - 1, 0)
        else:
            attrs["auto_pad"] = "SAME_UPPER" if self.padding == "same" else "VALID"
        places = zip(x.shape[2:], spans, strides, strict=True)
        return attrs, tuple(extent_after(n, span, stride, self.padding) for n, span, stride in places)
