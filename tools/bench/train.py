"""One update of two recurrent layers and a classifier beside PyTorch and Keras, and where rnnrt's time goes.

python tools/bench/train.py --tensorflow PYTHON --json train.json     PYTHON has TensorFlow; left out: PyTorch alone
python tools/bench/train.py --match T=100 --fit 50 --profile
python tools/bench/train.py --tiny                                    losses compared, nothing measured, as CI runs it

Each engine trains in a process of its own, all from the same weights and on the same batches, and measures its own
steps. A turn of an engine is one step that is not counted and then steps for a slice of time; turns go round, so that a
drift of the clock meets all of them. Before that the losses of the first updates must agree.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from engines import installed
from tasks import SIZES, TINY, Task, tasks
from timing import best, geometric_mean, in_turn

TOLERANCE = 1e-4
CHECKED = 6
"""Updates whose losses must agree."""
BATCHES = 8
"""Different batches, used in turn: on one alone the gradients would vanish."""


class Worker:
    """An engine in a process of its own; a context that ends it."""

    def __init__(self, python: str, engine: str, threads: int, task: Task, arrays: Path) -> None:
        script = Path(__file__).with_name("train_worker.py")
        self.key = f"{engine}/{threads}"
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [python, str(script), engine, task.kind, str(threads), str(arrays)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def ask(self, order: str, *arguments: Any) -> Any:
        """The answer to an order; what the engine printed is shown only if there is none."""
        pipes = self._process
        assert pipes.stdin is not None and pipes.stdout is not None
        try:
            print(json.dumps([order, *arguments]), file=pipes.stdin, flush=True)
            return json.loads(pipes.stdout.readline())["answer"]
        except (BrokenPipeError, json.JSONDecodeError):
            pipes.wait()
            self._said.seek(0)
            raise SystemExit(f"{self._said.read()}\n{self.key} failed at {order!r}") from None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        # After a failure there may be nobody to read.
        with suppress(BrokenPipeError):
            self._process.communicate()
        self._process.wait()
        self._said.close()


def check(task: Task, workers: list[Worker]) -> list[float]:
    """The losses of the first updates; raises unless all engines agree."""
    losses = {worker.key: np.array(worker.ask("losses", CHECKED)) for worker in workers}
    first = losses[workers[0].key]
    for key, found in losses.items():
        worst = float(np.max(np.abs(found - first) / np.maximum(1, np.abs(first))))
        if not worst <= TOLERANCE:
            raise SystemExit(
                f"{task.label}: losses of {key} differ from {workers[0].key} by {worst:.2e}: {found}, {first}"
            )
    return first.tolist()


def overhead(workers: list[Worker], batches: int, rounds: int) -> dict[str, dict[str, float]]:
    """What `fit` costs beside its steps, in seconds a batch, for the engines that have it.

    An epoch of `fit` over `batches` batches (no shuffling, no callbacks of ours, verbose=0; a first call of one batch
    is not counted), less `train_on_batch` on slices of the same arrays, over the number of batches: medians of the
    rounds. Below zero means that `fit` prepares its batches for less than `train_on_batch` does.
    """
    chosen = [worker for worker in workers if worker.key.split("/")[0] != "torch"]
    found = in_turn({worker.key: partial(worker.ask, "fit", batches) for worker in chosen}, rounds)
    return {
        key: {
            "fit": statistics.median(r["fit"] for r in rows) / batches,
            "steps": statistics.median(r["steps"] for r in rows) / batches,
            "overhead": statistics.median(r["fit"] - r["steps"] for r in rows) / batches,
        }
        for key, rows in found.items()
    }


def show_profile(console: Console, task: Task, profile: dict[str, Any], step: float) -> None:
    """Where the time of a step goes; `step` is its median, measured without the profile's clock."""
    table = Table("node", "kernel", "us", "share", title=f"{task.label}, rnnrt")
    for node, kernel, seconds in sorted(profile["instructions"], key=lambda row: -row[2]):
        if seconds >= 0.002 * step:
            table.add_row(node, kernel, f"{seconds * 1e6:.1f}", f"{seconds / step:.3f}")
    program = sum(seconds for *_, seconds in profile["instructions"])
    table.add_section()
    for name, seconds in (
        ("the program", program),
        ("the optimizer", profile["optimizer"]),
        ("batches, metrics and the rest", step - program - profile["optimizer"]),
    ):
        table.add_row(name, "", f"{seconds * 1e6:.1f}", f"{seconds / step:.3f}")
    console.print(table)


