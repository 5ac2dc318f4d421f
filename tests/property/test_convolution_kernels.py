"""Compiled convolutions against the float64 reference, around register edges, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt._kernels import program
from rnnrt.errors import ShapeError
from rnnrt.plan import Target
from rnnrt.runtime import Session
from tests.support import ISAS, assert_close, compiled, one_node, oracle

Case = dict[str, Any]
cases = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["Conv", "ConvTranspose"]),
        "rank": st.integers(1, 3),
        "batch": st.integers(1, 3),
        "group": st.sampled_from([1, 1, 2, 3]),
        "inside": st.sampled_from([1, 2, 5]),
        "outside": st.sampled_from([1, 3, 7, 8, 9, 15, 16, 17, 25]),
        "auto_pad": st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
        "bias": st.booleans(),
        "dtype": st.sampled_from(["float32", "float32", "float64"]),
        "seed": st.integers(0, 2**31),
    }
)


def make(case: Case) -> tuple[list[np.ndarray | None], dict[str, Any]]:
    rng = np.random.default_rng(case["seed"])
    rank, group = case["rank"], case["group"]
    kernel = rng.integers(1, 4, rank)
    extents = rng.integers(1, {1: 40, 2: 12, 3: 6}[rank], rank) + kernel
    channels, filters = group * case["inside"], group * case["outside"]
    first, second = (filters, channels) if case["op"] == "Conv" else (channels, filters)
    attrs: dict[str, Any] = {"group": group, "auto_pad": case["auto_pad"]}
    attrs["strides"] = tuple(rng.integers(1, 4, rank).tolist())
    attrs["dilations"] = tuple(rng.integers(1, 3, rank).tolist())
    if case["auto_pad"] == "NOTSET":
        attrs["pads"] = tuple(rng.integers(0, 3, 2 * rank).tolist())
        if case["op"] == "ConvTranspose":
            attrs["output_padding"] = tuple(int(rng.integers(0, s)) for s in attrs["strides"])
    x = rng.standard_normal((case["batch"], channels, *extents)).astype(case["dtype"])
    w = rng.standard_normal((first, second // group, *kernel)).astype(case["dtype"])
    b = rng.standard_normal(filters).astype(case["dtype"]) if case["bias"] else None
    return [x, w, b], attrs


@pytest.mark.parametrize("isa", ISAS)
@settings(deadline=None, max_examples=120)
@given(case=cases)
def test_like_the_reference(isa: str, case: Case) -> None:
    operands, attrs = make(case)
    graph, feeds = one_node(case["op"], operands, constant=[1, *([2] if case["bias"] else [])], **attrs)
    try:
        want = oracle(graph, feeds)
    except ShapeError:  # a dilated kernel that does not fit, or padding that cuts everything
        return
    assert_close(compiled(graph, feeds, isa, native=want[0].size > 0)[0], want[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("filters", [5, 16, 40])
def test_the_same_bits_however_long_the_input(isa: str, filters: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 3, 700)).astype(np.float32)
    w, b = rng.standard_normal((filters, 3, 4)).astype(np.float32), rng.standard_normal(filters).astype(np.float32)
    whole = compiled(*one_node("Conv", [x, w, b], constant=[1, 2]), isa)[0]
    for first, length in ((0, 4), (100, 9), (3, 33), (200, 120)):
        piece = np.ascontiguousarray(x[:, :, first : first + length])
        got = compiled(*one_node("Conv", [piece, w, b], constant=[1, 2]), isa)[0]
        np.testing.assert_array_equal(got, whole[:, :, first : first + length - 3])


@pytest.mark.parametrize("isa", ISAS)
def test_one_constant_serves_both_ways(isa: str) -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((1, 4, 9)).astype(np.float32), rng.standard_normal((4, 4, 3)).astype(np.float32)
    graph, feeds = one_node("Conv", [x, w], constant=[1], pads=(1, 1))
    back, _ = one_node("ConvTranspose", [x, w], constant=[1], pads=(1, 1))
    node = back.nodes[0]
    second = type(node)(node.op, ("y0", "x1"), ("z",), node.attrs, "back")
    both = graph.replace(nodes=(*graph.nodes, second), outputs=(type(graph.outputs[0])("z", x.dtype),))
    assert_close(compiled(both, feeds, isa)[0], oracle(both, feeds)[0])


def test_padding_that_cuts_more_than_there_is_is_refused() -> None:
    x, w = np.ones((1, 1, 2), np.float32), np.ones((1, 1, 1), np.float32)
    with pytest.raises(ShapeError, match=r"pads \(2, 2\) cut more than the 2 elements"):
        oracle(*one_node("ConvTranspose", [x, w], constant=[1], pads=(2, 2)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("kernel", "attrs", "is_product"),
    [
        ((1,), {}, True),
        ((4,), {}, True),
        ((2, 3), {}, True),
        ((1, 1), {"dilations": (2, 3)}, True),
        ((4,), {"pads": (0, 2), "strides": (3,)}, True),
        ((4,), {"pads": (1, 0), "strides": (3,)}, False),
        ((4,), {"pads": (0, 3), "dilations": (2,)}, False),
        ((4,), {"group": 2}, False),
    ],
)
def test_a_kernel_as_large_as_its_input(isa: str, kernel: tuple[int, ...], attrs: dict, is_product: bool) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 6, *kernel)).astype(np.float32)
    w = rng.standard_normal((18, 6 // attrs.get("group", 1), *kernel)).astype(np.float32)
    b = rng.standard_normal(18).astype(np.float32)
    graph, feeds = one_node("Conv", [x, w, b], constant=[1, 2], **attrs)
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0])
    _, plan = Session(graph, Target(isa, program.VECTOR_BYTES[isa])).plan_for({"x0": x.shape})
    assert plan is not None
    assert [code[1] for code in plan.instructions] == ["matmul_packed" if is_product else "conv"]
