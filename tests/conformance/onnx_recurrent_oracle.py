"""ONNX's LSTM, GRU and RNN in float64, written line by line from the operators' texts in the onnx package.

Nothing of rnnrt is used. Where the texts leave a choice it is onnxruntime's: clip bounds what the gates' functions
get, and not the cell state before h; a row of length 0 has zeros as its last states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

FUNCTIONS: dict[str, Any] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "leakyrelu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "thresholdedrelu": lambda x, alpha: np.where(x >= alpha, x, 0),
    "scaledtanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "hardsigmoid": lambda x, alpha, beta: np.minimum(np.maximum(alpha * x + beta, 0), 1),
    "elu": lambda x, alpha: np.where(x >= 0, x, alpha * (np.exp(x) - 1)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
}
OPERATOR_DEFAULTS = {
    "leakyrelu": [0.01],
    "thresholdedrelu": [1.0],
    "hardsigmoid": [0.2, 0.5],
    "elu": [1.0],
    "affine": [1.0, 0.0],
    "scaledtanh": [1.0, 1.0],
}
"""alpha and beta of ONNX's operators of the same name; Affine and ScaledTanh have none."""


def _functions(names: list[str], alphas: Iterator[float], betas: Iterator[float]) -> list[Any]:
    """The functions in order; each takes from the lists what it has use for."""
    found = []
    for name in (n.lower() for n in names):
        values = list(OPERATOR_DEFAULTS.get(name, []))
        for k, rest in enumerate((alphas, betas)):
            if k < len(values):
                values[k] = next(rest, values[k])
        found.append(lambda x, name=name, values=tuple(values): FUNCTIONS[name](x, *values))
    return found


def recurrent(op: str, given: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Y, Y_h and for LSTM Y_c.

    Parameters
    ----------
    op : "LSTM", "GRU" or "RNN"
    given : mapping of str to ndarray
        Operands by ONNX's names; optional ones may be absent.
    attrs : mapping
        Attributes of the node.
    """
    wide = {key: x.astype(np.float64) for key, x in given.items() if key != "sequence_lens"}
    x, layout, direction = wide["X"], attrs.get("layout", 0), attrs.get("direction", "forward")
    if layout:
        x = x.transpose(1, 0, 2)
    steps, batch, _ = x.shape
    directions, hidden = wide["R"].shape[0], wide["R"].shape[2]
    defaults = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[op]
    names = list(attrs.get("activations", defaults * directions))
    every = _functions(names, iter(attrs.get("activation_alpha", [])), iter(attrs.get("activation_beta", [])))
    lengths = given.get("sequence_lens", np.full(batch, steps))
    y = np.zeros((steps, directions, batch, hidden))
    last = {key: np.zeros((directions, batch, hidden)) for key in ("h", "c")}
    for d in range(directions):
        functions = every[d * len(defaults) : (d + 1) * len(defaults)]
        for row in range(batch):
            state = {}
            for key in ("h", "c"):
                initial = wide.get(f"initial_{key}")
                state[key] = np.zeros(hidden) if initial is None else initial[(row, d) if layout else (d, row)]
            order = list(range(lengths[row]))
            if direction == "reverse" or d == 1:
                order.reverse()
            for t in order:
                state = _step(
                    op, {key: w[d] for key, w in wide.items() if key in "WRBP"}, attrs, functions, x[t, row], state
                )
                y[t, d, row] = state["h"]
            for key in ("h", "c"):
                last[key][d, row] = state[key] if lengths[row] or not steps else 0
    if layout:
        y = y.transpose(2, 0, 1, 3)
        last = {key: s.transpose(1, 0, 2) for key, s in last.items()}
    return {"Y": y, "Y_h": last["h"]} | ({"Y_c": last["c"]} if op == "LSTM" else {})


def _step(
    op: str, w: Mapping[str, np.ndarray], attrs: Mapping[str, Any], functions: list[Any], x: Any, state: Any
) -> dict[str, np.ndarray]:
    """One step of one row."""
    h, c, hidden = state["h"], state["c"], len(state["h"])
    bias = w.get("B", np.zeros(2 * len(w["W"])))
    wb, rb = np.split(bias, 2)
    clip = attrs.get("clip", np.inf)

    def clipped(values: Any) -> Any:
        return np.minimum(np.maximum(values, -clip), clip)

    def gate(array: np.ndarray, k: int) -> np.ndarray:
        return array[k * hidden : (k + 1) * hidden]

    def both(k: int) -> Any:
        return gate(w["W"], k) @ x + gate(w["R"], k) @ h + gate(wb, k) + gate(rb, k)

    if op == "RNN":
        return {"h": functions[0](clipped(both(0))), "c": c}
    if op == "GRU":
        f, g = functions
        z, r = f(clipped(both(0))), f(clipped(both(1)))
        if attrs.get("linear_before_reset", 0):
            inner = r * (gate(w["R"], 2) @ h + gate(rb, 2)) + gate(wb, 2)
        else:
            inner = gate(w["R"], 2) @ (r * h) + gate(rb, 2) + gate(wb, 2)
        new = g(clipped(gate(w["W"], 2) @ x + inner))
        return {"h": (1 - z) * new + z * h, "c": c}
    f, g, last = functions
    peep = w.get("P", np.zeros(3 * hidden))
    i = f(clipped(both(0) + gate(peep, 0) * c))
    forget = 1 - i if attrs.get("input_forget", 0) else f(clipped(both(2) + gate(peep, 2) * c))
    new_c = forget * c + i * g(clipped(both(3)))
    o = f(clipped(both(1) + gate(peep, 1) * new_c))
    return {"h": o * last(new_c), "c": new_c}
