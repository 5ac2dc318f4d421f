"""Published networks and exports of the usual exporters, against the outputs recorded with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.ops.evaluate import evaluate
from tests.support import assert_close, shared_dir

pytest.importorskip("onnx")

SHARED = Path(os.environ.get("RNNRT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
MODELS = sorted(p.relative_to(SHARED).as_posix() for p in SHARED.glob("models/*/*.onnx"))
EXPORTS = sorted(p.relative_to(SHARED).as_posix() for p in SHARED.glob("exports/*/*.onnx"))
STATES = {
    "dtln": {"tf_op_layer_stack_2": "input_3", "tf_op_layer_stack_5": "input_5"},
    "silero-vad": {"stateN": "state"},
}


def test_the_files_are_there() -> None:
    shared_dir("models")
    assert MODELS
    assert EXPORTS


def case(path: str) -> dict[str, np.ndarray]:
    with np.load(SHARED / path.replace(".onnx", ".case.npz")) as arrays:
        return dict(arrays)


def part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


@pytest.mark.parametrize("path", MODELS)
def test_one_call(path: str) -> None:
    model, arrays = rnnrt.load(SHARED / path), case(path)
    feeds, expected = part(arrays, "in__"), part(arrays, "out__")
    assert {info.name for info in model.inputs} == set(feeds)
    for name, got in zip([o.name for o in model.outputs], model.run(None, feeds), strict=True):
        assert_close(got, expected[name], what=name)
    for name, got in zip([o.name for o in model.outputs], evaluate(model.graph, feeds, np.float64), strict=True):
        assert_close(got, expected[name], what=f"reference {name}")


@pytest.mark.parametrize("path", MODELS)
def test_a_stream_of_steps(path: str) -> None:
    model, arrays = rnnrt.load(SHARED / path), case(path)
    inputs, expected = part(arrays, "seqin__"), part(arrays, "seqout__")
    if not inputs:
        pytest.skip("no stream was recorded for this network")
    pairs = next((pairs for key, pairs in STATES.items() if key in path), None)
    if pairs is None:
        pairs = {o.name: o.name.removesuffix("_out") for o in model.outputs if o.name.endswith("_cache_out")}
    given = part(arrays, "in__")
    pairs = {result: name for result, name in pairs.items() if name in given}
    state = {name: np.zeros_like(given[name]) for name in pairs.values()}
    for step in range(len(next(iter(inputs.values())))):
        feeds = {name: values[step] for name, values in inputs.items()} | state
        feeds |= {name: given[name] for name in given if name not in feeds}
        results = dict(zip([o.name for o in model.outputs], model.run(None, feeds), strict=True))
        for name, values in expected.items():
            assert_close(results[name], values[step], what=f"step {step}, {name}")
        state = {source: results[name] for name, source in pairs.items()}


@pytest.mark.parametrize("path", EXPORTS)
def test_exports(path: str) -> None:
    model = rnnrt.load(SHARED / path)
    with np.load(SHARED / (path.split(".")[0] + ".npz")) as arrays:
        inputs = [arrays[f"x{k}"] for k in range(sum(key.startswith("x") for key in arrays))]
        expected = [arrays[f"y{k}"] for k in range(sum(key.startswith("y") for key in arrays))]
    feeds = {info.name: x for info, x in zip(model.inputs, inputs, strict=True)}
    for got, want in zip(model.run(None, feeds), expected, strict=True):
        assert_close(got, want)
