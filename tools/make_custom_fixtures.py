"""Make the Keras files with custom layers in tests/data/keras_custom, with inputs and outputs beside them.

Needs Keras 3: ``python tools/make_custom_fixtures.py``. The classes here are the user's code that no file holds; the
outputs are what Keras gives with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data" / "keras_custom"
ops, layers = keras.ops, keras.layers


def swish2(x: Any) -> Any:
    """An activation of one's own, not registered."""
    return x * ops.sigmoid(2.0 * x)


@keras.saving.register_keras_serializable(package="shop")
def cube(x: Any) -> Any:
    """A registered one."""
    return x * x * x


@keras.saving.register_keras_serializable(package="shop")
class Gated(layers.Layer):
    """Two layers inside, as attributes."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.value = layers.Dense(units, activation="tanh")
        self.gate = layers.Dense(units, activation="sigmoid")

    def build(self, shape: Any) -> None:
        self.gate.build(shape)
        self.value.build(shape)

    def call(self, x: Any) -> Any:
        return self.value(x) * self.gate(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Pooled(layers.Layer):
    """Attention over time with weights of its own: a softmax of tanh(x W + b), and the mean of x by it."""

    def __init__(self, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], 1), initializer="glorot_uniform", name="w")
        self.b = self.add_weight(shape=(1,), initializer="zeros", name="b")

    def call(self, x: Any) -> Any:
        scores = ops.softmax(self.scale * ops.tanh(ops.matmul(x, self.w) + self.b), axis=1)
        return ops.sum(x * scores, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


class Doubled(layers.Layer):
    """No weights."""

    def call(self, x: Any) -> Any:
        return x + x


def model() -> Any:
    """Every kind of custom object once."""
    x = keras.Input((5, 3), name="x")
    h = Gated(4, name="gated")(x)
    h = layers.LSTM(4, return_sequences=True)(Doubled(name="doubled")(h))
    h = layers.Dense(3, activation=swish2, name="bent")(h)
    return keras.Model(x, layers.Dense(2, activation=cube)(Pooled(scale=2.0, name="pooled")(h)))


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    made = model()
    made.set_weights([rng.normal(0, 0.5, w.shape) for w in made.get_weights()])
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    y = ops.convert_to_numpy(made(x, training=False))
    for suffix in ("keras", "h5"):
        made.save(FOLDER / f"custom.{suffix}")
    np.savez_compressed(FOLDER / "custom.npz", x=x, y=y)


if __name__ == "__main__":
    main()
