"""The walk along which time is followed through a graph, node by node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Node, outer_names
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.recurrent_shapes import LENGTHS, MASK
from rnnrt.passes.time_rules import ALONG_AXIS, ELEMENTWISE, KEEPS_TIME, REDUCTIONS, RULES
from rnnrt.passes.time_windows import WINDOWED, Rate, TimeWindow, time_window

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

_SHAPES_ONLY = frozenset({"Expand", "ConstantOfShape"})
"""Operators whose results may carry time though no operand does: the length comes by a shape."""


@dataclass(frozen=True)
class Followed:
    """What is known of a graph's time.

    Attributes
    ----------
    axes : dict of str to int
        The axis of time of each value that carries it.
    rates : dict of str to Rate
        When the steps of these values are due.
    windows : dict of str to TimeWindow
        By a node's first output: windows that see more than one step.
    alone : set of str
        First outputs of recurrent nodes that run along another axis and treat every time step alone.
    joined : dict of str to (int, int)
        What is joined with time along its axis, before and behind it: (rows, 1) of an axis that goes through the steps
        of the first row, then through those of the second. Absent for values that are the same in all steps.
    """

    axes: dict[str, int]
    rates: dict[str, Rate] = field(default_factory=dict)
    windows: dict[str, TimeWindow] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    joined: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class TimeWalk:
    """Where time is after the nodes so far; `lengths` are those of `short` and `long`, types of the graph's values."""

    short: Mapping[str, TensorSpec]
    long: Mapping[str, TensorSpec]
    lengths: tuple[int, int]
    found: Followed

    @classmethod
    def begun(
        cls,
        short: Mapping[str, TensorSpec],
        long: Mapping[str, TensorSpec],
        lengths: tuple[int, int],
        fed: Iterable[str],
    ) -> TimeWalk:
        """At the inputs that carry time."""
        axes: dict[str, int] = {}
        for name, spec in short.items():
            other = long.get(name)
            if other is None or spec.shape is None or other.shape is None or len(spec.shape) != len(other.shape):
                continue
            moved = [i for i, (a, b) in enumerate(zip(spec.shape, other.shape, strict=True)) if a != b]
            if len(moved) == 1:
                axes[name] = moved[0]
        found = Followed(axes)
        for name in fed:
            if name in axes:
                found.rates[name], found.joined[name] = Rate(), (1, 1)
        return cls(short, long, lengths, found)

    def node(self, node: Node) -> None:
        """Check a node and note what its results carry."""
        axes, rates = self.found.axes, self.found.rates
        carried = {i: axes[name] for i, name in enumerate(node.inputs) if name in axes}
        captured = {n for body in node.attrs.values() if isinstance(body, Graph) for n in outer_names(body)}
        if captured & set(axes):
            raise refusal(node, "reads the sequence inside its body")
        results = [name for name in node.outputs if name]
        seen = {rates.get(node.inputs[i]) for i in carried} - {None}
        if len(seen) > 1:
            raise refusal(node, "combines sequences whose steps are due at different times")
        rate = next(iter(seen), None) or self._rate_of(results)
        if node.op in WINDOWED and carried.get(0, 0) >= 2:
            rate = self._window(node, carried, rate)
        for i in carried:
            self._check_constant(node, node.inputs[i])
        joined = {self.found.joined[node.inputs[i]] for i in carried if node.inputs[i] in self.found.joined}
        if len(joined) > 1:
            raise refusal(node, "combines different time axes")
        for name in results:
            if name in axes:
                times = self._times(name, rate)
                if times is None:
                    raise self._odd_length(node, name)
                rates[name] = rate
                if joined:
                    self.found.joined[name] = self._joined(node, name, *next(iter(joined)), times)
        self._check(node, carried, results)

    def _check_constant(self, node: Node, name: str) -> None:
        """A constant as long as the sequence must be the same in every step, of every length."""
        values = [specs[name].value if name in specs else None for specs in (self.short, self.long)]
        firsts = [None if v is None or not v.size else v.take([0], self.found.axes[name]) for v in values]
        for value, first in zip(values, firsts, strict=True):
            if value is not None and first is not None and not np.all((value == first) | (value != value)):
                raise refusal(node, "computes with the position in the sequence")
        if firsts[0] is not None and firsts[1] is not None and not np.array_equal(firsts[0], firsts[1]):
            raise refusal(node, "computes with the length of the sequence")

    def _joined(self, node: Node, name: str, before: int, behind: int, times: int) -> tuple[int, int]:
        """What is joined with time in a result; only a change of shape joins and parts axes."""
        if node.op in ("Reshape", "Flatten"):
            source, result = self.short[node.inputs[0]].known_shape, self.short[name].known_shape
            old, new = self.found.axes[node.inputs[0]], self.found.axes[name]
            outer, inner = math.prod(source[:old]) * before, math.prod(source[old + 1 :]) * behind
            left, right = math.prod(result[:new]), math.prod(result[new + 1 :])
            if outer % left or inner % right:
                raise refusal(node, "makes time change places with another axis")
            before, behind = outer // left, inner // right
        if before * behind != times:
            raise refusal(node, "repeats or drops steps")
        return before, behind

    def _rate_of(self, results: list[str]) -> Rate:
        """The rate of what gets its length by a shape: that of a value with as many steps."""
        for name in results:
            for rate in {Rate(): None, **dict.fromkeys(self.found.rates.values())}:
                if name in self.found.axes and self._times(name, rate) is not None:
                    return rate
        return Rate()

    def _times(self, name: str, rate: Rate) -> int | None:
        """How many elements a step has along the axis of time; None where the length is not that of the rate."""
        axis = self.found.axes[name]
        extents = [(specs[name].shape or ())[axis] for specs in (self.short, self.long)]
        due = [rate.due(n) for n in self.lengths]
        if not all(isinstance(d, int) for d in extents) or 0 in due or due[0] == due[1]:
            return None
        times = int(extents[0] or 0) // due[0]
        return times if times and [times * n for n in due] == extents else None

    def _odd_length(self, node: Node, name: str) -> Refusal:
        axis = self.found.axes[name]
        x, y = ((specs[name].shape or ())[axis] for specs in (self.short, self.long))
        return refusal(node, f"makes {x} and {y} steps of {self.lengths[0]} and {self.lengths[1]}")

    def _window(self, node: Node, carried: Mapping[int, int], rate: Rate) -> Rate:
        window = time_window(node, carried[0], self.short)
        if isinstance(window, str):
            raise refusal(node, window)
        if set(carried) != {0} or self.found.joined.get(node.inputs[0]) != (1, 1):
            raise refusal(node, "slides along an axis that holds more than time")
        if not window.is_trivial:
            self.found.windows[node.outputs[0]] = window
        return rate.behind(window)

    def _check(self, node: Node, carried: Mapping[int, int], results: list[str]) -> None:
        axes, short = self.found.axes, self.short
        if node.op in RECURRENT:
            self._recurrent(node, carried)
            return
        if not carried:
            if any(name in axes for name in results) and node.op not in _SHAPES_ONLY:
                raise refusal(node, "makes values that depend on the position in the sequence")
            return
        if node.op in ("Shape", "Size"):
            return
        kept = all(name in axes for name in results)
        if node.op in ELEMENTWISE:
            ranks = [len(short[node.inputs[i]].shape or ()) for i in carried]
            if not kept or len({axis - rank for axis, rank in zip(carried.values(), ranks, strict=True)}) != 1:
                raise refusal(node, "combines different time axes")
            if any(name and self._is_of_length(name) for name in node.inputs):
                raise refusal(node, "computes with the length of the sequence")
            return
        rule = RULES.get(node.op)
        if rule is None and node.op not in KEEPS_TIME and node.op not in REDUCTIONS and node.op not in ALONG_AXIS:
            raise refusal(node, "mixes time steps, or is not known to treat them alone")
        if rule is not None and rule(node, carried, short, kept):
            return
        if rule is not None or not kept:
            raise refusal(node, "mixes time steps")
        if node.op in ALONG_AXIS:
            at = int(node.attrs.get("axis", ALONG_AXIS[node.op]))
            for i, axis in carried.items():
                if at % len(short[node.inputs[i]].shape or (0,)) == axis:
                    raise refusal(node, "works along the time axis")

    def _is_of_length(self, name: str) -> bool:
        """Whether a known value is another one for another length."""
        a, b = self.short[name].value, self.long[name].value if name in self.long else None
        return a is not None and b is not None and a.shape == b.shape and not np.array_equal(a, b, equal_nan=True)

    def _recurrent(self, node: Node, carried: Mapping[int, int]) -> None:
        """Along time it must run forward, over every step; along another axis it may run as it likes."""
        operator: Any = get_operator(node.op)
        operands = operator.named(node.inputs)
        of_time = int(node.attrs.get("layout", 0))
        if not carried:  # it sees another axis alone, and begins anew whenever it runs
            self.found.alone.add(next(name for name in node.outputs if name))
            return
        if carried.get(0) == 1 - of_time and not operands[LENGTHS]:
            at = operator.operands.index("initial_h"), operator.operands.index(MASK)
            places = {0: 1 - of_time, at[0]: 1 - of_time, at[0] + 1: 1 - of_time, at[1]: 1}
            if all(places.get(i) == axis for i, axis in carried.items()):
                self.found.alone.add(next(name for name in node.outputs if name))
                return
        if node.attrs.get("direction", "forward") != "forward":
            raise refusal(node, f"reads the sequence {node.attrs['direction']}")
        if operands[LENGTHS]:
            raise refusal(node, f"takes the lengths of sequences from {operands[LENGTHS]!r}")
        mask = operands[MASK]
        beside = {name for name in node.inputs[1:] if name in self.found.axes and name != mask}
        rows = self.found.joined.get(node.inputs[0], (1, 1))[0]
        if carried.get(0) != of_time or rows > 1 or beside or (mask and self.found.axes.get(mask) != 0):
            raise refusal(node, "does not run along the time of the network's input")


class Refusal(StateError):
    """A node cannot run piece by piece."""

    node: Node


def refusal(node: Node, why: str) -> Refusal:
    """The error for a node that cannot run piece by piece."""
    error = Refusal(f"{node.label()} {why}; a stream sees one piece at a time: run the whole sequence instead")
    error.node = node
    return error
