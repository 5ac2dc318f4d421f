"""Sound block by block, on one thread: the recipes with rnnrt, and the same loops with onnxruntime.

python tools/bench/audio.py FOLDER              FOLDER has dtln/model_1.onnx, dtln/model_2.onnx and silero-vad/*.onnx
python tools/bench/audio.py FOLDER --tiny       outputs compared, nothing measured

"networks" are the calls of the networks alone, "whole" is all that the recipe does for a block.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "docs/recipes"))

import denoise
import speech
from engines import onnxruntime_session
from sound import RATE
from timing import in_turn

Step = Callable[[np.ndarray], np.ndarray]


def onnxruntime_step(path: Path) -> Step:
    """A network with one input, one state and perhaps the sampling rate; bindings keep the state where it is."""
    import onnxruntime as ort

    session = onnxruntime_session(str(path), 1)
    data, state, *others = session.get_inputs()
    result, after = session.get_outputs()
    x = ort.OrtValue.ortvalue_from_numpy(np.zeros(_extents(data), np.float32))
    states = [ort.OrtValue.ortvalue_from_numpy(np.zeros(_extents(state), np.float32)) for _ in range(2)]
    y = ort.OrtValue.ortvalue_from_numpy(session.run([result.name], {
        data.name: x, state.name: states[0], **{i.name: np.array(RATE) for i in others}
    })[0])  # fmt: skip
    bindings = []
    for turn in range(2):
        binding = session.io_binding()
        binding.bind_ortvalue_input(data.name, x)
        binding.bind_ortvalue_input(state.name, states[turn])
        for other in others:
            binding.bind_cpu_input(other.name, np.array(RATE))
        binding.bind_ortvalue_output(result.name, y)
        binding.bind_ortvalue_output(after.name, states[1 - turn])
        bindings.append(binding)
    turn = 0

    def step(block: np.ndarray) -> np.ndarray:
        nonlocal turn
        x.update_inplace(block)
        session.run_with_iobinding(bindings[turn])
        turn = 1 - turn
        return y.numpy()

    return step


def _extents(info: Any) -> list[int]:
    """A batch of one; silero's block where the file leaves it open."""
    open_extents = {"sequence": speech.CONTEXT + speech.WINDOW}
    return [d if isinstance(d, int) else open_extents.get(d, 1) for d in info.shape]


def denoisers(folder: Path) -> tuple[float, dict[str, Any], Callable[[Any], Callable[[], object]]]:
    """Seconds of a block, the recipe with each engine, and the calls of its networks alone."""
    files = [folder / "dtln" / f"model_{k}.onnx" for k in (1, 2)]
    magnitudes, samples = (np.full((1, 1, n), 0.1, np.float32) for n in (denoise.BLOCK // 2 + 1, denoise.BLOCK))
    recipes = {
        "rnnrt": denoise.Denoiser.load(*(str(f) for f in files)),
        "onnxruntime": denoise.Denoiser(*(onnxruntime_step(f) for f in files)),
    }
    return denoise.SHIFT / RATE, recipes, lambda recipe: lambda: (recipe.mask(magnitudes), recipe.clean(samples))


def markers(path: Path) -> tuple[float, dict[str, Any], Callable[[Any], Callable[[], object]]]:
    """As `denoisers`, of silero's network."""
    samples = np.full((1, speech.CONTEXT + speech.WINDOW), 0.1, np.float32)
    recipes = {
        "rnnrt": speech.SpeechMarker.load(str(path)),
        "onnxruntime": speech.SpeechMarker(onnxruntime_step(path)),
    }
    return speech.WINDOW / RATE, recipes, lambda recipe: lambda: recipe.network(samples)


def seconds_of(call: Callable[[], object], count: int) -> list[float]:
    clock, times = time.perf_counter, []
    for _ in range(count):
        start = clock()
        call()
        times.append(clock() - start)
    return times


def differences(recipes: dict[str, Any], blocks: np.ndarray) -> float:
    """The largest difference between what the engines make of the blocks."""
    results = [np.array([recipe(block) for block in blocks]) for recipe in recipes.values()]
    return float(np.max(np.abs(results[0] - results[1])))


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", default=10, help="turns of each engine")
@click.option("--blocks", default=250, help="blocks of a turn")
@click.option("--tiny", is_flag=True, help="outputs compared, nothing measured")
@click.option("--json", "json_path", type=click.Path(), help="write the figures here too")
def main(folder: Path, rounds: int, blocks: int, tiny: bool, json_path: str | None) -> None:
    cases = {"DTLN": denoisers(folder)}
    cases.update({path.stem: markers(path) for path in sorted(folder.glob("silero-vad/*.onnx"))})
    table = Table(
        "recipe", "of it", "rnnrt: real-time factor", "p50 us", "p99 us", "onnxruntime", "p50", "p99", "ratio"
    )
    rows: list[dict[str, Any]] = []
    for name, (length, recipes, alone) in cases.items():
        sound = np.random.default_rng(0).normal(0, 0.1, (blocks, round(length * RATE))).astype(np.float32)
        if not (difference := differences(recipes, sound[:100])) < 1e-4:
            raise SystemExit(f"{name}: outputs differ by {difference}")
        if tiny:
            continue
        for part in ("networks", "whole"):
            calls = {
                engine: alone(recipe) if part == "networks" else lambda recipe=recipe, sound=sound: recipe(sound[0])
                for engine, recipe in recipes.items()
            }
            turns = {engine: lambda call=call: seconds_of(call, blocks) for engine, call in calls.items()}
            in_turn(turns, 1)
            row: dict[str, Any] = {"recipe": name, "part": part}
            for engine, times in in_turn(turns, rounds).items():
                p50, p99 = np.percentile(times, (50, 99)) * 1e6
                row[engine] = {"real_time_factor": float(np.mean(times)) / length, "p50": p50, "p99": p99}
            row["ratio"] = row["onnxruntime"]["real_time_factor"] / row["rnnrt"]["real_time_factor"]
            rows.append(row)
            figures = [f"{value:.4g}" for engine in calls for value in row[engine].values()]
            table.add_row(name, part, *figures, f"{row['ratio']:.2f}")
    if tiny:
        Console().print(f"{', '.join(cases)}: rnnrt and onnxruntime agree block by block")
        return
    Console(width=140).print(table)
    if json_path:
        Path(json_path).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
