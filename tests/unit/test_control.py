"""If and Loop through a model: planned, folded, interpreted."""

from __future__ import annotations

import numpy as np
import pytest

import rnnrt.runtime.session
from rnnrt import Model, ShapeError, UnsupportedModelError
from rnnrt.ir import Graph, Node, Value

F32, I64, BOOL = np.dtype("float32"), np.dtype("int64"), np.dtype("bool")
X = np.array([[-1.5, 2.0, 0.25]], F32)


def branch(op: str, *names: str, output: str) -> Graph:
    """A body of one node that reads outer values."""
    return Graph((), (Value(output, F32),), (Node(op, names, (output,)),), name=output)


def choice(then: Graph, other: Graph, condition: str = "c", before: tuple[Node, ...] = (), **constants) -> Graph:
    """y = -(then or else)(t), t = tanh(x)."""
    return Graph(
        (Value("x", F32, (None, 3)), Value("c", BOOL, ())),
        (Value("y", F32),),
        (
            *before,
            Node("Tanh", ("x",), ("t",)),
            Node("If", (condition,), ("picked",), {"then_branch": then, "else_branch": other}, "switch"),
            Node("Neg", ("picked",), ("y",)),
        ),
        constants,
    )


def test_both_branches_are_planned():
    graph = choice(branch("Abs", "t", output="a"), branch("Add", "t", "x", output="b"))
    model = Model.from_graph(graph)
    for condition, want in ((True, -np.abs(np.tanh(X))), (False, -(np.tanh(X) + X)), (True, -np.abs(np.tanh(X)))):
        np.testing.assert_allclose(model(X, np.array(condition)), want, rtol=1e-6)
    _, plan = model._session.plan_for({"x": (1, 3), "c": ()})
    assert plan is not None
    assert [row[0] for row in plan.instructions].count("branch") == 1


def test_a_constant_condition_leaves_no_choice():
    graph = choice(
        branch("Abs", "t", output="a"), branch("Add", "t", "x", output="b"), condition="no", no=np.array(False)
    )
    model = Model.from_graph(graph)
    np.testing.assert_allclose(model(X, np.array(True)), -(np.tanh(X) + X), rtol=1e-6)
    folded, _ = model._session.plan_for({"x": (1, 3), "c": ()})
    assert "If" not in {node.op for node in folded.nodes}


def test_branches_nest():
    inner = Graph(
        (),
        (Value("i", F32),),
        (
            Node("Not", ("c",), ("nc",)),
            Node(
                "If",
                ("nc",),
                ("i",),
                {"then_branch": branch("Exp", "t", output="e"), "else_branch": branch("Abs", "t", output="f")},
            ),
        ),
    )
    model = Model.from_graph(choice(branch("Neg", "t", output="a"), inner))
    np.testing.assert_allclose(model(X, np.array(True)), np.tanh(X), rtol=1e-6)
    np.testing.assert_allclose(model(X, np.array(False)), -np.exp(np.tanh(X)), rtol=1e-6)


def test_branches_of_different_shapes():
    wide = branch("Concat", "t", "t", output="a")
    wide = wide.replace(nodes=(Node("Concat", ("t", "t"), ("a",), {"axis": 1}),))
    model = Model.from_graph(choice(wide, branch("Abs", "t", output="b")))
    t = np.tanh(X)
    np.testing.assert_allclose(model(X, np.array(True)), -np.concatenate([t, t], 1), rtol=1e-6)
    np.testing.assert_allclose(model(X, np.array(False)), -np.abs(t), rtol=1e-6)


def test_a_small_integer_that_decides_gets_plans_of_its_own(monkeypatch):
    made = []
    lower = rnnrt.runtime.session.lower
    monkeypatch.setattr(rnnrt.runtime.session, "lower", lambda g, *rest: made.append(g) or lower(g, *rest))
    graph = choice(
        branch("Abs", "t", output="a"),
        branch("Exp", "t", output="b"),
        condition="is16k",
        before=(Node("Equal", ("rate", "known"), ("is16k",)),),
        known=np.array(16000),
    )
    graph = graph.replace(inputs=(graph.inputs[0], Value("rate", I64, ())))
    model = Model.from_graph(graph)
    for rate in [16000, 8000, 16000, *range(40)]:
        want = np.abs(np.tanh(X)) if rate == 16000 else np.exp(np.tanh(X))
        np.testing.assert_allclose(model(X, np.array(rate)), -want, rtol=1e-6)
    assert {node.op for node in made[0].nodes} - {"Identity"} == {"Tanh", "Abs", "Neg"}
    assert len(made) == rnnrt.runtime.session.MAX_VALUE_PLANS + 1


def test_a_condition_of_many_values_is_refused():
    graph = choice(branch("Abs", "t", output="a"), branch("Exp", "t", output="b"))
    for dtype, shape in ((BOOL, (2,)), (BOOL, (0,)), (I64, ())):
        with pytest.raises(ShapeError, match=r"If node 'switch'.*condition must be one bool"):
            Model.from_graph(graph.replace(inputs=(graph.inputs[0], Value("c", dtype, shape))))
    free = Model.from_graph(graph.replace(inputs=(graph.inputs[0], Value("c", BOOL, None))))
    with pytest.raises(ShapeError, match=r"If node 'switch'.*condition must be one bool"):
        free(X, np.array([True, False]))


def test_branches_that_disagree_are_refused():
    graph = choice(branch("Abs", "t", output="a"), Graph((), (), ()))
    with pytest.raises(ShapeError, match=r"If node 'switch': its branches give 1 and 0 outputs"):
        Model.from_graph(graph)


def test_what_a_branch_cannot_do_is_said_at_once():
    graph = choice(branch("Fly", "t", output="a"), branch("Swim", "t", output="b"))
    with pytest.raises(UnsupportedModelError, match=r"Fly node 'a'.*\n.*Swim node 'b'"):
        Model.from_graph(graph)


def counting(limit: np.ndarray | None) -> Graph:
    """Doubles `v` while it is below `top`; scans what it saw."""
    body = Graph(
        (Value("i", I64, ()), Value("go", BOOL, ()), Value("v", F32, ())),
        (Value("again", BOOL), Value("w", F32), Value("seen", F32)),
        (
            Node("Add", ("v", "v"), ("w",)),
            Node("Less", ("w", "top"), ("again",)),
            Node("Neg", ("v",), ("seen",)),
        ),
    )
    return Graph(
        (Value("start", F32, ()), Value("top", F32, ())),
        (Value("end", F32), Value("trail", F32)),
        (Node("Loop", ("" if limit is None else "limit", "yes", "start"), ("end", "trail"), {"body": body}, "loop"),),
        {"yes": np.array(True), **({} if limit is None else {"limit": limit})},
    )


@pytest.mark.parametrize(
    ("limit", "end", "trail"), [(None, 24, [-3, -6, -12]), (2, 12, [-3, -6]), (0, 3, [])], ids=["while", "for", "none"]
)
def test_a_loop_runs_its_body(limit, end, trail):
    model = Model.from_graph(counting(None if limit is None else np.array(limit)))
    got_end, got_trail = model(np.float32(3), np.float32(20))
    assert got_end == end
    np.testing.assert_array_equal(got_trail, trail)
