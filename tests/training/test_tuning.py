"""Searching hyperparameters with Optuna: the recipe runs and goes on, and trials are pruned by the study's pruner."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import RnnrtError
from rnnrt.callbacks import OptunaPruning
from rnnrt.layers import GRU, Dense
from rnnrt.models import Sequential

RECIPE = Path(__file__).resolve().parents[2] / "docs/recipes/tuning.py"


def model() -> tuple[Sequential, Any, Any]:
    rng = np.random.default_rng(0)
    net = Sequential([rnnrt.Input((None, 2)), GRU(3), Dense(1)])
    net.compile("sgd", "mse")
    return net, rng.normal(size=(8, 4, 2)), rng.normal(size=(8, 1))


def test_the_recipe_and_its_page_are_one() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", RECIPE.with_suffix(".md").read_text(), re.DOTALL)
    assert block == RECIPE.read_text()


def test_the_recipe_runs_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recipe = runpy.run_path(str(RECIPE))
    assert len(recipe["search"](2, tmp_path).trials) == 2
    monkeypatch.setattr(sys, "argv", ["tuning.py", "3", str(tmp_path)])
    recipe["main"]()
    assert "best of 3: loss" in capsys.readouterr().out
    study = recipe["search"](3, tmp_path)
    assert len(study.trials) == 3
    assert set(study.best_params) == {"cell", "units", "learning_rate", "dropout"}
    assert rnnrt.load(tmp_path / "digits.rnnrt").outputs[0].shape == (None, 10)


def test_trials_report_each_epoch_and_end_where_the_pruner_says_so() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=2))
    histories = []

    def objective(trial: Any) -> float:
        net, x, y = model()
        try:
            return net.fit(x, y, epochs=6, verbose=0, callbacks=[OptunaPruning(trial, monitor="loss")]).history["loss"][
                0
            ]
        finally:
            histories.append(net.history.history["loss"])

    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert list(trial.intermediate_values) == [0, 1, 2]
    assert list(trial.intermediate_values.values())[:2] == pytest.approx(histories[0][:2])


def test_what_is_not_understood_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    optuna = pytest.importorskip("optuna")
    with pytest.raises(RnnrtError, match="trial is of type int"):
        OptunaPruning(3)
    net, x, y = model()
    trial = optuna.trial.FixedTrial({})
    with pytest.raises(RnnrtError, match="monitor='val_loss' is no number in the logs, which have loss"):
        net.fit(x, y, verbose=0, callbacks=[OptunaPruning(trial)])
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RnnrtError, match=r'pip install "rnnrt\[tune\]"'):
        OptunaPruning(trial)
