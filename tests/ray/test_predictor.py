"""Batches of columns through a model, beside float64 written out and the model on each row alone."""

import subprocess
import sys

import numpy as np
import pytest

import rnnrt
from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.layers import GRU, LSTM, Concatenate, Dense, Embedding
from rnnrt.models import Model
from rnnrt.ray import Predictor
from tests.serving.support import FEATURES, HIDDEN, OUT, network, sequences, written_out

LENGTHS = (3, 17, 3, 1, 40, 17, 3, 9, 17, 2)
LAST = (Node("Gather", ("products", "last"), ("last_product",), {"axis": 1}),)


def test_neither_ray_nor_pyarrow_is_imported_before_it_is_needed():
    code = "import sys, rnnrt; rnnrt.ray.Predictor, rnnrt.ray.serve; print({'ray', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()"


def ragged(xs):
    column = np.empty(len(xs), object)
    column[:] = xs
    return column


@pytest.mark.parametrize("sort_by_length", [True, False])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("most", [1, 3, 64])
def test_rows_of_all_lengths_come_back_in_order(layout, most, sort_by_length):
    model, xs = network(layout), sequences(*LENGTHS)
    predictor = Predictor(model, {"seq": "x"}, sort_by_length=sort_by_length, max_batch_size=most)
    out = predictor({"id": np.arange(10), "seq": ragged(xs)})
    assert list(out) == ["id", "seq", "products", "state"]
    np.testing.assert_array_equal(out["id"], np.arange(10))
    assert out["state"].shape == (10, HIDDEN)
    for x, products, state in zip(xs, out["products"], out["state"], strict=True):
        want, last = written_out(x)
        assert products.shape == (len(x), OUT)
        np.testing.assert_allclose(products, want, atol=1e-5)
        np.testing.assert_allclose(state, last, atol=1e-5)
        alone = model(np.expand_dims(x, 1 - layout))
        np.testing.assert_array_equal(products, np.squeeze(alone[0], 1 - layout))
        np.testing.assert_array_equal(state, alone[1][0])


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_network_that_picks_a_step_by_its_position_is_run_by_equal_lengths(direction):
    model, xs = network(direction=direction, after=LAST), sequences(*LENGTHS)
    runs = []
    predictor = Predictor(model, {"seq": "x"}, outputs="last")
    run = predictor._grouping.run
    predictor._grouping.run = lambda rows, most: runs.append(sorted({len(x) for (x,) in rows})) or run(rows, most)
    out = predictor({"seq": ragged(xs)})
    for x, y in zip(xs, out["last"], strict=True):
        np.testing.assert_array_equal(y, model(x[None])[0])
    assert runs == [[1], [2], [3], [9], [17], [40]]


def test_without_sorting_neighbours_alone_share_a_run():
    runs = []
    predictor = Predictor(network(after=LAST), {"seq": "x"}, sort_by_length=False)
    run = predictor._grouping.run
    predictor._grouping.run = lambda rows, most: runs.append([len(x) for (x,) in rows]) or run(rows, most)
    predictor({"seq": ragged(sequences(4, 4, 6, 4, 6, 6))})
    assert runs == [[4, 4], [6], [4], [6, 6]]


def several() -> Model:
    words, past = rnnrt.Input((None,), dtype="int32", name="words"), rnnrt.Input((None, 2), name="past")
    fixed = rnnrt.Input((3,), name="fixed")
    seen = GRU(4)(Embedding(11, 3, mask_zero=True)(words))
    joined = Concatenate()([seen, LSTM(5)(past), fixed])
    return Model([words, past, fixed], Dense(2, name="score")(joined))


def test_several_inputs_of_lengths_of_their_own():
    model, rng = several(), np.random.default_rng(0)
    words = [rng.integers(0, 11, n) for n in (3, 5, 3, 3, 5)]
    past = [rng.standard_normal((n, 2)) for n in (4, 4, 2, 4, 4)]
    batch = {"w": ragged(words), "past": ragged(past), "fixed": rng.standard_normal((5, 3))}
    predictor = Predictor(model, {"w": "words", "past": "past", "fixed": "fixed"}, {"score": "risk"}, keep=["w"])
    out = predictor(batch)
    assert list(out) == ["w", "risk"]
    for i, y in enumerate(out["risk"]):
        row = [np.asarray(batch[c][i])[None] for c in ("w", "past", "fixed")]
        want = model(*(x.astype(info.dtype) for x, info in zip(row, model.inputs, strict=True)))
        np.testing.assert_array_equal(y, want[0])


