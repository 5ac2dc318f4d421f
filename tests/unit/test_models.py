"""Models by hand: how they grow, run, change and refuse; layers of one's own; graphs without layers, to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import layers as L
from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, UnsupportedModelError
from rnnrt.ir import Graph, Node, Value
from rnnrt.layers.variable import Variable
from rnnrt.models import Model, Sequential, clone_model, load_model
from rnnrt.ops.evaluate import evaluate
from rnnrt.registry import reset_names
from rnnrt.utils import clear_session

F32 = np.dtype(np.float32)
RNG = np.random.default_rng(7)
X = RNG.normal(size=(4, 6, 3)).astype(F32)


@pytest.fixture(autouse=True)
def names_from_the_beginning() -> None:
    reset_names()


def feeds_of(training: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    feeds = {training.data[0]: x, **{key: v.value for key, v in training.variables.items()}}
    feeds.update({s.input: np.zeros((len(x), s.units), s.dtype) for s in training.states})
    if training.random_state:
        feeds[training.random_state] = np.array([3, 5])
    return feeds


def run(training: Any, x: np.ndarray, **more: np.ndarray) -> dict[str, np.ndarray]:
    names = [v.name for v in training.graph.outputs]
    return dict(zip(names, evaluate(training.graph, {**feeds_of(training, x), **more}), strict=True))


def test_names_count_up_until_the_session_is_cleared() -> None:
    assert [L.LSTM(2).name, L.LSTM(2).name, L.Conv1D(1, 1).name] == ["lstm", "lstm_1", "conv1d"]
    clear_session()
    assert L.LSTM(2).name == "lstm"


def test_a_sequential_grows_and_shrinks() -> None:
    model = Sequential()
    model.add(L.LSTM(5, input_shape=(None, 3), return_sequences=True))
    assert model.output_shape == (None, None, 5)
    model.add(L.GRU(2))
    assert (model.output_shape, len(model.weights)) == ((None, 2), 6)
    before = model(X)
    model.add(L.Dense(1))
    assert model(X).shape == (4, 1)
    assert model.pop().name == "dense"
    np.testing.assert_array_equal(model(X), before)
    assert [layer.name for layer in model.layers] == ["lstm", "gru"]


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        (lambda: L.Dense(2, input_dim=7), (None, 7)),
        (lambda: L.LSTM(2, batch_input_shape=(4, 5, 3)), (None, 5, 3)),
        (lambda: L.LSTM(2, input_dim=3, input_length=5), (None, 5, 3)),
        (lambda: L.Embedding(9, 2, input_length=5), (None, 5)),
        (lambda: L.InputLayer(input_shape=(5, 3)), (None, 5, 3)),
    ],
)
def test_the_first_layer_tells_the_shape(first: Any, shape: Any) -> None:
    model = Sequential([first()])
    assert model.input_shape == shape
    assert model.built


def test_a_model_learns_its_input_from_the_first_call() -> None:
    model = Sequential([L.LSTM(2), L.Dense(1)])
    assert not model.built
    with pytest.raises(RnnrtError, match=r"does not know the shape of its input; begin with Input"):
        model.graph  # noqa: B018
    assert model.predict(X).shape == (4, 1)
    assert model.input_shape == (None, 6, 3)
    late = Sequential([L.Dense(2)])
    late.build((None, 3))
    assert [v.path for v in late.weights] == ["sequential_1/dense_1/kernel", "sequential_1/dense_1/bias"]


def test_weights_that_change_change_the_answer() -> None:
    model = Sequential([rnnrt.Input((6, 3)), L.LSTM(4), L.Dense(2, use_bias=False)])
    twin = Model(model.inputs, model.get_layer("lstm").output)
    assert [info.shape for info in model.inputs] == [(None, 6, 3)]
    first, state = model(X), twin(X)
    kernel = model.layers[1].weights[0]
    kernel.assign(2 * kernel.numpy())
    np.testing.assert_allclose(model(X), 2 * first, rtol=1e-6)
    np.testing.assert_array_equal(twin(X), state)
    np.testing.assert_allclose(model(X), state @ kernel.numpy(), rtol=1e-5, atol=1e-6)
    graph = model.graph
    model.set_weights([np.zeros(w.shape) for w in model.weights])
    assert not model(X).any()
    assert any(a.any() for a in graph.constants.values())


def test_memory_of_a_trainer() -> None:
    model = Sequential([rnnrt.Input((3,)), L.Dense(2, use_bias=False)])
    (kernel,) = model.weights
    flat = np.zeros(8, F32)
    kernel.move_to(flat[2:].reshape(3, 2))
    x = np.eye(3, dtype=F32)
    before = model(x)
    np.testing.assert_array_equal(before, kernel.numpy())
    graph = model.graph
    flat[2:] = 5
    kernel.mark_changed()
    np.testing.assert_array_equal(model(x), np.full((3, 2), 5))
    (array,) = [a for a in graph.constants.values() if a.shape == (3, 2)]
    np.testing.assert_array_equal(array, before)
    kernel.assign(np.ones((3, 2)))
    np.testing.assert_array_equal(flat[2:], np.ones(6))


def test_a_variable_copies_before_it_writes() -> None:
    array = np.zeros((2, 2), F32)
    v = Variable(array, "v")
    kept = v.snapshot()
    v.assign([[1, 2], [3, 4]])
    assert not array.any()
    assert not kept.any()
    assert np.asarray(v).sum() == 10
    with pytest.raises(ShapeError, match=r"variable 'v' has shape \(2, 2\), the new value \(3,\)"):
        v.assign(np.zeros(3))
    with pytest.raises(ShapeError, match="give memory of the same kind"):
        v.move_to(np.zeros((2, 2), np.float64))


def test_frozen_layers() -> None:
    model = Sequential([rnnrt.Input((6, 3)), L.Bidirectional(L.LSTM(2)), L.BatchNormalization(), L.Dense(1)])
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (10, 2)
    model.layers[0].trainable = False
    model.layers[1].trainable = False
    assert [v.name for v in model.trainable_weights] == ["kernel", "bias"]
    training = model.training_graph(True)
    assert training.trainable == ("sequential/dense/kernel", "sequential/dense/bias")
    assert not training.updates
    np.testing.assert_allclose(run(training, X)[training.outputs[0]], model(X), rtol=1e-5, atol=1e-6)
    model.trainable = True
    assert len(model.trainable_weights) == 10
    assert len(model.training_graph(True).updates) == 2


def test_dropout_runs_in_training_alone() -> None:
    model = Sequential([rnnrt.Input((50, 40)), L.Dropout(0.25), L.SpatialDropout1D(0.5)])
    x = np.ones((8, 50, 40), F32)
    np.testing.assert_array_equal(model(x), x)
    training = model.training_graph(True)
    y = run(training, x)[training.outputs[0]]
    np.testing.assert_allclose(np.unique(y), [0, 8 / 3], rtol=1e-6)
    assert abs(y.mean() - 1) < 0.1
    dead = (y == 0).all(axis=1)
    assert 0.4 < dead.mean() < 0.6
    again = run(training, x, **{training.random_state: np.array([3, 6])})
    assert (again[training.outputs[0]] != y).any()
    assert model.training_graph(False).random_state is None


def test_noise_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(0).normal(size=(64, 500)).astype(F32)
    for layer, spread in ((L.GaussianNoise(0.5), np.hypot(1, 0.5)), (L.GaussianDropout(0.2), np.hypot(1, 0.5)),
                          (L.AlphaDropout(0.3), 1)):  # fmt: skip
        training = Sequential([rnnrt.Input((500,)), layer]).training_graph(True)
        y = run(training, x)[training.outputs[0]]
        assert abs(y.mean()) < 0.03
        assert abs(y.std() - spread) < 0.03


def test_dropout_of_a_recurrent_layer_is_one_mask_for_all_steps() -> None:
    model = Sequential([rnnrt.Input((6, 3)), L.SimpleRNN(5, dropout=0.5, recurrent_dropout=0.4, activation="linear")])
    training = model.training_graph(True)
    (rnn,) = [n for n in training.graph.nodes if n.op == "RNN"]
    drops = {n.outputs[0]: n for n in training.graph.nodes if n.op == "RandomMask"}
    assert [n.attrs["rate"] for n in drops.values()] == [0.5, 0.4]
    assert len({n.attrs["stream"] for n in drops.values()}) == 2
    graph = training.graph.replace(outputs=(*training.graph.outputs, *(Value(name, F32) for name in drops)))
    y, inputs, state = evaluate(graph, feeds_of(training, X))
    assert (inputs.shape, state.shape) == ((4, 1, 3), (1, 4, 5))
    assert rnn.inputs[-1] == list(drops)[1]
    kernel, recurrent, bias = (v.value for v in model.weights)
    h = np.zeros((4, 5))
    for t in range(6):
        h = (X[:, t] * inputs[:, 0]) @ kernel + (h * state[0]) @ recurrent + bias
    np.testing.assert_allclose(y, h, rtol=1e-4, atol=1e-5)


def test_stateful_layers_go_on_from_batch_to_batch() -> None:
    model = Sequential(
        [rnnrt.Input((None, 3), batch_size=4), L.LSTM(2, stateful=True, return_sequences=True), L.GRU(2)]
    )
    whole = Sequential([rnnrt.Input((None, 3)), L.LSTM(2, return_sequences=True)])
    whole.set_weights(model.layers[0].get_weights())
    middle = Model(model.input, model.layers[0].output)
    pieces = [middle.predict(X[:, :2], batch_size=4), middle.predict(X[:, 2:], batch_size=4)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole(X), rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match=r"states have 4 rows, the batch 2; call reset_states"):
        middle.predict(X[:2])
    middle.reset_states()
    np.testing.assert_array_equal(middle.predict(X[:, :2], batch_size=4), pieces[0])
    training = model.training_graph(True)
    assert [(s.layer, s.index, s.units) for s in training.states] == [(model.layers[0], 0, 2), (model.layers[0], 1, 2)]
    assert run(training, X)[training.states[0].output].shape == (4, 2)


def test_layers_run_on_arrays() -> None:
    dense = L.Dense(4, activation="tanh")
    y = dense(X)
    kernel, bias = dense.get_weights()
    np.testing.assert_allclose(y, np.tanh(X @ kernel + bias), rtol=1e-5, atol=1e-6)
    sequence, h, c = L.LSTM(2, return_sequences=True, return_state=True)(X)
    np.testing.assert_array_equal(sequence[:, -1], h)
    assert c.shape == (4, 2)
    np.testing.assert_array_equal(L.Add()([X, X]), 2 * X)


class Gated(L.Layer):
    """A layer of one's own, with chance in it."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value, self.gate = L.Dense(units), L.Dense(units, activation="sigmoid")
        self.drop = L.Dropout(0.5)

    def call(self, x: Any) -> Any:
        return self.drop(self.value(x)) * self.gate(x) + 1.0


