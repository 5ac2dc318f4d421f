"""Integers that a loop's body computes from the number of the step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from rnnrt.ir import Graph
from rnnrt.ops import TensorSpec
from rnnrt.passes.lift.extents import Extents


class Counted:
    """Integers of a body as ``slope * step + start``, where `start` may be the last index of an extent."""

    def __init__(self, graph: Graph, specs: Mapping[str, TensorSpec], outer: Extents) -> None:
        self.graph, self.specs, self.outer = graph, specs, outer
        self.steps: dict[str, tuple[int, Hashable]] = {}
        self.producers = {name: item for item in graph.nodes for name in item.outputs}

    def is_next(self, new: str, old: str) -> bool:
        """Whether `new` is `old` and one more."""
        item = self.producers.get(new)
        while item is not None and item.op in ("Identity", "Cast"):
            new = item.inputs[0]
            item = self.producers.get(new)
        if item is None or item.op != "Add" or old not in item.inputs:
            return False
        (other,) = [name for name in item.inputs if name != old] or [old]
        spec = self.specs.get(other)
        return spec is not None and spec.value is not None and spec.value.size == 1 and int(spec.value.reshape(())) == 1

    def run(self) -> None:
        """Follow the counters through the body."""
        for item in self.graph.nodes:
            if item.op in ("Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape") and item.inputs[0] in self.steps:
                self.steps[item.outputs[0]] = self.steps[item.inputs[0]]
            elif item.op in ("Add", "Sub") and item.inputs[0] in self.steps:
                by = self.specs.get(item.inputs[1])
                slope, start = self.steps[item.inputs[0]]
                if by is not None and by.value is not None and by.value.size == 1 and isinstance(start, int):
                    amount = int(by.value.reshape(()))
                    self.steps[item.outputs[0]] = (slope, start + amount if item.op == "Add" else start - amount)
            elif item.op == "Sub" and item.inputs[1] in self.steps:
                slope, start = self.steps[item.inputs[1]]
                bound, more = self._bound(item.inputs[0])
                if slope == 1 and isinstance(start, int) and isinstance(bound, int):
                    self.steps[item.outputs[0]] = (-1, ("last", bound + more - start + 1))
                elif slope == 1 and isinstance(start, int) and bound is not None and more - start == -1:
                    self.steps[item.outputs[0]] = (-1, ("last", bound))

    def _bound(self, name: str) -> tuple[Hashable | None, int]:
        """An integer as an extent, or a number, and what is added to it."""
        producers = {**self.outer.producers, **self.producers}
        extents, more = Extents(producers, self.specs), 0
        for _ in range(8):
            item = producers.get(name)
            by = self.specs.get(item.inputs[1]) if item is not None and item.op in ("Add", "Sub") else None
            if item is None or by is None or by.value is None or by.value.size != 1:
                break
            more += int(by.value.reshape(())) if item.op == "Add" else -int(by.value.reshape(()))
            name = item.inputs[0]
        return extents.of_value(name), more
