"""Regularizers and constraints against what Keras gave, gradients by central differences."""

import numpy as np
import pytest

from rnnrt import constraints, regularizers
from rnnrt.errors import RnnrtError, ShapeError
from tests.training_cases import CONSTRAINTS, REGULARIZERS, reference, weight

# Keras on PyTorch takes maxima and minima with a number in float32.
CLOSE = {"rtol": 1e-6, "atol": 1e-14}


@pytest.mark.parametrize("name", REGULARIZERS)
def test_penalties_and_gradients_are_those_of_keras(name):
    kind, arguments = REGULARIZERS[name]
    regularizer = getattr(regularizers, kind)(**arguments)
    want = reference()[f"regularizer/{name}"]
    np.testing.assert_allclose(regularizer(weight()), want[0], **CLOSE)
    np.testing.assert_allclose(regularizer.gradient(weight()).ravel(), want[1:], **CLOSE)
    again = regularizers.get(regularizers.serialize(regularizer))
    assert again.get_config() == regularizer.get_config()
    single = regularizer.gradient(weight().astype(np.float32))
    assert single.dtype == np.float32
    assert single.shape == (4, 3)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_are_those_of_keras(name):
    kind, arguments = CONSTRAINTS[name]
    constraint = getattr(constraints, kind)(**arguments)
    np.testing.assert_allclose(constraint(weight()), reference()[f"constraint/{name}"], **CLOSE)
    assert constraint(weight().astype(np.float32)).dtype == np.float32
    assert constraints.get(constraints.serialize(constraint)).get_config() == constraint.get_config()


def test_names():
    assert isinstance(regularizers.get("l2"), regularizers.L2)
    assert isinstance(regularizers.get("L1L2"), regularizers.L1L2)
    assert isinstance(regularizers.get("orthogonal_regularizer"), regularizers.OrthogonalRegularizer)
    assert regularizers.l1(0.5).get_config() == {"l1": 0.5}
    assert regularizers.get(None) is None
    assert isinstance(constraints.get("max_norm"), constraints.MaxNorm)
    assert isinstance(constraints.get("NonNeg"), constraints.NonNeg)


def test_a_penalty_of_one_row_is_zero():
    one = regularizers.OrthogonalRegularizer()
    assert one(np.ones((1, 4))) == 0
    assert not one.gradient(np.ones((1, 4))).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regularizers.L2(-1.0), "l2 must be a finite number of 0 or more; it is -1.0"),
        (lambda: regularizers.L1(float("nan")), "l1 must be a finite number"),
        (lambda: regularizers.OrthogonalRegularizer(mode="diagonals"), "mode must be rows or columns"),
        (lambda: regularizers.get("l3"), "rnnrt.regularizers has no 'l3'"),
        (lambda: regularizers.get(7), "7, a int, is no name"),
        (lambda: regularizers.L2.from_config({"l2": 0.1, "l7": 1}), "L2 takes no argument 'l7'; it takes l2"),
        (lambda: regularizers.get({"class_name": "L2", "konfig": {}}), "mean nothing: .'konfig'."),
        (lambda: regularizers.Regularizer().gradient(np.ones(2)), "defines no gradient"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(RnnrtError, match=message):
        make()


def test_orthogonal_needs_a_matrix():
    with pytest.raises(ShapeError, match="has rank 3"):
        regularizers.OrthogonalRegularizer()(np.ones((2, 2, 2)))
