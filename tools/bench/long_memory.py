"""Who still learns over long lags: the adding problem and copying from memory, by kind of layer, lag and clipping.

python tools/bench/long_memory.py --json long_memory.json --write docs     trains all, writes the figure and the page
python tools/bench/long_memory.py --json long_memory.json --write docs     again: trains what is not in the file yet
python tools/bench/long_memory.py --tiny                                   a few updates of each, nothing written

Every network gets the same number of updates on batches made for it, and is then judged on sequences it has not seen.
The figures depend on --seed and the settings alone, not on the clock.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from memory_problems import PROBLEMS

from rnnrt import Input, layers
from rnnrt.models import Sequential
from rnnrt.optimizers import Adam
from rnnrt.utils import set_random_seed

RATES = {"SimpleRNN": 0.001, "LSTM": 0.01, "GRU": 0.01}
"""Learning rates, from trials with one seed: the gated layers learned soonest with 0.01 of 0.001, 0.003 and 0.01; a
SimpleRNN learned nothing with 0.01, and less with 0.0003."""
KINDS = tuple(RATES)
CLIPS = ("none", "clipnorm", "global_clipnorm")
TESTED = 1024
"""Sequences a network is judged on."""
CURVE = 100
"""Updates to a point of the learning curve."""


@dataclass(frozen=True)
class Settings:
    """What all runs have in common."""

    units: int
    batch_size: int
    updates: int
    seed: int


@dataclass(frozen=True)
class Run:
    """One training."""

    problem: str
    lag: int
    kind: str
    clip: str
    learning_rate: float
    repeat: int

    @property
    def label(self) -> str:
        """How the log names it."""
        return f"{self.problem} {self.lag} {self.kind} clip={self.clip} #{self.repeat}"


def network(run: Run, settings: Settings) -> Sequential:
    """A recurrent layer and a Dense layer with Keras's initial weights, compiled with Adam."""
    problem = PROBLEMS[run.problem]
    model = Sequential(
        [
            Input((None, problem.features)),
            getattr(layers, run.kind)(settings.units, return_sequences=problem.every_step),
            layers.Dense(problem.outputs, activation=problem.activation),
        ]
    )
    clipping = {} if run.clip == "none" else {run.clip: 1.0}
    model.compile(optimizer=Adam(run.learning_rate, **clipping), loss=problem.loss)
    return model


def train(run: Run, settings: Settings) -> dict[str, Any]:
    """The loss on new sequences after the updates, over the baseline; None where it is no number any more."""
    problem = PROBLEMS[run.problem]
    # Networks of one repeat see the same sequences, whatever their layers and clipping.
    data, unseen = (np.random.default_rng((settings.seed, run.repeat, run.lag, k)) for k in range(2))
    set_random_seed(settings.seed + run.repeat)
    model = network(run, settings)
    curve: list[float] = []
    start = time.perf_counter()
    for k in range(1, settings.updates + 1):
        loss = float(model.train_on_batch(*problem.make(run.lag, settings.batch_size, data)))
        if k % CURVE == 0 or k == settings.updates:
            curve.append(loss)
            model.reset_metrics()
        if not math.isfinite(loss):
            break
    seconds = time.perf_counter() - start
    loss = float(model.evaluate(*problem.make(run.lag, TESTED, unseen), batch_size=settings.batch_size, verbose=0))
    kept = loss / problem.baseline(run.lag) if math.isfinite(loss) else None
    return {**asdict(run), "relative_loss": kept, "curve": curve, "seconds": seconds}


def listed(given: str, known: tuple[str, ...], what: str) -> list[str]:
    """The names in a list with commas."""
    names = given.split(",")
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{unknown}: known are {', '.join(known)}", param_hint=what)
    return names


def stored(path: Path | None, settings: Settings) -> list[dict[str, Any]]:
    """The runs that the file has; raises if they were made with other settings."""
    if path is None or not path.exists():
        return []
    document = json.loads(path.read_text())
    if document["settings"] != asdict(settings):
        raise SystemExit(f"{path} has runs with other settings, {document['settings']}; give another file")
    return document["runs"]


@click.command(help=__doc__)
@click.option("--problems", default="adding,copy", help="which")
@click.option("--lags", default="20,50,100,200", help="steps to remember over")
@click.option("--kinds", default=",".join(KINDS), help="layers")
@click.option("--clip", "clips", default="none,global_clipnorm", help=f"of {', '.join(CLIPS)}, each at norm 1")
@click.option("--repeats", default=3, help="trainings of each, from different seeds")
@click.option("--units", default=64)
@click.option("--batch-size", default=32)
@click.option("--updates", default=2000)
@click.option("--learning-rate", type=float, help=f"for all; by default {RATES}")
@click.option("--seed", default=1)
@click.option("--tiny", is_flag=True, help="a few updates of small networks")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="write the figures here, and go on from them"
)
@click.option("--write", type=click.Path(exists=True, file_okay=False, path_type=Path), help="folder of the documents")
def main(
    problems: str,
    lags: str,
    kinds: str,
    clips: str,
    repeats: int,
    units: int,
    batch_size: int,
    updates: int,
    learning_rate: float | None,
    seed: int,
    tiny: bool,
    json_path: Path | None,
    write: Path | None,
) -> None:
    console = Console()
    settings = Settings(units, batch_size, updates, seed)
    if tiny:
        settings, lags, repeats, json_path, write = Settings(5, 4, 3, 1), "4,7", 1, None, None
    runs = [
        Run(problem, lag, kind, clip, learning_rate or RATES[kind], repeat)
        for repeat, problem, lag, kind, clip in itertools.product(
            range(repeats),
            listed(problems, tuple(PROBLEMS), "--problems"),
            [int(lag) for lag in lags.split(",")],
            listed(kinds, KINDS, "--kinds"),
            listed(clips, CLIPS, "--clip"),
        )
    ]
    done = stored(json_path, settings)
    have = {tuple(row[key] for key in asdict(runs[0])) for row in done}
    for run in runs:
        if tuple(asdict(run).values()) in have:
            continue
        row = train(run, settings)
        done.append(row)
        if tiny:
            assert row["relative_loss"] is not None and row["relative_loss"] > 0, run.label
            continue
        relative = "no number" if row["relative_loss"] is None else f"{row['relative_loss']:.4f}"
        console.print(f"{run.label}: {relative} of the baseline, {row['seconds']:.1f} s", highlight=False)
        if json_path:
            json_path.write_text(json.dumps({"settings": asdict(settings), "runs": done}, indent=1))
    if tiny:
        console.print(f"{len(done)} networks trained for {settings.updates} updates")
    if write:
        from memory_report import write_report

        write_report(write, settings, done)
        console.print(f"{write}/long_memory.md")


if __name__ == "__main__":
    main()
