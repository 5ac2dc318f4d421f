"""`rnnrt train`: a network described in a file, or one that exists, trained on arrays."""

from __future__ import annotations

import csv
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape

from rnnrt.cli.common import JSON, count, say, say_json
from rnnrt.cli.train_data import TrainingData, read_training_data, shape_of
from rnnrt.errors import RnnrtError
from rnnrt.models import Model

EPOCHS = 10
"""Where neither the command nor the description says how many."""

DESCRIPTIONS = (".yaml", ".yml", ".json")
NETWORKS = (".keras", ".h5", ".hdf5", ".onnx", ".rnnrt")
OUTPUTS = (".rnnrt", ".keras", ".onnx")


@click.command()
@click.argument("network", type=click.Path())
@click.argument("data", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="Where the model goes: .rnnrt, .keras or .onnx.")
@click.option("--epochs", type=click.IntRange(1), help=f"By default what the description says, else {EPOCHS}.")
@click.option("--batch-size", type=click.IntRange(1), help="Rows of a batch; by default 32.")
@click.option("--validation-split", type=float, help="The share of the rows, from the end, that is validated on.")
@click.option("--loss", help="In place of the description's, as --optimizer and --metric.")
@click.option("--optimizer", help="A name, such as adam.")
@click.option("--metric", "metrics", multiple=True, help="A name, such as accuracy; may be given several times.")
@click.option("--learning-rate", type=float, help="In place of the optimizer's.")
@click.option("--bptt-steps", type=click.IntRange(1), help="Cut sequences into pieces of so many steps.")
@click.option("--patience", type=click.IntRange(0), help="Stop after so many epochs without a better loss.")
@click.option("--freeze", multiple=True, help="A layer whose weights stay; may be given several times.")
@click.option("--seed", type=click.IntRange(0), help="Start of all random numbers.")
@click.option("--plot", type=click.Path(), help="Draw loss and metrics over the epochs to this PNG.")
@click.option("--gradients", type=click.Path(), help="Draw the gradient report after each epoch to this PNG.")
@click.option("--log", type=click.Path(), help="Write a line an epoch to this CSV file.")
@click.option("--checkpoint", type=click.Path(), help="A folder for backups of the running training, an epoch each.")
@click.option("--resume", is_flag=True, help="Go on from the backup in --checkpoint, if there is one.")
@click.option("--threads", type=click.IntRange(1), help="Threads to use; by default all processors.")
@click.option("--quiet", is_flag=True, help="Print no progress.")
@JSON
def train(network: str, data: str, out: str, **options: Any) -> None:
    """Train NETWORK on DATA and save it.

    NETWORK is a description (.yaml or .json, as docs/training.md has it, or JSON that to_json wrote), or a model to go
    on with (.keras, .h5, .onnx or .rnnrt), which needs --loss. DATA is an .npz with x and y, perhaps x_val and y_val,
    and sample_weight.
    """
    from rnnrt.utils import set_random_seed

    description = _description(network)
    _check_paths(out, options)
    arrays = read_training_data(data)
    seed = options["seed"] if options["seed"] is not None else description.seed
    if seed is not None:
        set_random_seed(seed)
    model: Model = description.build(*shape_of(arrays), options["threads"])
    if not model.built:
        model.build((None, *shape_of(arrays)[0]))
    _try_to_save(model, out)
    for name in options["freeze"]:
        model.get_layer(name).trainable = False
    given = {"loss": options["loss"], "optimizer": options["optimizer"], "metrics": list(options["metrics"]) or None}
    model.compile(**description.arguments({key: value for key, value in given.items() if value is not None}))
    if options["learning_rate"] is not None:
        model.optimizer.learning_rate = options["learning_rate"]
    history = _fit(model, arrays, description.fit, options, data)
    _check_losses(history)
    model.save(out)
    if options["plot"]:
        from rnnrt.training.plots import plot_history

        plot_history({name: values for name, values in history.items() if "/" not in name}, options["plot"])
    _report(model, arrays, history, out, options["as_json"])


def _description(network: str) -> Any:
    from rnnrt.models.description import Description, read_description

    ending = os.path.splitext(network)[1].lower()
    if ending in DESCRIPTIONS:
        return read_description(network)
    if ending in NETWORKS:
        return Description(network, {"model": os.path.basename(network)})
    raise RnnrtError(f"{network}: ends in none of {', '.join((*DESCRIPTIONS, *NETWORKS))}, which say what is in a file")


