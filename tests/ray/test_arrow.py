"""Batches of Arrow: columns of lists and tensors."""

import numpy as np
import pytest

from rnnrt.errors import ShapeError
from rnnrt.ray import Predictor
from tests.ray.test_predictor import LENGTHS
from tests.serving.support import FEATURES, HIDDEN, OUT, network, sequences, written_out

pa = pytest.importorskip("pyarrow")

FRAMES = pa.list_(pa.list_(pa.float32()))


def predictor(**options):
    return Predictor(network(), {"seq": "x"}, **options)


def table(xs, kind=FRAMES):
    return pa.table({"id": range(len(xs)), "seq": pa.array([x.tolist() for x in xs], kind)})


@pytest.mark.parametrize(
    "kind", [FRAMES, pa.large_list(pa.list_(pa.float64(), FEATURES)), pa.list_(pa.large_list(pa.float32()))], ids=str
)
@pytest.mark.parametrize("cut", [False, True])
def test_lists_of_lists(kind, cut):
    xs = sequences(*LENGTHS)
    data = table(xs, kind)
    if cut:  # chunks, each with an offset of its own
        data = pa.concat_tables([data.slice(0, 4), data.slice(4, 0), data.slice(4)])
    out = predictor()(data)
    assert isinstance(out, pa.Table)
    assert out.schema.field("products").type == FRAMES
    assert out.schema.field("state").type == pa.list_(pa.float32())
    assert out.column("seq").equals(data.column("seq"))
    for x, products, state in zip(xs, out["products"].to_pylist(), out["state"].to_pylist(), strict=True):
        want, last = written_out(x)
        assert np.shape(products) == (len(x), OUT)
        np.testing.assert_allclose(products, want, atol=1e-5)
        np.testing.assert_allclose(state, last, atol=1e-5)


def test_a_record_batch_comes_back_as_one_and_needs_no_other_column():
    (batch,) = table(sequences(2, 5)).to_batches()
    out = predictor(keep=[], outputs=["state"])(batch.slice(1))
    assert isinstance(out, pa.RecordBatch)
    assert out.schema.names == ["state"] and out.num_rows == 1
    np.testing.assert_allclose(out["state"].to_pylist()[0], written_out(sequences(2, 5)[1])[1], atol=1e-5)


def test_tensors():
    xs = np.stack(sequences(4, 4, 4))
    data = pa.table({"seq": pa.FixedShapeTensorArray.from_numpy_ndarray(xs)})
    for state, x in zip(predictor()(data)["state"].to_pylist(), xs, strict=True):
        np.testing.assert_allclose(state, written_out(x)[1], atol=1e-5)


def test_a_table_without_rows_has_the_same_columns():
    data = table(sequences(3))
    full, none = predictor()(data), predictor()(data.slice(0, 0))
    assert none.num_rows == 0
    assert none.schema == full.schema


def test_what_a_row_may_hold_is_told_by_its_number():
    xs = [x.tolist() for x in sequences(2, 3, 4)]
    holes = [xs[0], [*xs[1][:2], [1.0, None, 1.0, 1.0, 1.0]], xs[2]]
    cases = [
        (pa.array([xs[0], None, xs[2]], FRAMES), "row 1 of the batch: is missing or holds a missing value"),
        (pa.array(holes, FRAMES), "row 1 of the batch: is missing or holds a missing value"),
        (pa.array([xs[0], xs[1], [*xs[2], None]], FRAMES), "row 2 of the batch: is missing or holds"),
        (pa.array([xs[0], xs[1], [[1.0] * 5, [1.0] * 4]], FRAMES), "row 2 of the batch: its lists differ in length"),
        (pa.array([xs[0], [[1.0] * 4] * 3], FRAMES), r"row 1 of the batch: input 'x' takes shape .* got \(3, 4\)"),
        (pa.array([xs[0], [], xs[1]], FRAMES), "row 1 of the batch: is empty"),
        (pa.array(["a", "b"]), "column 'seq': is of Arrow's type string, which is neither numbers nor lists"),
        (pa.array([[1.0, 2.0], [3.0]]), r"row 0 of the batch: input 'x' takes shape .* got \(2,\)"),
    ]
    for array, says in cases:
        with pytest.raises(ShapeError, match=says):
            predictor()(pa.table({"seq": array}))
    late = pa.chunked_array([cases[0][0].slice(0, 1), cases[1][0]])
    with pytest.raises(ShapeError, match="row 2 of the batch"):
        predictor()(pa.table({"seq": late}))


def test_scores_are_plain_numbers():
    out = Predictor(score(), keep=[])(pa.table({"x": pa.array([[[1.0]], [[2.0], [3.0]]])}))
    assert out.schema == pa.schema([("score", pa.list_(pa.float32()))])


def score():
    import rnnrt
    from rnnrt.layers import LSTM, Dense

    x = rnnrt.Input((None, 1), name="x")
    return rnnrt.Model(x, Dense(1, name="score")(LSTM(HIDDEN)(x)))
