"""Graphs, the check of them, folding and pruning; and the errors that come of it."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from rnnrt import ModelFormatError, RnnrtError, ShapeError, UnsupportedModelError
from rnnrt.ir import Graph, Node, Value, outer_names
from rnnrt.ops import TensorSpec
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import check, specialise

F32, I64 = np.dtype("float32"), np.dtype("int64")
X = Value("x", F32, ("batch", 3))


def graph(*nodes: Node, outputs: tuple[str, ...] = ("y",), **constants: np.ndarray) -> Graph:
    return Graph((X,), tuple(Value(name, F32) for name in outputs), nodes, constants, name="net")


def test_reasons_come_together_and_once():
    error = UnsupportedModelError("model.onnx", ["a: no", "b: no", "a: no"])
    assert error.reasons == ("a: no", "b: no")
    assert str(error) == "model.onnx cannot be run exactly:\n  - a: no\n  - b: no"
    assert isinstance(error, RnnrtError)
    assert isinstance(ShapeError("x"), ValueError)


def test_graphs_cannot_be_changed():
    g = graph(Node("Neg", ("x",), ("y",)))
    with pytest.raises(FrozenInstanceError):
        g.name = "other"
    assert g.replace(name="other").name == "other"
    assert g.name == "net"
    assert pickle.loads(pickle.dumps(g)) == g


def test_bodies_and_what_they_capture():
    inner = Graph((), (Value("d", F32),), (Node("Add", ("b", "x"), ("d",)),))
    middle = Graph(
        (Value("i", F32),),
        (Value("e", F32), Value("x", F32)),
        (Node("Neg", ("i",), ("b",)), Node("If", ("c", ""), ("e",), {"then_branch": inner, "else_branch": inner})),
        {"k": np.zeros(1, F32)},
    )
    outer = graph(Node("Loop", ("", "", "x"), ("y",), {"body": middle}))
    assert list(outer.subgraphs()) == [middle, inner, inner]
    assert outer_names(middle) == {"c", "x"}
    assert outer_names(outer) == {"c"}


def test_nodes_are_named_by_name_or_output():
    assert Node("Add", ("a", "b"), ("y",), name="sum").label() == "Add node 'sum'"
    assert Node("Split", ("a",), ("", "y")).label() == "Split node 'y'"


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (graph(Node("Neg", ("z",), ("y",))), ModelFormatError, "net: Neg node 'y' reads 'z', which nothing before it"),
        (graph(Node("Neg", ("t",), ("y",)), Node("Neg", ("x",), ("t",))), ModelFormatError, "reads 't', which nothing"),
        (
            graph(Node("Neg", ("x",), ("x",)), outputs=("x",)),
            ModelFormatError,
            "Neg node 'x' defines 'x' a second time",
        ),
        (graph(Node("Neg", ("x",), ("t",))), ModelFormatError, "output 'y' is never computed"),
        (graph(Node("Neg", ("x",), ("y",), {"speed": 9})), UnsupportedModelError, "attribute speed=9 is not known"),
        (graph(Node("Cast", ("x",), ("y",))), UnsupportedModelError, "attribute to is missing"),
        (graph(Node("Neg", ("x", "x"), ("y",))), UnsupportedModelError, "has 2 inputs; it takes 1 to 1"),
        (graph(Node("Ngo", ("x",), ("y",))), UnsupportedModelError, "the operator is not known to rnnrt"),
    ],
)
def test_what_is_not_well_formed_is_refused(broken, error, message):
    with pytest.raises(error, match=message):
        check(broken)


def test_shape_arithmetic_folds_away():
    """Flatten as exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    g = graph(
        Node("Shape", ("x",), ("s",)),
        Node("Gather", ("s", "zero"), ("n",)),
        Node("Unsqueeze", ("n", "axis"), ("n1",)),
        Node("Concat", ("n1", "minus"), ("to",), {"axis": 0}),
        Node("Reshape", ("x", "to"), ("y",)),
        zero=np.array(0),
        axis=np.array([0]),
        minus=np.array([-1]),
    )
    folded, specs = specialise(g, {"x": TensorSpec(F32, (5, 3))})
    assert [node.op for node in folded.nodes] == ["Reshape"]
    np.testing.assert_array_equal(folded.constants["to"], [5, -1])
    assert set(folded.constants) == {"to"}
    assert specs["y"].shape == (5, 3)


def test_weights_that_are_computed_become_weights():
    weights = np.arange(12, dtype=F32).reshape(3, 4)
    g = graph(
        Node("Transpose", ("w",), ("wt",), {"perm": (1, 0)}),
        Node("Slice", ("wt", "from", "to"), ("part",)),
        Node("Neg", ("part",), ("minus",)),
        Node("Gemm", ("x", "minus"), ("y",), {"transB": 1}),
        **{"w": weights, "from": np.array([1]), "to": np.array([3])},
    )
    folded, _ = specialise(g, {"x": TensorSpec(F32, (None, 3))})
    assert [node.op for node in folded.nodes] == ["Gemm"]
    np.testing.assert_array_equal(folded.constants["minus"], -weights.T[1:3])


def test_what_nobody_reads_goes():
    g = graph(
        Node("Exp", ("x",), ("unused",)),
        Node("Neg", ("x",), ("y",)),
        spare=np.zeros(1000, F32),
    )
    folded, _ = specialise(g, {"x": TensorSpec(F32, (1, 3))})
    assert [node.op for node in folded.nodes] == ["Neg"]
    assert not folded.constants


def test_a_small_file_does_not_fold_into_a_large_memory():
    g = graph(
        Node("ConstantOfShape", ("extent",), ("zeros",), {"value": np.zeros(1, F32)}),
        Node("ReduceSum", ("zeros",), ("total",), {"keepdims": 0}),
        Node("Add", ("x", "total"), ("y",)),
        extent=np.array([1 << 20, 1 << 20]),
    )
    folded, _ = specialise(g, {"x": TensorSpec(F32, (1, 3))})
    assert "ConstantOfShape" in {node.op for node in folded.nodes}


def test_references_need_every_input_and_name_the_node():
    g = graph(Node("Add", ("x", "c"), ("y",), {}, "sum"), c=np.zeros(4, F32))
    with pytest.raises(ShapeError, match="input 'x' of graph 'net' is missing"):
        evaluate(g, {})
    with pytest.raises(ShapeError, match=r"Add node 'sum'.*shapes"):
        evaluate(g, {"x": np.zeros((2, 3), F32)})


def test_references_in_float64():
    g = graph(Node("Mul", ("x", "third"), ("y",)), third=np.array(1 / 3, F32))
    x = np.ones((1, 3), F32)
    assert evaluate(g, {"x": x})[0].dtype == F32
    assert evaluate(g, {"x": x}, dtype=np.float64)[0].dtype == np.float64
