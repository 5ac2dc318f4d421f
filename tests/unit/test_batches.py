"""Batches: what each kind of data gives, order and resuming, weights by class, and what is refused."""

import json
import warnings

import numpy as np
import pytest

from rnnrt import utils
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.training.batch_data import class_weights
from rnnrt.training.batches import make_batches, split_validation

X = np.arange(70.0).reshape(10, 7)
Y = np.arange(10)


def rows(batches):
    """The first column of each batch, divided back to the number of the row."""
    return [(xs[0][:, 0] / 7).astype(int).tolist() for xs, _, _ in batches]


def test_arrays_in_order_are_views():
    batches = make_batches(X, Y, batch_size=4)
    assert len(batches) == batches.num_batches == 3
    got = list(batches)
    assert rows(got) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [ys[0].tolist() for _, ys, _ in got] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(np.shares_memory(xs[0], X) and w is None for xs, _, w in got)
    assert rows(batches) == rows(got)


def test_batches_are_contiguous():
    for x in (X.T, np.asfortranarray(X), X[::-1], X.astype(">f4")):
        for shuffle in (False, True):
            for xs, ys, _ in make_batches(x, batch_size=3, shuffle=shuffle):
                assert xs[0].flags.c_contiguous
                assert xs[0].dtype.isnative
                assert ys == []
    got = np.concatenate([xs[0] for xs, _, _ in make_batches(X[::-1].astype(">f4"), batch_size=3)])
    np.testing.assert_array_equal(got, X[::-1])


def test_sizes_of_batches():
    assert len(make_batches(np.zeros((100, 1)))) == 4
    assert len(make_batches(np.zeros((100, 1)), steps=3)) == 3
    assert [len(xs[0]) for xs, _, _ in make_batches(np.zeros((100, 1)), steps=3)] == [34, 34, 32]


def test_several_inputs_and_outputs():
    a, b = X, X * 2
    for x in ([a, b], (a, b), {"b": b, "a": a}):
        names = {"input_names": ["a", "b"], "output_names": ["p", "o"]}
        xs, ys, weights = make_batches(x, {"o": Y, "p": -Y}, Y * 0.5, 4, **names).peek()
        np.testing.assert_array_equal(xs[0] * 2, xs[1])
        assert [y.tolist() for y in ys] == [[0, -1, -2, -3], [0, 1, 2, 3]]
        assert [w.tolist() for w in weights] == [[0, 0.5, 1, 1.5]] * 2


def test_shuffling_takes_one_permutation_an_epoch():
    generator, twin = np.random.default_rng(4), np.random.default_rng(4)
    batches = make_batches(X, Y, batch_size=4, shuffle=True, generator=generator)
    for _ in range(3):
        order = twin.permutation(10)
        got = list(batches)
        assert np.concatenate(rows(got)).tolist() == order.tolist()
        assert np.concatenate([ys[0] for _, ys, _ in got]).tolist() == order.tolist()
    assert generator.bit_generator.state == twin.bit_generator.state


def test_shuffling_within_batches():
    got = rows(make_batches(X, batch_size=4, shuffle="batch", generator=np.random.default_rng(0)))
    assert [sorted(batch) for batch in got] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert got != [sorted(batch) for batch in got]


def test_shuffling_draws_from_the_seeded_generator_by_default():
    utils.set_random_seed(1)
    first = rows(make_batches(X, shuffle=True))
    utils.set_random_seed(1)
    assert rows(make_batches(X, shuffle=True)) == first


class Dataset(utils.PyDataset):
    def __init__(self, size=6, **options):
        super().__init__(**options)
        self.size, self.events = size, []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return X[index : index + 2], Y[index : index + 2]

    def on_epoch_begin(self):
        self.events.append("begin")

    def on_epoch_end(self):
        self.events.append("end")


def stream(count):
    for k in range(count):
        yield X[k % 10 : k % 10 + 1], Y[k % 10 : k % 10 + 1]


SOURCES = {
    "arrays": lambda: (X, Y, 2),
    "dataset": lambda: (Dataset(), None, None),
    "workers": lambda: (Dataset(workers=2, max_queue_size=2), None, None),
    "iterable": lambda: (Iterable(), None, None),
    "generator": lambda: (stream(100), None, None),
}


