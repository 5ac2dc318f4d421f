"""Utilities: what Keras 3 gave, recorded or written out, and what is refused."""

import json
import random
import threading
from pathlib import Path

import numpy as np
import pytest

from rnnrt import utils
from rnnrt.errors import RnnrtError
from rnnrt.utils.dataset import batches_of

RECORDED = json.loads((Path(__file__).parents[1] / "data/training/utils.json").read_text())


def test_to_categorical():
    np.testing.assert_array_equal(utils.to_categorical([0, 2, 1]), [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert utils.to_categorical([[1], [0]], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert utils.to_categorical([[1, 0]], 2).tolist() == [[[0, 1], [1, 0]]]
    assert utils.to_categorical(1, 2).tolist() == [0, 1]
    assert utils.to_categorical(np.array([1.0, 0.0])).dtype == np.float64
    for x, classes, message in (
        ([0, 3], 3, r"x\[1\] is 3, outside of 0 to 2"),
        ([[0, -1]], 3, r"x\[0, 1\] is -1"),
        ([0.5], None, "0.5, which is not a class number"),
        ([], None, "x is empty; give num_classes"),
        (["a"], None, "give class numbers"),
    ):
        with pytest.raises(RnnrtError, match=message):
            utils.to_categorical(x, classes)


def test_pad_sequences():
    ragged = [[1], [2, 3], [4, 5, 6], []]
    padded = utils.pad_sequences(ragged)
    assert padded.dtype == np.int32
    assert padded.tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6], [0, 0, 0]]
    assert utils.pad_sequences(ragged, padding="post", value=-1).tolist() == [
        [1, -1, -1],
        [2, 3, -1],
        [4, 5, 6],
        [-1, -1, -1],
    ]
    assert utils.pad_sequences(ragged, maxlen=2).tolist() == [[0, 1], [2, 3], [5, 6], [0, 0]]
    assert utils.pad_sequences(ragged, maxlen=2, truncating="post").tolist() == [[0, 1], [2, 3], [4, 5], [0, 0]]
    steps = [np.ones((2, 3)), np.full((1, 3), 2.0)]
    np.testing.assert_array_equal(
        utils.pad_sequences(steps, dtype="float32", padding="post"), [np.ones((2, 3)), [[2, 2, 2], [0, 0, 0]]]
    )
    assert utils.pad_sequences([["a"], ["b", "c"]], dtype=object, value="").tolist() == [["", "a"], ["b", "c"]]
    for sequences, options, message in (
        ([1, 2], {}, "at position 0 is 1"),
        ([[1]], {"padding": "left"}, "padding='left'"),
        ([[1]], {"truncating": "left"}, "truncating='left'"),
        ([[1]], {"value": "x"}, "give dtype=object"),
        ([[1]], {"maxlen": 0}, "maxlen=0"),
        ([[[1, 2]], [[1]]], {}, r"sequence 1 has steps of shape \(1,\), those before it \(2,\)"),
        (iter([[1]]), {}, "must be a list"),
        ([], {}, "give maxlen"),
    ):
        with pytest.raises(RnnrtError, match=message):
            utils.pad_sequences(sequences, **options)


def test_normalize():
    recorded = RECORDED["normalize"]
    x = np.array(recorded["x"])
    np.testing.assert_allclose(utils.normalize(x), recorded["l2"], rtol=1e-12)
    np.testing.assert_allclose(utils.normalize(x, axis=1, order=1), recorded["l1"], rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(utils.normalize(x, axis=0), axis=0), 1)


@pytest.mark.parametrize("case", RECORDED["splits"], ids=lambda c: str(c["arguments"]))
def test_split_dataset(case):
    rows = np.arange(23.0)
    left, right = utils.split_dataset(rows, **case["arguments"])
    assert left.tolist() == case["left"]
    assert right.tolist() == case["right"]
    pairs = utils.split_dataset([rows, rows[:, None] * 2], **case["arguments"])
    assert [part[0].tolist() for part in pairs] == [case["left"], case["right"]]
    assert pairs[1][1].shape == (len(right), 1)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.zeros(4), {}, "give left_size, right_size or both"),
        (np.zeros(4), {"left_size": 4}, "left_size=4; give a number of rows from 1 to 3"),
        (np.zeros(4), {"right_size": 1.0}, r"right_size=1.0"),
        (np.zeros(4), {"left_size": 3, "right_size": 2}, "4 rows cannot be split into 3 and 2"),
        (np.zeros(4), {"left_size": 0.01}, "cannot be split into 0 and 4"),
        ([np.zeros(4), np.zeros(3)], {"left_size": 1}, r"\[4, 3\] rows"),
        ([[1, 2]], {"left_size": 1}, "give an array, or a list of arrays"),
    ],
)
def test_bad_splits(data, options, message):
    with pytest.raises(RnnrtError, match=message):
        utils.split_dataset(data, **options)


