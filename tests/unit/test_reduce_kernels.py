"""Reductions: every kind over every pattern of axes, against numpy in float64."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import ISAS, assert_close, compiled, one_node, oracle

KINDS = ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
EXTENTS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65])


def arrays(shape: list[int], dtype: type, kind: str) -> np.ndarray:
    x = np.random.default_rng(len(shape)).standard_normal(shape)
    if kind == "LogSum":
        x = np.abs(x) + 0.1
    if kind == "Prod":
        x = 1 + x / 50
    return x.astype(dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_any_axes(isa: str, kind: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(EXTENTS, min_size=1, max_size=4).filter(lambda s: np.prod(s) < 20000))
    axes = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    x = arrays(shape, dtype, kind)
    keepdims = data.draw(st.integers(0, 1))
    graph, feeds = one_node(f"Reduce{kind}", [x, np.array(axes, np.int64)], 1, [1], keepdims=keepdims)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["Mean", "Sum", "L2", "LogSumExp"])
@pytest.mark.parametrize("axis", [0, 1])
def test_thousands_of_elements(isa: str, kind: str, axis: int) -> None:
    x = np.full((9000, 9000)[axis : axis + 1], 0.1, np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
    x = np.broadcast_to(x, (9000, 3) if axis == 0 else (3, 9000)).copy()
    graph, feeds = one_node(f"Reduce{kind}", [x, np.array([axis])], 1, [1])
    np.testing.assert_allclose(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], rtol=1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["Sum", "Max", "Min", "Prod", "L1", "SumSquare"])
def test_integers(isa: str, dtype: type, kind: str) -> None:
    x = np.random.default_rng(0).integers(-9, 9, (3, 4, 5)).astype(dtype)
    for count in (1, 2, 3):
        for axes in combinations(range(3), count):
            graph, feeds = one_node(f"Reduce{kind}", [x, np.array(axes)], 1, [1])
            np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_])
@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_small_integers(isa: str, dtype: type, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, (3, 4, 2)).astype(dtype)
    for axes in ([0], [1], [2], [0, 2]):
        graph, feeds = one_node(f"Reduce{kind}", [x, np.array(axes)], 1, [1], keepdims=0)
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(isa: str, kind: str, special: float) -> None:
    x = arrays([5, 37], np.float32, kind)
    x[2, 20] = x[4, 36] = special
    for axes in ([0], [1], [0, 1]):
        graph, feeds = one_node(f"Reduce{kind}", [x, np.array(axes)], 1, [1])
        got, want = compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0]
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        np.testing.assert_allclose(got, want, rtol=2e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_empty(isa: str, kind: str, shape: tuple[int, ...]) -> None:
    for axis in range(len(shape)):
        graph, feeds = one_node(f"Reduce{kind}", [np.zeros(shape, np.float32), np.array([axis])], 1, [1])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
def test_no_axes(isa: str) -> None:
    x = arrays([3, 4], np.float32, "L1")
    for kind in ("L1", "Sum"):
        graph, feeds = one_node(f"Reduce{kind}", [x, np.zeros(0, np.int64)], 1, [1], noop_with_empty_axes=1)
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], x)
        graph, feeds = one_node(f"Reduce{kind}", [np.float32(-3)])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("axes", [[1], [2], [1, 2], [1, 3], [2, 3]])
def test_bits_do_not_depend_on_the_batch(isa: str, axes: list[int]) -> None:
    x = np.random.default_rng(1).standard_normal((5, 6, 7, 40)).astype(np.float32)
    for kind in ("Sum", "L2"):
        for order in ((0, 1, 2, 3), (1, 2, 3, 0)):
            moved = np.transpose(x, order)
            batch = order.index(0)
            where = np.array([order.index(a) for a in axes])
            graph, feeds = one_node(f"Reduce{kind}", [np.ascontiguousarray(moved), where], 1, [1])
            whole = compiled(graph, feeds, isa)[0]
            one = np.ascontiguousarray(moved.take([3], batch))
            graph, feeds = one_node(f"Reduce{kind}", [one, where], 1, [1])
            assert compiled(graph, feeds, isa)[0].tobytes() == whole.take([3], batch).tobytes()
