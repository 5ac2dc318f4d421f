"""Changes of shape that carry an axis along, and what the rewrites around recurrent nodes share."""

from __future__ import annotations

from rnnrt.ir import Node
from rnnrt.passes.lift.rewrite import Rewrite

RECURRENT = {"LSTM": 8, "GRU": 6, "RNN": 6}
"""Recurrent operators, with the position of their mask."""

LENGTHS, INITIAL_H, INITIAL_C = 4, 5, 6
CARRIERS = frozenset({"Identity", "Cast", "Not", "Transpose", "Squeeze", "Unsqueeze", "Reshape"})


def axis_before(node: Node, axis: int, out: Rewrite) -> int | None:
    """The input's axis that an axis of a carrier's result is; None for an axis that it adds, and for unknown ranks."""
    if out.specs[node.inputs[0]].shape is None or axis >= out.rank(node.outputs[0]):
        return None
    if node.op == "Transpose":
        rank = out.rank(node.inputs[0])
        return tuple(node.attrs.get("perm") or range(rank)[::-1])[axis]
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


def replace_recurrent(
    node: Node, out: Rewrite, changes: dict[int, str], attrs: dict[str, object], results: list[str]
) -> None:
    """A recurrent node with other inputs, attributes and names of results."""
    inputs = list(node.inputs)
    for at, name in changes.items():
        inputs += [""] * (at + 1 - len(inputs))
        inputs[at] = name
    for name in node.outputs:
        if name:
            out.drop(name)
    out.emit(node.op, inputs, {**node.attrs, **attrs}, results)
