"""Tensors and layers that do not fit each other, tensors into built models, and what plain files are told."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import rnnrt
from rnnrt import ModelFormatError, RnnrtError, UnsupportedModelError
from rnnrt import torch as rt
from rnnrt.formats.safetensors import open_safetensors
from rnnrt.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Conv1D,
    Dense,
    Embedding,
    Input,
    LayerNormalization,
    Masking,
    PReLU,
    SimpleRNN,
)
from rnnrt.models import Model, Sequential
from rnnrt.torch import load_state_dict
from tests.conformance.test_torch_state_dicts import weights, write
from tests.support import assert_close

DATA = Path(__file__).resolve().parents[1] / "data" / "torch"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "w.safetensors", weights(rnn=(3, 2, 2), fc=(1, 3)))
    return tmp_path / "w.safetensors"


def refused(path: Path, *layers: Any, error: type[Exception] = ModelFormatError, **options: Any) -> str:
    with pytest.raises(error) as found:
        rnnrt.load(path, layers=list(layers), **options)
    return str(found.value)


def test_everything_that_differs_is_named_at_once(path: Path) -> None:
    text = refused(path, rt.LSTM("rnn", num_layers=3, hidden_size=4), rt.Linear("out"), rt.LayerNorm("norm"))
    assert "LSTM('rnn'): hidden_size=4, but its tensors have hidden_size=3" in text
    assert "num_layers=3, but its tensors have num_layers=2" in text
    assert "missing: out.weight, norm.weight" in text
    assert "no layer needs it: fc.bias (1,), fc.weight (1, 3)" in text


def test_the_wrong_kind_is_named(path: Path) -> None:
    assert "GRU needs 3 times the 3 units, so it is rather LSTM" in refused(path, rt.GRU("rnn"), rt.Linear("fc"))


def test_shapes_that_do_not_follow_each_other(path: Path, tmp_path: Path) -> None:
    arrays = weights(rnn=(3, 2, 2), fc=(1, 3))
    arrays["rnn.weight_ih_l1"] = arrays["rnn.weight_ih_l1"][:, :2]
    write(path, arrays)
    assert "rnn.weight_ih_l1 has shape (12, 2); it has to be (any, 3)" in refused(path, rt.LSTM("rnn"), rt.Linear("fc"))
    write(path, weights(rnn=(3, 2, 1), fc=(1, 4)))
    text = refused(path, rt.LSTM("rnn"), rt.Linear("fc"))
    assert "'fc'" in text
    assert "(4, 1)" in text


def test_half_a_bias_is_missing(path: Path) -> None:
    arrays = weights(rnn=(3, 2, 1), fc=(1, 3))
    del arrays["rnn.bias_hh_l0"]
    write(path, arrays)
    assert "missing: rnn.bias_hh_l0" in refused(path, rt.LSTM("rnn"), rt.Linear("fc"))


def test_what_is_ignored_must_be_told(path: Path) -> None:
    save_file({**weights(rnn=(3, 2, 1), fc=(1, 3)), "teacher.weight": np.ones((2, 2), np.float32)}, path)
    layers = [rt.LSTM("rnn"), rt.Linear("fc")]
    assert "teacher.weight (2, 2)" in refused(path, *layers)
    rnnrt.load(path, layers=layers, ignore=["teacher.*"])
    rnnrt.load(path, layers=layers, ignore="teacher.*")


@pytest.mark.parametrize("before", ["module.", "model.module.", "_orig_mod."])
def test_prefixes(before: str, path: Path) -> None:
    want = rnnrt.load(path, layers=[rt.LSTM("rnn"), rt.Linear("fc")])
    save_file({before + k: v for k, v in weights(rnn=(3, 2, 2), fc=(1, 3)).items()}, path)
    x = np.ones((4, 1, 2), np.float32)
    for prefix in (None, before):
        model = rnnrt.load(path, layers=[rt.LSTM("rnn"), rt.Linear("fc")], prefix=prefix)
        np.testing.assert_array_equal(model(x), want(x))
    assert "missing: rnn.weight_ih_l0" in refused(path, rt.LSTM("rnn"), rt.Linear("fc"), prefix="")


def test_a_prefix_of_some_is_none(path: Path) -> None:
    save_file({**{f"model.{k}": v for k, v in weights(rnn=(3, 2, 1)).items()}, "other": np.ones(1, np.float32)}, path)
    assert "missing: rnn.weight_ih_l0" in refused(path, rt.LSTM("rnn"))


def test_shared_tensors(path: Path) -> None:
    save_file({"embed.weight": np.eye(4, 3, dtype=np.float32)}, path)
    layers = [rt.Embedding("embed"), rt.Linear("out")]
    assert "missing: out.weight" in refused(path, *layers)
    model = rnnrt.load(path, layers=layers, shared={"out.weight": "embed.weight"})
    np.testing.assert_array_equal(model(np.array([[1, 3]])), [[[0, 1, 0, 0], [0, 0, 0, 0]]])


def test_one_module_called_twice(path: Path) -> None:
    square = np.float32([[2, 1], [0, 1]])
    save_file({"fc.weight": square}, path)
    fc = rt.Linear("fc")
    x = np.float32([[1, -1]])
    np.testing.assert_array_equal(
        rnnrt.load(path, layers=[fc, rt.ReLU(), fc])(x), np.maximum(x @ square.T, 0) @ square.T
    )


@pytest.mark.parametrize("kind", ["BF16", "F16", "F8_E4M3", "I64"])
def test_dtypes_of_tensors(kind: str, path: Path) -> None:
    values = np.float32([1.0, -2.5, 0.15625, 3.0])
    data = {
        "BF16": (values.view(np.uint32) >> 16).astype("<u2").tobytes(), "F16": values.astype("<f2").tobytes(),
        "F8_E4M3": bytes(4), "I64": bytes(32),
    }[kind]  # fmt: skip
    header = json.dumps({"fc.weight": {"dtype": kind, "shape": [2, 2], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    if kind in ("BF16", "F16"):
        y = rnnrt.load(path, layers=[rt.Linear("fc")])(np.eye(2, dtype=np.float32))
        np.testing.assert_array_equal(y, values.reshape(2, 2).T)
    else:
        assert f"fc.weight is {kind} (2, 2)" in refused(path, rt.Linear("fc"))
        if kind == "F8_E4M3":
            with pytest.raises(UnsupportedModelError, match="save it as F32"):
                open_safetensors(path).arrays()


def test_lists_that_are_no_layers(path: Path) -> None:
    for layers, words in (
        ([], "no list of layers"),
        ("LSTM", "no list of layers"),
        ([3], "is no layer"),
        ([{"type": "Transformer"}], "'Transformer' is not known"),
        ([{"type": "LSTM"}], "LSTM needs a name"),
        ([{"type": "Linear", "name": "fc", "units": 3}], "Linear takes no units; it takes name"),
    ):
        with pytest.raises(RnnrtError, match=words):
            rnnrt.load(path, layers=layers)
    with pytest.raises(RnnrtError, match="go with layers"):
        rnnrt.load(path, prefix="model.")
    with pytest.raises(RnnrtError, match="sizes are read from the tensors"):
        rt.Linear(3)  # type: ignore[arg-type]
    with pytest.raises(RnnrtError, match="use one of sequence, last_step"):
        rt.LSTM("rnn", output="last")


def test_arguments_that_cannot_be_had(path: Path) -> None:
    layers = [rt.LSTM("rnn", output="both_hidden"), rt.Linear("fc")]
    assert "it has one direction" in refused(path, *layers, error=UnsupportedModelError)
    save_file({"c.weight": np.ones((2, 1, 3), np.float32)}, path)
    assert "which torch has not" in refused(path, rt.Conv1d("c", stride=2, padding="same"), error=UnsupportedModelError)
    save_file({"weight_ih_l0": np.ones((3, 2), np.float32), "weight_hh_l0": np.ones((3, 3), np.float32)}, path)
    assert "nonlinearity='elu'" in refused(path, rt.RNN("", nonlinearity="elu"), error=UnsupportedModelError)
    rows = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 1), "weight_hr_l0": (1, 2)}
    save_file({k: np.ones(s, np.float32) for k, s in rows.items()}, path)
    assert "with states" in refused(path, rt.LSTM("", return_states=True), error=UnsupportedModelError)
    assert "no layer needs it: weight_hr_l0" in refused(path, rt.GRU(""))
    save_file({"fc.weight": np.ones((2, 2), np.float32)}, path)
    assert "give input_shape" in refused(path, rt.Transpose(), rt.Linear("fc"), error=RnnrtError)
    assert "positive extents" in refused(path, rt.Linear("fc"), error=RnnrtError, input_shape=(0,))
    assert rnnrt.load(path, layers=[rt.Linear("fc")], input_shape=(None, 2)).inputs[0].shape == (None, None, 2)


def test_a_plain_file_is_told_what_it_holds(path: Path) -> None:
    with pytest.raises(ModelFormatError) as found:
        rnnrt.load(path)
    text = str(found.value)
    assert "'rnn', perhaps LSTM, 2 layers: bias_hh_l0 F32 (12,)" in text
    assert "'fc', perhaps Linear: bias F32 (1,), weight F32 (1, 3)" in text
    assert 'rnnrt.load("w.safetensors", layers=[Linear("fc"), LSTM("rnn")])' in text
    with pytest.raises(ModelFormatError, match=r"classifier.*(?s:.)*LSTM, 2 layers, bidirectional"):
        rnnrt.load(DATA / "classifier.safetensors")


def test_files_of_rnnrt_are_no_state_dicts(path: Path) -> None:
    model = Sequential([Input((2,)), Dense(3)])
    model.save(path.with_suffix(".rnnrt"))
    assert "was written by rnnrt" in refused(path.with_suffix(".rnnrt"), rt.Linear("fc"))
    model.save_weights(path)
    with pytest.raises(ModelFormatError, match="load_weights"):
        rnnrt.load(path)


def test_pickles_are_refused_with_a_way_out(path: Path) -> None:
    import zipfile

    path.write_bytes(pickle.dumps({"fc.weight": [1.0]}))
    assert "weights_only=True" in refused(path, rt.Linear("fc"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    for options in ({}, {"layers": [rt.Linear("fc")]}):
        with pytest.raises(ModelFormatError, match=r"pickles can run code|holds no state_dict"):
            rnnrt.load(path, **options)


def test_json_holds_tensors_too(path: Path) -> None:
    want = rnnrt.load(path, layers=[rt.LSTM("rnn"), rt.Linear("fc")])
    document = {k: v.tolist() for k, v in weights(rnn=(3, 2, 2), fc=(1, 3)).items()}
    x = np.ones((4, 1, 2), np.float32)
    for value in (document, {"state_dict": document}):
        path.write_text(json.dumps(value))
        np.testing.assert_array_equal(rnnrt.load(path, layers=[rt.LSTM("rnn"), rt.Linear("fc")])(x), want(x))
        with pytest.raises(ModelFormatError, match=r"is JSON without a network(?s:.)*perhaps LSTM, 2 layers"):
            rnnrt.load(path)
    rows = {"weight": [1, 2], "bias": [0, 1], "running_mean": [1, 1], "running_var": [1, 4], "num_batches_tracked": 7}
    path.write_text(json.dumps(rows))
    y = rnnrt.load(path, layers=[rt.BatchNorm1d("", eps=0)])(np.float32([[2, 5]]))
    np.testing.assert_array_equal(y, [[1, 5]])


def built(*layers: Any, shape: tuple[int | None, ...] = (None, 2)) -> Model:
    return Sequential([Input(shape), *layers])


def test_tensors_into_a_model(path: Path) -> None:
    want = rnnrt.load(path, layers=[rt.LSTM("rnn", batch_first=True), rt.Linear("fc")])
    first, second = LSTM(3, return_sequences=True), LSTM(3, return_sequences=True, name="upper")
    model = built(Masking(), first, second, Dense(1, name="fc"))
    x = np.random.default_rng(0).standard_normal((2, 4, 2)).astype(np.float32)
    before = model(x)
    load_state_dict(model, path, {"rnn": [first, "upper"], "fc": "fc"})
    np.testing.assert_array_equal(model(x), want(x))
    assert not np.array_equal(before, want(x))


def test_the_batch_may_be_behind_the_steps(path: Path) -> None:
    model = rnnrt.load(path, layers=[rt.LSTM("rnn"), rt.Linear("fc")])
    x = np.random.default_rng(0).standard_normal((50, 2, 2)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(x), model(x))
    model.compile("sgd", "mse")
    for call in (model.fit, model.evaluate):
        with pytest.raises(UnsupportedModelError, match="first axis of the network's inputs is not their batch"):
            call(x, x[..., :1], verbose=0)


def test_weights_of_torch_are_not_those_of_a_model(path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"unknown \['fc.bias'(?s:.)*rnnrt.torch.load_state_dict"):
        built(LSTM(3), Dense(1)).load_weights(path)


def test_names_of_layers_are_those_of_modules(path: Path) -> None:
    arrays = {
        "embed.weight": np.ones((5, 2)), "conv.weight": np.ones((3, 2, 2)), "norm.weight": np.full(3, 2.0),
        "norm.bias": np.ones(3), "act.weight": np.array([0.5]),
    }  # fmt: skip
    save_file({k: v.astype(np.float32) for k, v in arrays.items()}, path)
    model = Sequential([
        Embedding(5, 2, name="embed", input_shape=(None,)), Conv1D(3, 2, use_bias=False, name="conv"),
        LayerNormalization(epsilon=1e-5, name="norm"), PReLU(shared_axes=[1, 2], name="act"),
    ])  # fmt: skip
    load_state_dict(model, path)
    np.testing.assert_array_equal(model.get_weights()[2], [2, 2, 2])
    np.testing.assert_array_equal(model(np.array([[1, 2]])), [[[1, 1, 1]]])


def test_both_directions_into_a_model() -> None:
    layers = [Bidirectional(LSTM(4, return_sequences=True)), Bidirectional(LSTM(4))]
    model = Sequential([
        Embedding(20, 6, name="embed", input_shape=(None,)), *layers, LayerNormalization(epsilon=1e-5, name="norm"),
        Dense(3, "softmax", name="fc"),
    ])  # fmt: skip
    names = {"lstm": layers, "embed": "embed", "norm": "norm", "fc": "fc"}
    load_state_dict(model, DATA / "classifier.safetensors", names)
    arrays = np.load(DATA / "classifier.npz")
    assert_close(model(arrays["x0"]), arrays["y0"])


def test_models_that_torch_has_not(path: Path) -> None:
    write(path, weights(rnn=(3, 2, 1)))
    gru = {"rnn.weight_ih_l0": (9, 2), "rnn.weight_hh_l0": (9, 3), "rnn.bias_ih_l0": (9,), "rnn.bias_hh_l0": (9,)}
    for layer, words in (
        (LSTM(3, activation="relu"), "activation='relu'; torch has tanh"),
        (LSTM(3, recurrent_activation="hard_sigmoid"), "recurrent_activation"),
        (LSTM(3, go_backwards=True), "walks the other way"),
        (LSTM(3, use_bias=False), r"has \['kernel', 'recurrent_kernel'\], its tensors give"),
        (LSTM(4), "has shape"),
        (GRU(3), "rather LSTM"),
        (SimpleRNN(3), "rather LSTM"),
        (Bidirectional(LSTM(3), merge_mode="sum"), "layers of"),
        (Dense(3), "missing: rnn.weight"),
    ):
        model = built(layer)
        before = model.get_weights()
        with pytest.raises(ModelFormatError, match=words):
            load_state_dict(model, path, {"rnn": layer})
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    save_file({k: np.ones(s, np.float32) for k, s in gru.items()}, path)
    layer = GRU(3, reset_after=False)
    with pytest.raises(ModelFormatError, match="reset_after=False; torch"):
        load_state_dict(built(layer), path, {"rnn": layer})


def test_what_is_left_over_is_named_unless_told(path: Path) -> None:
    dense = Dense(1, name="fc")
    model = built(LSTM(3, name="rnn"), dense)
    arrays = weights(fc=(1, 3))
    write(path, {**arrays, "extra": np.ones(2, np.float32)})
    with pytest.raises(ModelFormatError, match=r"missing: rnn.weight_ih_l0"):
        load_state_dict(model, path)
    with pytest.raises(ModelFormatError, match=r"get no tensor(?s:.)*no layer needs it: extra"):
        load_state_dict(model, path, {"fc": dense})
    load_state_dict(model, path, {"fc": dense}, strict=False)
    np.testing.assert_array_equal(dense.get_weights()[0], arrays["fc.weight"].T)
    with pytest.raises(RnnrtError, match="no layer of model"):
        load_state_dict(model, path, {"fc": "head"})
    with pytest.raises(RnnrtError, match="no layers with weights yet"):
        load_state_dict(Sequential([Dense(1)]), path)


def test_inputs_of_layers_are_no_constants(path: Path) -> None:
    layers = [rt.LSTM("rnn"), rt.Linear("fc")]
    text = refused(path, *layers, error=RnnrtError, constants={"input": 1})
    assert "cannot become constants" in text
