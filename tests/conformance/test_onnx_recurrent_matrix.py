"""Every attribute and input of ONNX's recurrent operators: compiled results against rnnrt's float64 reference, against
an oracle that shares nothing with it, and against onnxruntime where that runs the case."""

from __future__ import annotations

import dataclasses
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

onnx = pytest.importorskip("onnx")

NOT_IN_ONNXRUNTIME = (
    "_layout",  # "batchwise recurrent operations" are refused
    "_no_hidden_size",  # refused
    "_zeros_for_one",  # refused: a state has to have the batch of X
    "_float64",  # refused
    "_no_steps",  # its results are memory that nothing has written, or the process ends
    "_lower_case_name",  # refused
    "thresholdedrelu_defaults",  # alpha is 0 there; ONNX's text and its operator say 1
)
"""Parts of the names of those cases that onnxruntime does not run, or not as ONNX's texts have it."""


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


@pytest.mark.parametrize("name", [name for name in CASES if not any(part in name for part in NOT_IN_ONNXRUNTIME)])
def test_onnxruntime_agrees_with_the_oracle(name: str) -> None:
    ort: Any = pytest.importorskip("onnxruntime")
    case = CASES[name]
    if case.op == "RNN" and 0 in (case.lengths or ()) and tuple(map(int, ort.__version__.split(".")[:2])) <= (1, 23):
        pytest.skip("its RNN reads outside its memory for a length of 0")
    model, feeds = build(case)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compare(case, session.run(list(case.results), feeds), expected(case), "onnxruntime")


def changed(name: str, **fields: Any) -> tuple[Any, dict[str, np.ndarray]]:
    return build(dataclasses.replace(CASES[name], **fields))


def test_lengths_outside_the_sequence_are_refused(tmp_path: Path) -> None:
    for op in ("lstm", "gru", "rnn"):
        for lengths in ((6, 1, 1, 1), (1, -1, 1, 1)):
            model, feeds = changed(f"{op}_lengths_bidirectional", lengths=lengths)
            with pytest.raises(rnnrt.RnnrtError, match="node 'node': an operand has a value outside its domain"):
                load(model, tmp_path).run(None, feeds)


def load(model: Any, folder: Path) -> Any:
    onnx.save(model, folder / "model.onnx")
    return rnnrt.load(folder / "model.onnx")


def test_a_learned_state_for_one_row_is_not_given_to_several(tmp_path: Path) -> None:
    case = dataclasses.replace(CASES["gru_forward"], has=("B", "h"), states="baked", sizes=(5, 1, 3, 6))
    model, feeds = build(case)
    net = load(model, tmp_path)
    compare(case, net.run(None, feeds), expected(case), "one row")
    message = r"initial_h has shape \(1, 1, 6\); its axis B must be 2, the batch of X; feed such a state, or call"
    with pytest.raises(rnnrt.ShapeError, match=message):
        net.run(None, {"X": np.repeat(feeds["X"], 2, 1)})


@pytest.mark.parametrize("name", ["lstm_states_expanded", "lstm_zeros_for_one", "gru_zeros_for_one"])
def test_states_that_are_zeros_stream(name: str, tmp_path: Path) -> None:
    case = dataclasses.replace(CASES[name], attrs={}, outputs=("Y",))
    model, feeds = build(case)
    stream = load(model, tmp_path).stream(batch_size=case.sizes[1])
    found = np.concatenate([stream.run(feeds["X"][t : t + 1]) for t in range(case.sizes[0])])
    compare(case, [found], expected(case), "streamed")


def test_too_many_alphas_are_refused() -> None:
    model, _ = changed("lstm_forward", attrs={"activations": ["Elu", "Tanh", "Elu"], "activation_alpha": [1.0] * 4})
    with pytest.raises(rnnrt.UnsupportedModelError, match=r"activation_alpha=.* has 4 values"):
        graph_from_proto(model)


def test_a_list_that_can_be_read_two_ways_is_refused() -> None:
    """onnxruntime reads [0.1, 0.2, 0.3] by order and gives LeakyRelu 0.1; whoever wrote it may have meant 0.3."""
    names = ["Sigmoid", "Tanh", "LeakyRelu"]
    model, _ = changed("lstm_forward", attrs={"activations": names, "activation_alpha": [0.125, 0.25, 0.5]})
    message = r"\['LeakyRelu'\] alone: they could be meant to have \[0.125\] or \[0.5\]; list 1 values"
    with pytest.raises(rnnrt.UnsupportedModelError, match=message):
        graph_from_proto(model)
    model, feeds = changed("lstm_forward", attrs={"activations": names, "activation_alpha": [0.5, 0.25, 0.5]})
    case = dataclasses.replace(CASES["lstm_forward"], attrs={"activations": names, "activation_alpha": [0.5]})
    compare(case, evaluate(graph_from_proto(model), feeds, dtype=np.float64), expected(case), "agreeing")
