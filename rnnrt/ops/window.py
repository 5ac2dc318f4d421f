"""The geometry that convolutions and pools share: kernels, strides, dilations, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.base import TensorSpec

_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))
_KERNEL_RANK = 3


@dataclass(frozen=True, slots=True)
class Window:
    """One entry for each spatial axis; `pads` as ONNX has them before auto_pad is resolved."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str
    ceil_mode: bool = False

    @classmethod
    def of(cls, node: Node, kernel: Sequence[Any]) -> Window:
        """The window of a node over a kernel of this shape.

        Raises
        ------
        ShapeError
            An attribute has not one entry for each axis, or not a positive one.
        """
        rank = len(kernel)
        given = {key: tuple(node.attrs.get(key) or (1,) * rank) for key in ("strides", "dilations")}
        pads = tuple(node.attrs.get("pads") or (0,) * (2 * rank))
        for key, values in {**given, "kernel_shape": tuple(kernel)}.items():
            if len(values) != rank or any(not isinstance(v, int) or v < 1 for v in values):
                raise ShapeError(f"{node.label()}: {key} {values} does not fit a kernel of {rank} axes")
        if len(pads) != 2 * rank or any(p < 0 for p in pads):
            raise ShapeError(f"{node.label()}: pads {pads} do not fit a kernel of {rank} axes")
        auto = node.attrs.get("auto_pad", "NOTSET")
        if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
            raise ShapeError(f"{node.label()}: auto_pad {auto!r} is not known")
        return cls(
            tuple(kernel), given["strides"], given["dilations"], pads, auto, bool(node.attrs.get("ceil_mode", 0))
        )

    @property
    def spans(self) -> tuple[int, ...]:
        """How many elements a dilated kernel reaches over."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def padding(self, extents: Sequence[int]) -> list[tuple[int, int]]:
        """Zeros before and after each axis."""
        rank = len(self.kernel)
        if self.auto_pad == "NOTSET":
            return [(self.pads[i], self.pads[rank + i]) for i in range(rank)]
        if self.auto_pad == "VALID":
            return [(0, 0)] * rank
        both = []
        for extent, span, stride in zip(extents, self.spans, self.strides, strict=True):
            total = max((-(-extent // stride) - 1) * stride + span - extent, 0)
            small, large = total // 2, total - total // 2
            both.append((small, large) if self.auto_pad == "SAME_UPPER" else (large, small))
        return both

    def output(self, node: Node, extents: Sequence[Dim]) -> tuple[Dim, ...]:
        """Extents of the result; free ones stay free where nothing changes, and are unknown elsewhere."""
        result: list[Dim] = []
        for axis, extent in enumerate(extents):
            span, stride = self.spans[axis], self.strides[axis]
            if not isinstance(extent, int):
                same = self.auto_pad.startswith("SAME") and stride == 1
                flat = span == 1 and stride == 1 and not (self.pads[axis] or self.pads[len(self.kernel) + axis])
                keeps = (
                    self.auto_pad == "NOTSET"
                    and stride == 1
                    and (self.pads[axis] + self.pads[len(self.kernel) + axis] == span - 1)
                )
                result.append(extent if same or flat or keeps else None)
                continue
            known = [1] * len(self.kernel)
            known[axis] = extent
            before, after = self.padding(known)[axis]
            room = extent + before + after - span
            if room < 0:
                raise ShapeError(f"{node.label()}: a kernel that spans {span} does not fit an extent of {extent}")
            count = (-(-room // stride) if self.ceil_mode else room // stride) + 1
            if self.ceil_mode and (count - 1) * stride >= extent + before:
                count -= 1  # a window may not start in the padding behind
            result.append(count)
        return tuple(result)

    def views(self, x: np.ndarray, counts: Sequence[int], fill: Any) -> np.ndarray:
        """Windows of x (N, C, *extents), padded with `fill`: (N, C, *counts, *kernel)."""
        extents = x.shape[2:]
        pads = self.padding(extents)
        wide = []
        for axis, (before, after) in enumerate(pads):
            needed = (counts[axis] - 1) * self.strides[axis] + self.spans[axis]
            wide.append((before, max(after, needed - before - extents[axis])))
        padded = np.pad(x, [(0, 0), (0, 0), *wide], constant_values=fill)
        all_windows = np.lib.stride_tricks.sliding_window_view(padded, self.spans, tuple(range(2, x.ndim)))
        starts = tuple(slice(0, (n - 1) * s + 1, s) for n, s in zip(counts, self.strides, strict=True))
        inside = tuple(slice(None, None, d) for d in self.dilations)
        return all_windows[(slice(None), slice(None), *starts, *inside)]

    def sizes(self, extents: Sequence[int], counts: Sequence[int], dtype: np.dtype, padded: bool) -> np.ndarray:
        """How many elements each window's mean is of, (1, 1, *counts).

        `padded`: the declared padding counts; what ceil_mode reaches beyond it does not.
        """
        rank = len(counts)
        over = tuple(range(2 + rank, 2 + 2 * rank))
        inside = np.ones((1, 1, *extents), dtype)
        if not padded:
            return np.asarray(self.views(inside, counts, 0).sum(over))
        inside = np.pad(inside, [(0, 0), (0, 0), *self.padding(extents)], constant_values=1)
        bare = Window(self.kernel, self.strides, self.dilations, (0,) * (2 * rank), "NOTSET")
        return np.asarray(bare.views(inside, counts, 0).sum(over))


def kernel_ints(node: Node, x: TensorSpec, y: TensorSpec) -> tuple[int, ...] | None:
    """What the kernels of pools are told of the windows between X (N, C, *extents) and Y (N, C, *counts).

    None for dtypes and ranks they do not take.
    """
    window = Window.of(node, node.attrs["kernel_shape"])
    extents, counts = x.known_shape[2:], y.known_shape[2:]
    if x.dtype not in _NATIVE or len(extents) > _KERNEL_RANK:
        return None
    axes = zip(extents, counts, window.kernel, window.strides, window.dilations, window.padding(extents), strict=True)
    flat = [v for *axis, pads in axes for v in (*axis, *pads)]
    return (x.known_shape[0] * x.known_shape[1], *(1, 1, 1, 1, 1, 0, 0) * (_KERNEL_RANK - len(extents)), *flat)
