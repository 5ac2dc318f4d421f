"""Record what Keras 3's callbacks decide on random metric curves, and what its utilities give.

Needs Keras 3 with TensorFlow: ``python tools/make_callback_fixtures.py``. Writes tests/data/training/callbacks.json and
utils.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data" / "training"


class Optimizer:
    """Keeps its rate in single precision, as Keras does."""

    def __init__(self) -> None:
        self._rate = np.float32(0.1)

    @property
    def learning_rate(self) -> np.float32:
        return self._rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._rate = np.float32(rate)


class FakeModel:
    """What the callbacks use of a model; its one weight is the number of the epoch."""

    metrics: tuple[Any, ...] = ()

    def __init__(self) -> None:
        self.optimizer = Optimizer()
        self.stop_training = False
        self.weights = [np.zeros(1)]
        self.saved: list[str] = []

    def get_weights(self) -> list[np.ndarray]:
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = weights

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(os.path.basename(path))

    save_weights = save


def curves(generator: np.random.Generator, epochs: int) -> dict[str, list[float]]:
    """Noisy curves with plateaus, equal values, and a NaN now and then; written with few digits."""
    falling = np.exp(-np.arange(epochs) / generator.uniform(2, 12)) + generator.normal(0, 0.03, epochs)
    falling = np.round(falling, int(generator.integers(1, 5)))
    rising = np.round(1 - falling + generator.normal(0, 0.02, epochs), 4)
    if generator.random() < 0.15:
        falling[generator.integers(epochs)] = np.nan
    if generator.random() < 0.15:
        falling = 0.5 - 1e-9 * np.arange(epochs)  # no improvement in single precision
    return {"val_loss": falling.tolist(), "val_accuracy": rising.tolist()}


def run(callback: Any, logs: dict[str, list[float]], steps: int) -> dict[str, Any]:
    """Drive a callback through epochs until it stops training."""
    model = FakeModel()
    callback.set_model(model)
    rows = []
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        callback.on_train_begin()
        for epoch in range(len(logs["val_loss"])):
            callback.on_epoch_begin(epoch)
            for batch in range(steps):
                callback.on_train_batch_end(batch, {"loss": 1.0})
            model.weights = [np.array([epoch + 1.0])]
            row = {name: values[epoch] for name, values in logs.items()}
            callback.on_epoch_end(epoch, row)
            rows.append([float(model.optimizer.learning_rate), getattr(callback, "wait", 0), row.get("learning_rate")])
            if model.stop_training:
                break
        callback.on_train_end()
    return {
        "rows": rows,
        "stopped": model.stop_training,
        "weight": float(model.weights[0][0]),
        "saved": model.saved,
        "printed": printed.getvalue(),
        "best": None if callback.best is None else float(callback.best),
    }


def arguments(generator: np.random.Generator, kind: str) -> dict[str, Any]:
    def pick(*values: Any) -> Any:
        return values[generator.integers(len(values))]

    monitor, mode = pick(("val_loss", "auto"), ("val_loss", "min"), ("val_accuracy", "max"))
    given: dict[str, Any] = {"monitor": monitor, "mode": mode, "verbose": 1}
    if kind == "EarlyStopping":
        given |= {
            "min_delta": pick(0, 0.01, -0.01, 0.1),
            "patience": pick(0, 1, 2, 4),
            "baseline": pick(None, None, 0.5),
            "restore_best_weights": pick(True, False),
            "start_from_epoch": pick(0, 0, 3),
        }
    elif kind == "ReduceLROnPlateau":
        given |= {
            "factor": pick(0.1, 0.5),
            "patience": pick(0, 1, 3),
            "min_delta": pick(1e-4, 0, 0.05),
            "cooldown": pick(0, 0, 2),
            "min_lr": pick(0.0, 0.01),
        }
    else:
        given |= {
            "filepath": pick("m.keras", "{epoch:02d}-{val_loss:.2f}.keras", "e{epoch}.h5"),
            "save_best_only": pick(True, False),
            "initial_value_threshold": pick(None, None, 0.5),
        }
        if not given["save_best_only"] and generator.random() < 0.5:
            given |= {"save_freq": int(generator.integers(1, 9)), "filepath": "{epoch}-{batch}.keras"}
    return given


def record_callbacks() -> list[dict[str, Any]]:
    generator = np.random.default_rng(7)
    cases = []
    for kind in ("EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"):
        for _ in range(24):
            given, logs, steps = arguments(generator, kind), curves(generator, 14), int(generator.integers(1, 6))
            result = run(getattr(keras.callbacks, kind)(**given), logs, steps)
            cases.append({"kind": kind, "arguments": given, "logs": logs, "steps": steps, "result": result})
    return cases


def record_csv() -> dict[str, str]:
    logs = [{"loss": 0.5, "acc": 0.25}, {"loss": 0.125}]
    texts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, separator, append in (("new", ",", False), ("append", ";", True)):
            path = os.path.join(folder, f"{name}.csv")
            for _ in range(2):
                callback = keras.callbacks.CSVLogger(path, separator=separator, append=append)
                callback.on_train_begin()
                for epoch, row in enumerate(logs):
                    callback.on_epoch_end(epoch, row)
                callback.on_train_end()
            texts[name] = Path(path).read_bytes().decode()
    return texts


def record_utils() -> dict[str, Any]:
    series = []
    data, targets = np.arange(40.0), np.arange(40.0) * 10
    for given in (
        {"sequence_length": 5},
        {"sequence_length": 5, "sampling_rate": 2, "sequence_stride": 3, "batch_size": 4},
        {"sequence_length": 6, "start_index": 4, "end_index": 31, "batch_size": 3, "sequence_stride": 2},
        {"sequence_length": 1, "batch_size": 7},
        {"sequence_length": 4, "batch_size": None, "sequence_stride": 9},
    ):
        dataset = keras.utils.timeseries_dataset_from_array(data, targets, **given)
        batches = [[part.numpy().tolist() for part in batch] for batch in dataset]
        series.append({"arguments": given, "batches": batches})
    splits = []
    rows = np.arange(23.0)
    for given in (
        {"left_size": 0.8},
        {"right_size": 7},
        {"left_size": 5, "right_size": 0.25},
        {"left_size": 0.5, "shuffle": True, "seed": 3},
        {"left_size": 0.3, "right_size": 0.3, "shuffle": True, "seed": 11},
    ):
        left, right = keras.utils.split_dataset(rows, **given)
        splits.append({"arguments": given, "left": [float(v) for v in left], "right": [float(v) for v in right]})
    vectors = np.random.default_rng(0).normal(size=(3, 4)).round(3)
    vectors[1] = 0
    return {
        "timeseries": series,
        "splits": splits,
        "normalize": {
            "x": vectors.tolist(),
            "l2": keras.utils.normalize(vectors).tolist(),
            "l1": keras.utils.normalize(vectors, axis=1, order=1).tolist(),
        },
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {"keras": keras.__version__, "cases": record_callbacks(), "csv": record_csv()}
    (FOLDER / "callbacks.json").write_text(json.dumps(document, indent=None, separators=(",", ":")) + "\n")
    (FOLDER / "utils.json").write_text(json.dumps(record_utils(), separators=(",", ":")) + "\n")
