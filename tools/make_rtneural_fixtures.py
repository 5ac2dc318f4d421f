"""Make the small JSON models in tests/data/rtneural, with inputs and outputs beside them.

Needs Keras 3 and PyTorch: ``python tools/make_rtneural_fixtures.py``. Networks of Keras are written in RTNeural's form,
those of torch as Automated-GuitarAmpModelling does it; the outputs are what Keras and torch give.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data" / "rtneural"
TYPES = {
    "Activation": "activation", "BatchNormalization": "batchnorm", "Conv1D": "conv1d", "Dense": "dense", "GRU": "gru",
    "LSTM": "lstm", "PReLU": "prelu", "TimeDistributed": "time-distributed-dense",
}  # fmt: skip


def rtneural(model: Any, **further: Any) -> dict[str, Any]:
    """A Sequential in RTNeural's form: Keras's arrays as lists, each layer with its type and the shape it gives."""
    rows = []
    for layer in model.layers:
        kind = type(layer).__name__
        function = getattr(getattr(layer, "layer", layer), "activation", None)
        name = getattr(function, "__name__", "")
        row: dict[str, Any] = {
            "type": TYPES[kind],
            "activation": "" if name == "linear" else name,
            "shape": list(layer.output.shape),
        }
        if kind == "Conv1D":
            row["kernel_size"], row["dilation"] = list(layer.kernel_size), list(layer.dilation_rate)
            if layer.groups > 1:
                row["groups"] = layer.groups
        if kind == "BatchNormalization":
            row["epsilon"] = layer.epsilon
        row["weights"] = [w.tolist() for w in layer.get_weights()]
        rows.append(row)
    return {"in_shape": list(model.input_shape), "layers": rows, **further}


def record(name: str, document: dict[str, Any], x: np.ndarray, y: np.ndarray) -> None:
    """Write a document, its input and its output."""
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    np.savez_compressed(path.with_suffix(".npz"), x=x, y=y)
    print(path.name, path.stat().st_size)


def from_keras() -> None:
    """RTNeural's form."""
    import keras
    from keras import layers

    rng = np.random.default_rng(0)
    models = {
        "amplifier": [
            keras.Input((None, 1)), layers.Dense(4, "tanh"), layers.Conv1D(6, 3, padding="causal", dilation_rate=2,
            activation="relu"), layers.Conv1D(4, 2, padding="causal", groups=2), layers.GRU(5, return_sequences=True),
            layers.Dense(1),
        ],
        "classifier": [keras.Input((None, 3)), layers.LSTM(4), layers.Dense(3, "softmax")],
        "pointwise": [
            keras.Input((None, 2)), layers.TimeDistributed(layers.Dense(5, "elu")), layers.PReLU(shared_axes=[1]),
            layers.BatchNormalization(epsilon=1e-2), layers.Dense(3),
            layers.BatchNormalization(center=False, scale=False), layers.Activation("sigmoid"),
        ],
        "rows": [
            keras.Input((4,)), layers.Dense(5, "relu"), layers.PReLU(), layers.BatchNormalization(), layers.Dense(2),
        ],
        "skipping": [keras.Input((None, 2)), layers.LSTM(3, return_sequences=True), layers.Dense(1)],
        "skipping_loud": [keras.Input((None, 1)), layers.LSTM(3, return_sequences=True), layers.Dense(1)],
    }  # fmt: skip
    for name, parts in models.items():
        model = keras.Sequential(parts)
        model.set_weights([rng.uniform(0.1, 0.8, w.shape) * rng.choice([-1, 1], w.shape) ** (
            "variance" not in v.path) for w, v in zip(model.get_weights(), model.weights, strict=True)])  # fmt: skip
        shape = [d or 7 for d in model.input_shape[1:]]
        x = rng.standard_normal((3, *shape)).astype(np.float32)
        if name == "skipping":
            document, y = (
                rtneural(model, in_skip=1, metadata={"name": "a pedal"}),
                x[..., :1] + model.predict(x, verbose=0),
            )
        elif name == "skipping_loud":
            loud = x * np.float32(10 ** (6 / 20))
            document = rtneural(model, in_skip=1, in_gain=6.0, out_gain=-3)
            y = (loud + model.predict(loud, verbose=0)) * np.float32(10 ** (-3 / 20))
        else:
            document, y = rtneural(model), model.predict(x, verbose=0)
        record(name, document, x, y)


def from_torch() -> None:
    """Automated-GuitarAmpModelling's forms; its networks take (T, B, features)."""
    import torch

    torch.manual_seed(0)
    x = torch.randn(9, 2, 2)
    rec, lin = torch.nn.LSTM(2, 4, 2), torch.nn.Linear(4, 1)
    data = {"model": "SimpleRNN", "input_size": 2, "skip": 1, "output_size": 1, "unit_type": "LSTM", "num_layers": 2,
            "hidden_size": 4, "bias_fl": True}  # fmt: skip
    module = torch.nn.ModuleDict({"rec": rec, "lin": lin})
    state = {k: v.tolist() for k, v in module.state_dict().items()}
    with torch.no_grad():
        y = lin(rec(x)[0]) + x[:, :, :1]
    record(
        "simple_rnn", {"model_data": data, "state_dict": state}, x.transpose(0, 1).numpy(), y.transpose(0, 1).numpy()
    )

    blocks = {
        "0": {"block_type": "GRU", "input_size": 2, "output_size": 2, "hidden_size": 3},
        "1": {"block_type": "RNN", "input_size": 2, "output_size": 1, "hidden_size": 3, "skip": 0},
    }
    made = {
        f"block_{int(k) + 1}": torch.nn.ModuleDict({
            "rec": getattr(torch.nn, b["block_type"])(b["input_size"], b["hidden_size"]),
            "lin": torch.nn.Linear(b["hidden_size"], b["output_size"]),
        })
        for k, b in blocks.items()
    }  # fmt: skip
    module = torch.nn.ModuleDict({"layers": torch.nn.ModuleDict(made)})
    state = {k: v.tolist() for k, v in module.state_dict().items()}
    with torch.no_grad():
        first = made["block_1"]["lin"](made["block_1"]["rec"](x)[0]) + x
        y = made["block_2"]["lin"](made["block_2"]["rec"](first)[0])
    document = {"model_data": {"model": "RecNet", "skip": 0}, "blocks": blocks, "training_info": {"current_epoch": 3},
                "state_dict": state}  # fmt: skip
    record("rec_net", document, x.transpose(0, 1).numpy(), y.transpose(0, 1).numpy())


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    from_keras()
    from_torch()
