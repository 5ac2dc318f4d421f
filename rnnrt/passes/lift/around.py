"""What exporters put around recurrent nodes: sequences turned around, last steps picked, rows sorted by length.

A forward recurrence over a reversed sequence is a reverse one; the last step of all results is the last state; rows
that are sorted and put back in order need not be sorted, since no row sees another.
"""

from __future__ import annotations

from rnnrt.ir import Node
from rnnrt.passes.lift.carriers import CARRIERS, INITIAL_H, LENGTHS, RECURRENT, axis_before, replace_recurrent
from rnnrt.passes.lift.extents import is_reversal
from rnnrt.passes.lift.rewrite import Rewrite
from rnnrt.passes.lift.sorted_rows import leave_unsorted


def simplify_around(out: Rewrite) -> None:
    """Rewrite what stands around the recurrent nodes of `out`."""
    for node in list(out.nodes):
        if node.op in ("Slice", "Gather"):
            _last_step(node, out)
    for node in list(out.nodes):
        if node.op in RECURRENT and not node.attrs.get("layout", 0):
            leave_unsorted(node, out)
    for node in list(out.nodes):
        if node.op in RECURRENT and not node.attrs.get("layout", 0):
            _turned(node, out)
    for node in list(out.nodes):
        if node.op in ("Slice", "ReverseSequence") and out.producers.get(node.outputs[0]) is node:
            _reversed_twice(node, out)


def _reversed_axis(node: Node, out: Rewrite) -> int | None:
    """The axis that a node turns around as a whole."""
    rank = out.rank(node.inputs[0])
    if node.op == "ReverseSequence":
        axis = int(node.attrs.get("time_axis", 0))
        lengths = out.producers.get(node.inputs[1])
        while lengths is not None and lengths.op in ("Identity", "Cast"):
            lengths = out.producers.get(lengths.inputs[0])
        if lengths is None:
            value = out.specs[node.inputs[1]].value
            shape = out.specs[node.inputs[0]].shape or ()
            return axis if value is not None and shape and bool((value == shape[axis]).all()) else None
        if lengths.op not in ("Expand", "Tile"):
            return None
        filled = out.extents.of_value(lengths.inputs[0])
        return axis if filled is not None and filled == out.extents.of_axis(node.inputs[0], axis) else None
    values = [out.specs[name].value for name in node.inputs[1:]] if node.op == "Slice" and len(node.inputs) == 5 else []
    bounds = [int(v.reshape(())) for v in values if v is not None and v.size == 1]
    if len(bounds) != 4:
        return None
    start, end, axis, step = bounds
    return axis % rank if is_reversal(start, end, step) else None


def _unreversed(name: str, axis: int, out: Rewrite) -> str | None:
    """The value before an axis was turned around, carried through the same changes of shape; None if it was not."""
    node = out.producers.get(name)
    if node is None:
        return None
    if _reversed_axis(node, out) == axis:
        return node.inputs[0]
    before = axis_before(node, axis, out) if node.op in CARRIERS else None
    source = None if before is None else _unreversed(node.inputs[0], before, out)
    if source is None:
        return None
    return out.emit(node.op, (source, *node.inputs[1:]), node.attrs)


def _turned(node: Node, out: Rewrite) -> None:
    """Forward over a reversed sequence: reverse, with its results turned around."""
    direction = node.attrs.get("direction", "forward")
    if direction == "bidirectional" or (len(node.inputs) > LENGTHS and node.inputs[LENGTHS]):
        return
    out.under(node.outputs[0] or node.outputs[1])
    x = _unreversed(node.inputs[0], 0, out)
    if x is None:
        return
    changes = {0: x}
    at = RECURRENT[node.op]
    if len(node.inputs) > at and node.inputs[at]:
        mask = node.inputs[at]
        changes[at] = _unreversed(mask, 0, out) or out.reversed(mask, 0)
    y = node.outputs[0]
    results = [out.fresh("Y") if y else "", *node.outputs[1:]]
    turned = "reverse" if direction == "forward" else "forward"
    replace_recurrent(node, out, changes, {"direction": turned}, results)
    if y:
        out.reversed(results[0], 0, y)