class Tagger(Model):
    """A model of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.words = L.Embedding(9, 4, mask_zero=True)
        self.stack = [L.LSTM(3, return_sequences=True), L.Bidirectional(L.GRU(2))]
        self.head = Sequential([L.Dense(5), L.ReLU()])

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.words(inputs)
        for layer in self.stack:
            x = layer(x)
        return self.head(x) * (3.0 if training else 1.0)


def test_a_layer_of_ones_own() -> None:
    x = rnnrt.Input((3,))
    model = Model(x, Gated(4)(x))
    paths = ["gated/dense/kernel", "gated/dense/bias", "gated/dense_1/kernel", "gated/dense_1/bias"]
    assert [v.path for v in model.weights] == paths
    k, b, kg, bg = model.get_weights()
    row = X[:, 0]
    want = (row @ k + b) / (1 + np.exp(-(row @ kg + bg))) + 1
    np.testing.assert_allclose(model(row), want, rtol=1e-5, atol=1e-6)
    training = model.training_graph(True)
    assert training.trainable == tuple(paths)
    assert training.random_state


def test_a_model_of_ones_own() -> None:
    model, words = Tagger(), np.array([[1, 2, 0], [3, 0, 0]])
    y = model(words)
    assert (y.shape, len(model.weights), len(model.layers)) == ((2, 5), 12, 4)
    same = Sequential([rnnrt.Input((3,), dtype="int32"), L.Embedding(9, 4, mask_zero=True),
                       L.LSTM(3, return_sequences=True), L.Bidirectional(L.GRU(2)), L.Dense(5), L.ReLU()])  # fmt: skip
    same.set_weights(model.get_weights())
    np.testing.assert_allclose(y, same(words), rtol=1e-6)
    training = model.training_graph(True)
    np.testing.assert_allclose(run(training, words)[training.outputs[0]], 3 * y, rtol=1e-5, atol=1e-6)
    with pytest.raises(UnsupportedModelError, match="whose code no file holds"):
        model.get_config()


def test_layers_made_in_call_are_refused() -> None:
    class Forgetful(L.Layer):
        def call(self, x: Any) -> Any:
            return L.Dense(2)(x)

    with pytest.raises(
        RnnrtError, match=r"layers \['dense'\] that are not among its attributes; make them in __init__"
    ):
        Forgetful()(rnnrt.Input((3,)))


def test_arithmetic_on_symbolic_tensors() -> None:
    x, y = rnnrt.Input((6, 3)), rnnrt.Input((6, 3))
    model = Model([x, y], [2 - x * y, (x / 4)[:, 1:3], -((x - y) ** 2.0)])
    a, b = X, X[::-1].copy()
    for got, want in zip(model([a, b]), (2 - a * b, a[:, 1:3] / 4, -((a - b) ** 2)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    again = Model.from_config(model.get_config())
    np.testing.assert_array_equal(again.predict([a, b])[1], a[:, 1:3] / 4)


def test_a_file_can_be_trained_on(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[1] / "data" / "keras"
    model = rnnrt.load(folder / "nested.3.keras")
    case = np.load(folder / "nested.3.keras.npz")
    training = model.training_graph(False)
    feeds = {name: case[f"x{k}"] for k, name in enumerate(training.data)}
    feeds.update({key: v.value for key, v in training.variables.items()})
    for k, y in enumerate(evaluate(training.graph, feeds)[: len(training.outputs)]):
        np.testing.assert_allclose(y, case[f"y{k}"], atol=2e-5)
    base = Model(inputs=model.inputs, outputs=L.Activation("tanh")(model.outputs[0]))
    feeds = [case[f"x{k}"] for k in range(len(training.data))]
    np.testing.assert_allclose(base(*feeds), np.tanh(case["y0"]), atol=2e-5)
    assert base.layers[1].name == model.layers[1].name
    assert clone_model(model).count_params() == model.count_params()


def test_weights_of_a_graph_without_layers() -> None:
    w = {"K": RNG.normal(size=(5, 3)).astype(F32), "b": np.ones(5, F32), "shape": np.array([-1, 5]),
         "half": np.array(0.5, F32)}  # fmt: skip
    nodes = (
        Node("Transpose", ("K",), ("kernel",), {"perm": (1, 0)}, "turn"),
        Node("MatMul", ("x", "kernel"), ("p",), {}, "product"),
        Node("Add", ("p", "b"), ("q",), {}, "sum"),
        Node("Mul", ("q", "half"), ("r",), {}, "half"),
        Node("Reshape", ("r", "shape"), ("y",), {}, "shape"),
    )
    model = Model.from_graph(Graph((Value("x", F32, (None, 3)),), (Value("y", F32, (None, 5)),), nodes, w))
    x = X[:, 0]
    before = model(x)
    assert [(layer.name, [v.name for v in layer.weights]) for layer in model.layers] == [
        ("product", ["kernel"]), ("sum", ["b"]),
    ]  # fmt: skip
    training = model.training_graph(True)
    assert list(training.variables) == list(training.trainable) == ["kernel", "b"]
    np.testing.assert_allclose(run(training, x)["y"], before, rtol=1e-6)
    model.layers[1].weights[0].assign(np.zeros(5))
    np.testing.assert_allclose(model(x), before - 0.5, atol=1e-6)
    model.layers[0].trainable = False
    assert model.training_graph(True).trainable == ("b",)


def test_summary() -> None:
    model = Sequential([rnnrt.Input((6, 3)), L.LSTM(4), L.BatchNormalization(), L.Dense(2)])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for part in ('Model: "sequential"', "lstm (LSTM)", "(None, 4)", "128", "Total params: 154 (616.00 B)",
                 "Trainable params: 146", "Non-trainable params: 8"):  # fmt: skip
        assert part in text


def test_predict_takes_batches_of_any_arrangement() -> None:
    a, b = rnnrt.Input((3,), name="a"), rnnrt.Input((3,), name="b")
    model = Model({"a": a, "b": b}, L.Add()([a, b]))
    x, y = X[:, 0], X[:, 1]
    for given in ([x, y], {"b": y, "a": x}):
        np.testing.assert_allclose(model.predict(given, batch_size=3), x + y, rtol=1e-6)
    assert model.predict([x, y], batch_size=1, steps=2).shape == (2, 3)
    with pytest.raises(ShapeError, match="same number of rows"):
        model.predict([x, y[:2]])
    with pytest.raises(ShapeError, match=r"missing \['b'\]"):
        model.predict({"a": x})


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: L.Dense(3, mystery=None), "argument mystery=None is not known"),
        (lambda: L.Dense(3, recurrent_initializer="zeros"), "recurrent_initializer='zeros' is not known"),
        (lambda: L.Dense(0), "units=0; give a positive integer"),
        (lambda: L.Dense(3, kernel_initializer="nothing")(rnnrt.Input((2,))), "nothing"),
        (lambda: L.Dense(3, dtype="float16"), "dtype 'float16'"),
        (lambda: L.Dropout(1.5), "rate=1.5"),
        (lambda: L.Lambda(lambda x: x), "neither be stored nor differentiated"),
        (lambda: L.Dense(3)(), "called without inputs"),
        (lambda: L.Dense(3)(rnnrt.Input((None,))), "declare the extents of its input"),
        (lambda: L.Dropout(0.5)(X, training=True), "training=True"),
        (lambda: np.asarray(rnnrt.Input((2,))), "is symbolic and has no values"),
        (lambda: Model(rnnrt.Input((2,)), L.Dense(1)(rnnrt.Input((2,)))), "is not among the inputs"),
        (lambda: Model(3, 4), "must be symbolic tensors"),
        (lambda: Model(), "a model needs inputs"),
        (lambda: Sequential([L.Dense(2, name="a"), L.Dense(2, name="a")]), "has a layer 'a' already"),
        (lambda: Sequential([L.Dense(2), rnnrt.Input((2,))]), "an input must stand at the front"),
        (lambda: Sequential([3]), "3 is no layer"),
        (lambda: Sequential().pop(), "has no layer to take away"),
        (lambda: Sequential()(X), "is empty"),
        (lambda: Sequential([rnnrt.Input((2,)), L.Dense(1)]).get_layer("b"), "has no layer 'b'"),
        (lambda: Sequential([rnnrt.Input((2,)), L.Dense(1)]).set_weights([]), "has 2 weights, got 0"),
        (lambda: Sequential([rnnrt.Input((2,)), L.Dense(1)])(X[:, 0, :2], training=True), "trains by fit alone"),
        (lambda: Sequential([rnnrt.Input((2,)), L.Dense(1)]).save_weights("weights.npz"), "give a path that ends so"),
        (lambda: load_model("x.keras", custom_objects={"A": 1}), "are no classes or functions"),
        (lambda: rnnrt.models.model_from_json("{"), "not JSON"),
        (lambda: rnnrt.Input((-2,)), "give integers, and None"),
        (lambda: Sequential([rnnrt.Input((6, 3)), L.CuDNNLSTM(2)]).training_graph(True), "use LSTM or GRU"),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises((RnnrtError, ModelFormatError), match=match):
        make()
