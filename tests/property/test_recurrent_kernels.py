"""Compiled LSTM, GRU and RNN against the float64 reference, around tile edges, on every instruction set; and one
answer, to the bit, however rows and steps are grouped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt.errors import RnnrtError
from rnnrt.ops.activations import ACTIVATIONS
from tests.support import ISAS, assert_close, compiled, one_node, oracle

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS_OF = {"LSTM": 3, "GRU": 2, "RNN": 1}
EDGES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65]
Case = dict[str, Any]


def make(case: Case) -> tuple[list[np.ndarray | None], dict[str, Any]]:
    """Operands in the IR's order, and attributes, from the case's figures."""
    op, T, B, inputs, H, dtype = (case[k] for k in ("op", "T", "B", "I", "H", "dtype"))
    D = 2 if case["direction"] == "bidirectional" else 1
    rng = np.random.default_rng(case["seed"])

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(dtype)

    G, first = GATES[op], case["layout"]
    state = (B, D, H) if first else (D, B, H)
    lengths = rng.integers(0, T + 1, B).astype(np.int32) if case["ragged"] else None
    mask = rng.random((T, B)) < 0.7 if case["mask"] else None
    operands: list[np.ndarray | None] = [
        normal(B, T, inputs) if first else normal(T, B, inputs),
        normal(D, G * H, inputs, scale=(inputs + 1) ** -0.5),
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


FULL: Case = {
    "T": 6, "B": 9, "I": 5, "H": 35, "dtype": "float32", "direction": "forward", "layout": 0, "bias": True,
    "state": True, "ragged": False, "mask": False, "zero": False, "variant": False, "peepholes": False, "clip": 0.0,
    "activations": [], "seed": 7,
}  # fmt: skip
NOT_FOR_GATES = {"Exp"}
"""Grows without bound even in a few steps."""


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", sorted(GATES))
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - NOT_FOR_GATES))
def test_activation(isa: str, op: str, name: str) -> None:
    for dtype, rtol in (("float32", 5e-5), ("float64", 1e-10)):
        got, want = run({**FULL, "op": op, "T": 3, "activations": [name], "dtype": dtype}, isa)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, rtol, name)


@pytest.mark.parametrize("isa", ISAS)
def test_exp_activation(isa: str) -> None:
    operands, attrs = make({**FULL, "op": "RNN", "T": 1})
    graph, feeds = one_node("RNN", operands, 2, [1, 2, 3], **{**attrs, "activations": ("Exp",)})
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


VARIANTS = [("LSTM", False), ("LSTM", True), ("GRU", False), ("GRU", True), ("RNN", False)]
state_counts = {"LSTM": 2, "GRU": 1, "RNN": 1}


def built(op: str, operands: list[np.ndarray | None], attrs: dict[str, Any], isa: str) -> list[np.ndarray]:
    """Compiled results with weights and biases as constants."""
    graph, feeds = one_node(op, operands, 1 + state_counts[op], [1, 2, 3], **attrs)
    return compiled(graph, feeds, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("op", "variant"), VARIANTS)
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("general", [False, True])
def test_row_alone_equals_row_in_batch(isa: str, op: str, variant: bool, layout: int, general: bool) -> None:
    for hidden in (5, 16, 40, 72):
        case = {
            **FULL,
            "op": op,
            "variant": variant,
            "layout": layout,
            "H": hidden,
            "B": 13,
            "mask": True,
            "clip": general,
        }
        operands, attrs = make(case)
        whole = built(op, operands, attrs, isa)
        for rows in (slice(0, 1), slice(4, 6), slice(12, 13), slice(2, 9)):
            along = [0 if layout else 1, None, None, None, None, *[0 if layout else 1] * 2]
            part = [
                None if x is None else x if axis is None else x[rows] if axis == 0 else x[:, rows]
                for x, axis in zip(operands[:-1], [*along, None][: len(operands) - 1], strict=True)
            ]
            alone = built(op, [*part, np.ascontiguousarray(operands[-1][:, rows])], attrs, isa)  # type: ignore[index]
            axes = (0 if layout else 2, *(0 if layout else 1,) * 2)
            for axis, a, b in zip(axes, alone, whole, strict=False):
                np.testing.assert_array_equal(a, np.take(b, range(*rows.indices(13)), axis))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("op", "variant"), VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_equals_steps(isa: str, op: str, variant: bool, dtype: str) -> None:
    """T steps at once give the bits of T calls of one step, the states fed back."""
    for batch, hidden in ((1, 16), (1, 50), (3, 24), (8, 130)):
        case = {**FULL, "op": op, "variant": variant, "T": 9, "B": batch, "H": hidden, "dtype": dtype}
        operands, attrs = make(case)
        whole = built(op, operands, attrs, isa)
        states = operands[5 : 5 + state_counts[op]]
        for t in range(9):
            operands[0] = make(case)[0][0][t : t + 1]  # type: ignore[index]
            operands[5 : 5 + state_counts[op]] = states
            y, *states = built(op, operands[:-1], attrs, isa)
            np.testing.assert_array_equal(y[0], whole[0][t])
        for a, b in zip(states, whole[1:], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ISAS)
def test_long_sequence_in_chunks(isa: str) -> None:
    """More steps than a chunk of the input projection holds, both ways."""
    for op in sorted(GATES):
        case = {
            **FULL,
            "op": op,
            "T": 700,
            "B": 3,
            "H": 64,
            "direction": "bidirectional",
            "ragged": True,
            "state": True,
        }
        got, want = run(case, isa)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 5e-5, op)


def test_length_outside_is_refused() -> None:
    operands, attrs = make({**FULL, "op": "GRU"})
    operands[4] = np.full(9, 7, np.int32)
    graph, feeds = one_node("GRU", operands, 2, [1, 2, 3], **attrs)
    with pytest.raises(RnnrtError, match="GRU node 'node'"):
        compiled(graph, feeds, ISAS[-1])


@pytest.mark.parametrize("isa", ISAS)
def test_unused_outputs_are_skipped(isa: str) -> None:
    operands, attrs = make({**FULL, "op": "LSTM"})
    graph, feeds = one_node("LSTM", operands, 3, [1, 2, 3], **attrs)
    every = compiled(graph, feeds, isa)
    for keep in range(3):
        outputs = tuple(name if k == keep else "" for k, name in enumerate(graph.nodes[0].outputs))
        one = graph.replace(nodes=(replace(graph.nodes[0], outputs=outputs),), outputs=(graph.outputs[keep],))
        np.testing.assert_array_equal(compiled(one, feeds, isa)[0], every[keep])