def _reversed_twice(node: Node, out: Rewrite) -> None:
    """Turned around again, with nothing but changes of shape between."""
    axis = _reversed_axis(node, out)
    if axis is None:
        return
    out.under(node.outputs[0])
    source = _unreversed(node.inputs[0], axis, out)
    if source is not None:
        out.drop(node.outputs[0])
        out.emit("Identity", [source], outputs=node.outputs)


def _last_step(node: Node, out: Rewrite) -> None:
    """The last of all results: the last state."""
    axis = _picked_axis(node, out)
    if axis is None:
        return
    carriers: list[Node] = []
    name = node.inputs[0]
    while (maker := out.producers.get(name)) is not None and maker.op in ("Identity", "Transpose", "Squeeze"):
        carriers.append(maker)
        name = maker.inputs[0]
    if maker is None or out.rank(name) != 4:
        return
    letters = list("TDBH")
    for carrier in reversed(carriers):
        before = [axis_before(carrier, k, out) for k in range(out.rank(carrier.outputs[0]))]
        if None in before:
            return
        letters = [letters[k] for k in before if k is not None]
    if letters[axis] != "T" or "".join(x for x in letters if x in "BH") != "BH":
        return
    out.under(node.outputs[0])
    last = _state_for(maker, name, out)
    if last is None:
        return
    kept = letters if node.op == "Slice" else [x for k, x in enumerate(letters) if k != axis]
    ones = [k for k, x in enumerate(kept) if x in "TD"]
    out.drop(node.outputs[0])
    if ones:
        state = out.squeezed(last, 0)
        out.emit("Unsqueeze", [state, out.integers(ones, "axes")], outputs=node.outputs)
    else:
        out.squeezed(last, 0, node.outputs[0])


def _picked_axis(node: Node, out: Rewrite) -> int | None:
    """The axis of which a node picks the last element."""
    values = [out.specs[name].value if name else None for name in node.inputs[1:]]
    if any(v is None or v.size != 1 for v in values):
        return None
    numbers = [int(v.reshape(())) for v in values if v is not None]
    shape = out.specs[node.inputs[0]].shape
    if not shape:
        return None
    if node.op == "Gather":
        axis = int(node.attrs.get("axis", 0)) % len(shape)
        scalar = out.specs[node.inputs[1]].shape == ()
        return axis if scalar and numbers[0] in _last_of(shape[axis]) else None
    if len(numbers) < 3 or numbers[3:] not in ([], [1]):
        return None
    start, end, axis = numbers[:3]
    axis %= len(shape)
    extent = shape[axis]
    whole = end >= (1 << 31) - 1 or (isinstance(extent, int) and end >= extent)
    return axis if whole and start in _last_of(extent) else None


def _last_of(extent: object) -> tuple[int, ...]:
    return (-1, extent - 1) if isinstance(extent, int) else (-1,)


def _state_for(node: Node | None, name: str, out: Rewrite) -> str | None:
    """The state that the last of a node's results is, in the order in which they are stored; named if need be."""
    if node is None or node.op not in RECURRENT or name != node.outputs[0] or node.attrs.get("layout", 0):
        return None
    at = RECURRENT[node.op]
    given = (*node.inputs, *[""] * (at + 1 - len(node.inputs)))
    if node.attrs.get("direction", "forward") != "forward" or given[LENGTHS]:
        return None
    if given[at] and (node.attrs.get("zero_output_for_mask") or given[INITIAL_H]):
        return None
    if len(node.outputs) > 1 and node.outputs[1]:
        return node.outputs[1]
    last = out.fresh("Y_h")
    renamed = Node(node.op, node.inputs, (node.outputs[0], last, *node.outputs[2:]), node.attrs, node.name)
    out.exchange(node, renamed)
    return last