def test_a_path_is_read_with_the_options_of_load(tmp_path):
    model, (x,) = network(), sequences(6)
    model.save(tmp_path / "m.rnnrt")
    out = Predictor(tmp_path / "m.rnnrt", {"seq": "x"}, ["state"], constants={})({"seq": x[None]})
    np.testing.assert_allclose(out["state"][0], written_out(x)[1], atol=1e-5)
    with pytest.raises(ModelFormatError, match="no such file"):
        Predictor(tmp_path / "other.rnnrt")


def test_a_network_that_takes_one_row_is_given_one():
    graph = network().graph
    (value,) = graph.inputs
    fixed = graph.replace(
        inputs=(Value(value.name, value.dtype, (1, None, FEATURES)),),
        outputs=(Value("state", value.dtype, (1, HIDDEN)),),
    )
    xs = sequences(4, 4, 5)
    out = Predictor(Model.from_graph(fixed), {"seq": "x"})({"seq": ragged(xs)})
    for x, y in zip(xs, out["state"], strict=True):
        np.testing.assert_allclose(y, written_out(x)[1], atol=1e-5)


def test_nested_objects_are_rows_too():
    (x,) = sequences(4)
    rows = [ragged(list(x)), x.tolist(), x.astype(np.float64)]
    out = Predictor(network(), {"seq": "x"}, ["state"])({"seq": ragged(rows)})
    np.testing.assert_array_equal(out["state"], np.repeat(out["state"][2:], 3, 0))


def test_a_batch_without_rows():
    out = Predictor(network(), {"seq": "x"})({"id": np.zeros(0, int), "seq": np.zeros(0, object)})
    assert (len(out["id"]), out["products"].shape, out["state"].dtype) == (0, (0, 0, 0), np.float32)


GOOD = sequences(4, 5, 6)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ({"other": np.zeros(3)}, r"column 'seq': is missing; the batch has \['other'\]"),
        ({"seq": ragged([GOOD[0], None])}, "column 'seq', row 1 of the batch: is missing; leave such rows out"),
        ({"seq": ragged([GOOD[0], GOOD[1][:, :4]])}, r"'seq', row 1 of the batch: input 'x' takes shape \(None, 5\)"),
        ({"seq": ragged([*GOOD, np.zeros(7)])}, r"row 3 of the batch: input 'x' takes shape .* got \(7,\)"),
        ({"seq": ragged([GOOD[0], [[1.0] * 5, [1.0] * 4]])}, "row 1 of the batch: its lists differ in length"),
        ({"seq": ragged([GOOD[0], "text"])}, "row 1 of the batch: holds str of <U4, not numbers"),
        ({"seq": ragged([GOOD[0], [[None] * 5]])}, "row 1 of the batch: is missing"),
        ({"seq": ragged([GOOD[0], GOOD[1].astype(complex)])}, "row 1 of the batch: holds .*complex128, not numbers"),
        ({"seq": np.array(["a", "b"])}, "column 'seq': holds <U1, not numbers; convert it before"),
        ({"seq": np.zeros((2, 4, 3), "f")}, "row 0 of the batch: input 'x' takes shape"),
        ({"seq": ragged([GOOD[0], GOOD[1][:0]])}, r"row 1 of the batch: is empty \(shape \(0, 5\)\)"),
        ({"seq": np.float32(3)}, "column 'seq': is a single float32"),
        ({"seq": ragged(GOOD), "state": np.zeros(3)}, r"columns \['state'\] are in the batch already"),
        ([1, 2], 'a batch of builtins.list is not taken; give batch_format="numpy" or "pyarrow"'),
    ],
)
def test_what_a_batch_may_not_hold(batch, says):
    with pytest.raises(ShapeError, match=says):
        Predictor(network(), {"seq": "x"})(batch)


def test_columns_of_different_lengths():
    batch = {"words": np.ones((3, 2), int), "past": np.ones((2, 2, 2)), "fixed": np.ones((3, 3))}
    with pytest.raises(ShapeError, match="column 'past': has 2 rows, 'words' has 3"):
        Predictor(several())(batch)


def test_wrong_dtypes_name_column_and_row():
    batch = {"words": np.ones((2, 2)), "past": np.ones((2, 2, 2)), "fixed": np.ones((2, 3))}
    with pytest.raises(ShapeError, match="column 'words', row 0 of the batch: input 'words' takes int32, got float64"):
        Predictor(several())(batch)


