"""Initializers: shapes, moments and bounds of what is drawn, seeds, names."""

import json
import math

import numpy as np
import pytest

from rnnrt import initializers, random
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.initializers import compute_fans

SHAPE = (200, 300)
# Keras: scale over the fan, in the order (scale, fan of (200, 300), bound in standard deviations or None).
SCALED = {
    "glorot_uniform": (1.0, 250),
    "glorot_normal": (1.0, 250),
    "he_uniform": (2.0, 200),
    "he_normal": (2.0, 200),
    "lecun_uniform": (1.0, 200),
    "lecun_normal": (1.0, 200),
}


@pytest.mark.parametrize("name", SCALED)
def test_variance_and_bounds(name):
    scale, fan = SCALED[name]
    drawn = initializers.get({"class_name": name, "config": {"seed": 3}})(SHAPE, np.float64)
    variance = scale / fan
    # The error of a variance from 60,000 numbers is below 1 in 100 by far more than five standard errors.
    assert abs(drawn.var() / variance - 1) < 0.03
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / drawn.size)
    if "uniform" in name:
        bound = math.sqrt(3 * variance)
        kurtosis = 1.8
    else:
        bound = 2 * math.sqrt(variance) / 0.8796256610342398
        kurtosis = 2.3665
    assert np.abs(drawn).max() <= bound
    assert np.abs(drawn).max() > 0.99 * bound
    fourth = np.mean(drawn**4) / drawn.var() ** 2
    assert abs(fourth - kurtosis) < 0.05


def test_plain_distributions():
    normal = initializers.RandomNormal(1.0, 2.0, seed=1)(SHAPE, np.float64)
    assert abs(normal.mean() - 1) < 0.05
    assert abs(normal.std() - 2) < 0.03
    assert np.abs(normal - 1).max() > 6
    cut = initializers.TruncatedNormal(1.0, 2.0, seed=1)(SHAPE, np.float64)
    assert np.abs(cut - 1).max() <= 4
    assert abs(cut.std() - 2 * 0.8796256610342398) < 0.03
    uniform = initializers.RandomUniform(-1, 3, seed=1)(SHAPE, np.float64)
    assert uniform.min() >= -1
    assert uniform.max() < 3
    assert abs(uniform.mean() - 1) < 0.03
    untruncated = initializers.VarianceScaling(distribution="untruncated_normal", seed=2)(SHAPE)
    assert np.abs(untruncated).max() > 3 / math.sqrt(200)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((3, 4), (3, 4)), ((5, 3, 4), (15, 20)), ((2, 5, 3, 4), (30, 40))],
)
def test_fans(shape, fans):
    assert compute_fans(shape) == fans


def test_fans_of_axes():
    assert compute_fans((2, 3, 4, 5), input_axes=(0, 2), output_axes=(1,)) == (8, 3)
    drawn = initializers.LecunNormal(seed=0, input_axes=(1,), output_axes=(0,))((100, 400), np.float64)
    assert abs(drawn.var() * 400 - 1) < 0.03


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4), (3, 2, 9)])
def test_orthogonal(shape):
    matrix = initializers.Orthogonal(gain=1.5, seed=4)(shape, np.float64).reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, 2.25 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform():
    # A Haar matrix has no preferred sign anywhere; QR alone makes the diagonal of R, and so Q, one-sided.
    first = [initializers.Orthogonal(seed=k)((3, 3), np.float64) for k in range(400)]
    assert np.abs(np.mean(first, axis=0)).max() < 5 / math.sqrt(3 * 400)


def test_constants():
    assert (initializers.Zeros()((2, 3)) == 0).all()
    assert (initializers.Ones()((2, 3)) == 1).all()
    assert initializers.Ones()((2,), "int32").dtype == np.int32
    assert (initializers.Constant(2.5)((2, 3)) == 2.5).all()
    np.testing.assert_array_equal(initializers.Constant([1, 2])((3, 2)), [[1, 2]] * 3)
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])


@pytest.mark.parametrize("name", ["glorot_uniform", "TruncatedNormal", "orthogonal", "random_uniform", "normal"])
def test_seeds(name):
    seeded = initializers.get({"class_name": name, "config": {"seed": 11}})
    assert seeded((4, 5)).dtype == np.float32
    np.testing.assert_array_equal(seeded((4, 5)), seeded((4, 5)))
    np.testing.assert_array_equal(seeded.clone()((4, 5)), seeded((4, 5)))
    free = initializers.get(name)
    random.set_seed(5)
    first, second = free((4, 5)), free((4, 5))
    assert not np.array_equal(first, second)
    random.set_seed(5)
    np.testing.assert_array_equal(free((4, 5)), first)


def test_the_generator_goes_on_from_a_saved_state():
    random.set_seed(1)
    kept = random.generator()
    kept.random(3)
    state = json.loads(json.dumps(random.state()))
    want = kept.random(4)
    kept.random(100)
    random.restore(state)
    np.testing.assert_array_equal(kept.random(4), want)
    with pytest.raises(StateError, match="which is a PCG64 generator"):
        random.restore({"bit_generator": "MT19937"})


def test_names_and_forms():
    assert isinstance(initializers.get("zeros"), initializers.Zeros)
    assert isinstance(initializers.get("one"), initializers.Ones)
    assert isinstance(initializers.get("IdentityInitializer"), initializers.Identity)
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    assert initializers.get(None) is None
    made = initializers.serialize(initializers.GlorotUniform())
    assert made == {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None, "input_axes": None, "output_axes": None},
        "registered_name": None,
    }
    scaled = initializers.VarianceScaling(2.0, "fan_out", "normal", 3)
    again = initializers.deserialize(json.loads(json.dumps(initializers.serialize(scaled))))
    assert again.get_config() == scaled.get_config()
    given = initializers.get(np.arange(4.0))
    np.testing.assert_array_equal(given((4,)), [0, 1, 2, 3])
    with pytest.raises(ShapeError, match="initial array has the shape"):
        given((2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.RandomNormal(seed=-1), "RandomNormal: seed must be an int of 0 or more"),
        (lambda: initializers.RandomNormal(seed=1.5), "seed must be an int"),
        (lambda: initializers.VarianceScaling(scale=0), "scale must be more than 0"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode must be fan_in, fan_out or fan_avg; it is 'fan'"),
        (lambda: initializers.VarianceScaling(distribution="cauchy"), "distribution must be uniform"),
        (lambda: initializers.get("glorot_uniforn"), "did you mean one of glorot_uniform"),
        (lambda: initializers.get({"class_name": "Zeros", "config": {"sed": 1}}), "Zeros takes no argument 'sed'"),
        (lambda: initializers.Zeros()((2, -1)), "extents are 0 or more"),
        (lambda: initializers.Zeros()(3), "needs a shape, a sequence of ints; it got 3"),
        (lambda: initializers.Zeros()((3,), "float33"), "'float33' is no dtype"),
        (lambda: initializers.Orthogonal()((3,)), "rank 2 or more"),
        (lambda: initializers.Identity()((3, 3, 3)), "Identity makes matrices"),
        (lambda: initializers.Constant([1, 2])((3,)), "does not fill"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(RnnrtError, match=message):
        make()
