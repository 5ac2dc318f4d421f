"""Learning rate schedules against what Keras gave, and what is refused."""

import json

import numpy as np
import pytest

from rnnrt.errors import RnnrtError
from rnnrt.optimizers import schedules
from tests.training_cases import SCHEDULE_STEPS, SCHEDULES, reference


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_keras(name):
    kind, arguments = SCHEDULES[name]
    schedule = getattr(schedules, kind)(**arguments)
    again = schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule))))
    assert type(again) is type(schedule)
    for made in (schedule, again):
        rates = [made(step) for step in SCHEDULE_STEPS]
        np.testing.assert_allclose(rates, reference()[f"schedule/{name}"], rtol=1e-12, atol=1e-15)


def test_form_of_keras():
    made = schedules.serialize(schedules.CosineDecay(0.1, 10))
    assert made["module"] == "keras.optimizers.schedules"
    assert made["class_name"] == "CosineDecay"
    assert made["config"]["warmup_target"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.9), "ExponentialDecay: decay_steps must be more than 0"),
        (lambda: schedules.PolynomialDecay(0.1, -3), "PolynomialDecay: decay_steps must be more than 0; it is -3"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [1.0, 2.0]), "2 values and 2 boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1.0, 2.0, 3.0]), "boundaries must not fall"),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0.5)(100), "end before step 100; use a t_mul of 1"),
        (lambda: schedules.CosineDecay.from_config({"initial_learning_rate": 1.0}), "lacks 'decay_steps'"),
        (lambda: schedules.deserialize({"class_name": "CosinDecay", "config": {}}), "did you mean one of CosineDecay"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(RnnrtError, match=message):
        make()