class Iterable:
    def __iter__(self):
        return stream(5)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("kind", "steps"),
    [(kind, steps) for kind in SOURCES for steps in (None, 3) if (kind, steps) != ("generator", None)],
)
def test_a_run_resumed_anywhere_gives_the_same_batches(kind, steps, shuffle):
    def make(generator):
        x, y, size = SOURCES[kind]()
        return make_batches(x, y, batch_size=size, steps=steps, shuffle=shuffle, generator=generator)

    def run(batches, generator, first=0, start=0, stop=None):
        seen = []
        for epoch in range(first, 4):
            for number, batch in enumerate(batches.epoch(start), start):
                seen.append((epoch, rows([batch])[0]))
                generator.random()  # dropout, say
                if stop == (epoch, number):
                    return seen, json.loads(json.dumps([batches.state(), generator.bit_generator.state]))
            start = 0
            if stop == (epoch, "end"):
                return seen, json.loads(json.dumps([batches.state(), generator.bit_generator.state]))
        return seen, None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an epoch may be cut short where the data ends
        generator = np.random.default_rng(9)
        whole, _ = run(make(generator), generator)
        for stop in ((0, 0), (1, 1), (2, 0), (2, 1), (0, "end"), (1, "end")):
            generator = np.random.default_rng(9)
            before, state = run(make(generator), generator, stop=stop)
            generator = np.random.default_rng(77)
            batches = make(generator)
            generator.bit_generator.state = state[1]
            batches.restore(state[0])
            at = (stop[0] + 1, 0) if stop[1] == "end" else (stop[0], stop[1] + 1)
            after, _ = run(batches, generator, *at)
            assert before + after == whole


def test_starting_in_the_middle_without_a_state():
    for steps in (None, 3):
        assert rows(make_batches(X, batch_size=4, steps=steps).epoch(1)) == [[4, 5, 6, 7], [8, 9]]
        assert rows(make_batches(Iterable(), steps=steps).epoch(2))[0] == [2]
    with pytest.raises(RnnrtError, match="no state of batches"):
        make_batches(X).restore({"taken": 1})


def test_datasets_are_told_of_epochs():
    dataset = Dataset()
    batches = make_batches(dataset)
    assert len(batches) == 6
    for _ in range(2):
        assert rows(batches) == [[k, k + 1] for k in range(6)]
        batches.on_epoch_end()
    assert dataset.events == ["begin", "end"] * 2


def test_datasets_shuffle_their_batches():
    got = rows(make_batches(Dataset(), shuffle=True, generator=np.random.default_rng(0)))
    assert [k for k, _ in got] == np.random.default_rng(0).permutation(6).tolist()


def test_batches_of_a_dataset_come_in_several_forms():
    class Forms(Dataset):
        def __getitem__(self, index):
            return [X, [X, Y], {"x": X}, (X,), ([X, X], Y), (X, Y, Y * 0.5)][index]

    got = list(make_batches(Forms(), input_names=["x"]))
    assert [(len(xs), len(ys), w is not None) for xs, ys, w in got] == [
        (1, 0, False),
        (1, 1, False),
        (1, 0, False),
        (1, 0, False),
        (2, 1, False),
        (1, 1, True),
    ]


def test_an_endless_dataset_needs_steps():
    class Endless(Dataset):
        num_batches = None

    with pytest.raises(RnnrtError, match="Endless without end"):
        make_batches(Endless())
    assert len(rows(make_batches(Endless(), steps=8))) == 8


def test_generators_are_taken_one_batch_at_a_time():
    taken = []

    def endless():
        k = 0
        while True:
            taken.append(k)
            yield (np.full((2, 7), 7.0 * k),)
            k += 1

    batches = make_batches(endless(), steps=3)
    assert batches.num_batches == 3
    assert batches.peek()[0][0].shape == (2, 7)
    assert batches.peek()[0][0][0, 0] == 0
    assert taken == [0]
    assert rows(batches) == [[0, 0], [1, 1], [2, 2]]
    assert taken == [0, 1, 2]
    assert rows(batches) == [[3, 3], [4, 4], [5, 5]]


def test_a_generator_that_ends_early():
    batches = make_batches(stream(5), steps=3)
    assert len(list(batches)) == 3
    assert not batches.exhausted
    with pytest.warns(UserWarning, match="Your input ran out of data; interrupting training"):
        assert len(list(batches)) == 2
    assert batches.exhausted
    with pytest.warns(UserWarning, match="ran out"):
        assert list(batches) == []


def test_one_epoch_of_a_generator_is_all_of_it():
    batches = make_batches(stream(5))
    assert batches.num_batches is None
    with pytest.raises(TypeError):
        len(batches)
    assert bool(batches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(batches)) == 5
    assert batches.exhausted


