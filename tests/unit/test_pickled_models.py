"""Models and errors that go to other processes."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import rnnrt
from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Graph, Node, Value
from rnnrt.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Layer, Masking
from rnnrt.models import Model, Sequential
from tests.serving.support import network, sequences, written_out


def tagger() -> Model:
    words = rnnrt.Input((None,), dtype="int32", name="words")
    seen = Bidirectional(LSTM(4, return_sequences=True))(Embedding(11, 3, mask_zero=True)(words))
    return Model(words, [Dense(2)(seen), GRU(5)(seen)], name="tagger", threads=1)


def test_a_model_of_layers_comes_back_with_its_layers_and_weights():
    model = tagger()
    words = np.random.default_rng(0).integers(0, 11, (3, 6)).astype(np.int32)
    copy = pickle.loads(pickle.dumps(model))
    for mine, its in zip(model(words), copy(words), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert type(copy) is Model and copy.name == "tagger" and copy._threads == 1
    assert copy.to_json() == model.to_json()
    assert not copy.compiled
    copy.compile("sgd", "mse")
    copy.fit(words, list(model(words)), verbose=0)


def test_weights_are_those_of_now_and_its_own():
    model = Sequential([rnnrt.Input((None, 2)), Masking(), LSTM(3)])
    x = np.ones((1, 4, 2), np.float32)
    model(x)
    model.set_weights([w + 1 for w in model.get_weights()])
    want = model(x)
    copy = pickle.loads(pickle.dumps(model))
    model.set_weights([w * 0 for w in model.get_weights()])
    assert type(copy) is Sequential
    np.testing.assert_array_equal(copy(x), want)


def test_meanings_of_old_files_are_kept():
    model = Sequential([rnnrt.Input((None, 2)), GRU(3)])
    model.legacy, model.metadata = True, {"format": "keras", "keras_version": "2.3.1"}
    (layer,) = model.layers
    layer.old_masking = "hold"
    copy = pickle.loads(pickle.dumps(model))
    assert copy.legacy and copy.metadata == model.metadata
    assert [part.old_masking for part in copy.layers] == ["hold"]


def test_a_sequential_without_input_comes_back_unbuilt():
    copy = pickle.loads(pickle.dumps(Sequential([LSTM(3)])))
    assert not copy.built
    assert copy(np.ones((2, 3, 4), np.float32)).shape == (2, 3)


def test_a_graph_comes_back_with_trained_weights():
    model = network()
    (x,) = sequences(7)
    held = model.get_weights()
    model.set_weights([w * 2 for w in held])
    doubled = model(x[None])
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back(x[None])[0], doubled[0])
    back.set_weights(held)
    for y, want in zip(back(x[None]), written_out(x), strict=True):
        np.testing.assert_allclose(y[0], want, atol=1e-5)


@pytest.mark.parametrize("model", [tagger(), network()], ids=["layers", "graph"])
def test_weights_go_out_of_band_and_may_be_read_only(model):
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    frozen = [memoryview(bytes(b.raw())) for b in buffers]
    assert sum(len(b) for b in frozen) >= 4 * model.count_params() > len(frozen) > 0
    copy = pickle.loads(data, buffers=frozen)
    x = np.ones((2, 5, *model.inputs[0].shape[2:]), model.inputs[0].dtype)
    for mine, its in zip(model(x), copy(x), strict=True):
        np.testing.assert_array_equal(mine, its)
    copy.set_weights([w + 1 for w in copy.get_weights()])


def test_another_process_needs_no_import_of_its_own(tmp_path):
    model = tagger()
    words = np.array([[3, 1, 0]], np.int32)
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    code = (
        "import pickle, sys, numpy as np; m = pickle.load(open(sys.argv[1], 'rb')); "
        "np.save(sys.argv[2], m(np.array([[3, 1, 0]], np.int32))[1])"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model", tmp_path / "y.npy"], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model(words)[1])


class Own(Model):
    def __init__(self) -> None:
        super().__init__()
        self.memory = LSTM(2)

    def call(self, inputs):
        return self.memory(inputs)


class OwnLayer(Layer):
    def call(self, x):
        return x * 2.0


class Plain(Sequential):
    pass


def python_node() -> Model:
    value = Value("x", np.dtype("float32"), (None, 2))
    node = Node("Python", ("x",), ("y",), {"function": abs}, "cost")
    model = Model.__new__(Model)
    model._begin(None, Graph((value,), (Value("y", value.dtype),), (node,)), None)
    return model


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (Own, "is of class Own, whose code is not sent; save it as .rnnrt and send the path"),
        (lambda: Plain([LSTM(2)]), "is of class Plain, whose code is not sent"),
        (lambda: Sequential([rnnrt.Input((3,)), OwnLayer()]), "OwnLayer"),
        (python_node, "holds a Python function, whose code is not sent"),
    ],
    ids=["call", "subclass", "layer", "python"],
)
def test_code_is_not_sent(made, says):
    with pytest.raises(UnsupportedModelError, match="exactly") as caught:
        pickle.loads(pickle.dumps(made()))
    assert says in str(caught.value)


def test_errors_with_reasons_come_back_whole():
    error = UnsupportedModelError("m.onnx", ["a", "b"], "saved")
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.reasons, back.source) == (str(error), ("a", "b"), "m.onnx")
