"""Small networks for serving, and what they compute written out in float64."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from rnnrt.ir import Graph, Node, Value
from rnnrt.models import Model
from rnnrt.runtime import Session

F32 = np.dtype("float32")
FEATURES, HIDDEN, OUT = 5, 19, 3


def weights(seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "W": (1, 4 * HIDDEN, FEATURES), "R": (1, 4 * HIDDEN, HIDDEN), "B": (1, 8 * HIDDEN),
        "W2": (1, 3 * HIDDEN, HIDDEN), "R2": (1, 3 * HIDDEN, HIDDEN), "B2": (1, 6 * HIDDEN),
        "D": (HIDDEN, OUT),
    }  # fmt: skip
    arrays = {name: rng.standard_normal(shape) / 3 for name, shape in shapes.items()}
    arrays["h0"] = np.broadcast_to(rng.standard_normal((1, 1, HIDDEN)), (1, 1, HIDDEN))
    return {name: array.astype(F32) for name, array in arrays.items()}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def written_out(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An LSTM, a GRU and a matrix product over x (T, FEATURES): the products of every step, the GRU's last state."""
    w = {name: array.astype(np.float64) for name, array in weights().items()}
    h, c, g = np.zeros(HIDDEN), np.zeros(HIDDEN), np.zeros(HIDDEN)
    products = []
    for x_t in x.astype(np.float64):
        i, o, f, n = np.split(w["W"][0] @ x_t + w["R"][0] @ h + sum(np.split(w["B"][0], 2)), 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
        h = sigmoid(o) * np.tanh(c)
        gates, R = w["W2"][0] @ h, np.split(w["R2"][0], 3)
        (wz, wr, wn), (rz, rr, rn) = (
            np.split(w["B2"][0], 2)[0].reshape(3, -1),
            np.split(w["B2"][0], 2)[1].reshape(3, -1),
        )
        z, r, n = np.split(gates, 3)
        z, r = sigmoid(z + R[0] @ g + wz + rz), sigmoid(r + R[1] @ g + wr + rr)
        g = (1 - z) * np.tanh(n + R[2] @ (r * g) + wn + rn) + z * g
        products.append(g @ w["D"])
    return np.array(products), g


def network(layout: int = 1, direction: str = "forward", after: tuple[Node, ...] = ()) -> Model:
    """What `written_out` computes. With layout 0 time comes first. With `after` its last result is the only output."""
    squeeze = np.array([2 if layout else 1])
    nodes = (
        Node("LSTM", ("x", "W", "R", "B"), ("y1",), {"hidden_size": HIDDEN, "layout": layout, "direction": direction}),
        Node("Squeeze", ("y1", "direction"), ("s1",)),
        Node("GRU", ("s1", "W2", "R2", "B2"), ("y2", "h2"), {"hidden_size": HIDDEN, "layout": layout}),
        Node("Squeeze", ("y2", "direction"), ("s2",)),
        Node("MatMul", ("s2", "D"), ("products",)),
        Node("Squeeze", ("h2", "first"), ("state",)),
        *after,
    )
    constants = {
        **weights(),
        "direction": squeeze,
        "first": np.array([1 if layout else 0]),
        "last": np.array(-1),
        "axis": np.array([0]),
        "zero": np.array(0),
    }
    outputs = [Value("products", F32), Value("state", F32)]
    if after:
        outputs = [Value(after[-1].outputs[0], F32)]
    return Model.from_graph(Graph((Value("x", F32, (None, None, FEATURES)),), tuple(outputs), nodes, constants))


def sequences(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, FEATURES)).astype(F32) for n in lengths]


class Gate:
    """Holds every run of a network: `entered` counts them, `let` opens the gate for so many."""

    def __init__(self) -> None:
        self.entered, self._open = threading.Semaphore(0), threading.Semaphore(0)

    def let(self, runs: int = 1000) -> None:
        self._open.release(runs)

    def wait(self) -> None:
        """Until a run has come to the gate."""
        assert self.entered.acquire(timeout=30)

    def passed(self) -> None:
        self.entered.release()
        assert self._open.acquire(timeout=30)


@contextmanager
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Between here and the end, runs of sessions wait for `let`."""
    held, run = Gate(), Session.run

    def slow(self: Session, inputs: list[Any]) -> list[np.ndarray]:
        held.passed()
        return run(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", slow)
        try:
            yield held
        finally:
            held.let()
