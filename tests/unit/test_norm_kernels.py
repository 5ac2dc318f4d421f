"""Normalisation and softmax, against the references in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import ISAS, assert_close, compiled, one_node, oracle

RNG = np.random.default_rng(11)
EXTENTS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33])
REALS = st.sampled_from([np.float32, np.float64])


def tolerance(dtype: type) -> float:
    return 2e-5 if dtype == np.float32 else 1e-12


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=30)
@given(shape=st.lists(EXTENTS, min_size=2, max_size=4), dtype=REALS)
def test_batch_normalisation(isa: str, shape: list[int], dtype: type) -> None:
    x = (RNG.standard_normal(shape) + 30).astype(dtype)
    channels = shape[1]
    scale, bias, mean = (RNG.standard_normal(channels).astype(dtype) for _ in range(3))
    inputs = [x, scale, bias, (mean + 30).astype(dtype), RNG.uniform(0.1, 2, channels).astype(dtype)]
    graph, feeds = one_node("BatchNormalization", inputs, 1, range(1, 5), epsilon=1e-3)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], tolerance(dtype))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_softmax(isa: str, op: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(EXTENTS, min_size=1, max_size=4).filter(lambda s: np.prod(s) < 20000))
    axis, dtype = data.draw(st.integers(-len(shape), len(shape) - 1)), data.draw(REALS)
    graph, feeds = one_node(op, [(10 * RNG.standard_normal(shape)).astype(dtype)], axis=axis)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], tolerance(dtype))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_extremes(isa: str, op: str, axis: int) -> None:
    x = RNG.standard_normal((37, 37)).astype(np.float32)
    x[3, 4], x[9, 20], x[30, 8] = np.nan, np.inf, -np.inf
    x[17] = x[:, 22] = -np.inf
    x[36] = x[:, 36] = 1e30
    graph, feeds = one_node(op, [x], axis=axis)
    got, want = compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0]
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    graph, feeds = one_node(op, [x[:0]], axis=axis)
    assert compiled(graph, feeds, isa)[0].shape == (0, 37)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_bits_do_not_depend_on_the_other_axes(isa: str, dtype: type) -> None:
    x = RNG.standard_normal((41, 23)).astype(dtype)
    graph, feeds = one_node("Softmax", [x], axis=0)
    columns = compiled(graph, feeds, isa)[0]
    graph, feeds = one_node("Softmax", [np.ascontiguousarray(x.T)], axis=1)
    assert compiled(graph, feeds, isa)[0].T.tobytes() == columns.tobytes()
    graph, feeds = one_node("Softmax", [x[:, :1].copy()], axis=0)
    assert compiled(graph, feeds, isa)[0].tobytes() == columns[:, :1].tobytes()


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_layer_normalisation(isa: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(EXTENTS, min_size=1, max_size=4).filter(lambda s: np.prod(s) < 20000))
    axis, dtype = data.draw(st.integers(-len(shape), len(shape) - 1)), data.draw(REALS)
    x = (RNG.standard_normal(shape) + 2).astype(dtype)
    row = x.shape[axis:] if axis < 0 else x.shape[axis % len(shape) :]
    scale, bias = RNG.standard_normal(row).astype(dtype), RNG.standard_normal(row).astype(dtype)
    inputs = [x, scale, bias] if data.draw(st.booleans()) else [x, scale]
    graph, feeds = one_node("LayerNormalization", inputs, data.draw(st.integers(1, 3)), axis=axis, epsilon=1e-3)
    for got, want in zip(compiled(graph, feeds, isa), oracle(graph, feeds), strict=True):
        assert_close(got, want, tolerance(dtype))


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_group_and_instance_normalisation(isa: str, data: st.DataObject) -> None:
    groups, each = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    rest = data.draw(st.lists(EXTENTS, min_size=1, max_size=2))
    dtype = data.draw(REALS)
    x = RNG.standard_normal((data.draw(st.integers(1, 3)), groups * each, *rest)).astype(dtype)
    scale, bias = (RNG.standard_normal(groups * each).astype(dtype) for _ in range(2))
    graph, feeds = one_node("GroupNormalization", [x, scale, bias], num_groups=groups, epsilon=1e-2)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], tolerance(dtype))
    graph, feeds = one_node("InstanceNormalization", [x, scale, bias], epsilon=1e-2)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], tolerance(dtype))