def _check_paths(out: str, options: Mapping[str, Any]) -> None:
    """Refuse now what would fail when training is over."""
    if os.path.splitext(out)[1] not in OUTPUTS:
        raise RnnrtError(f"--out {out}: must end in {', '.join(OUTPUTS)}")
    for key in ("plot", "gradients"):
        if options[key] and not options[key].endswith(".png"):
            raise RnnrtError(f"--{key} {options[key]}: must end in .png")
    for key, path in (("out", out), *((key, options[key]) for key in ("plot", "gradients", "log"))):
        if path and not Path(path).parent.is_dir():
            raise RnnrtError(f"--{key} {path}: there is no folder {Path(path).parent}")
    if options["plot"] or options["gradients"]:
        from rnnrt.training.plots import check_drawing

        check_drawing()
    if options["resume"] and not options["checkpoint"]:
        raise RnnrtError("--resume goes on from a backup; say where it is with --checkpoint FOLDER")


def _try_to_save(model: Model, out: str) -> None:
    """Raise now if the model cannot be saved so, rather than when it is trained."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, os.path.basename(out)))


def _fit(
    model: Model, data: TrainingData, said: Mapping[str, Any], options: Mapping[str, Any], source: str
) -> dict[str, list[Any]]:
    arguments: dict[str, Any] = {"epochs": EPOCHS, **said}
    for key in ("epochs", "batch_size", "validation_split", "bptt_steps"):
        if options[key] is not None:
            arguments[key] = options[key]
    if data.validation is not None:
        if options["validation_split"]:
            raise RnnrtError(f"{source}: holds x_val and y_val; leave --validation-split out")
        arguments.pop("validation_split", None)
    validated = data.validation is not None or bool(arguments.get("validation_split"))
    callbacks = _callbacks(data, options, "val_loss" if validated else "loss")
    silent = options["quiet"] or options["as_json"]
    try:
        history: dict[str, list[Any]] = model.fit(
            data.x,
            data.y,
            sample_weight=data.sample_weight,
            validation_data=data.validation,
            verbose=0 if silent else "auto",
            callbacks=callbacks,
            **arguments,
        ).history
    except KeyboardInterrupt:
        hint = "; --resume goes on from the last backup" if options["checkpoint"] else ""
        raise RnnrtError(f"interrupted, nothing was saved{hint}") from None
    return history


def _callbacks(data: TrainingData, options: Mapping[str, Any], monitor: str) -> list[Any]:
    from rnnrt.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, GradientMonitor, TerminateOnNaN

    found: list[Any] = [TerminateOnNaN()]
    done = _epochs_done(options)
    if options["gradients"]:
        found.append(GradientMonitor(data.first_rows(32), path=options["gradients"].replace("{", "{{")))
    if options["patience"] is not None:
        found.append(EarlyStopping(monitor, patience=options["patience"], restore_best_weights=True))
    if options["log"]:
        if done:
            _trim_log(options["log"], done)
        found.append(CSVLogger(options["log"], append=done > 0))
    if options["checkpoint"]:
        found.append(BackupAndRestore(options["checkpoint"]))
    return found


def _epochs_done(options: Mapping[str, Any]) -> int:
    """How many epochs a backup to go on from has behind it; 0 where there is none."""
    from rnnrt.formats.checkpoint import load_checkpoint

    if not options["checkpoint"]:
        return 0
    backup = Path(options["checkpoint"]) / "latest.safetensors"
    if not backup.exists():
        return 0
    if not options["resume"]:
        raise RnnrtError(f"{backup.parent}: holds the backup of a training; go on from it with --resume, or delete it")
    return int(load_checkpoint(backup)[1]["epoch"])


def _trim_log(path: str, epochs: int) -> None:
    """Leave out what was logged after the backup was made."""
    if not os.path.exists(path):
        return
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *(row for row in rows if row and row[0].isdigit() and int(row[0]) < epochs)])


def _check_losses(history: Mapping[str, list[Any]]) -> None:
    losses = history.get("loss", [])
    if losses and not math.isfinite(losses[-1]):
        raise RnnrtError(
            f"the loss became {losses[-1]} in epoch {len(losses)}, and nothing was saved; lower the learning rate, "
            "clip gradients ({Adam: {clipnorm: 1}}), or look for values in the data that are far too large"
        )


def _report(model: Model, data: TrainingData, history: dict[str, list[Any]], out: str, as_json: bool) -> None:
    key = "val_loss" if "val_loss" in history else "loss"
    losses = history.get(key, [])
    best = int(np.nanargmin(losses)) if losses else 0
    numbers = {name: values[best] for name, values in history.items() if len(values) > best and "/" not in name}
    size = os.path.getsize(out)
    if as_json:
        parameters = model.count_params()
        best_epoch = {"epoch": best + 1, **numbers}
        plain = {name: [v if math.isfinite(v) else None for v in values] for name, values in history.items()}
        say_json(
            {"out": out, "bytes": size, "rows": len(data), "parameters": parameters, "epochs": len(losses)}
            | {"best": best_epoch, "history": plain}
        )
        return
    shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    say(f"[bold]trained[/] {count(model.count_params())} parameters on {count(len(data))} rows, {len(losses)} epochs")
    say(f"  best in epoch {best + 1}: {escape(shown)}")
    say(f"[bold]wrote[/] {escape(out)}, {count(size)}B")