def test_passes_go_on_over_epochs():
    batches = make_batches(X, batch_size=2, steps=2)
    assert rows(batches) == [[0, 1], [2, 3]]
    assert rows(batches) == [[4, 5], [6, 7]]
    with pytest.warns(UserWarning, match="ran out"):
        assert rows(batches) == [[8, 9]]
    assert not batches.exhausted
    assert rows(batches) == [[0, 1], [2, 3]]
    even = make_batches(Iterable(), steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows(even) == rows(even) == [[0], [1], [2], [3], [4]]


def test_weights_by_class():
    weight = {0: 0.5, 1: 2.0, 2: 3.0}
    one_hot = np.eye(3)[[2, 0, 1]]
    assert class_weights(np.array([2, 0, 1]), weight).tolist() == [3, 0.5, 2]
    assert class_weights(np.array([[1.0], [0.0]]), weight).tolist() == [2, 0.5]
    assert class_weights(one_hot, weight).tolist() == [3, 0.5, 2]
    assert class_weights(one_hot.astype(int), weight).tolist() == [3, 0.5, 2]
    assert class_weights(np.array([[0.1, 0.7, 0.2]]), weight).tolist() == [2]
    steps = np.array([[0, 1, 2, 2], [1, 1, 0, 0]])
    wanted = [[0.5, 2, 3, 3], [2, 2, 0.5, 0.5]]
    assert class_weights(steps, weight).tolist() == wanted
    assert class_weights(steps[..., None], weight).tolist() == wanted
    assert class_weights(np.eye(3)[steps], weight).tolist() == wanted
    assert class_weights(steps.astype(float), weight, sparse=True).tolist() == wanted
    assert class_weights(np.eye(3, dtype=int), {0: 1, 1: 5}, sparse=True).shape == (3, 3)
    assert class_weights(steps, weight).dtype == np.float32
    with pytest.raises(RnnrtError, match="no weight for class 2, which y has; it has 0, 1"):
        class_weights(steps, {0: 1, 1: 1})
    for bad in ({0: -1}, {0: float("nan")}, {"a": 1}, [1, 2]):
        with pytest.raises(RnnrtError, match="class_weight"):
            class_weights(np.array([0]), bad)


def test_weights_by_class_multiply_sample_weights():
    y = np.array([[0, 1], [1, 1], [0, 0]])
    weight = {0: 1.0, 1: 10.0}
    for given, wanted in (
        (None, [[1, 10], [10, 10], [1, 1]]),
        (np.array([1, 2, 3]), [[1, 10], [20, 20], [3, 3]]),
        (np.array([[1, 2], [3, 4], [5, 6]]), [[1, 20], [30, 40], [5, 6]]),
    ):
        _, _, weights = make_batches(X[:3], y, given, class_weight=weight).peek()
        assert weights[0].tolist() == wanted
    _, _, weights = make_batches(X[:3], y[:, 0], np.array([[1], [2], [3]]), class_weight=weight).peek()
    assert weights[0].tolist() == [1, 20, 3]
    for source in (Dataset(), stream(2)):
        _, _, weights = make_batches(source, class_weight={0: 3, 1: 4}).peek()
        assert weights[0][0] == 3


def test_split_validation():
    train, held = split_validation((X, [Y, None], {"w": Y}), 0.3)
    assert train[1][0].tolist() == list(range(7))
    assert held[1][0].tolist() == [7, 8, 9]
    assert held[0].shape == (3, 7)
    assert held[1][1] is None
    assert held[2]["w"].tolist() == [7, 8, 9]
    assert np.shares_memory(train[0], X)
    assert [len(part) for part in split_validation(np.zeros((10, 1)), 0.2)] == [8, 2]
    assert [len(part) for part in split_validation(np.zeros((7, 1)), 0.5)] == [3, 4]
    for data, fraction, error in (
        ((X, Y), 1.0, "give a fraction between 0 and 1"),
        ((X[:1], Y[:1]), 0.5, "of 1 rows leaves 0 for training"),
        ((X, Y[:9]), 0.5, "x has 10 rows, y 9"),
        ((stream(3), None), 0.5, "x is a generator; give validation_data"),
    ):
        with pytest.raises(RnnrtError, match=error):
            split_validation(data, fraction)


def with_bad(value, *at, shape=(10, 7), dtype=np.float32):
    array = np.zeros(shape, dtype)
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((100, 2)), "y": np.zeros(99)}, "^x has 100 rows, y 99; all must have the same"),
        ({"x": [X, X[:9]], "y": Y}, r"x\[0\] has 10 rows, x\[1\] 9, y 10"),
        ({"x": X, "y": Y, "sample_weight": Y[:3]}, "y has 10 rows, sample_weight 3"),
        ({"x": X, "y": Y, "sample_weight": Y[:3], "class_weight": {0: 1}}, "y has 10 rows, sample_weight 3"),
        ({"x": X, "sample_weight": Y}, "y is not"),
        ({"x": X, "y": [Y, Y], "sample_weight": [Y]}, "1 arrays of sample_weight for 2 of y"),
        ({"x": X, "y": [Y, Y], "sample_weight": X}, r"shape \(10, 7\) for 2 outputs"),
        ({"x": X, "y": [Y, Y], "class_weight": {0: 1}}, "single output"),
        ({"x": X[:0], "y": Y[:0]}, "there are no rows"),
        ({"x": []}, "x is an empty list"),
        ({"x": [[1, 2], [3, 4]]}, r"x\[0\] is a list.*numpy.asarray\(x\)"),
        ({"x": 5}, "x is a int"),
        ({"x": "text"}, "x is a str"),
        ({"x": np.array(5.0)}, "a single number"),
        ({"x": np.array(["a"])}, "x is of type <U1"),
        ({"x": {"a": X}}, "no names to order it by"),
        ({"x": {"a": X}, "input_names": ["a", "b"]}, "x has no array for b; it has a"),
        ({"x": {"a": X, "c": X}, "input_names": ["a"]}, "unknown names: c; known are a"),
        ({"x": with_bad(np.nan, 3, 2)}, r"x\[3, 2\] is nan: a network cannot learn"),
        ({"x": [X, with_bad(-np.inf, 9, 6)]}, r"x\[1\]\[9, 6\] is -inf"),
        ({"x": X, "y": with_bad(np.inf, 4, shape=10)}, r"y\[4\] is inf"),
        ({"x": X, "y": Y, "sample_weight": with_bad(np.nan, 0, shape=10)}, r"sample_weight\[0\] is nan"),
        ({"x": X, "batch_size": 0}, "batch_size=0: give a whole number, 1 or more"),
        ({"x": X, "batch_size": 2.5}, "batch_size=2.5"),
        ({"x": X, "steps": -1}, "steps=-1"),
        ({"x": X, "shuffle": "rows"}, "shuffle='rows'"),
        ({"x": stream(1), "y": Y}, "`y` should not be passed; it is part of the generator's batches"),
        ({"x": Dataset(), "sample_weight": Y}, "as a Dataset, `sample_weight`"),
        ({"x": Dataset(0)}, "of 0 batches"),
    ],
)  # fmt: skip
def test_bad_data(given, message):
    with pytest.raises(RnnrtError, match=message):
        make_batches(**given)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ([X, Y], r"batch 1 of the generator is a list; it must be \(inputs,\)"),
        (X, "batch 1 of the generator is a ndarray"),
        ((X, Y, Y, Y), "is a tuple of 4"),
        ((), "is a tuple of 0"),
        ((X, Y[:9]), "batch 1 of the generator: x has 10 rows, y 9"),
        ((with_bad(np.nan, 3, 2),), r"batch 1 of the generator: x\[3, 2\] is nan"),
        ((X, Y, with_bad(np.nan, 1, shape=10)), r"sample_weight\[1\] is nan"),
        ((None, Y), "x is None"),
    ],
)
def test_bad_batches(item, message):
    batches = make_batches(iter([(X, Y), item]))
    with pytest.raises(ShapeError, match=message):
        list(batches)


def test_empty_generators():
    for steps in (None, 2):
        with pytest.raises(ShapeError, match="gave no batch"):
            list(make_batches(iter([]), steps=steps))
    with pytest.raises(ShapeError, match="the generator gave no batch"):
        make_batches(iter([])).peek()


def test_batch_size_of_whole_batches_is_ignored_aloud():
    with pytest.warns(UserWarning, match="batch_size=8 is ignored: a generator gives whole batches"):
        make_batches(stream(3), batch_size=8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_numbers_are_finite(dtype):
    x = np.full((3000, 40), np.finfo(dtype).max)
    make_batches(x)
    x[2999, 39] = np.nan
    with pytest.raises(ShapeError, match=r"x\[2999, 39\] is nan"):
        make_batches(x)


def test_infinities_that_cancel_are_seen():
    x = np.zeros((50_000, 10, 3), np.float32)
    x[30_000, 0, 1], x[40_000] = np.inf, -np.inf
    with pytest.raises(ShapeError, match=r"x\[30000, 0, 1\] is inf"):
        make_batches(x)
