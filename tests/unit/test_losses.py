"""Losses and their gradients: against Keras and PyTorch as recorded, and by central differences."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import losses
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses import Loss
from tests.training_cases import LOSSES, REDUCTIONS, SQUEEZED, ctc_inputs, inputs, reference, weightings

# Keras on PyTorch takes maxima and minima with a number, and its epsilon, in float32.
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def make(case, **more):
    kind, arguments, _ = LOSSES[case]
    return getattr(losses, kind)(**arguments, **more)


@pytest.mark.parametrize("name", LOSSES)
def test_reduced_values_are_those_of_keras(name):
    y_true, y_pred = inputs(LOSSES[name][2])
    got = [
        np.ravel(make(name, reduction=reduction)(y_true, y_pred, weights, mask))
        for weights, mask in weightings()
        for reduction in REDUCTIONS
    ]
    np.testing.assert_allclose(np.concatenate(got), reference()[f"loss/{name}"], **CLOSE)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_torch(name):
    y_true, y_pred = inputs(LOSSES[name][2])
    loss = make(name)
    for (weights, mask), want in zip(weightings(), reference()[f"gradient/{name}"], strict=True):
        value, gradient = loss.value_and_gradient(y_true, y_pred, weights, mask)
        assert value == loss(y_true, y_pred, weights, mask)
        np.testing.assert_allclose(gradient, want, **CLOSE)


@pytest.mark.parametrize("name", LOSSES)
def test_single_precision(name):
    y_true, y_pred = inputs(LOSSES[name][2])
    single = np.asfortranarray(y_pred.astype(np.float32))
    value, gradient = make(name).value_and_gradient(y_true, single)
    assert isinstance(value, float)
    assert gradient.dtype == np.float32
    assert gradient.flags.c_contiguous
    want_value, want = make(name).value_and_gradient(y_true, y_pred)
    assert math.isclose(value, want_value, rel_tol=1e-5)
    np.testing.assert_allclose(gradient, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=15)
@given(st.data())
def test_gradients_by_central_differences(name, data):
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(3, 5)))
    y_true, y_pred = inputs(LOSSES[name][2], data.draw(st.integers(0, 10**6)), shape)
    loss = make(name)
    values = loss.call(y_true, y_pred)
    gradient = loss.gradient(y_true, y_pred)
    assert gradient.shape == y_pred.shape
    h = 1e-6
    direction = np.random.RandomState(1).standard_normal(y_pred.shape)
    if "real" not in LOSSES[name][2] and LOSSES[name][2] != "sign":
        # Steps that are small beside a probability and what it lacks of 1, for the logarithm bends there.
        direction *= np.abs(y_pred * (1 - y_pred))
    up, down = (loss.call(y_true, y_pred + s * h * direction) for s in (1, -1))
    # Each loss by itself: what one moves must be what its own elements' gradients say.
    axis = loss.axis
    want = np.sum(gradient * direction, axis=axis)
    slope = (up - down) / (2 * h)
    kink = np.abs(up + down - 2 * values) > 1e-9 * (1 + np.abs(values))
    np.testing.assert_allclose(slope[~kink], want[~kink], rtol=1e-5, atol=1e-6)
    assert kink.mean() <= 0.5 or kink.size < 4


@pytest.mark.parametrize("kind", ["MeanSquaredError", "BinaryCrossentropy"])
def test_ranks_that_differ_by_one(kind):
    got = []
    for true_shape, pred_shape in SQUEEZED:
        rng = np.random.RandomState(9)
        y_true, y_pred = rng.randint(0, 2, true_shape).astype(float), rng.random_sample(pred_shape)
        value, gradient = getattr(losses, kind)().value_and_gradient(y_true, y_pred)
        assert gradient.shape == pred_shape
        got += [[value], gradient.ravel()]
    np.testing.assert_allclose(np.concatenate(got), reference()[f"squeezed/{kind}"], **CLOSE)


@pytest.mark.parametrize("name", LOSSES)
def test_a_mask_that_hides_everything(name):
    y_true, y_pred = inputs(LOSSES[name][2])
    for reduction in REDUCTIONS[:4]:
        value, gradient = make(name, reduction=reduction).value_and_gradient(y_true, y_pred, mask=np.zeros((4, 3)))
        assert value == 0
        assert not gradient.any()


def test_a_mask_and_weights_of_rows():
    y_true, y_pred = inputs("real")
    (full, mask), rows = weightings()[4], np.array([[0.5], [1], [2], [0]])
    loss = losses.MeanSquaredError()
    want = np.sum(loss.call(y_true, y_pred) * rows * mask) / mask.sum()
    assert math.isclose(loss(y_true, y_pred, rows, mask), want)
    assert full.shape == (4, 3)


@pytest.mark.parametrize("from_logits", [True, False])
def test_extremes_stay_finite(from_logits):
    big = np.float32(1e4) if from_logits else np.float32(1)
    y_pred = np.array([[big, 0, 0], [0, big, 0], [0, 0, 0]], np.float32)
    for loss, y_true in (
        (losses.BinaryCrossentropy(from_logits), 1 - np.eye(3)),
        (losses.CategoricalCrossentropy(from_logits), np.eye(3)[[1, 0, 2]]),
        (losses.SparseCategoricalCrossentropy(from_logits), np.array([1, 0, 2])),
    ):
        value, gradient = loss.value_and_gradient(y_true, y_pred)
        assert math.isfinite(value)
        assert np.isfinite(gradient).all()
    error = np.array([[1e30, -1e4]], np.float32)
    value, gradient = losses.LogCosh().value_and_gradient(np.zeros((1, 2)), error)
    np.testing.assert_allclose(gradient, [[0.5, -0.5]])
    assert math.isfinite(value)


def test_the_value_is_summed_in_double_precision():
    y_pred = np.full((1 << 20, 1), 0.1, np.float32)
    value = losses.MeanAbsoluteError(reduction="sum")(np.zeros_like(y_pred), y_pred)
    assert math.isclose(value, float(np.float32(0.1)) * (1 << 20), rel_tol=1e-12)


@pytest.mark.parametrize("name", ["bce_smooth", "cce_soft", "scce", "scce_ignore_probabilities"])
def test_with_logits_is_the_same_loss(name):
    loss = make(name, reduction="sum", name="mine")
    _, logits = inputs(LOSSES[name][2])
    y_true = inputs(LOSSES[name][2])[0]
    logits = np.log(logits / (1 - logits)) if name == "bce_smooth" else np.log(logits)
    after = 1 / (1 + np.exp(-logits)) if name == "bce_smooth" else np.exp(logits)
    twin = loss.with_logits()
    assert twin.from_logits
    assert (twin.name, twin.reduction) == ("mine", "sum")
    assert math.isclose(twin(y_true, logits), loss(y_true, after), rel_tol=1e-6)
    assert twin.with_logits() is None
    assert losses.MeanSquaredError().with_logits() is None


def test_ctc_is_that_of_torch():
    labels, logits = ctc_inputs()
    loss = losses.CTC()
    np.testing.assert_allclose(loss.call(labels, logits), reference()["ctc/values"], rtol=1e-10)
    np.testing.assert_allclose(loss.call(labels, logits), reference()["ctc/keras"], rtol=1e-6)
    np.testing.assert_allclose(loss.gradient(labels, logits), reference()["ctc/gradient"], rtol=1e-7, atol=1e-10)
    value, gradient = loss.value_and_gradient(labels, logits.astype(np.float32), [1, 2, 0, 1, 1])
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(value, reference()["ctc/values"] @ [1, 2, 0, 1, 1] / 5, rtol=1e-6)
    np.testing.assert_allclose(gradient[1], reference()["ctc/gradient"][1] * 2 / 5, rtol=1e-4, atol=1e-6)


def test_ctc_sums_over_all_alignments():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, 4, 3))
    chances = np.exp(logits[0]) / np.exp(logits[0]).sum(-1, keepdims=True)
    for labels in ([1, 2], [1, 1], [2, 0], [0, 0]):
        total = 0.0
        for path in np.ndindex(3, 3, 3, 3):
            merged = [c for k, c in enumerate(path) if c and (k == 0 or path[k - 1] != c)]
            if merged == [c for c in labels if c]:
                total += math.prod(chances[k, c] for k, c in enumerate(path))
        assert math.isclose(losses.CTC()([labels], logits), -math.log(total), rel_tol=1e-12)


def test_names():
    assert losses.get("mse") is losses.mean_squared_error
    assert losses.get("kl_divergence") is losses.kl_divergence
    assert isinstance(losses.get("Huber"), losses.Huber)
    assert losses.get(None) is None
    for name, kind in (("mse", "MeanSquaredError"), ("bce", "BinaryCrossentropy"), ("huber", "Huber"), ("ctc", "CTC")):
        found = losses.resolve(name)
        assert type(found).__name__ == kind
        assert found.name == name
    assert losses.resolve(losses.log_cosh).name == "log_cosh"
    assert isinstance(losses.resolve("ce", (None, 1), (None, 1)), losses.BinaryCrossentropy)
    assert isinstance(losses.resolve("crossentropy", (None,), (None, 7)), losses.SparseCategoricalCrossentropy)
    assert isinstance(losses.resolve("crossentropy", (None, 7), (None, 7)), losses.CategoricalCrossentropy)


@pytest.mark.parametrize("name", LOSSES)
def test_a_configuration_makes_the_same_loss(name):
    loss = make(name, reduction="sum")
    saved = json.loads(json.dumps(losses.serialize(loss)))
    assert saved["module"] == "keras.losses"
    y_true, y_pred = inputs(LOSSES[name][2])
    assert losses.deserialize(saved)(y_true, y_pred) == loss(y_true, y_pred)


def test_functions_give_the_losses_of_samples():
    y_true, y_pred = inputs("real")
    np.testing.assert_allclose(losses.mean_absolute_error(y_true, y_pred), np.abs(y_true - y_pred).mean(-1))
    np.testing.assert_allclose(losses.huber(y_true, y_pred, 2.0), losses.Huber(2.0).call(y_true, y_pred))
    again = losses.deserialize(losses.serialize(losses.mean_absolute_error))
    assert again is losses.mean_absolute_error


class Cubed(Loss):
    def call(self, y_true, y_pred):
        return np.mean(np.abs(y_true - y_pred) ** 3, axis=-1)

    def gradient(self, y_true, y_pred):
        error = y_pred - y_true
        return 3 * error * np.abs(error) / error.shape[-1]


def test_a_loss_of_ones_own():
    y_true, y_pred = inputs("real")
    weights = weightings()[1][0]
    value, gradient = Cubed().value_and_gradient(y_true, y_pred, weights)
    error = np.abs(y_true - y_pred)
    assert math.isclose(value, np.sum(weights * np.mean(error**3, -1)) / 12)
    np.testing.assert_allclose(gradient, weights[..., None] * 3 * error * (y_pred - y_true) / 5 / 12)
    assert Cubed().name.startswith("cubed")
    built_in = losses.LossFunctionWrapper(losses.sparse_categorical_crossentropy, ignore_class=2, from_logits=True)
    plain = make("scce_ignore")
    labels, logits = inputs("sparse_real")
    for loss in (built_in, losses.get(losses.serialize(built_in))):
        value, gradient = loss.value_and_gradient(labels, logits, weights)
        assert value == plain(labels, logits, weights)
        np.testing.assert_array_equal(gradient, plain.value_and_gradient(labels, logits, weights)[1])
    wrapped = losses.resolve(lambda t, p: np.mean((t - p) ** 4, axis=-1))
    assert math.isclose(wrapped(y_true, y_pred), np.mean(error**4))
    with pytest.raises(RnnrtError, match=r"defines no gradient\(y_true, y_pred\); training needs it"):
        wrapped.value_and_gradient(y_true, y_pred)


ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.MeanSquaredError()(ONES, np.ones((4, 2))),
            r"y_true has the shape \(4, 3\) and y_pred \(4, 2\)",
        ),
        (lambda: losses.MeanSquaredError()(np.ones((4, 1)), ONES), "they must be equal"),
        (
            lambda: losses.CategoricalCrossentropy()(np.zeros(4, int), ONES),
            "for classes by number use SparseCategoricalCrossentropy",
        ),
        (lambda: losses.CategoricalCrossentropy()(np.zeros((4, 1), int), ONES), "or make labels one-hot"),
        (lambda: losses.SparseCategoricalCrossentropy()(ONES, ONES), "for one-hot labels use CategoricalCrossentropy"),
        (lambda: losses.SparseCategoricalCrossentropy()(np.zeros(3, int), ONES), r"needs \(4,\)"),
        (lambda: losses.SparseCategoricalCrossentropy(axis=2)(np.zeros(3, int), ONES), "has no axis 2"),
        (lambda: losses.CTC()(np.zeros(3, int), ONES), r"they must be \(batch, max_length\)"),
        (lambda: losses.MeanSquaredError()(ONES, ONES, np.ones(3)), r"sample_weight of shape \(3,\) does not fit"),
        (lambda: losses.MeanSquaredError()(ONES, ONES, mask=ONES), r"the mask of shape \(4, 3\) does not fit"),
        (
            lambda: losses.MeanSquaredError()(np.ones((4, 4, 3)), np.ones((4, 4, 3)), np.ones(4)),
            r"sample_weight\[:, None\] for one a sequence",
        ),
        (
            lambda: losses.MeanSquaredError()(np.ones((4, 2, 3)), np.ones((4, 2, 3)), np.ones(4), np.ones((4, 2))),
            "do not go together",
        ),
        (lambda: losses.MeanSquaredError()(1.0, 1.0), "are single numbers"),
    ],
)
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.MeanSquaredError()([[1.0, np.nan]], [[1.0, 1.0]]), r"y_true\[0, 1\] is nan"),
        (
            lambda: losses.SparseCategoricalCrossentropy()([0, 3, 1, 1], ONES),
            "go from 0 to 3, but y_pred has 3 classes",
        ),
        (lambda: losses.SparseCategoricalCrossentropy()([0, -1, 1, 1], ONES), "set ignore_class for a label that"),
        (lambda: losses.SparseCategoricalCrossentropy()([0, 0.5, 1, 1], ONES), "labels must be whole numbers"),
        (lambda: losses.SparseCategoricalCrossentropy()([0, np.inf, 1, 1], ONES), r"y_true\[1\] is inf"),
        (lambda: losses.BinaryCrossentropy()([[-1.0, 1.0]], [[0.5, 0.5]]), r"for -1 and 1 use \(y_true \+ 1\) / 2"),
        (lambda: losses.CTC()([[1, 0, 2]], np.zeros((1, 5, 3))), "sample 0 has a 0 before a label"),
        (lambda: losses.CTC()([[1, 1, 2]], np.zeros((1, 3, 3))), "labels of sample 0 need 4 steps"),
        (lambda: losses.CTC()([[1, 3, 0]], np.zeros((1, 5, 3))), "labels lie from 1 to 2"),
        (lambda: losses.MeanSquaredError(reduction="average"), "reduction must be one of"),
        (lambda: losses.MeanSquaredError(reduction=None).value_and_gradient(ONES, ONES), "use reduction='sum'"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=2), "label_smoothing must be from 0 to 1"),
        (lambda: losses.CategoricalCrossentropy(axis=True), "axis must be an int"),
        (lambda: losses.Huber(delta=-1), "delta must be 0 or more"),
        (lambda: losses.get("mean_square_error"), "did you mean one of mean_squared_error"),
        (lambda: losses.resolve(None), "no loss is given"),
        (lambda: losses.resolve("ce"), "depends on the shapes"),
        (lambda: losses.MeanSquaredError()([["a"]], [[1.0]]), "numbers are needed"),
        (lambda: losses.deserialize({"class_name": "Huber", "config": {"beta": 1}}), "Huber takes no argument 'beta'"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(RnnrtError, match=message):
        call()
