"""Handwritten digits as scikit-learn has them, row by row, learned from nothing."""

import numpy as np
import pytest

from rnnrt.layers import GRU, LSTM, Dense
from rnnrt.models import Sequential
from rnnrt.utils import set_random_seed, to_categorical


@pytest.mark.parametrize("recurrent", [LSTM, GRU])
def test_two_layers_read_digits(recurrent):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = digits.images[order].astype(np.float32)  # 8 rows of 8 values from 0 to 16
    y = to_categorical(digits.target[order], 10)
    cut = len(x) * 4 // 5
    set_random_seed(1)
    model = Sequential()
    model.add(recurrent(128, input_shape=(8, 8), return_sequences=True))
    model.add(recurrent(64))
    model.add(Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x[:cut], y[:cut], batch_size=64, epochs=30, validation_data=(x[cut:], y[cut:]), verbose=0
    ).history
    right = np.mean(model.predict(x[cut:]).argmax(1) == digits.target[order][cut:])
    assert right >= 0.97
    assert history["val_accuracy"][-1] == pytest.approx(right)
    assert len(history["loss"]) == 30 and history["loss"][-1] < 0.05 < history["loss"][0]
