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
