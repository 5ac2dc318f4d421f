"""Pools, and walks along one axis, against the references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnrt import RnnrtError
from rnnrt.ops.evaluate import evaluate
from tests.support import ISAS, assert_close, compiled, one_node, oracle

RNG = np.random.default_rng(8)
EXTENTS = st.sampled_from([1, 2, 3, 5, 8, 9, 17])
NUMBERS = [np.float32, np.float64, np.int32, np.int64]


def draw_pool(data: st.DataObject, average: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """An input, and a window that fits it."""
    rank = data.draw(st.integers(1, 3))
    extents = [data.draw(st.integers(1, 11)) for _ in range(rank)]
    kernel = [data.draw(st.integers(1, 4)) for _ in range(rank)]
    attrs: dict[str, Any] = {"kernel_shape": tuple(kernel)}
    attrs["strides"] = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    attrs["dilations"] = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    attrs["ceil_mode"] = data.draw(st.integers(0, 1))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, attrs["dilations"], strict=True)]
    if data.draw(st.booleans()):
        attrs["pads"] = tuple(data.draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
        pads = zip(attrs["pads"][:rank], attrs["pads"][rank:], strict=True)
        assume(all(e + sum(p) >= s for e, p, s in zip(extents, pads, spans, strict=True)))
    else:
        attrs["auto_pad"] = data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        assume(attrs["auto_pad"] != "VALID" or all(e >= s for e, s in zip(extents, spans, strict=True)))
    if average:
        attrs["count_include_pad"] = data.draw(st.integers(0, 1))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    shape = (data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3)), *extents)
    return RNG.standard_normal(shape).astype(dtype), attrs


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_max_pool(isa: str, data: st.DataObject) -> None:
    x, attrs = draw_pool(data, average=False)
    assume(x.size)
    graph, feeds = one_node("MaxPool", [x], data.draw(st.integers(1, 2)), **attrs)
    want = evaluate(graph, feeds)
    assume(np.isfinite(want[0]).all())  # a window wholly in the padding
    for got, expected in zip(compiled(graph, feeds, isa), want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_average_pool(isa: str, data: st.DataObject) -> None:
    x, attrs = draw_pool(data, average=True)
    graph, feeds = one_node("AveragePool", [x], **attrs)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 2e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_pools_let_nan_through(isa: str) -> None:
    x = np.array([[[1, np.nan, 3, -np.inf, -np.inf, 2, np.inf, 0]]], np.float32)
    for op in ("MaxPool", "AveragePool"):
        graph, feeds = one_node(op, [x], kernel_shape=(2,), strides=(1,))
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(2, 3, 37), (1, 5, 4, 9), (2, 3)])
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(isa: str, shape: tuple[int, ...], op: str) -> None:
    graph, feeds = one_node(op, [RNG.standard_normal(shape).astype(np.float32)])
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 1e-6)


def draw_array(data: st.DataObject) -> tuple[np.ndarray, int]:
    """An array with many equal elements, and an axis of it."""
    shape = data.draw(st.lists(EXTENTS, min_size=1, max_size=3))
    x = RNG.integers(-4, 5, shape).astype(data.draw(st.sampled_from(NUMBERS)))
    if x.dtype.kind == "f" and data.draw(st.booleans()):
        x[RNG.random(shape) < 0.1] = np.nan
    return x, data.draw(st.integers(-len(shape), len(shape) - 1))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_places_of_extremes(isa: str, op: str, data: st.DataObject) -> None:
    x, axis = draw_array(data)
    attrs = {key: data.draw(st.integers(0, 1)) for key in ("keepdims", "select_last_index")}
    graph, feeds = one_node(op, [x], axis=axis, **attrs)
    got = compiled(graph, feeds, isa)[0]
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_running_sums(isa: str, data: st.DataObject) -> None:
    x, axis = draw_array(data)
    attrs = {key: data.draw(st.integers(0, 1)) for key in ("exclusive", "reverse")}
    graph, feeds = one_node("CumSum", [x, np.array(axis)], 1, [1], **attrs)
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("largest", [0, 1])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_k_best(isa: str, largest: int, data: st.DataObject) -> None:
    x, axis = draw_array(data)
    k = data.draw(st.integers(0, x.shape[axis]))
    outputs = data.draw(st.integers(1, 2))
    graph, feeds = one_node("TopK", [x, np.array([k])], outputs, [1], axis=axis, largest=largest)
    for got, want in zip(compiled(graph, feeds, isa), oracle(graph, feeds), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("rest", [(), (5,), (2, 0)])
@pytest.mark.parametrize("axes", [{"time_axis": 0, "batch_axis": 1}, {"time_axis": 1, "batch_axis": 0}])
def test_sequences_backwards(isa: str, dtype: type, rest: tuple[int, ...], axes: dict[str, int]) -> None:
    x = RNG.integers(0, 9, (4, 4, *rest)).astype(dtype)
    for lengths in (np.array([4, 0, 1, 3]), np.array([2, 2, 4, 4], np.int32)):
        graph, feeds = one_node("ReverseSequence", [x, lengths], **axes)
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], evaluate(graph, feeds)[0])
    for bad in (5, -1):
        graph, feeds = one_node("ReverseSequence", [x, np.array([4, 0, bad, 1])], **axes)
        with pytest.raises(RnnrtError, match="ReverseSequence node 'node'"):
            compiled(graph, feeds, isa)
