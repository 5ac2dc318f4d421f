"""Matrix products: kernels against float64 references on every instruction set, and one answer for any grouping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import ShapeError
from rnnrt.ops.evaluate import evaluate
from tests.support import ISAS, assert_close, compiled, one_node, oracle

RNG = np.random.default_rng(11)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 27), depth=st.integers(1, 35), columns=st.integers(1, 70), constant=st.booleans())
def test_matmul_equals_the_reference(isa: str, dtype: str, rows: int, depth: int, columns: int, constant: bool) -> None:
    graph, feeds = one_node(
        "MatMul", [array(rows, depth, dtype=dtype), array(depth, columns, dtype=dtype)], 1, [1] if constant else []
    )
    assert_close(compiled(graph, feeds, isa)[0], oracle(graph, feeds)[0], 2e-6 if dtype == "float32" else 1e-14)


SHAPES = [((4, 5), (5,)), ((5,), (5, 3)), ((5,), (5,)), ((2, 3, 4, 5), (5, 18)), ((2, 3, 4, 5), (3, 5, 6)),
          ((2, 1, 4, 5), (3, 5, 20)), ((4, 5), (2, 5, 33)), ((1, 4, 5), (2, 5, 3))]  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_matmul_broadcasts_as_numpy(isa: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = array(*shapes[0]), array(*shapes[1])
    graph, feeds = one_node("MatMul", [a, b])
    np.testing.assert_allclose(evaluate(graph, feeds)[0], np.matmul(a, b), rtol=1e-6)
    assert_close(compiled(graph, feeds, isa)[0], np.matmul(a.astype("f8"), b.astype("f8")), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (), (1,), (19,), (1, 19)])
def test_gemm_equals_numpy(isa: str, transposed: int, bias: tuple[int, ...] | None) -> None:
    a, b = array(7, 13), array(*((19, 13) if transposed else (13, 19)))
    c = None if bias is None else array(*bias)
    graph, feeds = one_node("Gemm", [a, b, c], 1, [1] if c is None else [1, 2], alpha=0.5, beta=2.0, transB=transposed)
    want = 0.5 * (a.astype("f8") @ (b.T if transposed else b)) + (0 if c is None else 2 * c.astype("f8"))
    assert_close(compiled(graph, feeds, isa)[0], want, 2e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_gemm_with_everything_computed(isa: str) -> None:
    a, b, c = array(13, 7), array(13, 19), array(7, 19)
    graph, feeds = one_node("Gemm", [a, b, c], transA=1)
    assert_close(compiled(graph, feeds, isa, native=False)[0], a.T.astype("f8") @ b + c, 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40), depth=st.one_of(st.integers(1, 40), st.sampled_from([95, 96, 97, 200])),
    columns=st.integers(1, 70), turned=st.sampled_from(["", "A", "B"]), bias=st.sampled_from([None, 1, 2]),
)  # fmt: skip
def test_gemm_of_computed_operands(
    isa: str, dtype: str, rows: int, depth: int, columns: int, turned: str, bias: int | None
) -> None:
    a, b = array(rows, depth, dtype=dtype), array(depth, columns, dtype=dtype)
    c = None if bias is None else array(*(1, columns)[-bias:], dtype=dtype)
    want = a.astype("f8") @ b + (0 if c is None else c)
    a, b = np.ascontiguousarray(a.T) if turned == "A" else a, np.ascontiguousarray(b.T) if turned == "B" else b
    graph, feeds = one_node("Gemm", [a, b, c], transA=int(turned == "A"), transB=int(turned == "B"))
    assert_close(compiled(graph, feeds, isa)[0], want, 5e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("isa", ISAS)
def test_rows_do_not_depend_on_their_batch(isa: str) -> None:
    a, b = array(100, 67), array(67, 41)
    graph, feeds = one_node("MatMul", [a, b], 1, [1])
    whole = compiled(graph, feeds, isa)[0]
    for start, stop in ((0, 1), (3, 5), (7, 20), (50, 100)):
        graph, feeds = one_node("MatMul", [a[start:stop], b], 1, [1])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], whole[start:stop])
        graph, feeds = one_node("MatMul", [a[start:stop], b])
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], whole[start:stop])


def test_what_does_not_fit_is_named() -> None:
    graph, feeds = one_node("MatMul", [array(3, 4), array(5, 6)])
    with pytest.raises(ShapeError, match=r"MatMul node 'node': shapes \(3, 4\) and \(5, 6\) do not fit: 4 is not 5"):
        compiled(graph, feeds, ISAS[0])


def test_einsum_equals_numpy() -> None:
    a, b = array(2, 3, 4), array(2, 4, 5)
    graph, feeds = one_node("Einsum", [a, b], equation="bij, bjk -> bik")
    np.testing.assert_allclose(compiled(graph, feeds, ISAS[-1], native=False)[0], a @ b, rtol=1e-5, atol=1e-5)
