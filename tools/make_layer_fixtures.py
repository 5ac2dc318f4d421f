"""Record what Keras 3 makes of the layers and models in tests/keras_models.py, for tests/unit/test_keras_building.py.

Run it where Keras 3 is installed, from the project's folder: python -m tools.make_layer_fixtures
It writes tests/data/training/layers.json and one .npz for each model.
"""

from __future__ import annotations

import inspect
import json
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.keras_models import LAYERS, MODELS, SIGNATURES, TRAINING

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data" / "training"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    record = {
        "keras": keras.__version__,
        "layers": {name: layer(name) for name in LAYERS},
        "signatures": {name: signature(name) for name in SIGNATURES},
        "models": {name: model(name) for name in MODELS},
        "training": {name: training(name) for name in TRAINING},
    }
    (FOLDER / "layers.json").write_text(json.dumps(record) + "\n")


def layer(name: str) -> dict[str, Any]:
    keras.backend.clear_session()
    make, shape = LAYERS[name]
    made = make(keras.layers)
    y = made(keras.Input(batch_shape=shape, dtype="int32" if "embedding" in name else "float32"))
    outputs = y if isinstance(y, (list, tuple)) else [y]
    return {
        "name": made.name,
        "outputs": [list(o.shape) for o in outputs],
        "weights": [variable(w) for w in made.weights],
        "params": made.count_params(),
        "statistics": [statistics(w) for w in made.get_weights()],
        "config": sorted(made.get_config()),
    }


def variable(w: Any) -> list[Any]:
    return [w.name, w.path, list(w.shape), bool(w.trainable)]


def statistics(w: np.ndarray) -> dict[str, float]:
    w = np.asarray(w, np.float64)
    return {"low": float(w.min()), "high": float(w.max()), "spread": float(w.std())} if w.size else {}


def signature(name: str) -> list[Any]:
    parameters = list(inspect.signature(getattr(keras.layers, name).__init__).parameters.values())[1:]
    kept = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return [[p.name, "required" if p.default is p.empty else repr(p.default)] for p in kept]


def feeds(model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    arrays = []
    for x in model.inputs:
        shape = (3, *(d or 5 for d in x.shape[1:]))
        if len(shape) == 2 and x.shape[1] != 4:
            arrays.append(rng.integers(0, 11, shape).astype(np.int32))
        else:
            array = rng.normal(size=shape).astype(np.float32)
            if len(shape) == 3:
                array[0, 4:] = 0  # masked steps, for those that look for them
            arrays.append(array)
    return arrays


def set_weights(model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    weights = [rng.uniform(0.1, 0.9, w.shape).astype(np.float32) * rng.choice([-1, 1], w.shape) for w in model.weights]
    weights = [np.abs(w) if v.name == "moving_variance" else w for v, w in zip(model.weights, weights, strict=True)]
    model.set_weights(weights)
    return [w.astype(np.float32) for w in weights]


def store(name: str, **groups: list[np.ndarray]) -> None:
    arrays = {f"{key}{k}": a for key, group in groups.items() for k, a in enumerate(group)}
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


def listed(value: Any) -> list[np.ndarray]:
    return [np.asarray(v) for v in (value if isinstance(value, (list, tuple)) else [value])]


def model(name: str) -> dict[str, Any]:
    keras.backend.clear_session()
    made, rng = MODELS[name](keras), np.random.default_rng(zlib.crc32(name.encode()))
    initial = [statistics(w) for w in made.get_weights()]
    weights, x = set_weights(made, rng), feeds(made, rng)
    y = listed(made.predict(x if len(x) > 1 else x[0], verbose=0))
    store(name, x=x, w=weights, y=y)
    return {
        "name": made.name,
        "layers": [inner.name for inner in made.layers],
        "weights": [variable(w) for w in made.weights],
        "params": made.count_params(),
        "trainable": len(made.trainable_weights),
        "initial": initial,
        "json": json.loads(made.to_json()),
    }


def training(name: str) -> dict[str, Any]:
    keras.backend.clear_session()
    made, rng = TRAINING[name](keras), np.random.default_rng(zlib.crc32(name.encode()))
    weights, x = set_weights(made, rng), feeds(made, rng)
    y = made(x[0], training=True)
    y = keras.ops.convert_to_numpy(y)
    store(f"training_{name}", x=x, w=weights, y=[y], after=made.get_weights())
    return {"losses": [float(keras.ops.convert_to_numpy(loss)) for loss in made.losses]}


if __name__ == "__main__":
    main()
