"""Search the hyperparameters of a network that reads handwritten digits row by row.

python tuning.py [TRIALS] [FOLDER]: run again to go on, with more trials or after an interruption.
"""

import sys
from pathlib import Path

import numpy as np
import optuna

import rnnrt
from rnnrt.callbacks import EarlyStopping, OptunaPruning
from rnnrt.layers import GRU, LSTM, Dense, Dropout
from rnnrt.models import Sequential
from rnnrt.optimizers import Adam
from rnnrt.utils import set_random_seed


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The demo's digits (360, 8, 8), and which they are."""
    with np.load(Path(rnnrt.__file__).parent / "demo_data" / "digits.npz") as data:
        return data["pictures"].astype(np.float32) / 16, data["labels"]


def network(trial: optuna.trial.BaseTrial) -> Sequential:
    """What a trial is about; the trial says what stands where a number would."""
    cell = {"LSTM": LSTM, "GRU": GRU}[trial.suggest_categorical("cell", ["LSTM", "GRU"])]
    units = trial.suggest_int("units", 8, 64, log=True)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    model = Sequential([rnnrt.Input((8, 8)), cell(units), Dropout(dropout), Dense(10, activation="softmax")])
    model.compile(Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def objective(trial: optuna.Trial) -> float:
    """The loss on the last quarter of the digits."""
    set_random_seed(trial.number)
    x, y = digits()
    callbacks = [OptunaPruning(trial), EarlyStopping(patience=3)]
    logs = network(trial).fit(x, y, epochs=20, validation_split=0.25, callbacks=callbacks, verbose=0).history
    return min(logs["val_loss"])


def search(trials: int, folder: Path) -> optuna.Study:
    """Run until there are so many trials, counting those of earlier runs."""
    study = optuna.create_study(
        study_name="digits",
        storage=f"sqlite:///{folder / 'tuning.db'}",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
    )
    done = len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)))
    study.optimize(objective, n_trials=max(0, trials - done))
    return study


def main() -> None:
    """Search, and train the best network on all digits."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    study = search(trials, folder)
    print(f"best of {len(study.trials)}: loss {study.best_value:.3f} with {study.best_params}")
    model = network(optuna.trial.FixedTrial(study.best_params))
    model.fit(*digits(), epochs=20, verbose=0)
    model.save(folder / "digits.rnnrt")


if __name__ == "__main__":
    main()
