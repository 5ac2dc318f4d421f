"""Optimizers: trajectories that Keras gave, exact resumption, blocks, and what is refused."""

import json
import tracemalloc

import numpy as np
import pytest

from rnnrt import optimizers
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.optimizers import Segment, schedules
from tests.training_cases import OPTIMIZERS, RECORDED_STEPS, VARIABLES, gradient, reference, start

SEGMENTS = [Segment(*place) for place in VARIABLES]


def make(name):
    kind, arguments = OPTIMIZERS[name]
    arguments = dict(arguments)
    exclude = arguments.pop("exclude", None)
    if isinstance(arguments.get("learning_rate"), tuple):
        schedule, its = arguments["learning_rate"]
        arguments["learning_rate"] = getattr(schedules, schedule)(**its)
    optimizer = getattr(optimizers, kind)(**arguments)
    if exclude:
        optimizer.exclude_from_weight_decay(var_names=exclude)
    return optimizer


def run(optimizer, dtype):
    parameters = start().astype(dtype)
    optimizer.build(parameters, SEGMENTS)
    result = []
    for step in range(1, max(RECORDED_STEPS) + 1):
        given = gradient(step).astype(dtype)
        before = given.copy()
        optimizer.apply(given, parameters)
        np.testing.assert_array_equal(given, before, err_msg="gradients belong to the caller")
        if step in RECORDED_STEPS:
            result.append(parameters.copy())
    optimizer.finalize_variable_values(parameters)
    return np.stack([*result, parameters])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-5)])
def test_weights_go_where_those_of_keras_go(name, dtype, tolerance):
    if "norm" in str(OPTIMIZERS[name]):
        # Keras on PyTorch takes maxima with a number in float32.
        tolerance = max(tolerance, 1e-7)
    got = run(make(name), dtype)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, reference()[f"optimizer/{name}"], rtol=0, atol=tolerance)


