"""Padding from the array itself, scattering, and gathering of elements, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import RnnrtError
from rnnrt.ops.evaluate import evaluate
from tests.support import ISAS, compiled, one_node, oracle

DTYPES = [np.float32, np.float64, np.int64, np.bool_, np.int16]


def check(isa: str, op: str, inputs: list[Any], constant: list[int] | None = None, **attrs: Any) -> None:
    graph, feeds = one_node(op, inputs, 1, constant or [], **attrs)
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], evaluate(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_pad(isa: str, mode: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    x = np.arange(np.prod(shape)).reshape(shape).astype(data.draw(st.sampled_from(DTYPES)))
    pads = [[data.draw(st.integers(-((d - 1) // 2), d - 1)) for d in shape] for _ in range(2)]
    check(isa, "Pad", [x, np.array(pads).ravel()], [1], mode=mode)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_pad_by_more_than_there_is(isa: str, mode: str) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    want = np.pad(x, [(0, 0), (7, 8)], mode=mode)  # type: ignore[call-overload]
    graph, feeds = one_node("Pad", [x, np.array([0, 7, 0, 8])], 1, [1], mode=mode)
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], want)
    check(isa, "Pad", [x[:, :1], np.array([1, 2, 1, 2])], [1], mode=mode)


def draw_indices(data: st.DataObject, extents: list[int], shape: list[int]) -> np.ndarray:
    """Tuples of indices into these extents, from either end."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    columns = [rng.integers(-d, d, shape) for d in extents]
    return np.stack(columns, -1).astype(data.draw(st.sampled_from([np.int32, np.int64])))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_scatter_nd(isa: str, reduction: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    depth = data.draw(st.integers(1, len(shape)))
    indices = draw_indices(data, shape[:depth], data.draw(st.lists(st.integers(0, 4), max_size=2)))
    dtype = data.draw(st.sampled_from(DTYPES if reduction == "none" else DTYPES[:3]))
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    updates = np.arange(100, 100 + np.prod((*indices.shape[:-1], *shape[depth:]), dtype=int))
    updates = updates.reshape((*indices.shape[:-1], *shape[depth:])).astype(dtype)
    check(isa, "ScatterND", [x, indices, updates], reduction=reduction)


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_gather_nd(isa: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    batch = data.draw(st.integers(0, len(shape) - 1))
    depth = data.draw(st.integers(1, len(shape) - batch))
    rest = data.draw(st.lists(st.integers(0, 4), max_size=2))
    indices = draw_indices(data, shape[batch : batch + depth], shape[:batch] + rest)
    x = np.arange(np.prod(shape)).reshape(shape).astype(data.draw(st.sampled_from(DTYPES)))
    check(isa, "GatherND", [x, indices], batch_dims=batch)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_elements(isa: str, reduction: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    inner = [data.draw(st.integers(1, d)) for d in shape]
    inner[axis] = data.draw(st.integers(0, shape[axis]))
    indices = draw_indices(data, [shape[axis]], inner)[..., 0]
    if reduction == "none":  # of equal indices numpy does not say which one wins
        order = np.argsort(np.random.default_rng(0).random(inner), axis)
        indices = order.astype(np.int64)
    dtype = data.draw(st.sampled_from(DTYPES if reduction == "none" else DTYPES[:3]))
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    check(isa, "GatherElements", [x, indices], axis=axis)
    updates = np.arange(50, 50 + indices.size).reshape(indices.shape).astype(dtype)
    check(isa, "ScatterElements", [x, indices, updates], axis=axis, reduction=reduction)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bad", [-4, 3])
def test_an_index_out_of_range_is_an_error(isa: str, bad: int) -> None:
    x, flat = np.zeros((3, 2), np.float32), np.array([[0], [bad]])
    cases: list[tuple[str, list[np.ndarray]]] = [
        ("ScatterND", [x, flat, np.ones((2, 2), np.float32)]),
        ("GatherND", [x, flat]),
        ("ScatterElements", [x, flat, np.ones((2, 1), np.float32)]),
        ("GatherElements", [x, flat]),
    ]
    for op, inputs in cases:
        graph, feeds = one_node(op, inputs)
        with pytest.raises(RnnrtError, match=rf"{op} node 'node'.*out of range"):
            compiled(graph, feeds, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(isa: str, dtype: type, axis: int) -> None:
    for indices in (np.array([[1, -1, 3], [9, -9, 0]]), np.array([[-4, 4]], np.int32), np.zeros((2, 0), np.int64)):
        check(isa, "OneHot", [indices, np.array(4), np.array([0, 1], dtype)], [1], axis=axis)
    check(isa, "OneHot", [np.array([0, 1]), np.array(0), np.array([3, 4], dtype)], [1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 7), (5, 2), (1, 1), (0, 3), (3, 0)])
def test_triangles(isa: str, upper: int, shape: tuple[int, ...]) -> None:
    x = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    for k in range(-8, 9):
        check(isa, "Trilu", [x, np.array(k)], [1], upper=upper)
    check(isa, "Trilu", [x], upper=upper)


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_constant_indices(isa: str, data: st.DataObject) -> None:
    """Assignments to slices as exporters write them, and scattered tuples, known when the plan is made."""
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    depth = data.draw(st.integers(1, len(shape)))
    if data.draw(st.booleans()):
        ranges = [np.arange(*sorted((data.draw(st.integers(0, d)), d))) for d in shape[:depth]]
        indices = np.stack(np.meshgrid(*ranges, indexing="ij"), -1)
    else:
        indices = np.stack([np.array(data.draw(st.permutations(range(shape[0]))))] * depth, -1) % shape[:depth]
        indices = np.unique(indices, axis=0)[::-1] - np.array(shape[:depth])
    x = np.arange(np.prod(shape)).reshape(shape).astype(data.draw(st.sampled_from(DTYPES)))
    updates = np.arange(100, 100 + np.prod(indices.shape[:-1]) * np.prod(shape[depth:]))
    updates = updates.reshape(*indices.shape[:-1], *shape[depth:]).astype(x.dtype)
    graph, feeds = one_node("ScatterND", [x, indices.astype(np.int64), updates], constant=[1])
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
    wrong, _ = one_node("ScatterND", [x, indices.astype(np.int64) * 0 + shape[0], updates], constant=[1])
    if indices.size:
        with pytest.raises(RnnrtError, match="out of range"):
            compiled(wrong, feeds, isa)
