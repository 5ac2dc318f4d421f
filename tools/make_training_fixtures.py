"""Record what Keras 3 gives for tests/training_cases.py, into tests/data/training/keras_reference.npz.

Needs Keras 3 and PyTorch: ``python tools/make_training_fixtures.py``. Everything is computed in float64.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "torch"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import torch  # noqa: E402
from keras.src.backend import set_keras_mask  # noqa: E402

from tests import training_cases as cases  # noqa: E402

keras.backend.set_floatx("float64")


def array(x: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(x), np.float64)


def made(module: Any, case: tuple[str, dict[str, Any]]) -> Any:
    name, arguments = case
    return getattr(module, name)(**arguments)


def trajectory(case: tuple[str, dict[str, Any]]) -> np.ndarray:
    """Weights after the recorded steps, and at the end with averages in their place."""
    name, arguments = case
    arguments = dict(arguments)
    exclude = arguments.pop("exclude", None)
    if isinstance(arguments.get("learning_rate"), tuple):
        arguments["learning_rate"] = made(keras.optimizers.schedules, arguments["learning_rate"])
    optimizer = getattr(keras.optimizers, name)(**arguments)
    if exclude:
        optimizer.exclude_from_weight_decay(var_names=exclude)
    begin = cases.start()
    places = list(zip(cases.VARIABLES, cases.SHAPES, strict=True))
    variables = [
        keras.Variable(begin[a:b].reshape(shape), dtype="float64", name=path.replace("/", "_"))
        for (path, a, b), shape in places
    ]
    optimizer.build(variables)
    result = []
    for step in range(1, max(cases.RECORDED_STEPS) + 1):
        g = cases.gradient(step)
        optimizer.apply([torch.tensor(g[a:b].reshape(shape)) for (_, a, b), shape in places], variables)
        if step in cases.RECORDED_STEPS:
            result.append(np.concatenate([array(v).ravel() for v in variables]))
    optimizer.finalize_variable_values(variables)
    result.append(np.concatenate([array(v).ravel() for v in variables]))
    return np.stack(result)


def masked(y_pred: np.ndarray, mask: np.ndarray | None, grad: bool = False) -> torch.Tensor:
    tensor = torch.tensor(y_pred, requires_grad=grad)
    if mask is not None:
        set_keras_mask(tensor, torch.tensor(mask))
    return tensor


def loss_values(asked: tuple[str, dict[str, Any], str]) -> tuple[np.ndarray, np.ndarray]:
    """Losses for each weighting and reduction, one after the other; gradients for each weighting."""
    name, arguments, kind = asked
    y_true, y_pred = cases.inputs(kind)
    values, gradients = [], []
    for weights, mask in cases.weightings():
        if "ignore_class" in arguments and weights is not None and weights.ndim < 3:
            # Keras on PyTorch multiplies weights by the mask in place, so they must have its shape.
            weights = np.broadcast_to(weights, (4, 3)).copy()
        for reduction in cases.REDUCTIONS:
            loss = getattr(keras.losses, name)(reduction=reduction, **arguments)
            values.append(array(loss(y_true, masked(y_pred, mask), sample_weight=weights)).ravel())
        tensor = masked(y_pred, mask, True)
        loss = getattr(keras.losses, name)(**arguments)
        loss(y_true, tensor, sample_weight=weights).backward()
        gradients.append(tensor.grad.numpy().copy())
    return np.concatenate(values), np.stack(gradients)


def squeezed(name: str) -> np.ndarray:
    result = []
    for true_shape, pred_shape in cases.SQUEEZED:
        rng = np.random.RandomState(9)
        y_true, y_pred = rng.randint(0, 2, true_shape).astype(float), rng.random_sample(pred_shape)
        tensor = torch.tensor(y_pred, requires_grad=True)
        value = getattr(keras.losses, name)()(y_true, tensor)
        value.backward()
        result += [array(value.detach()).ravel(), tensor.grad.numpy().ravel()]
    return np.concatenate(result)


def metric_values(asked: tuple[str, dict[str, Any], str]) -> np.ndarray:
    """Results after each of several batches."""
    name, arguments, kind = asked
    metric = getattr(keras.metrics, name)(**arguments)
    results = []
    for k, (weights, mask) in enumerate(cases.metric_weightings(arguments)):
        y_true, y_pred = cases.inputs(kind, k)
        metric.update_state(y_true, masked(y_pred, mask), sample_weight=weights)
        results.append(array(metric.result()).ravel())
    return np.concatenate(results)


def table_values(asked: tuple[str, dict[str, Any], str]) -> np.ndarray:
    name, arguments, kind = asked
    metric = getattr(keras.metrics, name)(**arguments)
    results = []
    for k, weights in enumerate((None, np.linspace(0, 1, 8))):
        y_true, y_pred = cases.inputs(kind, k, (8, 5))
        metric.update_state(y_true, torch.tensor(y_pred), sample_weight=weights)
        results.append(array(metric.result()).ravel())
    return np.concatenate(results)


def configurations() -> dict[str, dict[str, Any]]:
    """What Keras writes into a file for some objects of each kind."""
    made_by_keras = {
        "optimizers": [
            keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 15, alpha=0.05), clipnorm=1.0),
            *(getattr(keras.optimizers, name)() for name in ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam")),
            *(getattr(keras.optimizers, name)() for name in ("Adamax", "Nadam")),
        ],
        "losses": [getattr(keras.losses, name)(**arguments) for name, arguments, _ in cases.LOSSES.values()]
        + [keras.losses.CTC(), keras.losses.mean_squared_error],
        "metrics": [getattr(keras.metrics, name)(**arguments) for name, arguments, _ in cases.METRICS.values()]
        + [getattr(keras.metrics, name)(**arguments) for name, arguments, _ in cases.TABLES.values()]
        + [keras.metrics.Mean(), keras.metrics.MeanMetricWrapper(keras.metrics.mean_squared_error)],
        "initializers": [
            *(getattr(keras.initializers, name)() for name in ("Zeros", "Ones", "Constant", "Identity", "Orthogonal")),
            *(getattr(keras.initializers, name)() for name in ("GlorotUniform", "HeNormal", "LecunNormal")),
            *(getattr(keras.initializers, name)() for name in ("RandomNormal", "RandomUniform", "TruncatedNormal")),
            keras.initializers.VarianceScaling(2.0, seed=3, input_axes=(0, 1), output_axes=(2,)),
        ],
        "regularizers": [made(keras.regularizers, case) for case in cases.REGULARIZERS.values()],
        "constraints": [made(keras.constraints, case) for case in cases.CONSTRAINTS.values()],
    }
    found = {}
    for kind, things in made_by_keras.items():
        for thing in things:
            saved = getattr(keras, kind).serialize(thing)
            label = f"{kind}/{saved['class_name']}/{len(found)}"
            found[label] = json.loads(json.dumps(saved))
    return found


def main() -> None:
    """Write the file."""
    out: dict[str, np.ndarray] = {}
    for name, case in cases.OPTIMIZERS.items():
        out[f"optimizer/{name}"] = trajectory(case)
    for name, case in cases.SCHEDULES.items():
        schedule = made(keras.optimizers.schedules, case)
        out[f"schedule/{name}"] = np.array([float(schedule(step)) for step in cases.SCHEDULE_STEPS])
    for name, asked in cases.LOSSES.items():
        out[f"loss/{name}"], out[f"gradient/{name}"] = loss_values(asked)
    for name in ("MeanSquaredError", "BinaryCrossentropy"):
        out[f"squeezed/{name}"] = squeezed(name)
    for name, asked in cases.METRICS.items():
        out[f"metric/{name}"] = metric_values(asked)
    for name, asked in cases.TABLES.items():
        out[f"table/{name}"] = table_values(asked)
    for name, case in cases.REGULARIZERS.items():
        tensor = torch.tensor(cases.weight(), requires_grad=True)
        value = made(keras.regularizers, case)(tensor)
        value.backward()
        out[f"regularizer/{name}"] = np.concatenate([array(value.detach()).ravel(), tensor.grad.numpy().ravel()])
    for name, case in cases.CONSTRAINTS.items():
        out[f"constraint/{name}"] = array(made(keras.constraints, case)(torch.tensor(cases.weight())))
    labels, logits = cases.ctc_inputs()
    tensor = torch.tensor(logits, requires_grad=True)
    out["ctc/keras"] = array(keras.losses.CTC(reduction=None)(labels, tensor).detach())
    # Keras computes in float32 here.
    values = torch.nn.functional.ctc_loss(
        torch.log_softmax(tensor, -1).transpose(0, 1),
        torch.tensor(labels),
        torch.full((len(labels),), logits.shape[1]),
        torch.tensor((labels != 0).sum(-1)),
        reduction="none",
    )
    values.sum().backward()
    out["ctc/values"], out["ctc/gradient"] = array(values.detach()), tensor.grad.numpy()
    folder = ROOT / "tests" / "data" / "training"
    (folder / "keras_configurations.json").write_text(json.dumps(configurations(), indent=1) + "\n")
    path = folder / "keras_reference.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **out)
    print(f"{path.relative_to(ROOT)}: {len(out)} arrays, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
