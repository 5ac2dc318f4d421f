"""Sequences of tensors in ONNX files, resolved into tensors while a graph is read; the IR has none.

A sequence is followed as a tuple of parts: single values, and the pieces of one tensor along an axis. What a loop has
collected is such a tensor too: its results, stacked along axis 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnrt.formats.onnx_compose import _Chain as Chain

MOST_PIECES = 4096
"""Pieces that are written out one by one; a declared extent can be any number."""


@dataclass(frozen=True)
class Item:
    """One tensor: the value `name`."""

    name: str


@dataclass(frozen=True)
class Pieces:
    """The value `name` cut along `axis` into pieces of `size`, of which the last may be shorter.

    Pieces of size 1 lack the axis unless `keep`.
    """

    name: str
    axis: int
    size: int = 1
    keep: bool = False


@dataclass(frozen=True)
class Grown:
    """Inside a loop: what the sequence that the body gets as its input `name` holds so far."""

    name: str


Part = Item | Pieces | Grown
Sequence_ = tuple[Part, ...]


class Refused(Exception):
    """The node cannot be resolved, for this reason."""


class Unknown(Refused):
    """The node reads a sequence that is not known; where its maker has been refused, that reason is enough."""


class Resolver(Chain):
    """One sequence operator."""

    def sequence(self) -> Sequence_:
        """The node's first input."""
        return self.known(self.x)

    def known(self, name: str) -> Sequence_:
        """The sequence of that name."""
        found = self.to.sequences.get(name)
        if found is None:
            raise Unknown(f"reads {name!r}, which is not a sequence that is known before a run")
        return found

    def index(self, k: int, missing: int) -> int | None:
        """The integer in input `k`, `missing` where it is left out, None where it is computed."""
        name = self.node.input(k)
        if not name:
            return missing
        value = self.to.value_of(name)
        if value is not None and value.size != 1:
            raise Refused(f"its position must be one integer, got shape {value.shape}")
        return None if value is None else int(value.reshape(()))

    def count(self, part: Part) -> int | None:
        """How many tensors a part holds, where that is known."""
        if isinstance(part, Item):
            return 1
        extent = self.to.extent_of(part.name, part.axis) if isinstance(part, Pieces) else None
        return None if extent is None or not isinstance(part, Pieces) else -(-extent // part.size)

    def piece(self, part: Part, k: int, result: str = "") -> str:
        """The value of the tensor number `k` of a part; from the end where `k` is negative."""
        if isinstance(part, Item):
            return self.op("Identity", part.name, result=result) if result else part.name
        if isinstance(part, Grown):
            raise Refused("reads a sequence that a loop is still adding to; carry the value itself through the loop")
        if part.size == 1:
            return self.one(part, self.fixed(k, np.int64), result)
        count = self.count(part)
        if k < 0:
            if count is None:
                raise Refused(
                    f"counts pieces of size {part.size} from the end of an extent that is not known; "
                    "export with fixed shapes"
                )
            k += count
        # Where the extent is free nobody can tell here whether there is a piece k: a Slice beyond the end is empty.
        bounds = (self.fixed([v], np.int64) for v in (k * part.size, (k + 1) * part.size, part.axis))
        return self.op("Slice", part.name, *bounds, result=result)

    def one(self, part: Pieces, index: str, result: str = "") -> str:
        """The piece of size 1 that a scalar names."""
        picked = self.op("Gather", part.name, index, axis=part.axis, result="" if part.keep else result)
        return self.op("Unsqueeze", picked, self.fixed([part.axis], np.int64), result=result) if part.keep else picked

    def items(self, sequence: Sequence_) -> list[Part]:
        """The sequence as single values where the number of its pieces is known; other parts stay."""
        found: list[Part] = []
        for part in sequence:
            count = self.count(part)
            if isinstance(part, Item) or count is None or count > MOST_PIECES:
                found.append(part)
            else:
                found += [Item(self.piece(part, k)) for k in range(count)]
        return found

    def place(self, sequence: Sequence_, k: int) -> tuple[Part, int] | None:
        """The part that tensor number `k` lies in, and its number there; None where a run decides which part it is."""
        rest, backwards = k, k < 0
        for part in reversed(sequence) if backwards else sequence:
            count = self.count(part)
            if count is None:
                return (part, rest) if part is (sequence[0] if backwards else sequence[-1]) else None
            if -count <= rest < count:
                return part, rest
            rest += count if backwards else -count
        raise Refused(f"asks for tensor {k}, which the sequence does not have; the file is corrupt")

    def moved(self, name: str, source: int, target: int) -> str:
        """A value with one axis at another place."""
        if source == target:
            return name
        rank = self.rank(name)
        source, target = self.within(source, rank), self.within(target, rank)
        if source == target:
            return name
        order = [k for k in range(rank) if k != source]
        order.insert(target, source)
        return self.op("Transpose", name, perm=tuple(order))

    def rank(self, name: str) -> int:
        """How many axes a value has."""
        rank = self.to.rank_of(name)
        if rank is None:
            raise Refused(
                f"how many axes {name!r} has is not known; run onnx.shape_inference.infer_shapes on the model"
            )
        return rank

    def within(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise Refused(f"axis {axis} is not one of {rank}; the file is corrupt")
        return axis % rank

    def shape_part(self, shape: str, start: int, end: int) -> str:
        """Some entries of a shape."""
        return self.op("Slice", shape, *(self.fixed([v], np.int64) for v in (start, end, 0)))
