"""Reports on gradients: dL/dh_t against central differences of equations written out, and verdicts."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import RnnrtError, ShapeError, StateError
from rnnrt import random as random_module
from rnnrt.callbacks import Callback, CSVLogger, GradientMonitor, LambdaCallback
from rnnrt.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNormalization,
    Bidirectional,
    Dense,
    Dropout,
    GlobalAveragePooling1D,
    LSTMCell,
    Masking,
    SimpleRNN,
)
from rnnrt.models import Sequential
from rnnrt.optimizers import SGD, Adam
from rnnrt.utils import set_random_seed

RNG = np.random.default_rng(0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(kind: str, weights: list[np.ndarray], x: np.ndarray, h: np.ndarray, c: np.ndarray) -> Any:
    """One step in Keras's layouts: h, c, and the gates."""
    kernel, recurrent, bias = weights
    if kind == "LSTM":
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
        gates = {"input": sigmoid(i), "forget": sigmoid(f), "candidate": np.tanh(g), "output": sigmoid(o)}
        c = gates["forget"] * c + gates["input"] * gates["candidate"]
        return gates["output"] * np.tanh(c), c, gates
    if kind == "GRU":
        (xz, xr, xn), (hz, hr, hn) = np.split(x @ kernel + bias[0], 3, 1), np.split(h @ recurrent + bias[1], 3, 1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        n = np.tanh(xn + r * hn)
        return z * h + (1 - z) * n, c, {"update": z, "reset": r, "candidate": n}
    h = np.tanh(x @ kernel + h @ recurrent + bias)
    return h, c, {"state": h}


def layer_states(
    kind: str, weights: Any, x: np.ndarray, bump: Any = None, mask: Any = None, backwards: bool = False
) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """States (B, T, H) with `bump` = (t, array) added to the state of step t as soon as it is there; and the gates."""
    weights = [w.astype(np.float64) for w in weights]
    h = c = np.zeros((len(x), weights[1].shape[0]))
    out = np.zeros((*x.shape[:2], h.shape[1]))
    kept: dict[str, list[np.ndarray]] = {}
    steps = range(x.shape[1])
    for t in reversed(steps) if backwards else steps:
        new_h, new_c, gates = step(kind, weights, x[:, t], h, c)
        counts = np.ones((len(x), 1), bool) if mask is None else mask[:, t : t + 1]
        h, c = np.where(counts, new_h, h), np.where(counts, new_c, c)
        if bump is not None and bump[0] == t:
            h = h + bump[1]
        out[:, t] = h
        for name, values in gates.items():
            kept.setdefault(name, []).append(values[counts[:, 0]])
    return out, kept


def norms_by_differences(loss: Any, shape: tuple[int, int, int], eps: float = 1e-5) -> np.ndarray:
    """The mean norm (T,) of dL/dh_t, where `loss` takes a bump."""
    rows, steps, units = shape
    found = np.zeros((steps, rows, units))
    for t in range(steps):
        for r in range(rows):
            for u in range(units):
                bump = np.zeros((rows, units))
                bump[r, u] = eps
                found[t, r, u] = (loss((t, bump)) - loss((t, -bump))) / (2 * eps)
    return np.linalg.norm(found, axis=2).mean(1)


LAYERS: dict[str, Any] = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN}


