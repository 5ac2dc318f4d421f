"""The recurrent nodes' activations: ONNX's short forms written out in full, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}

_PARAMETERS: dict[str, tuple[float | None, float | None]] = {
    "Relu": (None, None),
    "Tanh": (None, None),
    "Sigmoid": (None, None),
    "Softsign": (None, None),
    "Softplus": (None, None),
    "Affine": (1.0, 0.0),
    "LeakyRelu": (0.01, None),
    "ThresholdedRelu": (1.0, None),
    "ScaledTanh": (1.0, 1.0),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0, None),
}
"""alpha and beta by default; None where the function has no such parameter."""

_NAMES = {name.lower(): name for name in _PARAMETERS}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def expand_activations(op: str, attrs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Attributes with activations, alphas and betas at full length, and reasons why that is impossible.

    ONNX lists alphas and betas only for those activations that have them, in their order; values that are missing
    at the end take the function's default. A list with a value for every activation is taken where it says the same
    whether it is read by place or by order.
    """
    out, reasons = dict(attrs), []
    direction = attrs.get("direction", "forward")
    if direction not in _DIRECTIONS:
        return out, [f"attribute direction={direction!r} is none of {list(_DIRECTIONS)}"]
    defaults = DEFAULT_ACTIVATIONS[op] * _DIRECTIONS[direction]
    given = tuple(attrs.get("activations") or defaults)
    if len(given) != len(defaults):
        reasons.append(
            f"attribute activations={list(given)} has {len(given)} entries; {direction} takes {len(defaults)}"
        )
    unknown = [name for name in given if name.lower() not in _NAMES]
    if unknown:
        reasons.append(f"attribute activations={list(given)}: {unknown} are not among {sorted(_PARAMETERS)}")
    if reasons:
        return out, reasons
    names = tuple(_NAMES[name.lower()] for name in given)
    out["activations"] = names
    for k, key in enumerate(("activation_alpha", "activation_beta")):
        values = list(attrs.get(key) or ())
        takes = [_PARAMETERS[name][k] is not None for name in names]
        takers = [name for name, does in zip(names, takes, strict=True) if does]
        if len(values) > len(takers):
            by_place = [v for v, does in zip(values, takes, strict=False) if does]
            if len(values) != len(names):
                reasons.append(f"attribute {key}={values} has {len(values)} values; {list(names)} take {len(takers)}")
                continue
            if by_place != values[: len(takers)]:
                reasons.append(
                    f"attribute {key}={values} has a value for each activation, and ONNX counts {takers} alone: "
                    f"they could be meant to have {values[: len(takers)]} or {by_place}; list {len(takers)} values"
                )
                continue
            values = by_place
        rest = iter(values)
        out[key] = tuple(
            0.0 if _PARAMETERS[name][k] is None else float(next(rest, _PARAMETERS[name][k]))  # type: ignore[arg-type]
            for name in names
        )
    return out, reasons


def compact_activations(op: str, attrs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The way back from `expand_activations`: alphas and betas of those activations alone that have them.

    Reasons name the activations that ONNX does not have.
    """
    out = {key: value for key, value in attrs.items() if key not in ("activation_alpha", "activation_beta")}
    count = _DIRECTIONS.get(str(attrs.get("direction", "forward")), 1)
    names = tuple(attrs.get("activations") or DEFAULT_ACTIVATIONS[op] * count)
    unknown = [name for name in dict.fromkeys(names) if name not in _PARAMETERS]
    if unknown:
        return out, [
            f"activation {name} is not among those of ONNX's {op}; "
            "save the network as .rnnrt, or train it with one of tanh, sigmoid, relu, elu, softplus, softsign"
            for name in unknown
        ]
    out["activations"] = names
    for k, key in enumerate(("activation_alpha", "activation_beta")):
        values = tuple(attrs.get(key) or [_PARAMETERS[name][k] or 0.0 for name in names])
        kept = tuple(float(v) for name, v in zip(names, values, strict=True) if _PARAMETERS[name][k] is not None)
        if kept:
            out[key] = kept
    return out, []
