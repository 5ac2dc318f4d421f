"""Rows that an exporter sorted by their lengths and put back: torch's packed sequences.

No row of a recurrence sees another, so that the order of rows goes through it.
"""

from __future__ import annotations

from rnnrt.ir import Node
from rnnrt.passes.lift.carriers import (
    CARRIERS,
    INITIAL_C,
    INITIAL_H,
    LENGTHS,
    RECURRENT,
    axis_before,
    replace_recurrent,
)
from rnnrt.passes.lift.rewrite import Rewrite


def leave_unsorted(node: Node, out: Rewrite) -> None:
    """Rows that were sorted for the recurrence, and put back afterwards, are left in their order."""
    x = _gathered(node.inputs[0], 1, out)
    if x is None:
        return
    source, order = x
    out.under(node.outputs[0] or node.outputs[1])
    changes = {0: source}
    for at, axis in ((LENGTHS, 0), (INITIAL_H, 1), (INITIAL_C, 1), (RECURRENT[node.op], 1)):
        given = node.inputs[at] if len(node.inputs) > at else ""
        is_state = at == INITIAL_H or (at == INITIAL_C and node.op == "LSTM")
        if not given or at in changes:
            continue
        if is_state and out.is_zero(given):
            changes[at] = ""
            continue
        found = _gathered(given, axis, out)
        if found is None or found[1] != order:
            return
        changes[at] = found[0]
    results = [out.fresh("unsorted") if name else "" for name in node.outputs]
    replace_recurrent(node, out, changes, {}, results)
    for k, (old, new) in enumerate(zip(node.outputs, results, strict=True)):
        if old:
            out.emit("Gather", [new, order], {"axis": 2 if k == 0 else 1}, [old])
    for reader in list(out.nodes):
        if reader.op == "Gather" and _inverse_of(reader.inputs[1], out) == order:
            _put_back(reader, order, out)


def _put_back(node: Node, order: str, out: Rewrite) -> None:
    rank = out.rank(node.inputs[0])
    if rank == 0:  # unknown
        return
    axis = int(node.attrs.get("axis", 0)) % rank
    found = _gathered(node.inputs[0], axis, out)
    if found is not None and found[1] == order:
        out.drop(node.outputs[0])
        out.emit("Identity", [found[0]], outputs=node.outputs)


def _gathered(name: str, axis: int, out: Rewrite) -> tuple[str, str] | None:
    """The value before rows along an axis were put in an order, carried through changes of shape; and the order."""
    node = out.producers.get(name)
    if node is None:
        return None
    if node.op == "TopK" and name == node.outputs[0] and out.rank(name) == 1:
        return node.inputs[0], node.outputs[1]  # the sorted values are the values in the order of the indices
    if node.op == "Gather" and out.rank(node.inputs[1]) == 1:
        if out.rank(name) and int(node.attrs.get("axis", 0)) % out.rank(name) == axis:
            return node.inputs[0], _root(node.inputs[1], out)
        return None
    before = axis_before(node, axis, out) if node.op in CARRIERS else None
    found = None if before is None else _gathered(node.inputs[0], before, out)
    if found is None:
        return None
    return out.emit(node.op, (found[0], *node.inputs[1:]), node.attrs), found[1]


def _root(name: str, out: Rewrite) -> str:
    """An order before its integers were made longer or shorter."""
    while (node := out.producers.get(name)) is not None and node.op in ("Cast", "Identity"):
        name = node.inputs[0]
    return name


def _inverse_of(name: str, out: Rewrite) -> str | None:
    """The order that this one undoes: its places scattered to it, or the order that sorts it."""
    node = out.producers.get(_root(name, out))
    if node is None:
        return None
    if node.op == "TopK":
        undone = _root(node.inputs[0], out)
        rising = not node.attrs.get("largest", 1) and _root(name, out) == node.outputs[1]
        return undone if rising and _sorts_all(node, out) and _is_permutation(undone, out) else None
    if node.op != "ScatterElements" or node.attrs.get("axis", 0) != 0:
        return None
    undone = _root(node.inputs[1], out)
    places = out.producers.get(node.inputs[2])
    if places is None or places.op != "Range" or not _is_permutation(undone, out):
        return None
    start, step = (out.specs[places.inputs[k]].value for k in (0, 2))
    return undone if start is not None and step is not None and int(start) == 0 and int(step) == 1 else None


def _sorts_all(node: Node, out: Rewrite) -> bool:
    """Whether a TopK of one axis keeps every element."""
    count = out.extents.of_value(node.inputs[1])
    return out.rank(node.inputs[0]) == 1 and count is not None and count == out.extents.of_axis(node.inputs[0], 0)


def _is_permutation(name: str, out: Rewrite) -> bool:
    """Whether an order is the indices of a TopK that keeps all."""
    node = out.producers.get(name)
    return node is not None and node.op == "TopK" and name == node.outputs[1] and _sorts_all(node, out)
