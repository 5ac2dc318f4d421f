"""Sequences of tensors in ONNX files, resolved into tensors while a graph is read; the IR has none.

A sequence is followed as a tuple of parts: single values, and the pieces of one tensor along an axis. What a loop has
collected is such a tensor too: its results, stacked along axis 0. Each rule turns what an operator does with a
sequence into what it does with these tensors, or refuses the node where that depends on what only a run can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.formats.onnx_compose import _Chain as Chain

if TYPE_CHECKING:
    from rnnrt.formats.onnx_upgrade import Emitter, RawNode, Rule

_MOST_PIECES = 4096
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


class _Refused(Exception):
    """The node cannot be resolved, for this reason."""


class _Unknown(_Refused):
    """The node reads a sequence that is not known; where its maker has been refused, that reason is enough."""


class _Resolver(Chain):
    """One sequence operator."""

    def sequence(self) -> Sequence_:
        """The node's first input."""
        return self.known(self.x)

    def known(self, name: str) -> Sequence_:
        """The sequence of that name."""
        found = self.to.sequences.get(name)
        if found is None:
            raise _Unknown(f"reads {name!r}, which is not a sequence that is known before a run")
        return found

    def index(self, k: int, missing: int) -> int | None:
        """The integer in input `k`, `missing` where it is left out, None where it is computed."""
        name = self.node.input(k)
        if not name:
            return missing
        value = self.to.value_of(name)
        if value is not None and value.size != 1:
            raise _Refused(f"its position must be one integer, got shape {value.shape}")
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
            raise _Refused("reads a sequence that a loop is still adding to; carry the value itself through the loop")
        if part.size == 1:
            return self.one(part, self.fixed(k, np.int64), result)
        count = self.count(part)
        if k < 0:
            if count is None:
                raise _Refused(
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
            if isinstance(part, Item) or count is None or count > _MOST_PIECES:
                found.append(part)
            else:
                found += [Item(self.piece(part, k)) for k in range(count)]
        return found

    def place(self, sequence: Sequence_, k: int) -> tuple[Part, int]:
        """The part that tensor number `k` lies in, and its number there."""
        rest, backwards = k, k < 0
        for part in reversed(sequence) if backwards else sequence:
            count = self.count(part)
            if count is None:
                if part is not (sequence[0] if backwards else sequence[-1]):
                    break
                return part, rest
            if -count <= rest < count:
                return part, rest
            rest += count if backwards else -count
        else:
            raise _Refused(f"asks for tensor {k}, which the sequence does not have; the file is corrupt")
        raise _Refused(f"asks for tensor {k}, and how many come before it is not known; export with fixed shapes")

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
            raise _Refused(
                f"how many axes {name!r} has is not known; run onnx.shape_inference.infer_shapes on the model"
            )
        return rank

    def within(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise _Refused(f"axis {axis} is not one of {rank}; the file is corrupt")
        return axis % rank

    def shape_part(self, shape: str, start: int, end: int) -> str:
        """Some entries of a shape."""
        return self.op("Slice", shape, *(self.fixed([v], np.int64) for v in (start, end, 0)))


def _split(r: _Resolver) -> Sequence_:
    axis, keep = r.attr("axis", 0), bool(r.attr("keepdims", 1))
    if not r.node.input(1):
        return (Pieces(r.x, axis, 1, keep),)
    sizes = r.to.value_of(r.node.input(1))
    if sizes is None:
        raise _Refused("the lengths of its pieces are computed; export with fixed lengths")
    if sizes.ndim == 0:
        if sizes < 1:
            raise _Refused(f"pieces of length {int(sizes)}; the file is corrupt")
        return (Pieces(r.x, axis, int(sizes), True),)
    names = [r.to.fresh(f"{r.out}.{k}") for k in range(sizes.size)]
    r.to.emit("Split", [r.x, r.fixed(sizes.ravel(), np.int64)], names, axis=axis)
    return tuple(map(Item, names))


def _empty(r: _Resolver) -> Sequence_:
    r.attr("dtype", 1)
    return ()


def _construct(r: _Resolver) -> Sequence_:
    return tuple(map(Item, r.node.inputs))


def _insert(r: _Resolver) -> Sequence_:
    sequence, item = r.sequence(), Item(r.node.input(1))
    if not r.node.input(2):
        return (*sequence, item)
    at = r.index(2, 0)
    if at is None:
        raise _Refused("the position is computed; append at the end, or export with a fixed position")
    if at == 0:
        return (item, *sequence)
    found = r.items(sequence)
    if all(isinstance(part, Item) for part in found):
        if not -len(found) <= at <= len(found):
            raise _Refused(f"position {at} in a sequence of {len(found)}; the file is corrupt")
        found.insert(at, item)
        return tuple(found)
    raise _Refused(f"position {at} in a sequence whose length is not known; export with fixed shapes")


def _erase(r: _Resolver) -> Sequence_:
    found = r.items(r.sequence())
    at = r.index(1, -1)
    if at is None:
        raise _Refused("the position is computed; export with a fixed one")
    if not all(isinstance(part, Item) for part in found):
        raise _Refused("erases from a sequence whose length is not known; export with fixed shapes")
    if not -len(found) <= at < len(found):
        raise _Refused(f"position {at} in a sequence of {len(found)}; the file is corrupt")
    del found[at]
    return tuple(found)


def _at(r: _Resolver) -> None:
    sequence, at = r.sequence(), r.index(1, 0)
    if at is not None:
        r.piece(*r.place(sequence, at), result=r.out)
        return
    only = sequence[0] if len(sequence) == 1 else None
    if not isinstance(only, Pieces) or only.size != 1:
        raise _Refused(
            "the position is computed, and the sequence is not one tensor's slices along an axis; "
            "stack its tensors and index the result"
        )
    # ONNX wants a scalar; an index of one element would leave an axis behind.
    index = r.node.input(1)
    if r.to.rank_of(index) != 0:
        index = r.op("Reshape", index, r.fixed([], np.int64))
    r.one(only, index, r.out)


def _length(r: _Resolver) -> None:
    known, free = 0, []
    for part in r.sequence():
        count = r.count(part)
        if isinstance(part, Grown):
            raise _Refused("measures a sequence that a loop is still adding to; use the number of the step")
        if count is not None:
            known += count
        elif isinstance(part, Pieces):
            free.append(part)
    if not free:
        r.to.emit("Constant", [], [r.out], value=np.array(known, np.int64))
        return
    lengths = []
    for part in free:
        extent = r.op("Gather", r.op("Shape", part.name), r.fixed(part.axis, np.int64), axis=0)
        if part.size > 1:
            more = r.op("Add", extent, r.fixed(part.size - 1, np.int64))
            extent = r.op("Div", more, r.fixed(part.size, np.int64))
        lengths.append(extent)
    total = lengths[0]
    for other in [*lengths[1:], *([r.fixed(known, np.int64)] if known else [])]:
        total = r.op("Add", total, other)
    r.op("Identity", total, result=r.out)


def _concat(r: _Resolver) -> None:
    axis, new = r.attr("axis", None), bool(r.attr("new_axis", 0))
    if axis is None:
        raise _Refused("attribute axis is missing")
    sequence = r.sequence()
    if not sequence:
        raise _Refused("joins an empty sequence, which has no result")
    names = [name for part in sequence for name in _joined(r, part, axis, new)]
    r.op("Concat", *names, result=r.out, axis=axis)


def _joined(r: _Resolver, part: Part, axis: int, new: bool) -> list[str]:
    """What stands for a part in a Concat along `axis`."""
    if isinstance(part, Item):
        return [r.op("Unsqueeze", part.name, r.fixed([axis], np.int64)) if new else part.name]
    if isinstance(part, Grown):
        raise _Refused("joins a sequence that a loop is still adding to; join it after the loop")
    rank = None if part.axis == axis else r.to.rank_of(part.name)
    same = part.axis == axis or (rank is not None and r.within(part.axis, rank) == r.within(axis, rank))
    if part.keep and not new and same:
        return [part.name]
    if not part.keep and new:
        return [r.moved(part.name, part.axis, axis)]
    if not part.keep:
        return [_merged(r, part, axis)]
    count = r.count(part)
    if count is None or not 0 < count <= _MOST_PIECES:
        raise _Refused(
            f"joins the pieces of {part.name!r} along axis {axis}, and their number is not known; "
            "export with fixed shapes"
        )
    return [name for k in range(count) for name in _joined(r, Item(r.piece(part, k)), axis, new)]


def _merged(r: _Resolver, part: Pieces, axis: int) -> str:
    """Slices one after the other along one of their own axes: the cut axis in front of it, and both made one."""
    rank = r.rank(part.name)
    at = r.within(axis, rank - 1)
    moved = r.moved(part.name, part.axis, at)
    shape = r.op("Shape", moved)
    both = r.op("Mul", r.shape_part(shape, at, at + 1), r.shape_part(shape, at + 1, at + 2))
    front = [r.shape_part(shape, 0, at)] if at else []
    back = [r.shape_part(shape, at + 2, rank)] if at + 2 < rank else []
    return r.op("Reshape", moved, r.op("Concat", *front, both, *back, axis=0))


def _rule(resolve: Callable[[_Resolver], Sequence_ | None]) -> Rule:
    """The upgrade rule of a sequence operator."""

    def rule(node: RawNode, opset: int, to: Emitter) -> None:
        resolver = _Resolver(node, to)
        try:
            found: Any = resolve(resolver)
        except _Refused as reason:
            if not (isinstance(reason, _Unknown) and to.has_refused):
                to.refuse(str(reason))
            return
        for key, value in node.attrs.items():
            to.refuse(f"attribute {key}={value!r} is not known; export the model without it")
        if found is not None:
            to.sequences[node.outputs[0]] = found

    return rule


SEQUENCES: dict[str, Rule] = {
    "SplitToSequence": _rule(_split),
    "SequenceEmpty": _rule(_empty),
    "SequenceConstruct": _rule(_construct),
    "SequenceInsert": _rule(_insert),
    "SequenceErase": _rule(_erase),
    "SequenceAt": _rule(_at),
    "SequenceLength": _rule(_length),
    "ConcatFromSequence": _rule(_concat),
}
"""Upgrade rules by operator."""
