"""Make the demo's files: train the digits network in Keras, export it as .keras and .onnx, and keep what it gave.

    pip install keras tensorflow-cpu tf2onnx scikit-learn
    python tools/make_fixtures.py

Writes rnnrt/demo_data/digits.keras, digits.onnx and digits.npz. The data are the UCI handwritten digits ("Optical
recognition of handwritten digits", CC BY 4.0) as scikit-learn ships them: 1797 pictures of 8 rows of 8 pixels.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

OUT = Path(__file__).resolve().parents[1] / "rnnrt" / "demo_data"
SEED = 20
HELD_BACK = 360
EPOCHS = 40
BATCH = 64


def network() -> keras.Sequential:
    """LSTM(128) -> LSTM(64) -> Dense(10, softmax) over rows of pixels."""
    return keras.Sequential(
        [
            keras.Input((8, 8), name="rows"),
            keras.layers.LSTM(128, return_sequences=True),
            keras.layers.LSTM(64),
            keras.layers.Dense(10, activation="softmax", name="probabilities"),
        ],
        name="digits",
    )


def shifted(pictures: np.ndarray) -> np.ndarray:
    """Each picture five times: as it is, and one pixel up, down, left and right; (5 N, 8, 8)."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    moves = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    return np.concatenate([padded[:, y : y + 8, x : x + 8] for y, x in moves])


def main() -> None:
    """Train, export, record."""
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    pictures, labels = load_digits(return_X_y=True)
    pictures = pictures.reshape(-1, 8, 8).astype(np.float32) / 16
    train, held, train_labels, held_labels = train_test_split(
        pictures, labels, test_size=HELD_BACK, random_state=SEED, stratify=labels
    )
    train, train_labels = shifted(train), np.tile(train_labels, 5)
    model = network()
    rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * len(train) // BATCH)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, train_labels, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    print("held back:", model.evaluate(held, held_labels, verbose=0))

    OUT.mkdir(exist_ok=True)
    model.compile()  # without the optimizer's state the file stays small
    model.save(OUT / "digits.keras")
    signature = [tf.TensorSpec((None, 8, 8), tf.float32, name="rows")]
    function = tf.function(lambda rows: model(rows, training=False), input_signature=signature)
    exported, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
    del exported.graph.output[0].type.tensor_type.shape.dim[:]
    for name, extent in (("N", 0), ("", 10)):
        dim = exported.graph.output[0].type.tensor_type.shape.dim.add()
        if name:
            dim.dim_param = name
        else:
            dim.dim_value = extent
    (OUT / "digits.onnx").write_bytes(exported.SerializeToString())
    outputs = np.asarray(model(held, training=False), np.float32)
    np.savez_compressed(
        OUT / "digits.npz",
        pictures=np.round(held * 16).astype(np.uint8),
        labels=held_labels.astype(np.uint8),
        outputs=outputs,
    )
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
