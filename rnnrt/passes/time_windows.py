"""Windows that slide along time: how many steps they leave, and when each of these is due.

A convolution or a pool whose windows reach back only can run piece by piece: what the next windows need of the
inputs so far is kept. Letters: a window spans s steps, moves by r, and p steps of padding lie before the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnrt.ir import Node
from rnnrt.ops import TensorSpec
from rnnrt.ops.window import Window

WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool"})


@dataclass(frozen=True, slots=True)
class Rate:
    """When steps of a value are due: step j as soon as step j * every + after of the network's input is there."""

    every: int = 1
    after: int = 0

    def due(self, steps: int) -> int:
        """How many steps of the value there are after `steps` of the input."""
        return (steps - 1 - self.after) // self.every + 1 if steps > self.after else 0

    def behind(self, window: TimeWindow) -> Rate:
        """The rate behind a window over a value of this rate."""
        return Rate(self.every * window.stride, self.after + (window.span - 1 - window.before) * self.every)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A window along `axis` of a node's input; `fill` is what the padding before the sequence consists of."""

    axis: int
    span: int
    stride: int
    before: int
    fill: float

    @property
    def is_trivial(self) -> bool:
        """Whether it sees one step at a time."""
        return self.span == 1 and self.stride == 1

    @property
    def is_steady(self) -> bool:
        """Whether every step gives one step at once, so that what is kept always has span - 1 steps."""
        return self.stride == 1 and self.before == self.span - 1

    @property
    def lead(self) -> int:
        """Steps between windows that do not touch: they belong to none."""
        return max(0, self.stride - self.span)

    @property
    def first(self) -> int:
        """How many steps are kept before the sequence begins."""
        return self.before + self.lead

    def count(self, steps: int) -> int:
        """How many windows are complete in so many steps, the kept ones and new ones together."""
        return max(0, (steps - self.lead - self.span) // self.stride + 1)


def time_window(node: Node, axis: int, specs: Mapping[str, TensorSpec]) -> TimeWindow | str:
    """The window of a node of `WINDOWED` along that axis of its input, or why it cannot run piece by piece."""
    x = specs[node.inputs[0]]
    kernel = specs[node.inputs[1]].shape if node.op == "Conv" else (0, 0, *node.attrs["kernel_shape"])
    if axis < 2 or kernel is None or not all(isinstance(k, int) for k in kernel):
        return "mixes time steps"
    window, at = Window.of(node, kernel[2:]), axis - 2
    span, stride = window.spans[at], window.strides[at]
    before, after = (0, 0) if window.auto_pad != "NOTSET" else (window.pads[at], window.pads[len(window.kernel) + at])
    found = TimeWindow(axis, span, stride, before, _fill(node, x.dtype))
    if found.is_trivial and not before and not after:
        return found
    if window.auto_pad.startswith("SAME"):
        return f"looks ahead: auto_pad={window.auto_pad} puts padding behind the sequence"
    if after:
        return f"looks ahead: there are {after} steps of padding behind the sequence"
    if window.ceil_mode and stride > 1:
        return "looks ahead: with ceil_mode the last window may reach beyond the sequence"
    if before >= span:
        return f"gives results that see no step: {before} steps of padding lie before a window of {span}"
    if before and node.op == "AveragePool" and not node.attrs.get("count_include_pad", 0):
        return "takes means of fewer steps at the beginning (padding without count_include_pad)"
    if len(node.outputs) > 1 and node.outputs[1]:
        return "gives positions within the whole sequence"
    return found


def _fill(node: Node, dtype: np.dtype) -> float:
    if node.op != "MaxPool":
        return 0.0
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)
