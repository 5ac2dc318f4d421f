"""Recurrent layers against the equations of the textbooks, written out step by step in float64.

The equations stand here in NumPy, gate by gate, in both conventions in which the GRU is written; nothing of rnnrt is
asked for them. B rows of the batch, T steps, I inputs, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rnnrt import layers as L
from rnnrt.errors import ShapeError, UnsupportedModelError
from rnnrt.layers import GraphBuilder, Layer
from rnnrt.layers.gates import fold_gru_convention
from rnnrt.ops.evaluate import evaluate
from rnnrt.runtime import Session
from tests.support import assert_close, one_node

B, T, I, H = 3, 7, 4, 5  # noqa: E741
Array = Any


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hard_sigma(x: Array) -> Array:
    return np.minimum(1, np.maximum(0, x / 6 + 0.5))


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0, 0.7, shape)


def gru_by_the_book(
    x: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    update: str,
    reset: str,
    after: bool,
    gate: Callable[[Array], Array] = sigma,
) -> Array:
    """All states (B, T, H); `kernel` holds W_z W_r W_n side by side, `recurrent` U_z U_r U_n."""
    Wz, Wr, Wn = kernel[:, :H], kernel[:, H : 2 * H], kernel[:, 2 * H :]
    Uz, Ur, Un = recurrent[:, :H], recurrent[:, H : 2 * H], recurrent[:, 2 * H :]
    rows = bias if after else np.stack([bias, np.zeros_like(bias)])
    bz, br, bn = rows[0, :H], rows[0, H : 2 * H], rows[0, 2 * H :]
    cz, cr, cn = rows[1, :H], rows[1, H : 2 * H], rows[1, 2 * H :]
    h, states = np.zeros((x.shape[0], H)), []
    for t in range(x.shape[1]):
        z = gate(x[:, t] @ Wz + bz + h @ Uz + cz)
        r = gate(x[:, t] @ Wr + br + h @ Ur + cr)
        seen = r if reset == "keep" else 1 - r
        inner = seen * (h @ Un + cn) if after else (seen * h) @ Un
        n = np.tanh(x[:, t] @ Wn + bn + inner)
        h = z * h + (1 - z) * n if update == "keep" else (1 - z) * h + z * n
        states.append(h)
    return np.stack(states, 1)


def lstm_by_the_book(x: Array, kernel: Array, recurrent: Array, bias: Array, peepholes: Array | None = None) -> Array:
    """All states; gates side by side as i f c o, `peepholes` (3, H) those of i, f and o."""
    W, U, b = np.split(kernel, 4, 1), np.split(recurrent, 4, 1), np.split(bias, 4)
    pi, pf, po = peepholes if peepholes is not None else np.zeros((3, H))
    h, c, states = np.zeros((x.shape[0], H)), np.zeros((x.shape[0], H)), []
    for t in range(x.shape[1]):
        a = [x[:, t] @ W[k] + h @ U[k] + b[k] for k in range(4)]
        i = sigma(a[0] + pi * c)
        f = sigma(a[1] + pf * c)
        c = f * c + i * np.tanh(a[2])
        o = sigma(a[3] + po * c)
        h = o * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


def rnn_by_the_book(x: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """All states."""
    h, states = np.zeros((x.shape[0], H)), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ kernel + h @ recurrent + bias)
        states.append(h)
    return np.stack(states, 1)


def run(layer: Layer, x: Array) -> list[Array]:
    """What the layer gives: the compiled plan in its dtype, then the reference in float64."""
    b = GraphBuilder("test")
    y = layer.apply(b, b.input("x", (None, *x.shape[1:]), layer.dtype))
    graph = b.finish([("y", y)])
    given = x.astype(layer.dtype)
    return [Session(graph).run([given])[0], evaluate(graph, {"x": given}, np.float64)[0]]


def fill(layer: L.RNN, arrays: Sequence[Array]) -> None:
    cell = layer.cells[0]
    for name, array in zip(cell.weight_names(), arrays, strict=True):
        cell.put_array(name, array)


TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("update", ["keep", "new"])
@pytest.mark.parametrize("reset", ["keep", "drop"])
def test_gru(update: str, reset: str, after: bool, dtype: str) -> None:
    x, arrays = random(B, T, I), gru_arrays(after)
    layer = L.GRU(H, reset_after=after, return_sequences=True, dtype=dtype)
    layer.load_convention(arrays, update_gate=update, reset_gate=reset)
    want = gru_by_the_book(x, *arrays, update, reset, after)
    for got in run(layer, x):
        assert_close(got, want, TOLERANCE[dtype], f"{update} {reset} {after}")


def test_gru_that_has_weights_already() -> None:
    """The variables that a training run holds stay the same objects, with new values."""
    x, arrays = random(B, T, I), gru_arrays(True)
    layer = L.GRU(H, return_sequences=True, dtype="float64")
    layer.build((None, T, I))
    variables = list(layer.weights)
    layer.load_convention(arrays, update_gate="new")
    assert all(a is b for a, b in zip(layer.weights, variables, strict=True))
    want = gru_by_the_book(x, *arrays, "new", "keep", True)
    for got in run(layer, x):
        assert_close(got, want, 1e-12)
    with pytest.raises(ShapeError, match=r"kernel has shape \(5, 15\), it needs \(4, 15\)"):
        layer.load_convention([random(5, 3 * H), *arrays[1:]])


def gru_arrays(after: bool) -> list[Array]:
    return [random(I, 3 * H, seed=1), random(H, 3 * H, seed=2), random(*(2, 3 * H) if after else (3 * H,), seed=3)]


def test_the_conventions_differ() -> None:
    """Else the tests above could not fail."""
    x, arrays = random(B, T, I), gru_arrays(True)
    results = [gru_by_the_book(x, *arrays, u, r, True) for u in ("keep", "new") for r in ("keep", "drop")]
    for k, a in enumerate(results):
        for b in results[:k]:
            assert np.max(np.abs(a - b)) > 0.05


@pytest.mark.parametrize(("update", "reset"), [("new", "keep"), ("keep", "drop"), ("new", "drop")])
def test_gru_with_hard_sigmoid(update: str, reset: str) -> None:
    x, arrays = random(B, T, I), gru_arrays(True)
    layer = L.GRU(H, recurrent_activation="hard_sigmoid", return_sequences=True, dtype="float64")
    layer.load_convention(arrays, update_gate=update, reset_gate=reset)
    want = gru_by_the_book(x, *arrays, update, reset, True, hard_sigma)
    for got in run(layer, x):
        assert_close(got, want, 1e-12)


def test_lstm() -> None:
    x = random(B, T, I)
    arrays = [random(I, 4 * H, seed=1), random(H, 4 * H, seed=2), random(4 * H, seed=3)]
    layer = L.LSTM(H, return_sequences=True, dtype="float64")
    fill(layer, arrays)
    for got in run(layer, x):
        assert_close(got, lstm_by_the_book(x, *arrays), 1e-12)


def test_lstm_with_peepholes() -> None:
    """Keras has no peepholes; the IR's operator has, in the order i o f."""
    x = random(B, T, I)
    kernel, recurrent, bias = random(I, 4 * H, seed=1), random(H, 4 * H, seed=2), random(4 * H, seed=3)
    peepholes = random(3, H, seed=4)
    i, f, c, o = (slice(k * H, (k + 1) * H) for k in range(4))
    W, R, b = (np.concatenate([a[..., g] for g in (i, o, f, c)], -1) for a in (kernel, recurrent, bias))
    P = np.concatenate([peepholes[0], peepholes[2], peepholes[1]])
    operands = [x, W.T[None], R.T[None], np.concatenate([b, np.zeros_like(b)])[None], None, None, None, P[None]]
    graph, feeds = one_node("LSTM", operands, 1, [1, 2, 3, 7], hidden_size=H, layout=1)
    want = lstm_by_the_book(x, kernel, recurrent, bias, peepholes)
    assert np.max(np.abs(want - lstm_by_the_book(x, kernel, recurrent, bias))) > 0.05
    for got in (Session(graph).run([x])[0], evaluate(graph, feeds, np.float64)[0]):
        assert_close(got[:, :, 0], want, 1e-12)


