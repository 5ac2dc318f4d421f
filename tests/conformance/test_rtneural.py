"""RTNeural's JSON, and that of Automated-GuitarAmpModelling: what Keras and torch gave for them, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt.formats import kind_of, read_model
from tests.support import assert_close

DATA = Path(__file__).resolve().parents[1] / "data" / "rtneural"
NAMES = sorted(p.stem for p in DATA.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded(name: str) -> None:
    assert kind_of(DATA / f"{name}.json") == "json"
    arrays = np.load(DATA / f"{name}.npz")
    model = rnnrt.load(DATA / f"{name}.json")
    assert [o.shape[-1] for o in model.outputs if o.shape] == [arrays["y"].shape[-1]]
    assert_close(model(arrays["x"]), arrays["y"])


def test_there_are_all() -> None:
    assert len(NAMES) == 8


def test_samples_one_by_one() -> None:
    x = np.load(DATA / "simple_rnn.npz")["x"]
    model = rnnrt.load(DATA / "simple_rnn.json")
    stream = model.stream(batch_size=len(x))
    steps = [stream.step(x[:, t]) for t in range(x.shape[1])]
    np.testing.assert_array_equal(np.stack(steps, 1), model(x))


def test_other_files_come_of_it(tmp_path: Path) -> None:
    arrays = np.load(DATA / "amplifier.npz")
    model = rnnrt.load(DATA / "amplifier.json")
    model.save(tmp_path / "m.rnnrt")
    assert_close(rnnrt.load(tmp_path / "m.rnnrt")(arrays["x"]), arrays["y"])
    assert read_model(DATA / "amplifier.json").metadata == {"format": "rtneural"}


Change = Callable[[Any], object]


def refusal(name: str, change: Change, path: Path, error: type[Exception]) -> str:
    document = json.loads((DATA / f"{name}.json").read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(error) as found:
        rnnrt.load(path)
    return str(found.value)


def layer(k: int, **values: Any) -> Change:
    return lambda d: d["layers"][k].update(values)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("amplifier", layer(0, type="conv2d"), "layer 0 (conv2d): rnnrt has no layers of two axes"),
        ("amplifier", layer(0, type="unknown"), "layer 0 (unknown): rnnrt knows no such layer; the exporter writes"),
        ("amplifier", layer(0, type="maxpool"), "rnnrt knows no such layer; use activation, batchnorm"),
        ("amplifier", layer(3, activation="relu"), "layer 3 (gru): activation 'relu'; RTNeural has one of '', 'tanh'"),
        ("amplifier", layer(0, activation="selu"), "activation 'selu'"),
        ("amplifier", layer(1, strides=2), "strides=2"),
        ("amplifier", layer(1, bias=False), "has 'bias' = False, which rnnrt does not know"),
        ("amplifier", lambda d: d.update(pre_emphasis=0.9), "has 'pre_emphasis' = 0.9"),
        ("amplifier", lambda d: d.update(in_shape=[None, 8, 4, 1]), "two axes of features"),
        ("skipping", lambda d: d.update(in_gain=3), "in_gain=3.0 for 2 inputs"),
        ("simple_rnn", lambda d: d["model_data"].update(model="GatedConvNet"), "model 'GatedConvNet'; rnnrt knows"),
        ("simple_rnn", lambda d: d["model_data"].update(unit_type="QRNN"), "unit_type 'QRNN'"),
        ("simple_rnn", lambda d: d["model_data"].update(activation="relu"), "has 'activation' = relu"),
    ],
)
def test_what_is_not_understood_is_named(name: str, change: Change, words: str, tmp_path: Path) -> None:
    assert words in refusal(name, change, tmp_path / "m.json", UnsupportedModelError)


def test_all_reasons_at_once(tmp_path: Path) -> None:
    def change(d: Any) -> None:
        layer(0, type="lambda")(d)
        layer(3, activation="elu")(d)

    text = refusal("amplifier", change, tmp_path / "m.json", UnsupportedModelError)
    assert text.count("\n  - ") == 2


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("amplifier", layer(0, shape=[None, None, 5]), "have the shapes [(1, 4), (4,)]; it needs kernel (1, 5)"),
        ("amplifier", layer(0, shape=[None, "all", 4]), "layer 0 (dense): shape"),
        ("amplifier", layer(0, shape=None), "layer 0 (dense): shape is 'None'"),
        ("amplifier", layer(0, weights=[]), "it needs kernel (1, 4)"),
        ("amplifier", layer(0, weights=[[[1, 2, 3, 4]], [1, 2, 3, "4"]]), "array 1 of weights is"),
        ("amplifier", layer(0, weights=[[[1, 2, 3, 4], [1]], [1, 2, 3, 4]]), "array 0 of weights is"),
        ("amplifier", layer(0, weights=[[[1, 2, 3, 1e39]], [1, 2, 3, 4]]), "too large for float32"),
        ("amplifier", layer(1, kernel_size=[2]), "layer 1 (conv1d): weights have the shapes"),
        ("amplifier", layer(1, dilation=[0]), "layer 1 (conv1d): dilation is '0'"),
        ("amplifier", layer(2, groups=4), "4 groups do not divide 6 channels"),
        ("amplifier", layer(3, shape=[None, 5]), "layer 4 (dense): gives (1,), its shape says (None, 1)"),
        ("amplifier", lambda d: d.update(in_shape=[None, None, 2]), "it needs kernel (2, 4)"),
        ("amplifier", lambda d: d.update(in_shape=[None, None, None]), "in_shape is 'None', not an integer"),
        ("amplifier", lambda d: d.update(layers={}), "not a list of layers"),
        ("amplifier", lambda d: d["layers"].append(3), "layer 5 is '3', which has no type"),
        ("classifier", lambda d: d.update(in_shape=[None, 3]), "layer 0 (lstm): needs (batch, steps, features)"),
        ("classifier", lambda d: d.update(in_skip=1), "a skip connection of 1 channels"),
        ("skipping", lambda d: d.update(in_skip=2), "a skip connection of 2 channels"),
        ("pointwise", layer(2, epsilon=0), "is not positive"),
        ("pointwise", layer(2, epsilon=None), "epsilon is 'None', not a number"),
        ("simple_rnn", lambda d: d["model_data"].update(hidden_size=5), "but its tensors have hidden_size=4"),
        ("simple_rnn", lambda d: d["model_data"].update(bias_fl=False), "bias_fl=False"),
        ("simple_rnn", lambda d: d["model_data"].update(bias_fl="no"), "bias_fl is 'no'"),
        ("simple_rnn", lambda d: d["state_dict"].pop("lin.weight"), "missing: lin.weight"),
        ("simple_rnn", lambda d: d["state_dict"].update(extra=[1.0]), "no layer needs it: extra"),
        ("simple_rnn", lambda d: d.update(model_data=[]), "model_data is '[]'"),
        ("simple_rnn", lambda d: d.update(state_dict={"a": 1}), "has no state_dict"),
        ("rec_net", lambda d: d["blocks"].pop("0"), "not blocks by number"),
        ("rec_net", lambda d: d["blocks"].update({"0": 1}), "block 0 is '1'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(name: str, change: Change, words: str, tmp_path: Path) -> None:
    assert words in refusal(name, change, tmp_path / "m.json", ModelFormatError)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no whole JSON"),
        ('{"in_shape": [null, NaN], "layers": []}', "holds NaN"),
        ('{"in_shape": [], "in_shape": [], "layers": []}', "a key twice"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"in_shape": ' + "[" * 500 + "]" * 500 + ', "layers": []}', "in_shape is"),
        ("[1, 2]", "is text"),
        ("{}", "it needs in_shape and layers"),
        ('{"metadata": {}, "weight_map": {}}', "index of tensors in several files"),
        ('{"class_name": "Sequential", "config": {}}', "configuration of Keras"),
    ],
)
def test_other_json_is_explained(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(RnnrtError, match=words) as found:
        rnnrt.load(tmp_path / "m.json")
    assert str(found.value).startswith(str(tmp_path / "m.json"))


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b"\xef\xbb\xbf" + (DATA / "classifier.json").read_bytes())
    assert rnnrt.load(tmp_path / "m.json").inputs[0].shape == (None, None, 3)