@pytest.mark.parametrize("bad", [1, 4])
def test_a_value_outside_the_domain_names_its_row(bad):
    batch = {"words": np.ones((5, 2), int), "past": np.ones((5, 2, 2)), "fixed": np.ones((5, 3))}
    batch["words"][bad, 1] = 99
    with pytest.raises(
        RnnrtError,
        match=rf"columns \['words', 'past', 'fixed'\], row {bad} of the batch: Gather .*: an index is out of range",
    ):
        Predictor(several())(batch)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model": 3}, "model must be a path or a Model, got int"),
        ({"inputs": {"a": "y"}}, "inputs={'a': 'y'} must name a column for each of the model's inputs"),
        ({"inputs": {"a": "x", "b": "x"}}, "must name a column for each"),
        ({"outputs": "score"}, r"outputs='score' is one column and the model gives \['products', 'state'\]"),
        ({"outputs": ["nothing"]}, "must name outputs of the model"),
        ({"outputs": []}, "must name outputs of the model"),
        ({"outputs": {"products": "y", "state": "y"}}, "each with a column of its own"),
        ({"keep": "id"}, "keep='id' must be a list of columns"),
        ({"max_batch_size": 0}, "max_batch_size=0 must be a whole number above 0"),
        ({"constants": {}}, r"\['constants'\] go with the path of a model"),
        ({"batch_axes": {"z": 1}}, r"batch_axes names \['z'\]"),
        ({"batch_axes": {"x": 1}}, "of one input the axis is found"),
    ],
)
def test_arguments_that_are_not_understood(arguments, says):
    with pytest.raises(RnnrtError, match=says):
        Predictor(**{"model": network(), **arguments})


def test_several_inputs_need_one_column_each():
    with pytest.raises(RnnrtError, match="inputs='words' is one column and the model takes"):
        Predictor(several(), "words")


def test_columns_to_keep_must_be_there():
    with pytest.raises(ShapeError, match=r"columns \['id'\] of keep are missing"):
        Predictor(network(), {"seq": "x"}, keep=["id"])({"seq": ragged(GOOD)})


def test_a_mean_over_the_batch_is_no_result_of_a_row():
    mean = (Node("ReduceMean", ("products", "axis"), ("mean",), {"keepdims": 1}),)
    with pytest.raises(RnnrtError, match=r"outputs \['mean'\] have no axis of the batch that could be told"):
        Predictor(network(after=mean), {"seq": "x"})


def test_several_inputs_whose_batch_is_not_the_first_axis():
    graph = network(0).graph
    state = Value("start", np.dtype("float32"), (1, None, HIDDEN))
    nodes = tuple(
        Node(n.op, (*n.inputs, "", "start"), n.outputs, n.attrs, n.name) if n.op == "GRU" else n for n in graph.nodes
    )
    model = Model.from_graph(graph.replace(inputs=(*graph.inputs, state), nodes=nodes))
    xs = sequences(3, 5, 3, 3)
    h0 = np.random.default_rng(4).standard_normal((4, 1, HIDDEN)).astype(np.float32)
    out = Predictor(model, batch_axes={"x": 1, "start": 1}, keep=[])({"x": ragged(xs), "start": h0})
    for x, h, products, last in zip(xs, h0, out["products"], out["state"], strict=True):
        want = model(x[:, None], h[:, None])
        np.testing.assert_array_equal(products, want[0][:, 0])
        np.testing.assert_array_equal(last, want[1][0])
    with pytest.raises(StateError, match=r"input 'start' of shape .* has no free axis 0 for the batch; name the axis"):
        Predictor(model, batch_axes={"x": 1})


def test_several_inputs_whose_rows_are_mixed_are_refused():
    values = [Value(name, np.dtype("float32"), (None, 3)) for name in "ab"]
    nodes = (Node("ReduceMean", ("a", "axes"), ("mean",), {"keepdims": 1}), Node("Sub", ("b", "mean"), ("y",)))
    graph = Graph(tuple(values), (Value("y", np.dtype("float32"), (None, 3)),), nodes, {"axes": np.array([0])})
    with pytest.raises(StateError, match=r"ReduceMean node .* brings the rows of a batch together"):
        Predictor(Model.from_graph(graph))


def test_one_input_whose_rows_would_be_mixed_is_run_row_by_row():
    value = Value("x", np.dtype("float32"), (None, None, FEATURES))
    nodes = (Node("ReduceMean", ("x", "axes"), ("mean",), {"keepdims": 1}), Node("Sub", ("x", "mean"), ("y",)))
    graph = Graph((value,), (Value("y", value.dtype, value.shape),), nodes, {"axes": np.array([0, 1])})
    xs = sequences(4, 4, 2)
    out = Predictor(Model.from_graph(graph), keep=[])({"x": ragged(xs)})
    for x, y in zip(xs, out["y"], strict=True):
        np.testing.assert_allclose(y, x - x.mean(0, dtype=np.float64), atol=1e-6)
