"""What exporters put around recurrent nodes: sequences turned around, last steps picked, rows sorted by length.

A forward recurrence over a reversed sequence is a reverse one; the last step of all results is the last state; rows
that are sorted and put back in order need not be sorted, since no row sees another.
"""

from __future__ import annotations

from rnnrt.ir import Node
from rnnrt.passes.lift.extents import is_reversal
from rnnrt.passes.lift.rewrite import Rewrite

RECURRENT = {"LSTM": 8, "GRU": 6, "RNN": 6}
"""Recurrent operators, with the position of their mask."""

_LENGTHS, _INITIAL_H, _INITIAL_C = 4, 5, 6
_CARRIERS = frozenset({"Identity", "Cast", "Not", "Transpose", "Squeeze", "Unsqueeze", "Reshape"})


def simplify_around(out: Rewrite) -> None:
    """Rewrite what stands around the recurrent nodes of `out`."""
    for node in list(out.nodes):
        if node.op in ("Slice", "Gather"):
            _last_step(node, out)
    for node in list(out.nodes):
        if node.op in RECURRENT and not node.attrs.get("layout", 0):
            _unsorted(node, out)
    for node in list(out.nodes):
        if node.op in RECURRENT and not node.attrs.get("layout", 0):
            _turned(node, out)
    for node in list(out.nodes):
        if node.op in ("Slice", "ReverseSequence") and node in out.nodes:
            _reversed_twice(node, out)


def _axis_before(node: Node, axis: int, out: Rewrite) -> int | None:
    """The input's axis that an axis of a carrier's result is; None for an axis that it adds."""
    if node.op == "Transpose":
        rank = out.rank(node.inputs[0])
        return tuple(node.attrs.get("perm", range(rank)[::-1]))[axis]
    if node.op in ("Identity", "Cast", "Not"):
        return axis
    if node.op == "Reshape":
        shape = out.specs[node.inputs[1]].value
        kept = shape is not None and not node.attrs.get("allowzero", 0) and not shape[: axis + 1].any()
        return axis if kept else None  # zeros say: as before
    axes = out.specs[node.inputs[1]].value if len(node.inputs) > 1 else None
    if axes is None:
        return None
    given = axes.ravel().tolist()
    rank = out.rank(node.inputs[0]) + (len(given) if node.op == "Unsqueeze" else 0)
    at = sorted(int(a) % rank for a in given)
    if node.op == "Squeeze":
        return [k for k in range(rank) if k not in at][axis]
    return None if axis in at else axis - sum(a < axis for a in at)


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
    before = _axis_before(node, axis, out) if node.op in _CARRIERS else None
    source = None if before is None else _unreversed(node.inputs[0], before, out)
    if source is None:
        return None
    return out.emit(node.op, (source, *node.inputs[1:]), node.attrs)


def _replace(node: Node, out: Rewrite, changes: dict[int, str], attrs: dict[str, object], results: list[str]) -> None:
    """A recurrent node with other inputs, attributes and names of results."""
    inputs = list(node.inputs)
    for at, name in changes.items():
        inputs += [""] * (at + 1 - len(inputs))
        inputs[at] = name
    for name in node.outputs:
        if name:
            out.drop(name)
    out.emit(node.op, inputs, {**node.attrs, **attrs}, results)


def _turned(node: Node, out: Rewrite) -> None:
    """Forward over a reversed sequence: reverse, with its results turned around."""
    direction = node.attrs.get("direction", "forward")
    if direction == "bidirectional" or (len(node.inputs) > _LENGTHS and node.inputs[_LENGTHS]):
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
    _replace(node, out, changes, {"direction": turned}, results)
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
        before = [_axis_before(carrier, k, out) for k in range(out.rank(carrier.outputs[0]))]
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
    shape = out.specs[node.inputs[0]].shape or ()
    if node.op == "Gather":
        axis = int(node.attrs.get("axis", 0)) % max(len(shape), 1)
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
    if node.attrs.get("direction", "forward") != "forward" or given[_LENGTHS]:
        return None
    if given[at] and (node.attrs.get("zero_output_for_mask") or given[_INITIAL_H]):
        return None
    if len(node.outputs) > 1 and node.outputs[1]:
        return node.outputs[1]
    last = out.fresh("Y_h")
    renamed = Node(node.op, node.inputs, (node.outputs[0], last, *node.outputs[2:]), node.attrs, node.name)
    out.exchange(node, renamed)
    return last


def _unsorted(node: Node, out: Rewrite) -> None:
    """Rows that were sorted for the recurrence, and put back afterwards, are left in their order."""
    x = _gathered(node.inputs[0], 1, out)
    if x is None:
        return
    source, order = x
    out.under(node.outputs[0] or node.outputs[1])
    changes = {0: source}
    for at, axis in ((_LENGTHS, 0), (_INITIAL_H, 1), (_INITIAL_C, 1), (RECURRENT[node.op], 1)):
        given = node.inputs[at] if len(node.inputs) > at else ""
        is_state = at == _INITIAL_H or (at == _INITIAL_C and node.op == "LSTM")
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
    _replace(node, out, changes, {}, results)
    for k, (old, new) in enumerate(zip(node.outputs, results, strict=True)):
        if old:
            out.emit("Gather", [new, order], {"axis": 2 if k == 0 else 1}, [old])
    for reader in list(out.nodes):
        if reader.op == "Gather" and _inverse_of(reader.inputs[1], out) == order:
            _put_back(reader, order, out)


def _put_back(node: Node, order: str, out: Rewrite) -> None:
    axis = int(node.attrs.get("axis", 0)) % out.rank(node.inputs[0])
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
        if int(node.attrs.get("axis", 0)) % out.rank(name) == axis:
            return node.inputs[0], _root(node.inputs[1], out)
        return None
    before = _axis_before(node, axis, out) if node.op in _CARRIERS else None
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
