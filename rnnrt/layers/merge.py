"""Layers of several inputs: Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.operations import broadcast
from rnnrt.layers.shape_operations import common_dtype, concat, filled_like


def several(layer: Layer, inputs: Any) -> list[Tensor]:
    """The inputs of a layer that takes a list of them."""
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise layer.unsupported("is not called with a list of inputs", "give it a list")
    return list(inputs)


class Merge(Layer):
    """An elementwise combination; inputs of lower rank get axes of extent one behind the batch."""

    supports_masking = True
    op: ClassVar[str]

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        given = several(self, inputs)
        parts = self._aligned(b, given)
        equal = all(x.mask is None or x.mask.rank == x.rank - 1 for x in given) and len({x.rank for x in given}) == 1
        masks = [_wide(b, x) if equal and not b.legacy else None for x in given]
        result = self.combine(b, parts, masks)
        return self.finish(b, result, len(parts)).with_mask(self._mask(b, given))

    def combine(self, b: GraphBuilder, parts: list[Tensor], masks: list[Tensor | None]) -> Tensor:
        """All parts in one; a mask has an axis of extent one behind it, or is None."""
        result = parts[0]
        for part in parts[1:]:
            result = b.op(self.op, [result, part], broadcast(result.shape, part.shape))
        return result

    def finish(self, b: GraphBuilder, x: Tensor, count: int) -> Tensor:
        """What follows the last combination."""
        return x

    def _aligned(self, b: GraphBuilder, given: list[Tensor]) -> list[Tensor]:
        rank = max(x.rank for x in given)
        dtype = common_dtype(given)
        parts = []
        for x in given:
            part = b.cast(x, dtype)
            while part.rank < rank:
                part = b.unsqueeze(part, 1)
            parts.append(part)
        return parts

    def _mask(self, b: GraphBuilder, given: list[Tensor]) -> Tensor | None:
        """Keras 3: a step counts where it counts in one input, if all have masks; Keras 2: where it counts in all."""
        masks = [x.mask for x in given if x.mask is not None]
        if not masks or (len(masks) < len(given) and not b.legacy):
            return None
        return combine_masks(b, masks, "And" if b.legacy else "Or")


def combine_masks(b: GraphBuilder, masks: list[Tensor], op: str) -> Tensor:
    """Masks joined by And or Or."""
    result = masks[0]
    for mask in masks[1:]:
        result = b.op(op, [result, mask], broadcast(result.shape, mask.shape))
    return result


def _wide(b: GraphBuilder, x: Tensor) -> Tensor | None:
    return None if x.mask is None else b.unsqueeze(x.mask, x.mask.rank)


def choose(b: GraphBuilder, mask: Tensor | None, x: Tensor, other: Tensor | str) -> Tensor:
    """`x` where the mask is True, and `other` elsewhere."""
    return x if mask is None else b.op("Where", [mask, x, other], x.shape, x.dtype)


class Add(Merge):
    """The sum of the inputs."""

    op = "Add"


class Subtract(Merge):
    """The first input minus the second."""

    op = "Sub"


class Multiply(Merge):
    """The product of the inputs; Keras 3 leaves masked steps out, and gives zeros where none counts."""

    op = "Mul"

    def combine(self, b: GraphBuilder, parts: list[Tensor], masks: list[Tensor | None]) -> Tensor:
        one = b.scalar(1, parts[0].dtype)
        result = super().combine(b, [choose(b, m, x, one) for x, m in zip(parts, masks, strict=True)], masks)
        known = [m for m in masks if m is not None]
        if len(known) < len(parts):
            return result
        return choose(b, combine_masks(b, known, "Or"), result, b.scalar(0, result.dtype))


class Extremum(Merge):
    """Maximum and Minimum: in Keras 3 a masked step of one input gives way to the other."""

    def combine(self, b: GraphBuilder, parts: list[Tensor], masks: list[Tensor | None]) -> Tensor:
        result, seen = parts[0], masks[0]
        for x, mask in zip(parts[1:], masks[1:], strict=True):
            x = choose(b, mask, x, result)
            result = choose(b, seen, result, x)
            seen = None if mask is None or seen is None else combine_masks(b, [seen, mask], "Or")
            result = b.op(self.op, [result, x], broadcast(result.shape, x.shape))
        return result


class Maximum(Extremum):
    """The largest of the inputs, element by element."""

    op = "Max"


class Minimum(Extremum):
    """The smallest of the inputs, element by element."""

    op = "Min"


class Average(Merge):
    """The mean of the inputs."""

    op = "Add"

    def finish(self, b: GraphBuilder, x: Tensor, count: int) -> Tensor:
        return b.op("Div", [x, b.scalar(count, x.dtype)], x.shape)


class Concatenate(Layer):
    """Inputs one after the other along `axis`."""

    arguments = ("axis",)
    supports_masking = True

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = int(axis)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        parts = several(self, inputs)
        rank = parts[0].rank
        axis = self.axis % rank if rank else 0
        if any(p.rank != rank for p in parts) or axis == 0:
            raise self.unsupported(
                f"axis={self.axis} for shapes {[p.shape for p in parts]}", "join equal ranks behind the batch"
            )
        dtype = common_dtype(parts)
        joined = concat(b, [b.cast(p, dtype) for p in parts], axis)
        return joined.with_mask(self._mask(b, parts, axis))

    def _mask(self, b: GraphBuilder, parts: list[Tensor], axis: int) -> Tensor | None:
        masks = [p.mask for p in parts if p.mask is not None]
        if not masks:
            return None
        if axis >= masks[0].rank:
            if b.legacy:
                return combine_masks(b, masks, "And")
            return combine_masks(b, masks, "Or") if len(masks) == len(parts) else None
        full = []
        for part in parts:
            mask = part.mask
            if mask is None:
                slim = part
                while slim.rank > masks[0].rank:
                    slim = b.take(slim, 0, slim.rank - 1)
                mask = filled_like(b, slim, 1, np.dtype(bool))
            full.append(mask)
        return concat(b, full, axis)


class Dot(Layer):
    """Products of two inputs (B, ...), summed along one axis of each; `axes` counts the batch.

    `normalize` scales both to length one along those axes first.
    """

    arguments = ("axes", "normalize")

    def __init__(self, axes: Any, normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.axes, self.normalize = axes, bool(normalize)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x, y = several(self, inputs)
        pair = [self.axes, self.axes] if isinstance(self.axes, int) else list(self.axes)
        if x.rank not in (2, 3) or y.rank not in (2, 3):
            raise self.unsupported(f"inputs of shapes {x.shape} and {y.shape}", "use inputs of two or three axes")
        first, second = pair[0] % x.rank, pair[1] % y.rank
        if 0 in (first, second):
            raise self.unsupported(f"axes={self.axes} sum over the batch", "sum over other axes")
        if self.normalize:
            x, y = self._unit(b, x, first), self._unit(b, y, second)
        left = b.transpose(x, (0, 2, 1)) if x.rank == 3 and first == 1 else x
        right = b.transpose(y, (0, 2, 1)) if y.rank == 3 and second == 2 else y
        left = b.unsqueeze(left, 1) if x.rank == 2 else left
        right = b.unsqueeze(right, 2) if y.rank == 2 else right
        z = b.op("MatMul", [left, right], (x.shape[0], left.shape[1], right.shape[2]))
        if x.rank == 2 and y.rank == 2:
            return b.squeeze(z, 2)
        if y.rank == 2:
            return b.squeeze(z, 2)
        return b.squeeze(z, 1) if x.rank == 2 else z

    def _unit(self, b: GraphBuilder, x: Tensor, axis: int) -> Tensor:
        total = b.reduce("ReduceSum", b.op("Mul", [x, x], x.shape), [axis], keepdims=True)
        length = b.op("Sqrt", [b.op("Max", [total, b.scalar(1e-12, x.dtype)], total.shape)], total.shape)
        return b.op("Div", [x, length], x.shape)