# What weight decay spares is no argument.
@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if "exclude" not in OPTIMIZERS[n][1]])
def test_a_configuration_makes_the_same_optimizer(name):
    saved = json.loads(json.dumps(optimizers.serialize(make(name))))
    assert saved["module"] == "keras.optimizers"
    np.testing.assert_array_equal(run(optimizers.get(saved), np.float64), run(make(name), np.float64))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_a_loaded_state_goes_on_exactly(name, stop):
    whole, first, second = make(name), make(name), make(name)
    weights = [start().astype(np.float32) for _ in range(2)]
    for optimizer in (whole, first, second):
        optimizer.build(weights[0], SEGMENTS)
    for step in range(1, 9):
        whole.apply(gradient(step).astype(np.float32), weights[0])
    for step in range(1, stop + 1):
        first.apply(gradient(step).astype(np.float32), weights[1])
    second.load_state(first.state())
    first.apply(gradient(99).astype(np.float32), weights[1].copy())
    assert second.iterations == stop // (OPTIMIZERS[name][1].get("gradient_accumulation_steps") or 1)
    for step in range(stop + 1, 9):
        second.apply(gradient(step).astype(np.float32), weights[1])
    np.testing.assert_array_equal(weights[0], weights[1])


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if "norm" not in str(OPTIMIZERS[n])])
@pytest.mark.parametrize("size", [8191, 8192, 8193, 20000])
def test_an_element_depends_on_itself_only(name, size):
    rng = np.random.default_rng(size)
    large, grads = rng.standard_normal((2, size)).astype(np.float32)
    small = large[-20:].copy()
    places = [Segment("a/kernel", 3, size // 2), Segment("b/bias", size // 2, size - 20)]
    whole, part = make(name), make(name)
    whole.build(large, [*places, *(Segment(n, size - 20 + a, size - 20 + b) for n, a, b in VARIABLES)])
    part.build(small, SEGMENTS)
    for step in range(1, 5):
        whole.apply(grads * np.float32(step), large)
        part.apply(grads[-20:] * np.float32(step), small)
    np.testing.assert_array_equal(large[-20:], small)


def test_norms_are_those_of_variables_across_blocks():
    rng = np.random.default_rng(0)
    grads = rng.standard_normal(30000).astype(np.float32)
    places = [Segment("a", 0, 10), Segment("b", 10, 8200), Segment("c", 8200, 8210), Segment("d", 8300, 30000)]
    for clip in ("clipnorm", "global_clipnorm"):
        optimizer = optimizers.SGD(1.0, **{clip: 2.0})
        weights = np.zeros(30000, np.float32)
        optimizer.build(weights, places)
        optimizer.apply(grads, weights)
        exact = grads.astype(np.float64)
        want = -exact
        total = np.sqrt(sum(np.sum(exact[s.start : s.stop] ** 2) for s in places))
        for s in places:
            norm = np.sqrt(np.sum(exact[s.start : s.stop] ** 2)) if clip == "clipnorm" else total
            want[s.start : s.stop] *= 2 / max(norm, 2)
        inside = np.concatenate([np.arange(s.start, s.stop) for s in places])
        np.testing.assert_allclose(weights[inside], want[inside], rtol=1e-5, atol=1e-8)


def test_a_norm_within_its_bound_changes_no_bit():
    grads = start().astype(np.float32)
    weights = np.zeros((2, 20), np.float32)
    for row, options in enumerate(({}, {"clipnorm": 1e3})):
        optimizer = optimizers.SGD(0.1, **options)
        optimizer.build(weights[row], SEGMENTS)
        optimizer.apply(grads, weights[row])
    np.testing.assert_array_equal(weights[0], weights[1])


def test_squares_that_overflow_are_clipped_all_the_same():
    weights = np.zeros(20, np.float32)
    optimizer = optimizers.SGD(1.0, global_clipnorm=1.0)
    optimizer.build(weights, SEGMENTS)
    optimizer.apply(np.full(20, 1e25, np.float32), weights)
    np.testing.assert_allclose(weights, -1 / np.sqrt(20), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_not_finite_show(bad):
    grads = np.ones(20, np.float32)
    grads[13] = bad
    for clip, hit in (("global_clipnorm", slice(None)), ("clipnorm", slice(13, 14))):
        weights = np.zeros(20, np.float32)
        optimizer = optimizers.SGD(1.0, **{clip: 1.0})
        optimizer.build(weights, SEGMENTS)
        optimizer.apply(grads, weights)
        assert np.isnan(weights[hit]).all()
        assert clip == "global_clipnorm" or np.isfinite(weights[:12]).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_allocates_nothing_of_the_size_of_the_weights(name):
    weights, grads = np.ones((2, 200_000), np.float32)
    optimizer = make(name)
    optimizer.build(weights, [Segment("a", 0, 100_000), Segment("bias", 100_000, 200_000)])
    optimizer.apply(grads, weights)
    tracemalloc.start()
    for _ in range(3):
        optimizer.apply(grads, weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A block of float32 is 32 KiB.
    assert peak < 32 * 1024


def test_padding_between_variables_is_not_decayed():
    weights = np.ones(10, np.float32)
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=["b"])
    optimizer.build(weights, [Segment("a", 1, 4), Segment("b", 4, 6), Segment("bb", 8, 10)])
    optimizer.apply(np.zeros(10, np.float32), weights)
    np.testing.assert_allclose(weights, [1, 0.95, 0.95, 0.95, 1, 1, 1, 1, 0.95, 0.95], rtol=1e-6)


def test_learning_rate():
    adam = optimizers.Adam()
    assert adam.learning_rate == 0.001
    adam.learning_rate = 0.5
    assert adam.learning_rate == 0.5
    assert adam.get_config()["learning_rate"] == 0.5
    weights = np.zeros(20, np.float32)
    scheduled = optimizers.SGD(schedules.PiecewiseConstantDecay([1], [1.0, 0.5]))
    scheduled.build(weights, SEGMENTS)
    rates = []
    for _ in range(4):
        rates.append(scheduled.learning_rate)
        scheduled.apply(np.zeros(20, np.float32), weights)
    assert rates == [1.0, 1.0, 0.5, 0.5]
    with pytest.raises(RnnrtError, match="follows the schedule PiecewiseConstantDecay"):
        scheduled.learning_rate = 0.1
    called = optimizers.SGD(lambda: 0.25)
    assert called.learning_rate == 0.25
    with pytest.raises(RnnrtError, match="is a function, which cannot be saved"):
        called.get_config()


def test_names():
    assert isinstance(optimizers.get("adam"), optimizers.Adam)
    assert isinstance(optimizers.get("AdamW"), optimizers.AdamW)
    assert isinstance(optimizers.get("RMSPROP"), optimizers.RMSprop)
    assert isinstance(optimizers.get(optimizers.Nadam), optimizers.Nadam)
    assert optimizers.get(None) is None
    one = optimizers.SGD()
    assert optimizers.get(one) is one
    assert optimizers.SGD(name="mine").name == "mine"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.SGD(0.1, decay=0.1), "SGD takes no argument 'decay'"),
        (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), "give one; it got .*clipnorm.*clipvalue"),
        (lambda: optimizers.Adam(clipvalue=-1.0), "clipvalue must be 0 or more"),
        (lambda: optimizers.Adam(loss_scale_factor=2.0), "loss_scale_factor must be None"),
        (lambda: optimizers.Adam(gradient_accumulation_steps=1), "int of 2 or more; it is 1"),
        (lambda: optimizers.Adam(use_ema=True, ema_momentum=2), "ema_momentum must be from 0 to 1"),
        (lambda: optimizers.Adam(use_ema=True, ema_overwrite_frequency=0.5), "ema_overwrite_frequency must be an int"),
        (lambda: optimizers.Adam("fast"), "learning_rate must be a finite number"),
        (lambda: optimizers.Adam(float("nan")), "learning_rate must be a finite number"),
        (lambda: optimizers.Adam(beta_1=1.0), "beta_1 must be at least 0 and below 1"),
        (lambda: optimizers.SGD(momentum=1.5), "momentum must be from 0 to 1; it is 1.5"),
        (lambda: optimizers.AdamW(weight_decay=None), "for none, use Adam"),
        (lambda: optimizers.get("adan"), "did you mean one of adam"),
        (lambda: optimizers.get({"class_name": "sgd", "config": {"lr": 0.1}}), "SGD takes no argument 'lr'"),
        (lambda: optimizers.SGD().state(), "has no state yet"),
        (lambda: optimizers.SGD().apply(start(), start()), "call build"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(RnnrtError, match=message):
        call()


def test_arrays_that_do_not_fit():
    sgd = optimizers.SGD(momentum=0.9)
    with pytest.raises(ShapeError, match="one flat, contiguous"):
        sgd.build(np.zeros((2, 2)), [])
    with pytest.raises(ShapeError, match=r"'b' lies at \[2, 5\) of 6 elements; it must start at 3"):
        sgd.build(np.zeros(6), [Segment("a", 0, 3), Segment("b", 2, 5)])
    with pytest.raises(ShapeError, match="must start at 0 or after, and end within"):
        sgd.build(np.zeros(6), [Segment("a", 0, 7)])
    weights = start()
    sgd.build(weights, SEGMENTS)
    sgd.build(weights, SEGMENTS)
    with pytest.raises(StateError, match="built for other variables"):
        sgd.build(np.zeros(6), [Segment("a", 0, 6)])
    with pytest.raises(ShapeError, match="gradients is float32 of shape"):
        sgd.apply(start().astype(np.float32), weights)
    with pytest.raises(StateError, match="before the optimizer is built"):
        sgd.exclude_from_weight_decay(var_names=["bias"])


def test_states_that_do_not_fit():
    one, other = optimizers.SGD(momentum=0.9), optimizers.Adam()
    for optimizer in (one, other):
        optimizer.build(start(), SEGMENTS)
    with pytest.raises(StateError, match="lacks velocity"):
        other.load_state(one.state())
    state = other.state()
    with pytest.raises(StateError, match="has u_product, which the optimizer does not"):
        other.load_state(state | {"u_product": np.array(1.0)})
    with pytest.raises(StateError, match="holds momentum as float32"):
        other.load_state(state | {"momentum": state["momentum"].astype(np.float32)})
