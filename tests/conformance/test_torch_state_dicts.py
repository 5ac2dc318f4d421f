"""state_dicts of torch with the layers they are of: what torch computes of them, live and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import torch as rt
from tests.support import assert_close
from tests.torch_cases import CASES, RECORDED, Case, run

DATA = Path(__file__).resolve().parents[1] / "data" / "torch"


def layers_of(name: str) -> list[Any]:
    """The list of a recorded case, by hand, so that no torch is needed."""
    states = {"initial_states": True, "return_states": True}
    return {
        "classifier": [
            rt.Embedding("embed"), rt.LSTM("lstm", batch_first=True, output="both_hidden"), rt.LayerNorm("norm"),
            rt.Linear("fc"), rt.Softmax(),
        ],
        "convolutional": [
            rt.Conv1d("conv", stride=2, padding=2, groups=2), rt.BatchNorm1d("bn"), rt.PReLU("act"), rt.MaxPool1d(2),
            rt.Conv1d("same", padding="same", dilation=2), rt.PReLU("one"), rt.Transpose(),
            rt.RNN("rnn", nonlinearity="relu", batch_first=True, output="last_step"), rt.Linear("fc"),
        ],
        "projected": [{"type": "LSTM", "name": "lstm"}],
        "tied": [("embed", {"type": "Embedding"}), rt.GRU("gru", batch_first=True), rt.Linear("out"), "LogSoftmax"],
        "LSTM_time_both_both_hidden": [rt.LSTM("rnn", output="both_hidden", **states), rt.Linear("fc")],
        "GRU_batch_one_sequence": [rt.GRU("rnn", batch_first=True, **states), rt.Linear("fc")],
    }[name]  # fmt: skip


def check(model: rnnrt.Model, inputs: list[np.ndarray], outputs: list[np.ndarray], what: str) -> None:
    got = model.run(None, {info.name: x for info, x in zip(model.inputs, inputs, strict=True)})
    assert len(got) == len(outputs)
    for a, b in zip(got, outputs, strict=True):
        assert_close(a, b, what=what)


@pytest.mark.parametrize("name", RECORDED)
def test_what_torch_recorded(name: str) -> None:
    model = rnnrt.load(DATA / f"{name}.safetensors", layers=layers_of(name))
    arrays = np.load(DATA / f"{name}.npz")
    inputs, outputs = ([arrays[k] for k in sorted(arrays) if k[0] == letter] for letter in "xy")
    check(model, inputs, outputs, name)


def saved(name: str, path: Path) -> tuple[Case, list[np.ndarray]]:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_model

    torch.manual_seed(3)
    case = CASES[name](torch)
    save_model(case.module, str(path))
    return case, run(case, torch)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", list(CASES))
def test_what_torch_gives(name: str, tmp_path: Path) -> None:
    case, outputs = saved(name, tmp_path / "w.safetensors")
    model = rnnrt.load(tmp_path / "w.safetensors", layers=case.layers, **case.options)
    check(model, case.inputs, outputs, name)


def test_doubles_stay_doubles(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    module = torch.nn.GRU(3, 4, batch_first=True).double()
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    model = rnnrt.load(tmp_path / "w.safetensors", layers=[rt.GRU("", batch_first=True)])
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    want = module(torch.from_numpy(x))[0].detach().numpy()
    assert model(x).dtype == np.float64
    np.testing.assert_allclose(model(x), want, rtol=0, atol=1e-12)


def test_such_a_model_streams_trains_and_is_saved(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    layers = [rt.Linear("fc"), rt.LSTM("rnn", batch_first=True, dropout=0.2), rt.Dropout(), rt.Linear("out")]
    arrays = weights(fc=(3, 2), rnn=(4, 3, 2), out=(1, 4))
    write(tmp_path / "w.safetensors", arrays)
    model = rnnrt.load(tmp_path / "w.safetensors", layers=layers)
    x = np.random.default_rng(0).standard_normal((2, 6, 2)).astype(np.float32)
    whole = model(x)
    stream = model.stream(batch_size=2)
    np.testing.assert_array_equal(np.concatenate([stream.run(x[:, :2]), stream.run(x[:, 2:])], 1), whole)
    for end in ("rnnrt", "keras", "onnx"):
        if end == "onnx":
            pytest.importorskip("onnx")
        model.save(tmp_path / f"m.{end}")
        assert_close(rnnrt.load(tmp_path / f"m.{end}")(x), whole, what=end)
    model.compile("sgd", "mse")
    model.fit(x, np.ones((2, 6, 1), np.float32), epochs=2, verbose=0)
    assert not np.array_equal(model(x), whole)


def weights(**layers: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Tensors of Linear (outputs, inputs) and of LSTM (units, inputs, layers)."""
    rng = np.random.default_rng(5)
    found: dict[str, np.ndarray] = {}
    for name, (size, inputs, *rest) in layers.items():
        if not rest:
            shapes = {"weight": (size, inputs), "bias": (size,)}
        else:
            shapes = {}
            for k in range(rest[0]):
                shapes |= {f"weight_ih_l{k}": (4 * size, size if k else inputs), f"weight_hh_l{k}": (4 * size, size)}
                shapes |= {f"bias_ih_l{k}": (4 * size,), f"bias_hh_l{k}": (4 * size,)}
        found |= {f"{name}.{k}": rng.standard_normal(s).astype(np.float32) / 2 for k, s in shapes.items()}
    return found


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file(arrays, path)
