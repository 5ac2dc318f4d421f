"""Casts, powers, choices and comparisons, against the references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import RnnrtError
from rnnrt.ops.cast import CAST_TARGETS, CASTS
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


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_comparisons(isa: str, op: str, data: st.DataObject) -> None:
    left, right = broadcast_pair(data)
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8]))
    x, y = RNG.integers(0, 4, left).astype(dtype), RNG.integers(0, 4, right).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x, y = np.where(x == 3, np.nan, x), np.where(y == 2, -np.inf, y)
    graph, feeds = one_node(op, [x.astype(dtype), y.astype(dtype)])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["And", "Or", "Xor", "Equal"])
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_logic(isa: str, op: str, data: st.DataObject) -> None:
    left, right = broadcast_pair(data)
    graph, feeds = one_node(op, [RNG.random(left) < 0.5, RNG.random(right) < 0.5])
    got = compiled(graph, feeds, isa)[0]
    assert got.dtype == np.bool_
    np.testing.assert_array_equal(got, oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tests(isa: str, dtype: type) -> None:
    x = np.array([0, -0.0, 1, np.nan, np.inf, -np.inf] * 7, dtype)
    graph, feeds = one_node("IsNaN", [x])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], np.isnan(x))
    for negative, positive in ((0, 1), (1, 0), (1, 1), (0, 0)):
        graph, feeds = one_node("IsInf", [x], detect_negative=negative, detect_positive=positive)
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
    graph, feeds = one_node("Not", [x > 0])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], ~(x > 0))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_, np.int16])
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_where(isa: str, dtype: type, data: st.DataObject) -> None:
    condition, left, right = broadcast_pair(data, 3)
    x, y = RNG.integers(0, 90, left).astype(dtype), RNG.integers(0, 90, right).astype(dtype)
    graph, feeds = one_node("Where", [RNG.random(condition) < 0.5, x, y])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["Min", "Max", "Sum", "Mean"])
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_variadic(isa: str, op: str, data: st.DataObject) -> None:
    shapes = broadcast_pair(data, data.draw(st.integers(1, 4)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64] + ([] if op == "Mean" else [np.int32, np.int64])))
    graph, feeds = one_node(op, [(9 * RNG.standard_normal(s)).astype(dtype) for s in shapes])
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_clip(isa: str, dtype: type) -> None:
    x = (10 * RNG.standard_normal((3, 11))).astype(dtype)
    low, high = np.array(-4, dtype), np.array([5], dtype)
    for bounds in ([low, high], [low], [None, high], [], [high, low]):
        for constant in ((), [k for k, b in enumerate([x, *bounds]) if k and b is not None]):
            graph, feeds = one_node("Clip", [x, *bounds], 1, constant)
            np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
    if np.dtype(dtype).kind == "f":
        x[1, 3:6] = [np.nan, np.inf, -np.inf]
        graph, feeds = one_node("Clip", [x, low, high])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trigonometry(isa: str, op: str, dtype: type) -> None:
    x = RNG.uniform(-0.9, 0.9, 37) + (2 if op == "Acosh" else 0)
    graph, feeds = one_node(op, [x.astype(dtype)])
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers(isa: str, dtype: type) -> None:
    x = RNG.integers(-20, 20, (4, 37)).astype(dtype)
    y = RNG.integers(1, 7, (4, 1)).astype(dtype) * np.array([[1], [-1], [1], [-1]], dtype)
    for op in ("Neg", "Abs", "Relu", "Sign"):
        graph, feeds = one_node(op, [x])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
    cases = (("Div", {}), ("Mod", {"fmod": 0}), ("Mod", {"fmod": 1}))
    for op, attrs in cases:
        graph, feeds = one_node(op, [x, y], **attrs)
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
        graph, feeds = one_node(op, [np.array([np.iinfo(dtype).min], dtype), np.array([-1], dtype)], **attrs)
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
        graph, feeds = one_node(op, [x, 0 * y], **attrs)
        with pytest.raises(RnnrtError, match=rf"{op} node 'node'.*zero"):
            compiled(graph, feeds, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_modulo_of_floats(isa: str, fmod: int, dtype: type) -> None:
    x = np.array([5.5, -5.5, 5.5, -5.5, 0, np.nan, 6, -6, np.inf], dtype)
    y = np.array([2, 2, -2, -2, 3, 1, 2, 2, 1], dtype)
    graph, feeds = one_node("Mod", [x, y], fmod=fmod)
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
