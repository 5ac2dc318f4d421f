"""Learning rate schedules against what Keras gave, configurations that Keras wrote, and what is refused."""

import json
from importlib import import_module
from pathlib import Path

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


CONFIGURATIONS = json.loads((Path(__file__).parents[1] / "data" / "training" / "keras_configurations.json").read_text())


@pytest.mark.parametrize("label", CONFIGURATIONS)
def test_what_keras_wrote_is_read_and_written_again(label):
    module = import_module("rnnrt." + label.split("/")[0])
    saved = CONFIGURATIONS[label]
    made = module.deserialize(saved)
    again = json.loads(json.dumps(module.serialize(made)))
    assert again["class_name"] == saved["class_name"]
    if not isinstance(saved["config"], dict):
        assert again["config"] == saved["config"]
        return
    for name, value in saved["config"].items():
        if name in ("fn", "dtype"):
            continue
        if name == "learning_rate" and isinstance(value, float):
            # Keras keeps it in its float type.
            assert again["config"][name] == pytest.approx(value, rel=1e-6)
        elif isinstance(value, dict) and value.get("class_name") == "__tensor__":
            assert again["config"][name] == value["config"]["value"]
        elif isinstance(value, dict) and value.get("class_name") == "__tuple__":
            assert again["config"][name] == value["items"]
        else:
            assert again["config"][name] == value, name


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
