"""What cannot be trained, or on what, is named."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import RnnrtError, ShapeError, StateError, UnsupportedModelError
from rnnrt.callbacks import TerminateOnNaN
from rnnrt.layers import (
    LSTM,
    Activation,
    Concatenate,
    Dense,
    Embedding,
    Flatten,
)  # fmt: skip
from rnnrt.models import Model, Sequential
from rnnrt.optimizers import SGD
from tests.training.networks import network, sums


def bad(what: str) -> Any:
    x, y = sums(8)
    model = network(LSTM(3), Dense(2, activation="softmax"))
    if what == "not compiled":
        return Sequential([rnnrt.Input((None, 2)), LSTM(3)]).fit(x, y)
    if what == "nan in x":
        x = x.copy()
        x[3, 1, 0] = np.nan
    elif what == "infinity in y":
        y = y.astype(np.float64)
        y[2, 1] = np.inf
    elif what == "features":
        x = np.zeros((8, 6, 3))
    elif what == "rank":
        x = np.zeros((8, 6))
    elif what == "classes":
        y = np.zeros((8, 3))
    elif what == "rows":
        y = y[:7]
    elif what == "empty":
        x, y = x[:0], y[:0]
    elif what == "no y":
        y = None
    elif what == "sparse labels":
        model.compile("adam", "sparse_categorical_crossentropy")
        y = np.array([0, 1, 2, 0, 1, 0, 1, 0])
    elif what == "epochs":
        return model.fit(x, y, epochs=-1)
    elif what == "optimizer":
        return model.compile("adamm", "mse")
    elif what == "loss":
        model.compile("adam", "mean_squarred_error")
    elif what == "index":
        model = Sequential([rnnrt.Input((None,), dtype="int32"), Embedding(5, 4), LSTM(3), Dense(2)])
        model.compile("adam", "mse")
        x = np.full((8, 6), 7)
    return model.fit(x, y, verbose=0)


BAD = {
    "not compiled": (StateError, "compile"),
    "nan in x": (ShapeError, r"x\[3, 1, 0\] is nan"),
    "infinity in y": (ShapeError, r"y\[2, 1\] is inf"),
    "features": (ShapeError, r"\(None, None, 2\).*\(8, 6, 3\)"),
    "rank": (ShapeError, r"\(8, 6\)"),
    "classes": (ShapeError, r"\(8, 3\).*\(8, 2\)"),
    "rows": (ShapeError, r"8.*7"),
    "empty": (ShapeError, "row"),
    "no y": (ShapeError, "y is missing"),
    "sparse labels": (RnnrtError, "2"),
    "epochs": (RnnrtError, "epochs"),
    "optimizer": (RnnrtError, "adamm"),
    "loss": (RnnrtError, "mean_squarred_error"),
    "index": (RnnrtError, "index"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_named(what: str) -> None:
    error, words = BAD[what]
    with pytest.raises(error, match=f"(?is){words}"):
        bad(what)


def test_a_loss_that_is_not_finite_warns_and_can_stop() -> None:
    x, y = sums(32)
    model = network(LSTM(3), Dense(2), loss="mse", optimizer=SGD(1e30))
    with pytest.warns(UserWarning, match="gradient_report"):
        history = model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[TerminateOnNaN()]).history
    assert len(history["loss"]) < 5
    assert not np.isfinite(history["loss"][-1])


def test_what_has_no_gradient_is_named() -> None:
    i = rnnrt.Input((None, 2))
    model = Model(i, Activation("softmax")(Flatten()(Concatenate()([LSTM(2)(i), LSTM(2)(i)]))))
    model.compile("adam", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train_on_batch(*[np.ones((2, 3, 2)), np.ones((2, 4))])
    with pytest.raises((UnsupportedModelError, RnnrtError), match="Lambda"):
        rnnrt.layers.Lambda(lambda t: t)