def measure(task: Task, workers: list[Worker], seconds: float, rounds: int) -> dict[str, Any]:
    """Median and least seconds of a step by engine, beside the best peer and the floor, and memory."""
    turns = in_turn({worker.key: partial(worker.ask, "times", seconds) for worker in workers}, rounds)
    steps = {key: [t for turn in found for t in turn] for key, found in turns.items()}
    times = {key: statistics.median(found) for key, found in steps.items()}
    own = best(times, "rnnrt")
    peers = [t for key, t in times.items() if key.split("/")[0] != "rnnrt"]
    return {
        "task": task.label,
        "times": times,
        "least": {key: min(found) for key, found in steps.items()},
        "steps": {key: len(found) for key, found in steps.items()},
        "to_best_peer": min(peers) / own if peers else math.nan,
        "floor": task.floor(),
        "to_floor": own / task.floor(),
    }


@click.command(help=__doc__)
@click.option("--match", default="", help="only tasks whose label contains this")
@click.option("--engines", default="rnnrt,torch,tensorflow", help="which; there is tensorflow-nojit too")
@click.option(
    "--tensorflow", "tensorflow_python", help="a Python that has TensorFlow; by default this one, if it has it"
)
@click.option("--threads", default="2", help="thread settings, each engine at its better one")
@click.option("--seconds", default=0.1, help="slice of time for one turn; at least one step is counted")
@click.option("--rounds", default=15, help="turns of each engine")
@click.option("--fit", "fit_batches", default=0, help="measure what fit costs over its steps, on so many batches")
@click.option("--profile", is_flag=True, help="where the time of rnnrt's step goes")
@click.option("--tiny", is_flag=True, help="tiny tasks, losses compared, nothing measured")
@click.option("--json", "json_path", type=click.Path(), help="write the figures here too")
def main(
    match: str,
    engines: str,
    tensorflow_python: str | None,
    threads: str,
    seconds: float,
    rounds: int,
    fit_batches: int,
    profile: bool,
    tiny: bool,
    json_path: str | None,
) -> None:
    console = Console()
    pythons = {}
    for name in engines.split(","):
        package = name.split("-")[0]
        if package == "tensorflow" and tensorflow_python:
            pythons[name] = tensorflow_python
        elif installed(package):
            pythons[name] = sys.executable
    if "rnnrt" not in pythons:
        raise SystemExit("--engines has no rnnrt; it is what the others are compared with")
    counts = [int(n) for n in threads.split(",")]
    every = tasks(TINY, (8, 6)) if tiny else tasks(SIZES)
    rows = []
    table = Table("task", *(f"{name} ms" for name in pythons), "to best peer", "to floor")
    for task in (task for task in every if match in task.label):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            arrays = Path(folder, "arrays.npz")
            np.savez(arrays, **task.arrays(BATCHES))
            workers = [
                stack.enter_context(Worker(python, name, n, task, arrays))
                for name, python in pythons.items()
                for n in counts
            ]
            losses = check(task, workers)
            if tiny:
                rows.append({"task": task.label, "losses": losses})
                continue
            memory = {worker.key: worker.ask("memory") for worker in workers}
            row = {**measure(task, workers, seconds, rounds), "losses": losses, "memory": memory}
            if fit_batches:
                row["fit"] = overhead(workers, fit_batches, min(rounds, 5))
            if profile:
                row["profile"] = workers[0].ask("profile", int(np.clip(1 / row["times"][workers[0].key], 5, 200)))
        rows.append(row)
        show(console, row)
        if profile:
            show_profile(console, task, row["profile"], row["times"][workers[0].key])
        table.add_row(
            task.label,
            *(f"{best(row['times'], name) * 1e3:.2f} ({best(row['least'], name) * 1e3:.2f})" for name in pythons),
            f"{row['to_best_peer']:.2f}",
            f"{row['to_floor']:.2f}",
        )
    if tiny:
        console.print(f"{len(rows)} tasks: the first {CHECKED} losses agree between {', '.join(pythons)}")
        return
    Console(width=max(console.width, 110)).print(table)
    console.print("median of all steps, the least in brackets")
    if rows and len(pythons) > 1:
        ratios = [row["to_best_peer"] for row in rows]
        console.print(f"geometric mean over the best peer {geometric_mean(ratios):.2f}, lowest {min(ratios):.2f}")
    if json_path:
        Path(json_path).write_text(json.dumps(rows, indent=1))


def show(console: Console, row: dict[str, Any]) -> None:
    """A task's figures, as soon as they are there."""
    console.print(f"{row['task']}: {row['to_best_peer']:.2f} to the best peer, {row['to_floor']:.2f} to the floor")
    for key, bytes_ in row["memory"].items():
        line = f"  {key}: {bytes_ / 2**20:.1f} MB for model and {CHECKED} updates, at their peak"
        if key in row.get("fit", {}):
            line += f"; fit adds {row['fit'][key]['overhead'] * 1e6:.0f} us to a batch's train_on_batch"
        console.print(line, style="dim")


if __name__ == "__main__":
    main()
