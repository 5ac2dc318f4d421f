"""Which of the recurrent cases of tests/conformance rnnrt, onnxruntime and openvino run, and whether they are right.

The oracle is float64 numpy written from ONNX's texts. Each case runs in a process of its own, because some end it.

    python tools/compare_onnx_recurrent.py [--json FILE] [--all]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.conformance.onnx_recurrent_cases import CASES, Case, arrays, build
from tests.conformance.onnx_recurrent_oracle import recurrent

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
SECONDS = 60


def in_rnnrt(model: Any, feeds: dict[str, np.ndarray], results: tuple[str, ...]) -> list[np.ndarray]:
    """Results of rnnrt's compiled code."""
    from rnnrt.formats.onnx_import import graph_from_proto
    from rnnrt.models.model import Model

    return Model.from_graph(graph_from_proto(model)).run(list(results), feeds)


def in_onnxruntime(model: Any, feeds: dict[str, np.ndarray], results: tuple[str, ...]) -> list[np.ndarray]:
    """Results of onnxruntime's CPU provider."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(list(results), feeds))


def in_openvino(model: Any, feeds: dict[str, np.ndarray], results: tuple[str, ...]) -> list[np.ndarray]:
    """Results of openvino's CPU plugin in float32, or float64 where the model has it."""
    import io

    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    found = compiled(feeds)
    return [found[name] for name in results]


ENGINES: dict[str, Callable[..., list[np.ndarray]]] = {
    "rnnrt": in_rnnrt,
    "onnxruntime": in_onnxruntime,
    "openvino": in_openvino,
}


def verdict(engine: str, case: Case) -> tuple[str, str]:
    """right, wrong or refused; and how wrong, or what the engine says."""
    model, feeds = build(case)
    want = recurrent(case.op, arrays(case), case.attrs)
    try:
        got = ENGINES[engine](model, feeds, case.results)
    except Exception as error:  # the engines' errors have no common class
        return "refused", " ".join(str(error).split())[:200]
    worst = 0.0
    for name, y in zip(case.results, got, strict=True):
        if y.shape != want[name].shape:
            return "wrong", f"{name} has shape {y.shape} instead of {want[name].shape}"
        if y.size:
            worst = max(worst, float(np.max(np.abs(y - want[name]))))
    right = worst <= TOLERANCE[case.dtype]  # False for NaN
    return "right" if right else "wrong", f"largest difference {worst:.1e}"


def _answer(engine: str, name: str, pipe: Any) -> None:
    pipe.send(verdict(engine, CASES[name]))


def apart(engine: str, name: str) -> tuple[str, str]:
    """`verdict` in a process of its own; a process that dies is "crashed"."""
    here, there = multiprocessing.Pipe(False)
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(engine, name, there))
    process.start()
    there.close()
    try:
        found = here.recv() if here.poll(SECONDS) else ("refused", f"no answer in {SECONDS} s")
    except EOFError:
        process.join()
        found = ("crashed", f"exit code {process.exitcode}")
    process.kill()
    process.join()
    return found


def main() -> None:
    """Print the table, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", metavar="FILE", help="write everything there")
    parser.add_argument("--all", action="store_true", help="also print the cases that all engines get right")
    options = parser.parse_args()
    table = {name: {engine: apart(engine, name) for engine in ENGINES} for name in CASES}
    print(f"| {'case':34} | " + " | ".join(f"{engine:11}" for engine in ENGINES) + " |")
    print("|---" * (1 + len(ENGINES)) + "|")
    for name, row in table.items():
        if options.all or {found for found, _ in row.values()} != {"right"}:
            print(f"| {name:34} | " + " | ".join(f"{found:11}" for found, _ in row.values()) + " |")
    for engine in ENGINES:
        print(f"{engine}: {len(table)} cases,", dict(Counter(row[engine][0] for row in table.values())))
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
