"""Casts, powers, choices and comparisons, against the references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt.ops.special import CAST_TARGETS, CASTS
from tests.support import ISAS, assert_close, compiled, one_node, oracle

RNG = np.random.default_rng(3)
NUMBERS = {np.dtype(t): number for number, t in CAST_TARGETS.items()}
SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 7, 8, 9, 16, 17, 33]), min_size=0, max_size=3)


def broadcast_pair(data: st.DataObject, count: int = 2) -> list[tuple[int, ...]]:
    """Shapes that broadcast together."""
    full = data.draw(SHAPES)
    found = []
    for _ in range(count):
        kept = [d if data.draw(st.booleans()) else 1 for d in full]
        found.append(tuple(kept[data.draw(st.integers(0, len(kept))) :]))
    return found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("source", sorted(CASTS, key=str))
@pytest.mark.parametrize("target", sorted(CASTS, key=str))
def test_cast(isa: str, source: np.dtype, target: np.dtype) -> None:
    x = RNG.uniform(0 if "u" in (source.kind, target.kind) else -100, 100, (3, 41))
    for array in (x.astype(source), x[:0].astype(source), np.zeros(3, source)):
        graph, feeds = one_node("Cast", [array], to=NUMBERS[target])
        got = compiled(graph, feeds, isa)[0]
        assert got.dtype == target
        np.testing.assert_array_equal(got, array.astype(target))


@pytest.mark.parametrize("isa", ISAS)
def test_cast_of_what_is_no_number(isa: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-30], np.float32)
    graph, feeds = one_node("Cast", [x], to=NUMBERS[np.dtype(bool)])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], [True, True, True, False, False, True])
    graph, feeds = one_node("Cast", [x], to=NUMBERS[np.dtype(np.float64)])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], x.astype(np.float64))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [2, 0.5, 1, 3, -1, -0.5, 0, 2.7])
def test_power_of_a_constant(isa: str, dtype: type, exponent: float) -> None:
    x = RNG.uniform(0.1, 4, (5, 13)).astype(dtype)
    for y in (np.array(exponent, dtype), np.full((1, 1, 1), exponent, dtype), np.full(13, exponent, dtype)):
        graph, feeds = one_node("Pow", [x, y], 1, [1])
        assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 2e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_power_broadcasts(isa: str, data: st.DataObject) -> None:
    left, right = broadcast_pair(data)
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    x, y = RNG.uniform(0.1, 3, left).astype(dtype), RNG.uniform(-3, 3, right).astype(dtype)
    graph, feeds = one_node("Pow", [x, y])
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
def test_power_of_integers_and_by_integers(isa: str) -> None:
    for dtype in (np.int32, np.int64):
        graph, feeds = one_node("Pow", [np.arange(-5, 6).astype(dtype), np.array(2, dtype)], 1, [1])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], np.arange(-5, 6) ** 2)
    graph, feeds = one_node("Pow", [np.array([-2, 1.5], np.float32), np.array([3, -2])], 1, [1])
    np.testing.assert_allclose(compiled(graph, feeds, isa)[0], [-8, 1.5**-2.0], rtol=1e-6)
