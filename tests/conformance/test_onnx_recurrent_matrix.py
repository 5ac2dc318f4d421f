"""Every attribute and input of ONNX's recurrent operators: compiled results against rnnrt's float64 reference, against
an oracle that shares nothing with it, and against onnxruntime where that runs the case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.onnx_import import graph_from_proto
from rnnrt.ops.evaluate import evaluate
from tests.conformance.onnx_recurrent_cases import CASES, Case, arrays, build
from tests.conformance.onnx_recurrent_oracle import recurrent
from tests.support import ISAS, assert_close, compiled

pytest.importorskip("onnx")

NOT_IN_ONNXRUNTIME = {
    "layout": "batchwise recurrent operations",
    "no_hidden_size": "hidden_size",
    "zeros_for_one": "initial_",
}
"""Cases by a part of their names that onnxruntime refuses, and what it says."""


def expected(case: Case) -> list[np.ndarray]:
    found = recurrent(case.op, arrays(case), case.attrs)
    return [found[name] for name in case.results]


def compare(case: Case, got: list[np.ndarray], want: list[np.ndarray], what: str) -> None:
    assert len(got) == len(want)
    for name, a, b in zip(case.results, got, want, strict=True):
        assert_close(a, b, 1e-10 if case.dtype == "float64" else 2e-5, f"{name} of {case.name}, {what}")


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 52
    assert {case.op for case in CASES.values()} == {"LSTM", "GRU", "RNN"}


@pytest.mark.parametrize("name", CASES)
def test_compiled_on_every_instruction_set(name: str) -> None:
    case = CASES[name]
    model, feeds = build(case)
    graph = graph_from_proto(model)
    want = expected(case)
    compare(case, evaluate(graph, feeds, dtype=np.float64), want, "reference")
    for isa in ISAS:
        got = compiled(graph, feeds, isa, native=bool(case.sizes[0]))
        assert all(y.dtype == case.dtype for y in got)
        compare(case, got, want, isa)


@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_agrees_with_the_oracle(name: str) -> None:
    ort: Any = pytest.importorskip("onnxruntime")
    case = CASES[name]
    model, feeds = build(case)
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        got = session.run(list(case.results), feeds)
    except Exception as error:  # its errors have no common class
        print(name, str(error)[:150])
        raise
    compare(case, got, expected(case), "onnxruntime")
