"""ONNX's sequence operators: each turned into what it does with the tensors that the sequence stands for.

A node is refused where that depends on what only a run can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.formats.onnx_sequences import MOST_PIECES, Grown, Item, Part, Pieces, Refused, Resolver, Sequence_, Unknown

if TYPE_CHECKING:
    from rnnrt.formats.onnx_upgrade import Emitter, RawNode, Rule


def _split(r: Resolver) -> Sequence_:
    axis, keep = r.attr("axis", 0), bool(r.attr("keepdims", 1))
    if not r.node.input(1):
        return (Pieces(r.x, axis, 1, keep),)
    sizes = r.to.value_of(r.node.input(1))
    if sizes is None:
        raise Refused("the lengths of its pieces are computed; export with fixed lengths")
    if sizes.ndim == 0:
        if sizes < 1:
            raise Refused(f"pieces of length {int(sizes)}; the file is corrupt")
        # ONNX's text has keepdims ignored beside lengths. PyTorch writes unbind with lengths of 1 and keepdims=0, and
        # means it, as onnxruntime does.
        return (Pieces(r.x, axis, int(sizes), keep or int(sizes) > 1),)
    names = [r.to.fresh(f"{r.out}.{k}") for k in range(sizes.size)]
    r.to.emit("Split", [r.x, r.fixed(sizes.ravel(), np.int64)], names, axis=axis)
    return tuple(map(Item, names))


def _empty(r: Resolver) -> Sequence_:
    r.attr("dtype", 1)
    return ()


def _construct(r: Resolver) -> Sequence_:
    return tuple(map(Item, r.node.inputs))


def _insert(r: Resolver) -> Sequence_:
    sequence, item = r.sequence(), Item(r.node.input(1))
    if not r.node.input(2):
        return (*sequence, item)
    at = r.index(2, 0)
    if at is None:
        raise Refused("the position is computed; append at the end, or export with a fixed position")
    if at == 0:
        return (item, *sequence)
    found = r.items(sequence)
    if all(isinstance(part, Item) for part in found):
        if not -len(found) <= at <= len(found):
            raise Refused(f"position {at} in a sequence of {len(found)}; the file is corrupt")
        found.insert(at, item)
        return tuple(found)
    raise Refused(f"position {at} in a sequence whose length is not known; export with fixed shapes")


def _erase(r: Resolver) -> Sequence_:
    found = r.items(r.sequence())
    at = r.index(1, -1)
    if at is None:
        raise Refused("the position is computed; export with a fixed one")
    if not all(isinstance(part, Item) for part in found):
        raise Refused("erases from a sequence whose length is not known; export with fixed shapes")
    if not -len(found) <= at < len(found):
        raise Refused(f"position {at} in a sequence of {len(found)}; the file is corrupt")
    del found[at]
    return tuple(found)


def _at(r: Resolver) -> None:
    sequence, at = r.sequence(), r.index(1, 0)
    found = None if at is None else r.place(sequence, at)
    if found is not None:
        r.piece(*found, result=r.out)
        return
    if not sequence:
        raise Refused("takes a tensor of an empty sequence; the file is corrupt")
    only = sequence[0] if len(sequence) == 1 else None
    if not isinstance(only, Pieces) or only.size != 1:
        # Which one it is turns out in a run, so all must be alike: joining them says so where they are not.
        names = [name for part in sequence for name in _joined(r, part, 0, True)]
        only = Pieces(r.op("Concat", *names, axis=0), 0)
    # ONNX wants a scalar; an index of one element would leave an axis behind.
    index = r.node.input(1)
    if r.to.rank_of(index) != 0:
        index = r.op("Reshape", index, r.fixed([], np.int64))
    r.one(only, index, r.out)


def _length(r: Resolver) -> None:
    known, free = 0, []
    for part in r.sequence():
        count = r.count(part)
        if isinstance(part, Grown):
            raise Refused("measures a sequence that a loop is still adding to; use the number of the step")
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


def _concat(r: Resolver) -> None:
    axis, new = r.attr("axis", None), bool(r.attr("new_axis", 0))
    if axis is None:
        raise Refused("attribute axis is missing")
    sequence = r.sequence()
    if not sequence:
        raise Refused("joins an empty sequence, which has no result")
    names = [name for part in sequence for name in _joined(r, part, axis, new)]
    r.op("Concat", *names, result=r.out, axis=axis)


def _joined(r: Resolver, part: Part, axis: int, new: bool) -> list[str]:
    """What stands for a part in a Concat along `axis`."""
    if isinstance(part, Item):
        return [r.op("Unsqueeze", part.name, r.fixed([axis], np.int64)) if new else part.name]
    if isinstance(part, Grown):
        raise Refused("joins a sequence that a loop is still adding to; join it after the loop")
    rank = None if part.axis == axis else r.to.rank_of(part.name)
    same = part.axis == axis or (rank is not None and r.within(part.axis, rank) == r.within(axis, rank))
    if part.keep and not new and same:
        return [part.name]
    if not part.keep and new:
        return [r.moved(part.name, part.axis, axis)]
    if not part.keep:
        return [_merged(r, part, axis)]
    if part.size == 1:
        return [_apart(r, part, axis, new)]
    count = r.count(part)
    if count is None or not 0 < count <= MOST_PIECES:
        raise Refused(
            f"joins the pieces of {part.name!r} along axis {axis}, and their number is not known; "
            "export with fixed shapes"
        )
    return [name for k in range(count) for name in _joined(r, Item(r.piece(part, k)), axis, new)]


def _apart(r: Resolver, part: Pieces, axis: int, new: bool) -> str:
    """Pieces of extent 1 along another axis than they were cut: joined without their axis, which is put back."""
    rank = r.rank(part.name)
    cut, join = r.within(part.axis, rank), r.within(axis, rank + new)
    (joined,) = _joined(r, Pieces(part.name, cut), join - (cut < join), new)
    return r.op("Unsqueeze", joined, r.fixed([cut + (new and cut >= join)], np.int64))


def _merged(r: Resolver, part: Pieces, axis: int) -> str:
    """Slices one after the other along one of their own axes: the cut axis in front of it, and both made one."""
    rank = r.rank(part.name)
    at = r.within(axis, rank - 1)
    moved = r.moved(part.name, part.axis, at)
    shape = r.op("Shape", moved)
    both = r.op("Mul", r.shape_part(shape, at, at + 1), r.shape_part(shape, at + 1, at + 2))
    front = [r.shape_part(shape, 0, at)] if at else []
    back = [r.shape_part(shape, at + 2, rank)] if at + 2 < rank else []
    return r.op("Reshape", moved, r.op("Concat", *front, both, *back, axis=0))


def _rule(resolve: Callable[[Resolver], Sequence_ | None]) -> Rule:
    """The upgrade rule of a sequence operator."""

    def rule(node: RawNode, opset: int, to: Emitter) -> None:
        resolver = Resolver(node, to)
        try:
            found: Any = resolve(resolver)
        except Refused as reason:
            if not (isinstance(reason, Unknown) and to.has_refused):
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
