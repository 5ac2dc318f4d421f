"""Cells in any spelling are lifted, and the lifted graph computes what the written one does."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt.ir import Graph
from rnnrt.models import Model
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import LIFTED, recognise
from tests.lift.spellings import CellWriter, Style, loop, scan, unrolled

SEEDS = st.integers(0, 2**31)
SIZES = st.tuples(st.integers(2, 7), st.integers(2, 9))


@st.composite
def cells(draw: st.DrawFn, inputs: int | None = None) -> CellWriter:
    """A cell of any kind in any spelling."""
    op = draw(st.sampled_from(["LSTM", "GRU", "RNN"]))
    size = draw(SIZES)
    before = draw(st.booleans())
    style = Style(
        fused=draw(st.booleans()),
        joined=draw(st.booleans()),
        gemm=draw(st.booleans()),
        slices=draw(st.booleans()),
        late=draw(st.booleans()),
        update=draw(st.integers(0, 3)),
        inner=draw(st.sampled_from(["Tanh", "Relu", "Softsign"])),
        gate=draw(st.sampled_from(["Sigmoid", "keras hard sigmoid", "relu6", "HardSigmoid"])),
        before=before,
        coupled=draw(st.booleans()),
        peepholes=draw(st.booleans()),
    )
    if op == "GRU" and style.update == 3:
        style = Style(**{**style.__dict__, "gate": "Sigmoid"})
    rng = np.random.default_rng(draw(SEEDS))
    return CellWriter(op, rng, size[0] if inputs is None else inputs, size[1], style)


def operators(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


def check(graph: Graph, sizes: dict[str, int], seed: int = 0) -> Graph:
    """Compare the graph with what it is lifted to, by references in float64 and compiled; the lifted graph."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in graph.inputs:
        shape = [d if isinstance(d, int) else sizes[str(d)] for d in value.shape or ()]
        feeds[value.name] = (
            rng.random(shape) < 0.6 if value.dtype == np.bool_ else rng.standard_normal(shape).astype(np.float32)
        )
    lifted = recognise(graph)
    want = evaluate(graph, feeds, np.float64)
    for got, expected in zip(evaluate(lifted, feeds, np.float64), want, strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)
    for got, expected in zip(Model.from_graph(lifted).run(None, feeds), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)
    return lifted


@settings(max_examples=60, deadline=None)
@given(cells(), st.sampled_from(["", "where", "product"]), SEEDS)
def test_loops(cell: CellWriter, mask: str, seed: int) -> None:
    graph = loop(cell, np.random.default_rng(seed), mask=mask)
    if mask:  # outputs of masked steps repeat the state, which has to start at zero to be what a mask gives
        graph = graph.replace(
            inputs=tuple(v for v in graph.inputs if not v.name.startswith("S")),
            constants={**graph.constants, "S0": np.zeros((3, cell.units), np.float32)}
            | ({"S1": np.zeros((3, cell.units), np.float32)} if cell.op == "LSTM" else {}),
        )
    lifted = check(graph, {"T": 5, "B": 3}, seed)
    found = operators(lifted)
    assert found[cell.op] == 1 and not found["Loop"], lifted.metadata
    assert json.loads(lifted.metadata[LIFTED]) == [f"{cell.op} of {cell.units} units: was a Loop, loop"]


@settings(max_examples=40, deadline=None)
@given(cells(), st.booleans(), SEEDS)
def test_scans(cell: CellWriter, backwards: bool, seed: int) -> None:
    lifted = check(scan(cell, np.random.default_rng(seed), backwards), {"T": 6, "B": 2}, seed)
    assert operators(lifted)[cell.op] == 1 and not operators(lifted)["Scan"]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 5), st.booleans(), st.booleans(), SEEDS)
def test_unrolled(data: st.DataObject, steps: int, zeros: bool, backwards: bool, seed: int) -> None:
    first = data.draw(cells())
    layers = [first, *([data.draw(cells(inputs=first.units))] if data.draw(st.booleans()) else [])]
    graph = unrolled(layers, np.random.default_rng(seed), steps, zeros, backwards)
    lifted = check(graph, {"B": 3}, seed)
    found = operators(lifted)
    assert sum(found[op] for op in ("LSTM", "GRU", "RNN")) == len(layers), found


@settings(max_examples=30, deadline=None)
@given(cells(), SEEDS)
def test_single_steps(cell: CellWriter, seed: int) -> None:
    graph = unrolled([cell], np.random.default_rng(seed), 1, zeros=False, backwards=False)
    lifted = check(graph, {"B": 3}, seed)
    assert operators(lifted)[cell.op] == (cell.op != "RNN")


def test_a_loop_that_ends_elsewhere_stays() -> None:
    cell = CellWriter("GRU", np.random.default_rng(0), 3, 4, Style())
    for shift in (-1, -2):
        graph = loop(cell, np.random.default_rng(1), shift=shift)
        assert operators(check(graph, {"T": 6, "B": 2}))["Loop"] == 1


def test_masked_outputs_that_repeat_a_state_which_is_not_zero_stay() -> None:
    cell = CellWriter("GRU", np.random.default_rng(0), 3, 4, Style())
    graph = loop(cell, np.random.default_rng(1), mask="where")
    assert operators(check(graph, {"T": 6, "B": 2}))["Loop"] == 1


@pytest.mark.parametrize("spoiled", ["gate", "product", "update"])
def test_almost_a_cell_stays(spoiled: str) -> None:
    cell = CellWriter("LSTM", np.random.default_rng(0), 3, 4, Style())
    graph = loop(cell, np.random.default_rng(1))
    (at,) = [k for k, node in enumerate(graph.nodes) if node.op == "Loop"]
    body = graph.nodes[at].attrs["body"]
    nodes = list(body.nodes)
    if spoiled == "gate":
        k = next(k for k, node in enumerate(nodes) if node.op == "Sigmoid")
        nodes[k] = type(nodes[k])("Tanh", nodes[k].inputs, nodes[k].outputs, {}, nodes[k].name)
    elif spoiled == "product":
        k = next(k for k, node in enumerate(nodes) if node.op == "Mul")
        nodes[k] = type(nodes[k])("Max", nodes[k].inputs, nodes[k].outputs, {}, nodes[k].name)
    else:
        k = max(k for k, node in enumerate(nodes) if node.op == "Mul")
        nodes[k] = type(nodes[k])("Add", nodes[k].inputs, nodes[k].outputs, {}, nodes[k].name)
    loops = list(graph.nodes)
    attrs = {"body": body.replace(nodes=tuple(nodes))}
    loops[at] = type(loops[at])("Loop", loops[at].inputs, loops[at].outputs, attrs, "loop")
    lifted = check(graph.replace(nodes=tuple(loops)), {"T": 4, "B": 2})
    assert operators(lifted)["Loop"] == 1


def test_an_error_in_lifting_leaves_the_graph_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = loop(CellWriter("GRU", np.random.default_rng(0), 3, 4, Style()), np.random.default_rng(1))

    def broken(*args: object) -> None:
        raise LookupError("no such thing")

    monkeypatch.setattr("rnnrt.passes.lift", broken)
    found = recognise(graph)
    assert found.nodes == graph.nodes
    assert "LookupError: no such thing" in found.metadata["not_lifted"]
