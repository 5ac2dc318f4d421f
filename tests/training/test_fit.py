"""The training loop: what it learns, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.callbacks import BackupAndRestore, Callback, LambdaCallback
from rnnrt.layers import (
    GRU,
    LSTM,
    RNN,
    Add,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    GlobalAveragePooling1D,
    LayerNormalization,
    LSTMCell,
    Masking,
    MaxPooling1D,
    SimpleRNN,
    SpatialDropout1D,
    TimeDistributed,
)  # fmt: skip
from rnnrt.models import Model, Sequential
from rnnrt.optimizers import SGD, Adam
from rnnrt.utils import set_random_seed
from tests.training.networks import network, sums

KINDS = {
    "LSTM": lambda: [LSTM(8)],
    "GRU": lambda: [GRU(8)],
    "GRU that resets first": lambda: [GRU(8, reset_after=False)],
    "SimpleRNN": lambda: [SimpleRNN(8)],
    "Bidirectional": lambda: [Bidirectional(LSTM(4, return_sequences=True)), GRU(4)],
    "cells": lambda: [RNN([LSTMCell(6), LSTMCell(5)])],
    "dropout": lambda: [LSTM(16, dropout=0.1, recurrent_dropout=0.1), Dropout(0.1)],
    "masking": lambda: [Masking(), GRU(8)],
    "norms": lambda: [
        LSTM(8, return_sequences=True), LayerNormalization(), SpatialDropout1D(0.1), GRU(8), BatchNormalization()
    ],
    "convolution": lambda: [Conv1D(8, 3, padding="causal", activation="relu"), MaxPooling1D(2), LSTM(8)],
    "each step": lambda: [
        GRU(8, return_sequences=True), TimeDistributed(Dense(6, activation="tanh")), GlobalAveragePooling1D()
    ],
    "no recurrence": lambda: [GlobalAveragePooling1D(), Dense(8, activation="gelu")],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_each_kind_learn(kind: str) -> None:
    set_random_seed(3)
    x, y = sums(128)
    model = network(*KINDS[kind](), Dense(2, activation="softmax"), metrics=["accuracy"])
    before = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    history = model.fit(x, y, batch_size=16, epochs=12, verbose=0).history
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    assert after["loss"] < 0.6 * before
    assert after["accuracy"] > 0.85
    assert len(history["loss"]) == 12
    assert np.mean(model.predict(x).argmax(1) == y.argmax(1)) == pytest.approx(after["accuracy"])


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads() -> None:
    x, y = sums()
    found = []
    for threads in (1, 2):
        set_random_seed(7)
        model = network(
            LSTM(20, return_sequences=True, recurrent_dropout=0.2),
            Dropout(0.3),
            GRU(17),
            Dense(2, activation="softmax"),
        )
        model._threads = threads
        model.fit(x, y, batch_size=24, epochs=3, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_of_a_layer_that_is_used_twice_add_up() -> None:
    shared = LSTM(3)
    a, b = rnnrt.Input((4, 2)), rnnrt.Input((4, 2))
    out = Dense(1, use_bias=False, kernel_initializer="ones")(Add()([shared(a), shared(b)]))
    model = Model([a, b], out)
    model.compile(SGD(1.0), "mse")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float64)
    y = np.ones((3, 1))
    kernel = model.get_weights()[0].astype(np.float64)

    def loss(moved: np.ndarray) -> float:
        weights = model.get_weights()
        kept = weights[0]
        weights[0] = moved.astype(np.float32)
        model.set_weights(weights)
        value = float(np.mean((model.predict([x[0], x[1]]).astype(np.float64) - y) ** 2))
        weights[0] = kept
        model.set_weights(weights)
        return value

    step = np.zeros_like(kernel)
    step[1, 2] = 1e-2
    slope = (loss(kernel + step) - loss(kernel - step)) / 2e-2
    model.train_on_batch([x[0], x[1]], y)
    assert kernel[1, 2] - model.get_weights()[0][1, 2] == pytest.approx(slope, rel=2e-3)


def test_frozen_layers_stay_and_regularizers_count() -> None:
    x, y = sums()
    model = network(LSTM(4, name="frozen", trainable=False), Dense(2, activation="softmax", kernel_regularizer="l2"))
    before = model.get_weights()
    loss = model.train_on_batch(x, y)
    plain = network(LSTM(4, trainable=False), Dense(2, activation="softmax"))
    plain.set_weights(before)
    assert loss - plain.test_on_batch(x, y) == pytest.approx(0.01 * float((before[3] ** 2).sum()), rel=1e-4)
    after = model.get_weights()
    for a, b in zip(before[:3], after[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(before[3], after[3])


def test_weights_that_no_loss_reaches_only_feel_their_regularizer() -> None:
    x, y = sums(8)
    i = rnnrt.Input((None, 2))
    h = LSTM(3)(i)
    idle = Dense(2, use_bias=False, kernel_regularizer=rnnrt.regularizers.L2(0.1), name="idle")
    model = Model(i, [Dense(2, activation="softmax")(h), idle(h)])
    model.compile(SGD(0.5), loss=["categorical_crossentropy", None])
    before = idle.get_weights()[0]
    for _ in range(3):
        model.train_on_batch(x, [y, y])
    np.testing.assert_allclose(idle.get_weights()[0], before * (1 - 0.5 * 0.2) ** 3, rtol=1e-5)


def test_constraints_hold_after_each_update() -> None:
    x, y = sums()
    model = network(LSTM(4, kernel_constraint="non_neg"), Dense(2, activation="softmax"), optimizer=SGD(0.5))
    model.fit(x, y, epochs=2, verbose=0)
    assert model.get_weights()[0].min() >= 0


def test_masked_steps_change_nothing() -> None:
    """A batch with padding trains as the same rows without it would, where losses are of steps."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 5, 2)).astype(np.float32)
    y = rng.normal(size=(4, 5, 3)).astype(np.float32)
    padded_x = np.concatenate([x, np.zeros((4, 3, 2), np.float32)], 1)
    padded_y = np.concatenate([y, rng.normal(size=(4, 3, 3)).astype(np.float32)], 1)
    weights = []
    for data in ((x, y), (padded_x, padded_y)):
        set_random_seed(5)
        model = network(Masking(), LSTM(3, return_sequences=True), loss="mse", optimizer=SGD(0.1))
        losses = [model.train_on_batch(*data) for _ in range(3)]
        weights.append((losses, model.get_weights()))
    assert weights[0][0] == pytest.approx(weights[1][0], rel=1e-5)
    for a, b in zip(weights[0][1], weights[1][1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_mask_that_hides_everything_gives_loss_zero_and_no_update() -> None:
    model = network(Masking(), LSTM(3, return_sequences=True), loss="mse", optimizer=SGD(0.1))
    before = model.get_weights()
    assert model.train_on_batch(np.zeros((2, 4, 2)), np.ones((2, 4, 3))) == 0.0
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_class_and_sample_weights_scale_the_loss() -> None:
    x, y = sums(16)
    model = network(LSTM(3), Dense(2, activation="softmax"))
    per_row = -np.log(np.sum(model.predict(x) * y, 1))
    weight = np.linspace(0.5, 2, 16)
    assert model.test_on_batch(x, y, sample_weight=weight) == pytest.approx(float(np.mean(per_row * weight)), rel=1e-5)
    model.reset_metrics()
    classes = np.where(y.argmax(1) == 1, 3.0, 1.0)
    found = model.train_on_batch(x, y, class_weight={0: 1.0, 1: 3.0})
    assert found == pytest.approx(float(np.mean(per_row * classes)), rel=1e-5)


def test_several_outputs_with_weights_and_metrics() -> None:
    x, y = sums(32)
    i = rnnrt.Input((None, 2))
    h = GRU(6)(i)
    model = Model(i, [Dense(2, activation="softmax", name="kind")(h), Dense(1, name="size")(h)])
    losses, weights = {"kind": "categorical_crossentropy", "size": "mse"}, {"kind": 1.0, "size": 0.5}
    model.compile("adam", loss=losses, loss_weights=weights, metrics={"kind": ["accuracy"]})
    size = x.sum((1, 2))[:, None]
    logs = model.train_on_batch(x, [y, size], return_dict=True)
    assert set(logs) == {"loss", "kind_loss", "size_loss", "kind_accuracy"}
    assert logs["loss"] == pytest.approx(logs["kind_loss"] + 0.5 * logs["size_loss"])
    history = model.fit(x, {"kind": y, "size": size}, epochs=15, batch_size=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_generators_and_validation() -> None:
    x, y = sums(64)

    def batches() -> Any:
        while True:
            for k in range(0, 64, 16):
                yield x[k : k + 16], y[k : k + 16]

    model = network(GRU(8), Dense(2, activation="softmax"), metrics=["accuracy"])
    history = model.fit(batches(), steps_per_epoch=4, epochs=3, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(history["val_loss"]) == 3
    np.testing.assert_allclose(model.predict((x[k : k + 16],) for k in range(0, 64, 16)), model.predict(x), atol=1e-6)
    assert len(model.fit(x, y, validation_split=0.25, epochs=1, verbose=0).history["val_loss"]) == 1


def test_pieces_of_a_sequence_carry_the_state_on() -> None:
    """With a learning rate of zero, pieces see the losses of the whole."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4, 9, 2)).astype(np.float32), rng.normal(size=(4, 9, 3)).astype(np.float32)
    for layer in (LSTM(3, return_sequences=True), GRU(3, return_sequences=True), SimpleRNN(3, return_sequences=True)):
        model = network(layer, loss="mse", optimizer=SGD(0.0))
        whole = model.evaluate(x, y, verbose=0)
        history = model.fit(x, y, batch_size=4, bptt_steps=3, epochs=2, verbose=0).history
        assert history["loss"] == pytest.approx([whole, whole], rel=1e-5)


def test_validation_between_pieces_begins_with_zeros() -> None:
    """Batches of several sizes, whole sequences, no state of the batch before."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(20, 9, 2)).astype(np.float32), rng.normal(size=(20, 9, 3)).astype(np.float32)
    model = network(LSTM(3, return_sequences=True), loss="mse", optimizer=SGD(0.0))
    whole = model.evaluate(x, y, verbose=0)
    history = model.fit(x, y, batch_size=8, bptt_steps=3, epochs=2, validation_data=(x, y), verbose=0).history
    assert history["loss"] == pytest.approx([whole, whole], rel=1e-5)
    assert history["val_loss"] == pytest.approx([whole, whole], rel=1e-5)


def test_truncation_cuts_gradients() -> None:
    """A piece's gradient is that of the piece alone, begun with the state that was reached."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 6, 2)).astype(np.float32), rng.normal(size=(2, 6, 3)).astype(np.float32)
    model = network(LSTM(3, return_sequences=True), loss="mse", optimizer=SGD(0.5))
    start = model.get_weights()
    model.fit(x, y, batch_size=2, bptt_steps=3, epochs=1, shuffle=False, verbose=0)
    found = model.get_weights()
    i, h, c = rnnrt.Input((3, 2)), rnnrt.Input((3,)), rnnrt.Input((3,))
    layer = LSTM(3, return_sequences=True, return_state=True)
    step = Model([i, h, c], layer(i, initial_state=[h, c]))
    step.compile(SGD(0.5), loss=["mse", None, None])
    step.set_weights(start)
    states = [np.zeros((2, 3), np.float32)] * 2
    for k in (0, 3):
        given = [x[:, k : k + 3], *states]
        states = step.predict(given)[1:]
        step.train_on_batch(given, [y[:, k : k + 3], *states])
    for a, b in zip(found, step.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_stateful_layers_keep_their_state_until_it_is_reset() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(3, 8, 2)).astype(np.float32), rng.normal(size=(3, 8, 4)).astype(np.float32)
    model = Sequential([rnnrt.Input(batch_shape=(3, None, 2)), LSTM(4, return_sequences=True, stateful=True)])
    model.compile(SGD(0.0), "mse")
    plain = network(LSTM(4, return_sequences=True), loss="mse")
    plain.set_weights(model.get_weights())
    halves = [model.train_on_batch(x[:, k : k + 4], y[:, k : k + 4]) for k in (0, 4)]
    assert halves[1] == pytest.approx(plain.evaluate(x, y, verbose=0), rel=1e-5)
    model.reset_states()
    model.reset_metrics()
    assert model.train_on_batch(x[:, :4], y[:, :4]) == pytest.approx(halves[0], rel=1e-6)


class Kill(Callback):
    def __init__(self, epoch: int, batch: int) -> None:
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("save_freq", ["epoch", 1])
@pytest.mark.parametrize("optimizer", ["adam", "nadam", "sgd"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path, save_freq: Any, optimizer: str) -> None:
    x, y = sums(40)

    def train(folder: Path, stop: Any) -> tuple[list[np.ndarray], dict[str, list[float]]]:
        set_random_seed(11)
        model = network(
            LSTM(6, return_sequences=True, recurrent_dropout=0.2), BatchNormalization(), Dropout(0.2), GRU(5),
            Dense(2, activation="softmax"), optimizer=optimizer, metrics=["accuracy"],
        )  # fmt: skip
        backup = BackupAndRestore(str(folder), save_freq=save_freq)
        callbacks = [backup, *([stop] if stop else [])]
        history = model.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=callbacks).history
        return model.get_weights(), history

    whole = train(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", Kill(2, 1))
    resumed = train(tmp_path / "cut", None)
    for a, b in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole[1] == resumed[1]


def test_a_loaded_graph_learns_on(tmp_path: Path) -> None:
    x, y = sums(64)
    first = network(LSTM(6, return_sequences=True), GRU(5), Dense(2, activation="softmax"), metrics=["accuracy"])
    first.fit(x, y, epochs=2, verbose=0)
    for name in ("m.rnnrt", "m.onnx", "m.keras"):
        first.save(tmp_path / name)
        model = rnnrt.load(tmp_path / name)
        np.testing.assert_allclose(model.predict(x), first.predict(x), atol=1e-6)
        model.layers[0].trainable = False
        model.compile(Adam(0.02), "categorical_crossentropy", metrics=["accuracy"])
        frozen = [w.copy() for w in model.layers[0].get_weights()]
        history = model.fit(x, y, epochs=10, batch_size=16, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        for a, b in zip(frozen, model.layers[0].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        model.save(tmp_path / f"again-{name}")
        again = rnnrt.load(tmp_path / f"again-{name}")
        np.testing.assert_allclose(again.predict(x), model.predict(x), atol=1e-6)


def test_steps_are_told_to_callbacks() -> None:
    seen: list[Any] = []
    x, y = sums(10)
    model = network(GRU(2), Dense(2, activation="softmax"))
    model.fit(
        x, y, batch_size=4, epochs=2, verbose=0, validation_data=(x, y),
        callbacks=[LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, "loss" in logs)))],
    )  # fmt: skip
    assert seen == [(0, True), (1, True), (2, True)] * 2
