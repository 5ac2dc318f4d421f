"""How a flat array of weights is divided: into variables, and into blocks that an update takes at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import ShapeError

__all__ = ["Block", "Segment", "check_segments", "cut", "gradient_scales"]

# With weights, gradients, two slots and three blocks of scratch in float32 this is 224 KiB: within a second cache.
_BLOCK = 32768


@dataclass(frozen=True)
class Segment:
    """A variable's place in the flat array: ``parameters[start:stop]``."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """Elements from `start` to `stop`.

    Within it, counted from `start`: `decayed` are the ranges that weight decay applies to, and `parts` (start, stop,
    index of the scale) those that clipping scales alike.
    """

    start: int
    stop: int
    decayed: tuple[tuple[int, int], ...]
    parts: tuple[tuple[int, int, int], ...]


def check_segments(parameters: np.ndarray, segments: Sequence[Segment]) -> None:
    """Raise `ShapeError` unless the array is flat and segments lie in it in order, without overlap."""
    flat = parameters.ndim == 1 and parameters.flags.c_contiguous and parameters.flags.writeable
    if not flat or parameters.dtype not in (np.float32, np.float64):
        raise ShapeError(
            f"an optimizer needs its weights in one flat, contiguous, writeable float32 or float64 array; this one "
            f"is {parameters.dtype} of shape {parameters.shape}"
        )
    end = 0
    for segment in segments:
        if not end <= segment.start <= segment.stop <= parameters.size:
            raise ShapeError(
                f"the variable {segment.name!r} lies at [{segment.start}, {segment.stop}) of {parameters.size} "
                f"elements; it must start at {end} or after, and end within them"
            )
        end = segment.stop


def cut(size: int, segments: Sequence[Segment], decays: Sequence[bool], by_variable: bool) -> tuple[Block, ...]:
    """Divide `size` elements into blocks.

    Parameters
    ----------
    size : int
    segments : sequence of Segment
    decays : sequence of bool
        Which of them weight decay applies to.
    by_variable : bool
        Whether each variable has its own scale; padding has the one after the last. Otherwise all have scale 0.
    """
    ranges: list[tuple[int, int, int]] = [(0, size, 0)]
    if by_variable:
        ranges, end = [], 0
        for k, segment in enumerate(segments):
            ranges += [(end, segment.start, len(segments)), (segment.start, segment.stop, k)]
            end = segment.stop
        ranges.append((end, size, len(segments)))
    decayed: list[tuple[int, int]] = []
    for segment, decay in zip(segments, decays, strict=True):
        if decay and decayed and decayed[-1][1] == segment.start:
            decayed[-1] = decayed[-1][0], segment.stop
        elif decay:
            decayed.append((segment.start, segment.stop))
    blocks = []
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        blocks.append(
            Block(
                start,
                stop,
                tuple((max(a, start) - start, min(b, stop) - start) for a, b in decayed if a < stop and b > start),
                tuple((max(a, start) - start, min(b, stop) - start, k) for a, b, k in ranges if a < stop and b > start),
            )
        )
    return tuple(blocks)


def square_sum(x: np.ndarray) -> float:
    """The sum of squares of a flat array; blocks are added in float64, and squares do not overflow."""
    total = 0.0
    for start in range(0, x.size, _BLOCK):
        block = x[start : start + _BLOCK]
        part = float(np.dot(block, block))
        if not np.isfinite(part):
            block = block.astype(np.float64)
            part = float(np.dot(block, block))
        total += part
    return total


def gradient_scales(
    gradients: np.ndarray, segments: Sequence[Segment], clipnorm: float | None, global_clipnorm: float | None
) -> list[float] | None:
    """What the gradient of each part is multiplied by so that norms keep their bounds; None where there are none.

    As in Keras, a norm that is not finite makes its own gradient NaN or 0, and a global one all of them NaN.
    """
    if not clipnorm and not global_clipnorm:
        return None
    norms = [math.sqrt(square_sum(gradients[s.start : s.stop])) for s in segments]
    if clipnorm:
        return [n if math.isnan(n) else clipnorm / max(n, clipnorm) for n in norms] + [1.0]
    assert global_clipnorm is not None
    if not all(map(math.isfinite, norms)):
        return [math.nan]
    return [global_clipnorm / max(math.sqrt(math.fsum(n * n for n in norms)), global_clipnorm)]
