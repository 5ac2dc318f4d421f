"""Random masks: known answers of the generator, bits that nothing but the counter moves, and statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import RnnrtError
from rnnrt._kernels import program
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.ops.random_mask import philox
from rnnrt.plan import Target
from rnnrt.runtime import Session
from tests.support import ISAS, compiled, one_node

INT64 = np.dtype(np.int64)


def draw(seed: int, counter: int, shape: Any, **attrs: Any) -> np.ndarray:
    graph, feeds = one_node("RandomMask", [np.array([seed, counter])], shape=shape, **attrs)
    return evaluate(graph, feeds)[0]


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_the_generator(counter: list[int], key: list[int], want: list[int]) -> None:
    """Those that the authors of Philox publish with Random123."""
    assert [int(word) for word in philox(counter, key)] == want


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=25, derandomize=True)
@given(
    seed=st.integers(-(2**63), 2**63 - 1), counter=st.integers(-(2**63), 2**63 - 1),
    stream=st.integers(0, 2**63 - 1), shape=st.lists(st.integers(0, 17), max_size=3),
    kind=st.sampled_from(["dropout", "uniform", "normal"]), to=st.sampled_from([1, 11]), rate=st.floats(0, 1),
)  # fmt: skip
def test_kernel_has_the_bits_of_the_reference(
    isa: str, seed: int, counter: int, stream: int, shape: list[int], kind: str, to: int, rate: float
) -> None:
    attrs = {"shape": tuple(shape), "kind": kind, "to": to, "rate": rate, "stream": stream}
    graph, feeds = one_node("RandomMask", [np.array([seed, counter])], **attrs)
    got, want = compiled(graph, feeds, isa)[0], evaluate(graph, feeds)[0]
    assert got.dtype == want.dtype == (np.float32 if to == 1 else np.float64)
    assert got.shape == want.shape == tuple(shape)
    if kind == "normal":
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["dropout", "uniform", "normal"])
@pytest.mark.parametrize("to", [1, 11])
@pytest.mark.parametrize("threads", [1, 2])
def test_neither_shape_nor_threads_move_an_element(kind: str, to: int, threads: int) -> None:
    state = np.array([7, 9])
    long = draw(7, 9, (5000,), kind=kind, to=to, rate=0.3)
    for shape in ((5000,), (50, 20), (3, 7, 11), (1,), ()):
        graph, _ = one_node("RandomMask", [state], shape=shape, kind=kind, to=to, rate=0.3)
        got = Session(graph, Target(ISAS[-1], program.VECTOR_BYTES[ISAS[-1]]), threads).run([state])[0]
        np.testing.assert_allclose(got.ravel(), long[: math.prod(shape)], rtol=0, atol=1e-6 * (kind == "normal"))


def test_dtype_does_not_move_a_dropout_mask() -> None:
    one, two = (draw(3, 5, (4000,), rate=0.4, to=to) for to in (1, 11))
    np.testing.assert_array_equal(one != 0, two != 0)
    np.testing.assert_array_equal(np.unique(two), [0, 1 / (1 - 0.4)])


def test_rates_at_the_ends() -> None:
    np.testing.assert_array_equal(draw(1, 2, (1000,), rate=0.0), np.ones(1000))
    np.testing.assert_array_equal(draw(1, 2, (1000,), rate=1.0), np.zeros(1000))


def test_shape_as_an_input() -> None:
    state, want = np.array([1, 2]), draw(1, 2, (4, 5), rate=0.5)
    graph, feeds = one_node("RandomMask", [state, np.array([4, 5])], 1, [1], rate=0.5)
    for isa in ISAS:
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], want)
    nodes = (
        Node("Shape", ("x",), ("s",), {}, "shape"),
        Node("RandomMask", ("state", "s"), ("mask",), {"rate": 0.5}, "mask"),
        Node("Mul", ("x", "mask"), ("y",), {}, "mul"),
    )
    values = (Value("x", np.dtype(np.float32), ("N", "M")), Value("state", INT64, (2,)))
    network = Graph(values, (Value("y", np.dtype(np.float32)),), nodes)
    np.testing.assert_array_equal(compiled(network, {"x": np.ones((4, 5)), "state": state}, ISAS[0])[0], want)
    # Known at run time alone: no plan, but the same numbers.
    graph, feeds = one_node("RandomMask", [state, np.array([4, 5])], rate=0.5)
    np.testing.assert_array_equal(compiled(graph, feeds, ISAS[0], native=False)[0], want)


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"kind": "cauchy"}, "kind 'cauchy' is none of"),
        ({"rate": 1.5}, r"rate 1.5 is not in \[0, 1\]"),
        ({"to": 7}, "to=7 is neither"),
        ({"shape": (3, -1)}, "is not a shape"),
        ({"speed": 3}, "attribute speed=3 is not known"),
    ],
)
def test_refusals(attrs: dict[str, Any], message: str) -> None:
    graph, feeds = one_node("RandomMask", [np.array([1, 2])], **attrs)
    with pytest.raises(RnnrtError, match=message):
        compiled(graph, feeds, ISAS[0])


@pytest.mark.parametrize("state", [np.array([1, 2, 3]), np.array([1.0, 2.0])])
def test_refusal_of_a_state_that_is_none(state: np.ndarray) -> None:
    graph, feeds = one_node("RandomMask", [state], shape=(3,))
    with pytest.raises(RnnrtError, match=r"it takes \(seed, counter\), int64 of shape \(2,\)"):
        compiled(graph, feeds, ISAS[0])


COUNT = 1 << 18
CHI_SQUARE_255 = 350.0
"""Exceeded with a probability of about 7e-5 at 255 degrees of freedom; the numbers are fixed, so this is no gamble."""


def chi_square(uniform: np.ndarray) -> float:
    cells = np.bincount((uniform * 256).astype(int), minlength=256)
    return float(np.sum((cells - uniform.size / 256) ** 2) * 256 / uniform.size)


@pytest.mark.parametrize("to", [1, 11])
@pytest.mark.parametrize("place", [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (2**62, -5, 12345)])
def test_uniform_numbers_are_uniform(to: int, place: tuple[int, int, int]) -> None:
    u = draw(*place[:2], (COUNT,), kind="uniform", to=to, stream=place[2]).astype(np.float64)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / COUNT)
    assert abs(u.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / COUNT)
    assert chi_square(u) < CHI_SQUARE_255
    assert chi_square(u * 256 % 1) < CHI_SQUARE_255  # the next eight bits
    for lag in (1, 2, 3, 4, 5, 8, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4.5 / math.sqrt(COUNT)


def test_normal_numbers_are_normal() -> None:
    z = draw(11, 3, (COUNT,), kind="normal", to=11)
    assert abs(z.mean()) < 4 / math.sqrt(COUNT)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / COUNT)
    assert abs(np.mean(z**3)) < 4 * math.sqrt(15 / COUNT)
    assert abs(np.mean(z**4) - 3) < 4 * math.sqrt(96 / COUNT)
    erf = np.vectorize(math.erf)
    assert chi_square(0.5 * (1 + erf(z / math.sqrt(2)))) < CHI_SQUARE_255
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 4.5 / math.sqrt(COUNT / 2)
    assert abs(np.corrcoef(z[::2] ** 2, z[1::2] ** 2)[0, 1]) < 4.5 / math.sqrt(COUNT / 2)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(rate: float) -> None:
    mask = draw(5, 6, (COUNT,), rate=rate, to=11)
    assert abs(np.mean(mask == 0) - rate) < 4 * math.sqrt(rate * (1 - rate) / COUNT)
    assert abs(mask.mean() - 1) < 4 * math.sqrt(rate / (1 - rate) / COUNT)


def test_streams_counters_and_seeds_are_independent() -> None:
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (2, 0, 0), (0, 2, 0), (0, 0, 2), (1 << 32, 0, 0),
              (0, 1 << 32, 0), (0, 0, 1 << 32)]  # fmt: skip
    rows = np.stack([draw(s, c, (COUNT >> 2,), kind="uniform", to=11, stream=t) for s, c, t in places])
    apart = np.corrcoef(rows) - np.eye(len(places))
    assert np.abs(apart).max() < 5 / math.sqrt(COUNT >> 2)
    shifted = np.corrcoef(rows[:, 1:], rows[:, :-1])
    assert np.abs(shifted[: len(places), len(places) :]).max() < 5 / math.sqrt(COUNT >> 2)
