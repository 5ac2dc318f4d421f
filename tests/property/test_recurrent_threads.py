"""However threads share a recurrent call, the bits are those of one thread, on every instruction set."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt._kernels import program
from rnnrt.plan import Target
from rnnrt.plan.select import RecurrentWork, Split, choose_split
from rnnrt.runtime import Session
from tests.property.test_recurrent_kernels import GATES, assert_close, make, one_node, oracle
from tests.support import ISAS

lower_module = sys.modules["rnnrt.plan.lower"]

cases = st.fixed_dictionaries(
    {
        "op": st.sampled_from(sorted(GATES)),
        "T": st.integers(1, 6),
        "B": st.sampled_from([1, 2, 3, 5, 8, 13]),
        "I": st.sampled_from([1, 4, 17]),
        "H": st.sampled_from([1, 15, 16, 17, 48, 65]),
        "dtype": st.sampled_from(["float32", "float32", "float64"]),
        "direction": st.sampled_from(["forward", "reverse", "bidirectional"]),
        "layout": st.sampled_from([0, 1]),
        "bias": st.just(True),
        "state": st.booleans(),
        "ragged": st.booleans(),
        "mask": st.booleans(),
        "zero": st.booleans(),
        "variant": st.booleans(),
        "peepholes": st.booleans(),
        "clip": st.sampled_from([0, 0, 0.7]),
        "activations": st.just(None),
        "seed": st.integers(0, 2**31),
    }
)


def results(case: dict[str, Any], isa: str, threads: int, split: Split) -> list[np.ndarray]:
    """The call's outputs, shared among exactly so many threads in exactly this way."""
    operands, attrs = make(case)
    fixed = [1, 2, 3, *([7] if case["op"] == "LSTM" and case["peepholes"] else [])]
    graph, feeds = one_node(case["op"], operands, 3 if case["op"] == "LSTM" else 2, fixed, **attrs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_module, "choose_split", lambda work, n: (threads, split, False))
        session = Session(graph, Target(isa, program.VECTOR_BYTES[isa]), threads=threads)
        first = session.run([feeds[v.name] for v in graph.inputs])
        again = session.run([feeds[v.name] for v in graph.inputs])
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    if threads == 1:
        for got, want in zip(first, oracle(graph, feeds), strict=True):
            assert_close(got, want)
    return first


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=40)
@given(case=cases)
def test_the_same_bits_however_it_is_shared(isa: str, case: dict[str, Any]) -> None:
    want = results(case, isa, 1, Split.DIRECTIONS)
    for threads, split in (
        (2, Split.DIRECTIONS),
        (2, Split.ROWS),
        (3, Split.ROWS),
        (2, Split.PANELS),
        (5, Split.PANELS),
    ):
        for got, expected in zip(results(case, isa, threads, split), want, strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=f"{threads} threads, {split.name}")


def work(**sizes: int) -> RecurrentWork:
    usual = {"gates": 4, "stages": 1, "directions": 1, "seq_len": 100, "batch_size": 1, "input_size": 64}
    return RecurrentWork(**{**usual, "hidden_size": 128, "itemsize": 4, "vector_bytes": 64, **sizes})  # type: ignore[arg-type]


def test_the_cost_model_shares_what_is_worth_it() -> None:
    assert choose_split(work(), 1)[0] == 1
    assert choose_split(work(hidden_size=16, input_size=8), 2)[0] == 1
    assert choose_split(work(seq_len=1, hidden_size=64), 2)[0] == 1
    assert choose_split(work(hidden_size=256), 2) == (2, Split.PANELS, False)
    assert choose_split(work(hidden_size=256, seq_len=1), 2) == (2, Split.PANELS, True)
    assert choose_split(work(hidden_size=256, batch_size=64), 2) == (2, Split.ROWS, False)
    narrow = work(hidden_size=256, batch_size=8, vector_bytes=32)  # four rows each would be two tiles of two
    assert choose_split(narrow, 2) == (2, Split.PANELS, False)
    assert choose_split(work(directions=2), 2) == (2, Split.DIRECTIONS, False)
    assert choose_split(work(hidden_size=512, batch_size=64), 8)[0] == 8