@pytest.mark.parametrize("case", RECORDED["timeseries"], ids=lambda c: str(c["arguments"]))
def test_timeseries(case):
    dataset = utils.timeseries_dataset_from_array(np.arange(40.0), np.arange(40.0) * 10, **case["arguments"])
    batches = [[part.tolist() for part in batch] for batch in dataset]
    assert batches == case["batches"]
    assert len(dataset) == len(batches)
    alone = utils.timeseries_dataset_from_array(np.arange(40.0), None, **case["arguments"])
    assert len(alone[0]) == len(batches[0][0])
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_shuffled_timeseries():
    def draw(seed):
        dataset = utils.timeseries_dataset_from_array(
            np.arange(30.0), np.arange(30.0), 3, batch_size=4, shuffle=True, seed=seed
        )
        return [np.concatenate([y for _, y in dataset]).tolist() for _ in range(2)]

    first, second = draw(1)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(28))
    assert draw(1) == [first, second]
    utils.set_random_seed(3)
    drawn = draw(None)
    utils.set_random_seed(3)
    assert draw(None) == drawn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_length": 11}, "no window of 11 steps at sampling_rate=1 fits into 10 steps"),
        ({"sequence_length": 0}, "sequence_length=0"),
        ({"sequence_length": 2, "batch_size": 0}, "batch_size=0"),
        ({"sequence_length": 2, "end_index": 10}, "end_index=10 must be above start_index=0 and below 10"),
        ({"sequence_length": 2, "start_index": 10}, "start_index=10 must be from 0 to 9"),
        ({"sequence_length": 2, "sampling_rate": 0}, "sampling_rate=0"),
        ({"sequence_length": 2, "sequence_stride": 10}, "sequence_stride=10"),
        ({"sequence_length": 2, "format": "np"}, "format='np'"),
        ({"sequence_length": 2, "start_index": 5, "targets": np.zeros(6)}, "targets end at 5"),
    ],
)
def test_bad_timeseries(options, message):
    with pytest.raises(RnnrtError, match=message):
        utils.timeseries_dataset_from_array(**{"data": np.zeros(10), "targets": None, **options})


def test_seed():
    from rnnrt.random import generator

    def draw():
        return random.random(), np.random.random(), generator().random()  # noqa: NPY002

    utils.set_random_seed(5)
    drawn = draw()
    assert draw() != drawn
    utils.set_random_seed(5)
    assert draw() == drawn
    for seed in (-1, 1.0, 2**32, True):
        with pytest.raises(RnnrtError, match="give a whole number from 0"):
            utils.set_random_seed(seed)


class Slow(utils.PyDataset):
    def __init__(self, fail_at=None, **options):
        super().__init__(**options)
        self.fail_at, self.threads, self.made = fail_at, set(), []

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == self.fail_at:
            raise ValueError(f"batch {index}")
        self.threads.add(threading.current_thread().name)
        self.made.append(index)
        return np.full(2, index)


def test_workers_keep_the_order_and_do_not_run_far_ahead():
    dataset = Slow(workers=3, max_queue_size=4)
    order = [3, 1, 2, 0, *range(4, 20)]
    items = batches_of(dataset, order)
    got = [int(next(items)[0])]
    assert len(dataset.made) <= 5
    got += [int(item[0]) for item in items]
    assert got == order
    assert all(name.startswith("rnnrt-dataset") for name in dataset.threads)
    alone = Slow()
    assert [int(item[0]) for item in batches_of(alone, order)] == order
    assert alone.threads == {threading.current_thread().name}


def test_an_exception_of_a_worker_comes_out_in_its_place():
    items = batches_of(Slow(fail_at=5, workers=2), range(20))
    assert [int(next(items)[0]) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="batch 5"):
        next(items)


def test_closing_ends_the_threads():
    before = threading.active_count()
    items = batches_of(Slow(workers=4), range(20))
    next(items)
    items.close()
    assert threading.active_count() == before


def test_pydataset_base():
    class Forgetful(utils.Sequence):
        def __init__(self):
            pass

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return index

    assert list(Forgetful()) == [0, 1, 2]
    assert Forgetful().num_batches == 3
    assert list(batches_of(Forgetful(), [2, 1])) == [2, 1]
    with pytest.raises(NotImplementedError, match="needs __len__"):
        _ = utils.PyDataset().num_batches
    with pytest.raises(RnnrtError, match="max_queue_size=0"):
        utils.PyDataset(max_queue_size=0)
