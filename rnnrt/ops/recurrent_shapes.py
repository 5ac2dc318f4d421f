"""Shapes of the operands of recurrent operators, and their weights in the IR's layout. Letters as in `recurrent`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node, Shape
from rnnrt.ops.base import TensorSpec

LENGTHS = "sequence_lens"
MASK = "mask"
DROP = "recurrent_mask"
STATES = ("initial_h", "initial_c")


def is_zero(spec: TensorSpec | None) -> bool:
    """Whether a state is a constant of three axes that is zero everywhere."""
    return spec is not None and spec.value is not None and spec.value.ndim == 3 and not spec.value.any()


def infer_dims(
    node: Node,
    specs: Mapping[str, TensorSpec | None],
    gates: int,
    known: Mapping[str, Dim],
    batch_first: bool,
    keras: bool,
) -> dict[str, Dim]:
    """The extents T, B, I, H and D as far as the operands tell.

    Raises
    ------
    ShapeError
        Operands do not fit together, or are not of X's dtype.
    """
    dims, x = dict(known), specs["X"]
    assert x is not None
    for key, shape in _operand_shapes(batch_first, keras).items():
        spec = specs.get(key)
        if spec is None:
            continue
        if key not in (LENGTHS, MASK) and spec.dtype != x.dtype:
            raise ShapeError(f"{node.label()}: {key} is {spec.dtype}, X is {x.dtype}; make them one")
        if keras and key == "B" and spec.shape is not None and len(spec.shape) == 1:
            shape = ("GH",)
        _unify(node, key, spec.shape, shape, dims, {"G": gates, "2G": 2 * gates, "3": 3})
    return dims


def _operand_shapes(batch_first: bool, keras: bool) -> dict[str, tuple[str, ...]]:
    """Shapes of the operands in letters; "GH" is G*H, "2GH" 2*G*H, "3H" 3*H."""
    state = ("B", "D", "H") if batch_first else ("D", "B", "H")
    return {
        "W": ("I", "GH") if keras else ("D", "GH", "I"),
        "R": ("H", "GH") if keras else ("D", "GH", "H"),
        "X": ("B", "T", "I") if batch_first else ("T", "B", "I"),
        "B": ("2", "GH") if keras else ("D", "2GH"),
        LENGTHS: ("B",),
        "initial_h": state,
        "initial_c": state,
        "P": ("D", "3H"),
        MASK: ("T", "B"),
        DROP: ("D", "B", "H"),
    }


def _unify(
    node: Node, key: str, shape: Shape | None, letters: tuple[str, ...], dims: dict[str, Dim], factor: Mapping[str, int]
) -> None:
    """Check `shape` against what the letters are known to be, and learn from it what was not known."""
    if shape is None:
        return
    if len(shape) != len(letters):
        raise ShapeError(f"{node.label()}: {key} has shape {shape}, {len(letters)} axes are needed")
    for found, letter in zip(shape, letters, strict=True):
        times = factor.get(letter[:-1], 1) if len(letter) > 1 else 1
        base = letter[-1] if len(letter) > 1 else letter
        known = int(base) if base.isdigit() else dims.get(base)
        if isinstance(found, int):
            if found % times or (isinstance(known, int) and found != known * times):
                want = known * times if isinstance(known, int) else f"a multiple of {times}"
                advice = ""
                if key in STATES and letter == "B":
                    advice = ", the batch of X; feed such a state, or call with the batch that the file was made for"
                raise ShapeError(f"{node.label()}: {key} has shape {shape}; its axis {letter} must be {want}{advice}")
            dims[base] = found // times
        elif known is None and times == 1:
            dims[base] = found


def in_ir_layout(op: Any, node: Node, arg: Mapping[str, Any]) -> dict[str, Any]:
    """The operands with W (D, G*H, I), R (D, G*H, H) and B (D, 2*G*H) in the IR's order of gates."""
    found = dict(arg)
    if op.attr(node, "weight_layout") == "keras":
        found["W"], found["R"] = arg["W"].T[None], arg["R"].T[None]
        if arg["B"] is not None:
            rows = np.atleast_2d(arg["B"])
            found["B"] = (rows if len(rows) > 1 else np.concatenate([rows, np.zeros_like(rows)])).reshape(1, -1)
    order = tuple(op.attr(node, "gate_order")) or tuple(range(op.gates))
    hidden = found["R"].shape[2]
    units = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in order])
    found["W"], found["R"] = found["W"][:, units], found["R"][:, units]
    if found["B"] is not None:
        found["B"] = found["B"][:, np.concatenate([units, units + op.gates * hidden])]
    return found


def from_ir_layout(
    op: Any, node: Node, dW: np.ndarray, dR: np.ndarray, dB: np.ndarray, bias: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients in the layout of the weights: the way back from `in_ir_layout`."""
    order = tuple(op.attr(node, "gate_order")) or tuple(range(op.gates))
    hidden = dR.shape[2]
    back = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in np.argsort(order)])
    dW, dR, dB = dW[:, back], dR[:, back], dB[:, np.concatenate([back, back + op.gates * hidden])]
    if op.attr(node, "weight_layout") == "keras":
        dW, dR, dB = dW[0].T, dR[0].T, dB.reshape(2, -1)
        if bias is not None and bias.ndim == 1:
            dB = dB[0]
    return dW, dR, dB
