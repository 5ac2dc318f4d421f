"""Compiled LSTM, GRU and RNN against the float64 reference, around tile edges, on every instruction set; and one
answer, to the bit, however rows and steps are grouped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import ISAS, assert_close, compiled, one_node, oracle

from rnnrt.ops.activations import ACTIVATIONS

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS_OF = {"LSTM": 3, "GRU": 2, "RNN": 1}
EDGES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65]
Case = dict[str, Any]


def make(case: Case) -> tuple[list[np.ndarray | None], dict[str, Any]]:
    """Operands in the IR's order, and attributes, from the case's figures."""
    op, T, B, I, H, dtype = (case[k] for k in ("op", "T", "B", "I", "H", "dtype"))
    D = 2 if case["direction"] == "bidirectional" else 1
    rng = np.random.default_rng(case["seed"])

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(dtype)

    G, first = GATES[op], case["layout"]
    state = (B, D, H) if first else (D, B, H)
    lengths = rng.integers(0, T + 1, B).astype(np.int32) if case["ragged"] else None
    mask = rng.random((T, B)) < 0.7 if case["mask"] else None
    operands: list[np.ndarray | None] = [
        normal(B, T, I) if first else normal(T, B, I),
        normal(D, G * H, I, scale=(I + 1) ** -0.5),
        normal(D, G * H, H, scale=0.5 * H**-0.5),
        normal(D, 2 * G * H) if case["bias"] else None,
        lengths,
        normal(*state) if case["state"] else None,
    ]
    attrs = {k: case[k] for k in ("direction", "layout", "clip") if case[k]}
    attrs["hidden_size"] = H
    if op == "LSTM":
        operands += [normal(*state) if case["state"] else None, normal(D, 3 * H) if case["peepholes"] else None]
        attrs["input_forget"] = int(case["variant"])
    if op == "GRU":
        attrs["linear_before_reset"] = int(case["variant"])
    if case["activations"]:
        names = tuple(rng.choice(case["activations"], ACTIVATIONS_OF[op] * D).tolist())
        attrs["activations"] = names
        attrs["activation_alpha"] = tuple(rng.uniform(0.1, 0.4, len(names)).tolist())
        attrs["activation_beta"] = tuple(rng.uniform(0.1, 0.6, len(names)).tolist())
    attrs["zero_output_for_mask"] = int(case["zero"])
    return [*operands, mask], attrs


def run(case: Case, isa: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Compiled results and the oracle's."""
    operands, attrs = make(case)
    fixed = [
        1,
        2,
        *([3] if operands[3] is not None else []),
        *([7] if case["op"] == "LSTM" and case["peepholes"] else []),
    ]
    graph, feeds = one_node(case["op"], operands, 3 if case["op"] == "LSTM" else 2, fixed, **attrs)
    return compiled(graph, feeds, isa), oracle(graph, feeds)


BOUNDED = ["Sigmoid", "Tanh", "HardSigmoid", "Softsign", "ScaledTanh"]
cases = st.fixed_dictionaries(
    {
        "op": st.sampled_from(sorted(GATES)),
        "T": st.integers(0, 7),
        "B": st.integers(1, 14),
        "I": st.sampled_from([1, 2, 3, 16, 19]),
        "H": st.sampled_from(EDGES),
        "dtype": st.sampled_from(["float32", "float32", "float64"]),
        "direction": st.sampled_from(["forward", "reverse", "bidirectional"]),
        "layout": st.integers(0, 1),
        "bias": st.booleans(),
        "state": st.booleans(),
        "ragged": st.booleans(),
        "mask": st.booleans(),
        "zero": st.booleans(),
        "variant": st.booleans(),
        "peepholes": st.booleans(),
        "clip": st.sampled_from([0.0, 0.0, 0.4]),
        "activations": st.sampled_from([[], [], BOUNDED]),
        "seed": st.integers(0, 2**32 - 1),
    }
)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_matches_reference(isa: str, case: Case) -> None:
    got, want = run(case, isa)
    for name, a, b in zip(("Y", "Y_h", "Y_c"), got, want, strict=False):
        assert a.dtype == case["dtype"]
        assert_close(a, b, 1e-10 if case["dtype"] == "float64" else 2e-5, name)