def test_plain_rnn() -> None:
    x = random(B, T, I)
    arrays = [random(I, H, seed=1), random(H, H, seed=2), random(H, seed=3)]
    layer = L.SimpleRNN(H, return_sequences=True, dtype="float64")
    fill(layer, arrays)
    for got in run(layer, x):
        assert_close(got, rnn_by_the_book(x, *arrays), 1e-12)


def test_folding_is_signs_alone() -> None:
    kernel, recurrent, bias = gru_arrays(True)
    for update, reset, turned in (("new", "keep", [0]), ("keep", "drop", [1]), ("new", "drop", [0, 1])):
        folded = fold_gru_convention(kernel, recurrent, bias, update_gate=update, reset_gate=reset)
        for a, b in zip((kernel, recurrent, bias), folded, strict=True):
            for gate in range(3):
                part = np.s_[..., gate * H : (gate + 1) * H]
                assert b is not None
                np.testing.assert_array_equal(b[part], -a[part] if gate in turned else a[part])
    single = fold_gru_convention(kernel.astype(np.float32), recurrent.astype(np.float32), update_gate="new")
    assert [None if a is None else a.dtype.name for a in single] == ["float32", "float32", None]


BAD_ARGUMENTS: list[tuple[Mapping[str, Any], type[Exception], str]] = [
    ({"update_gate": "old"}, ShapeError, r"update_gate='old' is none of \['keep', 'new'\]"),
    ({"reset_gate": "new"}, ShapeError, r"reset_gate='new' is none of \['keep', 'drop'\]"),
    ({"update_gate": "new", "recurrent_activation": "tanh"}, UnsupportedModelError, "recurrent_activation='tanh'"),
    ({"kernel": np.zeros((I, 3 * H + 3))}, ShapeError, r"do not fit; give \(I, 3\*H\)"),
    ({"bias": np.zeros((3, 3 * H))}, ShapeError, r"\(3, 15\)"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD_ARGUMENTS)
def test_what_cannot_be_folded(changes: Mapping[str, Any], error: type[Exception], message: str) -> None:
    arrays = dict(zip(("kernel", "recurrent_kernel", "bias"), gru_arrays(True), strict=True))
    with pytest.raises(error, match=message):
        fold_gru_convention(**{**arrays, **changes})


def test_a_gate_that_needs_no_folding_may_have_any_activation() -> None:
    arrays = gru_arrays(False)
    for a, b in zip(arrays, fold_gru_convention(*arrays, recurrent_activation="tanh"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_that_do_not_fit_the_layer() -> None:
    layer = L.GRU(H, reset_after=False)
    kernel, recurrent, bias = gru_arrays(True)
    with pytest.raises(ShapeError, match="takes 3 arrays"):
        layer.load_convention([kernel, recurrent])
    with pytest.raises(ShapeError, match=r"bias has shape \(2, 15\), it needs \(15,\)"):
        layer.load_convention([kernel, recurrent, bias], update_gate="new")
    with pytest.raises(UnsupportedModelError, match="recurrent_activation='relu'"):
        L.GRU(H, recurrent_activation="relu").load_convention([kernel, recurrent, bias], reset_gate="drop")