def compiled(*layers: Any, shape: Any = (None, 2), optimizer: Any = None, loss: str = "mse") -> Sequential:
    model = Sequential([rnnrt.Input(shape), *layers])
    model.compile(optimizer or SGD(0.1), loss)
    return model


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "each step"])
@pytest.mark.parametrize("kind", LAYERS)
def test_step_norms_are_those_of_central_differences(kind: str, sequences: bool) -> None:
    set_random_seed(1)
    x = RNG.normal(size=(3, 6, 2))
    model = compiled(LAYERS[kind](4, return_sequences=sequences))
    y = RNG.normal(size=(3, 6, 4) if sequences else (3, 4))

    def loss(bump: Any) -> float:
        h, _ = layer_states(kind, model.get_weights(), x, bump)
        return float(np.mean(((h if sequences else h[:, -1]) - y) ** 2))

    report = model.gradient_report(x, y)
    (layer,) = report.layers
    assert (layer.name, layer.kind) == (model.layers[0].name, kind)
    np.testing.assert_allclose(layer.step_norms, norms_by_differences(loss, (3, 6, 4)), rtol=1e-3)
    assert report.loss == pytest.approx(loss(None), rel=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_gates_are_those_of_the_equations(kind: str) -> None:
    set_random_seed(2)
    x = 3 * RNG.normal(size=(5, 7, 2))
    mask = np.ones((5, 7), bool)
    mask[1, 4:] = mask[3, :2] = False
    x[~mask] = 0
    model = compiled(Masking(), LAYERS[kind](4))
    _, gates = layer_states(kind, model.get_weights(), x, mask=mask)
    layer = model.gradient_report(x, np.ones((5, 4))).layers[0]
    assert list(layer.gates) == list(layer.gate_means) == list(gates)
    for name, parts in gates.items():
        values = np.concatenate(parts)
        low = 0.0 if name in ("input", "forget", "output", "update", "reset") else -1.0
        near = np.minimum(values - low, 1 - values) < 0.05 * (1 - low)
        assert layer.gate_means[name] == pytest.approx(values.mean(), abs=1e-6)
        assert layer.gates[name] == pytest.approx(near.mean(), abs=1e-9)
    assert max(layer.gates.values()) > 0.1


def test_padding_repeats_the_gradient_of_the_state_it_holds() -> None:
    set_random_seed(3)
    x = RNG.normal(size=(3, 6, 2))
    mask = np.ones((3, 6), bool)
    mask[0, 3:] = mask[1, :2] = mask[2, 2] = False
    x[~mask] = 0
    model = compiled(Masking(), GRU(4))
    y = RNG.normal(size=(3, 4))

    def loss(bump: Any) -> float:
        h, _ = layer_states("GRU", model.get_weights(), x, bump, mask)
        return float(np.mean((h[:, -1] - y) ** 2))

    layer = model.gradient_report(x, y).layers[0]
    np.testing.assert_allclose(layer.step_norms, norms_by_differences(loss, (3, 6, 4)), rtol=1e-3)
    assert len(layer.carry) == 5


def test_directions_and_layers_have_their_own_norms() -> None:
    set_random_seed(4)
    x = RNG.normal(size=(2, 5, 2))
    model = compiled(Bidirectional(LSTM(3, return_sequences=True), name="both"), GRU(4, name="top"))
    y = RNG.normal(size=(2, 4))
    weights = model.get_weights()

    def loss(bump: Any, where: str) -> float:
        a, _ = layer_states("LSTM", weights[:3], x, bump if where == "forward" else None)
        b, _ = layer_states("LSTM", weights[3:6], x, bump if where == "backward" else None, backwards=True)
        top, _ = layer_states("GRU", weights[6:], np.concatenate([a, b], 2), bump if where == "top" else None)
        return float(np.mean((top[:, -1] - y) ** 2))

    report = model.gradient_report(x, y)
    assert [layer.backwards for layer in report.layers] == [False, True, False]
    assert report.layers[2].name == "top"
    for layer, where in zip(report.layers, ("forward", "backward", "top"), strict=True):
        want = norms_by_differences(lambda bump, where=where: loss(bump, where), (2, 5, 4 if where == "top" else 3))
        assert where in layer.name
        np.testing.assert_allclose(layer.step_norms, want, rtol=2e-3)


@pytest.mark.parametrize("kind", LAYERS)
def test_carry_is_what_is_left_of_the_gradient_for_the_last_state(kind: str) -> None:
    """With a loss at each step; against differences of a loss of the last step alone."""
    set_random_seed(5)
    x = RNG.normal(size=(1, 6, 2))
    model = compiled(LAYERS[kind](4, return_sequences=True))
    y = RNG.normal(size=(1, 6, 4))
    last, _ = layer_states(kind, model.get_weights(), x)
    direction = (last - y)[:, -1]

    def loss(bump: Any) -> float:
        return float(np.sum(layer_states(kind, model.get_weights(), x, bump)[0][:, -1] * direction))

    norms = norms_by_differences(loss, (1, 6, 4))
    layer = model.gradient_report(x, y).layers[0]
    np.testing.assert_allclose(layer.carry, norms[::-1] / norms[-1], rtol=1e-4)
    assert layer.log10_ratio == pytest.approx(np.log10(norms[0] / norms[-1]), abs=1e-4)


def test_norms_of_variables_and_updates() -> None:
    set_random_seed(6)
    x, y = RNG.normal(size=(4, 5, 2)), RNG.normal(size=(4, 3))
    model = compiled(LSTM(3, name="a"), optimizer=SGD(0.25, momentum=0.5, clipnorm=1e-3))
    before = model.get_weights()
    report = model.gradient_report(x, y)
    kernel = report.variables[0]
    assert [v.shape for v in report.variables] == [(2, 12), (3, 12), (12,)]
    assert kernel.name.endswith("a/lstm_cell/kernel")
    assert kernel.weight_norm == pytest.approx(np.linalg.norm(before[0]), rel=1e-6)
    assert kernel.update_norm == pytest.approx(0.25 * 1e-3, rel=1e-3)
    assert kernel.update_ratio == pytest.approx(kernel.update_norm / kernel.weight_norm)
    assert report.gradient_norm == pytest.approx(np.sqrt(sum(v.gradient_norm**2 for v in report.variables)))
    eps = np.zeros_like(before[0])
    eps[1, 7] = 1e-2
    losses = []
    for sign in (1, -1):
        model.set_weights([before[0] + sign * eps, *before[1:]])
        losses.append(float(np.mean((model.predict(x) - y) ** 2)))
    model.set_weights(before)
    assert kernel.gradient_norm >= abs(losses[0] - losses[1]) / 2e-2 * (1 - 1e-3)
    model.train_on_batch(x, y)
    moved = np.linalg.norm(model.get_weights()[0] - before[0])
    assert kernel.update_norm == pytest.approx(moved, rel=1e-3)


def scaled(radius: float) -> Any:
    """An initializer: an orthogonal matrix times `radius`."""
    return lambda shape, dtype=None: radius * np.linalg.qr(np.random.default_rng(1).normal(size=shape))[0]


def long_report(layer: Any, size: float = 1.0, each: bool = False) -> Any:
    set_random_seed(7)
    x = size * np.random.default_rng(2).normal(size=(8, 60, 2))
    model = compiled(layer, *([] if each else [Dense(1)]))
    return model.gradient_report(x, np.zeros((8, 60, layer.units) if each else (8, 1))).layers[0]


@pytest.mark.parametrize("each", [False, True], ids=["last", "each step"])
def test_small_recurrent_weights_make_gradients_vanish(each: bool) -> None:
    layer = long_report(SimpleRNN(8, recurrent_initializer=scaled(0.3), return_sequences=each), each=each)
    assert layer.verdict == "vanishing"
    assert layer.log10_ratio < 59 * np.log10(0.3)
    assert layer.radius == pytest.approx(0.3, rel=1e-5)
    assert 1 <= layer.horizon <= 4
    text = " ".join(layer.advice)
    assert all(word in text for word in ("LSTM or GRU", "orthogonal", "shorten"))
    if each:  # the loss of each step hides it
        assert layer.step_norms[0] > 0.1 * layer.step_norms.max()


def test_large_recurrent_weights_make_gradients_explode() -> None:
    layer = long_report(SimpleRNN(8, recurrent_initializer=scaled(1.5)), size=1e-13)
    assert layer.verdict == "exploding"
    assert layer.log10_ratio == pytest.approx(59 * np.log10(1.5), abs=0.5)
    assert layer.horizon == 59
    text = " ".join(layer.advice)
    assert all(word in text for word in ("clipnorm", "orthogonal", "learning rate"))


@pytest.mark.parametrize(("bias", "verdict"), [(0.0, "vanishing"), (5.0, "healthy")])
def test_the_forget_bias_decides_over_an_lstm(bias: float, verdict: str) -> None:
    def biases(shape: Any, dtype: Any = None) -> np.ndarray:
        found = np.zeros(shape)
        found[8:16] = bias
        return found

    layer = long_report(LSTM(8, bias_initializer=biases, unit_forget_bias=False))
    assert layer.verdict == verdict
    assert layer.gate_means["forget"] == pytest.approx(1 / (1 + np.exp(-bias)), abs=0.05)
    assert ("forget gate" in " ".join(layer.advice)) == (verdict == "vanishing")


def test_saturated_gates_are_named() -> None:
    layer = long_report(GRU(8), size=200.0)
    assert layer.gates["reset"] > 0.9
    assert "saturated" in " ".join(layer.advice)


def test_gradients_that_are_lost_between_layers() -> None:
    set_random_seed(8)
    bottom, top = LSTM(3, return_sequences=True, name="bottom"), GRU(3, name="top")
    model = compiled(bottom, top)
    weights = top.get_weights()
    top.set_weights([weights[0] * 1e-7, *weights[1:]])
    report = model.gradient_report(RNG.normal(size=(4, 5, 2)), np.ones((4, 3)))
    assert [layer.verdict for layer in report.layers] == ["vanishing", "healthy"]
    assert "residual" in report.layer("bottom").advice[0]
    with pytest.raises(RnnrtError, match="bottom"):
        report.layer("middle")


def test_gradients_that_are_not_finite() -> None:
    model = compiled(SimpleRNN(2, activation="linear", recurrent_initializer=scaled(1e6)))
    report = model.gradient_report(np.ones((2, 20, 2)), np.ones((2, 2)))
    assert report.verdict == report.layers[0].verdict == "exploding"
    json.dumps(report.to_dict(), allow_nan=False)
    assert "exploding" in str(report)


def stirred(optimizer: Any) -> tuple[Sequential, Any, Any]:
    """A model with everything in it that a careless report would move."""
    set_random_seed(9)
    model = compiled(
        LSTM(5, return_sequences=True, recurrent_dropout=0.3, kernel_regularizer="l2"), BatchNormalization(),
        Dropout(0.4), RNN([LSTMCell(4, bias_constraint="non_neg"), LSTMCell(3)]), Dense(2), optimizer=optimizer,
    )  # fmt: skip
    rng = np.random.default_rng(9)
    return model, rng.normal(size=(6, 5, 2)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)


OPTIMIZERS = {
    "adam": lambda: Adam(0.01, clipnorm=0.5),
    "nadam": lambda: "nadam",
    "accumulating": lambda: Adam(0.01, gradient_accumulation_steps=3),
    "averaging": lambda: SGD(0.1, use_ema=True, ema_overwrite_frequency=2),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_report_leaves_everything_bit_for_bit_as_it_was(kind: str) -> None:
    results = []
    for reports in (False, True):
        model, x, y = stirred(OPTIMIZERS[kind]())
        drawn = random_module.state()
        for _ in range(4):
            if reports:
                arrays, meta = model.training_state() if model._trainer else ({}, {})
                report = model.gradient_report(x, y, np.linspace(0, 1, 6))
                again = model.gradient_report(x, y, np.linspace(0, 1, 6))
                assert report.to_dict() == again.to_dict()
                assert len(report.layers) == 3
                after = model.training_state() if model._trainer else ({}, {})
                assert meta == after[1]
                assert all(np.array_equal(array, after[0][name]) for name, array in arrays.items())
            model.train_on_batch(x, y)
        assert random_module.state() != drawn
        results.append((model.get_weights(), model.training_state()[0], random_module.state()))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    for name, array in results[0][1].items():
        np.testing.assert_array_equal(array, results[1][1][name])
    assert results[0][2] == results[1][2]


def test_a_model_is_built_by_its_first_report_as_by_fit() -> None:
    x, y = RNG.normal(size=(6, 5, 2)), RNG.normal(size=(6, 3))
    weights = []
    for report in (False, True):
        set_random_seed(14)
        model = Sequential([LSTM(3, dropout=0.5)])
        model.compile("sgd", "mse")
        if report:
            assert len(model.gradient_report(x, y).layers) == 1
        model.train_on_batch(x, y)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_accumulated_updates_have_their_size() -> None:
    _, x, y = stirred("adam")
    model = compiled(LSTM(3), Dense(2), optimizer=SGD(0.1, gradient_accumulation_steps=4))
    for variable in model.gradient_report(x, y).variables:
        assert variable.update_norm == pytest.approx(0.1 * variable.gradient_norm, rel=1e-3)


def test_stateful_layers_begin_with_zeros_and_keep_their_states() -> None:
    set_random_seed(10)
    model = Sequential([rnnrt.Input(batch_shape=(3, None, 2)), LSTM(4, stateful=True)])
    model.compile(SGD(0.0), "mse")
    x, y = RNG.normal(size=(3, 6, 2)), RNG.normal(size=(3, 4))
    report = model.gradient_report(x, y)
    first = model.train_on_batch(x, y)
    assert report.loss == pytest.approx(first, rel=1e-6)
    kept = model.training_state()[0]
    assert model.gradient_report(x, y).to_dict() == report.to_dict()
    for name, array in model.training_state()[0].items():
        np.testing.assert_array_equal(array, kept[name])


class Spy(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(dict(logs))


@pytest.mark.parametrize("bptt_steps", [None, 3])
def test_a_monitor_reports_during_fit_and_changes_nothing(tmp_path: Path, bptt_steps: int | None) -> None:
    x, y = RNG.normal(size=(20, 6, 2)).astype(np.float32), RNG.normal(size=(20, 2)).astype(np.float32)
    weights = []
    for watch in (False, True):
        set_random_seed(11)
        model = compiled(GRU(4, name="first", dropout=0.2), Dense(2))
        spy, monitor = Spy(), GradientMonitor((x[:7], y[:7]), every=2)
        file = CSVLogger(tmp_path / "log.csv")
        callbacks = [spy, file, monitor] if watch else []
        history = model.fit(x, y, 8, epochs=4, verbose=0, callbacks=callbacks, bptt_steps=bptt_steps).history
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(monitor.reports) == 2
    (name,) = (layer.name for layer in monitor.reports[0].layers)
    assert name == "first"
    first, second = (report.gradient_norm for report in monitor.reports)
    assert history["gradient_norm"] == [first, first, second]
    assert spy.seen[1][f"gradient_log10_ratio/{name}"] == monitor.reports[0].layers[0].log10_ratio
    assert spy.seen[3]["gradient_norm"] == monitor.reports[1].gradient_norm


def test_what_runs_within_fit_leaves_it_its_weights() -> None:
    """A trainer of whole sequences, made while pieces are trained, would take the weights to other memory."""
    x, y = RNG.normal(size=(8, 6, 2)), RNG.normal(size=(8, 6, 4))
    found, weights = [], []
    model = compiled(GRU(4, return_sequences=True))

    def look(epoch: int, logs: Any) -> None:
        found.append((model.evaluate(x, y, verbose=0), model.gradient_report(x, y).loss))
        weights.append(model.get_weights()[0])

    model.fit(x, y, 4, epochs=2, verbose=0, bptt_steps=3, callbacks=[LambdaCallback(on_epoch_end=look)])
    assert not np.array_equal(*weights)
    assert found[1][0] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)
    assert [a for a, _ in found] == pytest.approx([b for _, b in found], rel=1e-6)


def test_columns_of_a_log_with_a_monitor(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(8, 6, 2)), RNG.normal(size=(8, 4))
    model = compiled(LSTM(4, name="a"))
    model.fit(x, y, epochs=2, verbose=0, callbacks=[CSVLogger(tmp_path / "log.csv"), GradientMonitor((x, y))])
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert head.startswith("epoch,gradient_log10_ratio/a,gradient_norm,loss")
    assert len(rows) == 2


def test_a_monitor_warns_once_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    x, y = RNG.normal(size=(8, 60, 2)), RNG.normal(size=(8, 4))
    model = compiled(SimpleRNN(4, recurrent_initializer=scaled(0.3)))
    monitor = GradientMonitor((x, y), path=tmp_path / "{epoch}.png", log=False)
    with pytest.warns(UserWarning, match="vanishing after epoch 1") as caught:
        history = model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor]).history
    assert len(caught) == 1
    assert list(history) == ["loss"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.png", "2.png", "3.png"]


def test_a_monitor_refuses_what_it_does_not_understand() -> None:
    x, y = np.ones((2, 3, 2)), np.ones((2, 4))
    for arguments, words in (
        ({"data": x}, r"\(x, y\)"),
        ({"data": (x, y), "every": 0}, "every=0"),
        ({"data": (x, y), "path": "a.jpg"}, ".png"),
        ({"data": (x, y), "path": "{batch}.png"}, "batch"),
    ):
        with pytest.raises(RnnrtError, match=words):
            GradientMonitor(**arguments)


def test_loaded_graphs_are_reported_on(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    set_random_seed(12)
    x, y = RNG.normal(size=(4, 6, 2)), RNG.normal(size=(4, 2))
    first = compiled(Bidirectional(LSTM(3, return_sequences=True)), GRU(4), Dense(2))
    want = first.gradient_report(x, y)
    for name in ("m.onnx", "m.rnnrt"):
        first.save(tmp_path / name)
        model = rnnrt.load(tmp_path / name)
        model.compile(SGD(0.1), "mse")
        found = model.gradient_report(x, y)
        assert found.loss == pytest.approx(want.loss, rel=1e-5)
        assert len(found.layers) == 3
        for a, b in zip(found.layers, want.layers, strict=True):
            np.testing.assert_allclose(a.step_norms, b.step_norms, rtol=1e-4)
            np.testing.assert_allclose(a.carry, b.carry, rtol=1e-4)
            assert (a.kind, a.backwards) == (b.kind, b.backwards)
            assert list(a.gate_means) == list(b.gate_means)
            assert a.gate_means == pytest.approx(b.gate_means, abs=1e-5)


def test_what_is_missing_is_said() -> None:
    model = Sequential([rnnrt.Input((None, 2)), LSTM(3)])
    with pytest.raises(StateError, match="compile"):
        model.gradient_report(np.ones((2, 3, 2)), np.ones((2, 3)))
    model.compile("sgd", "mse")
    with pytest.raises(ShapeError, match="y is missing"):
        model.gradient_report(np.ones((2, 3, 2)), None)
    with pytest.raises(ShapeError, match="empty"):
        model.gradient_report(np.ones((0, 3, 2)), np.ones((0, 3)))


def test_a_network_without_recurrence_has_variables_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = compiled(GlobalAveragePooling1D(), Dense(3)).gradient_report(np.ones((2, 3, 2)), np.ones((2, 3)))
    assert report.layers == ()
    assert len(report.variables) == 2
    assert "no gradient passes a recurrent layer" in str(report)
    with pytest.raises(ShapeError, match="no recurrent layer"):
        report.plot("unused.png")


def test_the_text_names_layers_gates_variables_and_advice() -> None:
    set_random_seed(13)
    x, y = RNG.normal(size=(4, 60, 2)), RNG.normal(size=(4, 2))
    report = compiled(GRU(4, name="encoder"), Dense(2, name="head"), optimizer=SGD(100.0)).gradient_report(x, y)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[0].startswith(f"gradients are {report.verdict}: loss {report.loss:.4g}")
    row = next(line for line in lines if line.startswith("encoder"))
    assert row.split()[:3] == ["encoder", "GRU", "60"]
    for words in ("update 0.", "head/kernel", "4x12", "lower the learning rate"):
        assert any(words in line for line in lines), words
