"""What holds for the backward pass as a whole: who has a rule, what is computed, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import GradientContext, Operator, TensorSpec, get_operator, operator_names
from rnnrt.ops.base import Flat
from rnnrt.ops.elementwise import Elementwise, Unary
from rnnrt.ops.elementwise_gradients import RULES
from rnnrt.ops.unary_gradient import DERIVATIVES
from rnnrt.passes import specialise
from rnnrt.training.backward import Backward, differentiate
from tests.gradients.support import check_gradients, joint_graph
from tests.support import ISAS, compiled, one_node

F64 = np.dtype(np.float64)
RNG = np.random.default_rng(5)

WITHOUT_RULE = {
    **dict.fromkeys(
        [
            "AveragePoolGradient", "ConvWeightGradient", "GRUGradient", "GatherGradient", "LSTMGradient",
            "MaxPoolGradient", "NormalizationGradient", "ProductGradient", "RNNGradient", "UnaryGradient",
        ],
        "part of a backward pass, which is not differentiated again",
    ),
    "Python": "calls a function of the user's, whose derivative is not known",
    "Compress": "has a static shape only where its condition is a constant",
    "DequantizeLinear": "reads integers, and its scale is measured rather than trained",
    **dict.fromkeys(["DFT", "STFT"], "stands before a network, where nothing is trained"),
}  # fmt: skip
NOTHING_FLOWS = {
    **dict.fromkeys(["ArgMax", "ArgMin", "NonZero", "Shape", "Size"], "gives integers"),
    **dict.fromkeys(
        ["And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor"],
        "gives truth values",
    ),
    **dict.fromkeys(["Ceil", "Floor", "Round", "Sign"], "is a step function"),
    **dict.fromkeys(["Constant", "ConstantOfShape", "EyeLike"], "does not read the values of its inputs"),
    **dict.fromkeys(
        ["BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix"], "reads sizes, and gives constants"
    ),
    "QuantizeLinear": "gives integers",
    "Range": "has a static shape only where its inputs are constants",
    "RandomMask": "reads integers",
}


def has_rule(name: str) -> bool:
    return get_operator(name).gradient.__func__ is not Operator.gradient.__func__  # type: ignore[attr-defined]


def is_flat(name: str) -> bool:
    operator = get_operator(name)
    if issubclass(operator, Flat):
        return True
    if issubclass(operator, Unary):
        return name not in DERIVATIVES and name != "Neg"
    return issubclass(operator, Elementwise) and name not in RULES


def test_every_operator_has_a_rule_or_a_reason() -> None:
    names = set(operator_names(internal=True))
    assert {name for name in names if not has_rule(name)} == set(WITHOUT_RULE)
    assert {name for name in names if is_flat(name)} == set(NOTHING_FLOWS)


def backward(graph: Graph, wanted: list[str], output: str = "y0") -> tuple[Backward, list[Node]]:
    """The backward pass, and the nodes that it adds."""
    graph, specs = specialise(graph, {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs})
    back = differentiate(graph, specs, {output: "seed"}, wanted)
    return back, [n for n in back.nodes if any(o.startswith("gradient/") for o in n.outputs)]


def inputs_of(op: str) -> tuple[list[Any], dict[str, Any], tuple[int, ...]]:
    """Inputs, attributes and positions of constants of an operator that has several differentiable inputs."""
    x, c = RNG.uniform(0.5, 1, (2, 4, 4)), RNG.uniform(0.5, 1, 4)
    table: dict[str, Any] = {
        "Gemm": ([x[0], x[1], c],),
        "MatMul": ([x, x],),
        "Conv": ([x, RNG.uniform(0.5, 1, (4, 4, 2)), c],),
        "ConvTranspose": ([x, RNG.uniform(0.5, 1, (4, 4, 2)), c],),
        "LayerNormalization": ([x, c, c],),
        "GroupNormalization": ([x, c, c], {"num_groups": 2}),
        "InstanceNormalization": ([x, c, c],),
        "BatchNormalization": ([x, c, c, c, c],),
        "Concat": ([x, x], {"axis": 1}),
        "Einsum": ([x, x], {"equation": "abc,abd->acd"}),
        "Where": ([x > 0.7, x, x],),
        "Clip": ([x, np.array(0.6), np.array(0.8)],),
        "ScatterND": ([x, np.array([[0]]), x[:1]],),
        "ScatterElements": ([x, np.zeros((1, 4, 4), np.int64), x[:1]],),
        "Pad": ([x, np.array([0, 0, 1, 0, 0, 1]), np.array(0.5)], {}, (1,)),
    }
    entry = table.get(op, ([x, x],))
    return entry[0], *(entry[1:2] or ({},)), *(entry[2:3] or ((),))


@pytest.mark.parametrize(
    "op",
    ["Add", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "Div", "Einsum", "Gemm",
     "GroupNormalization", "InstanceNormalization", "LayerNormalization", "MatMul", "Max", "Mean", "Min", "Mod", "Mul",
     "PRelu", "Pad", "Pow", "ScatterElements", "ScatterND", "Sub", "Sum", "Where"],
)  # fmt: skip
def test_gradients_that_nobody_wants_are_not_computed(op: str) -> None:
    arrays, attrs, constant = inputs_of(op)
    graph, _ = one_node(op, arrays, 1, constant, **attrs)
    floats = [f"x{i}" for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    everything = {tuple(g) for g in (backward(graph, floats)[0].gradients,)}
    assert everything == {tuple(floats)}
    for name in floats:
        back, added = backward(graph, [name])
        assert list(back.gradients) == [name]
        used = {i for n in added for i in n.inputs}
        final = set(back.gradients.values())
        idle = [n for n in added if not any(o in used or o in final for o in n.outputs if o)]
        assert not idle, f"{op}: for {name} alone these are computed in vain: {[n.op for n in idle]}"


def test_a_dense_layer_needs_no_transpose_and_one_product_for_its_weights() -> None:
    graph, _ = one_node("MatMul", [RNG.random((5, 3, 4)), RNG.random((4, 2))])
    _, added = backward(graph, ["x0", "x1"])
    products = [(n.op, dict(n.attrs)) for n in added if n.op != "Reshape"]
    assert products == [("Gemm", {"transB": 1}), ("Gemm", {"transA": 1})]


def test_nothing_flows_through_steps() -> None:
    nodes = (
        Node("Greater", ("x", "zero"), ("mask",), {}, "greater"),
        Node("CastLike", ("mask", "zero"), ("gate",), {}, "cast"),
        Node("Floor", ("x",), ("whole",), {}, "floor"),
        Node("Mul", ("x", "gate"), ("a",), {}, "mul"),
        Node("Add", ("a", "whole"), ("y",), {}, "add"),
    )
    graph = Graph((Value("x", F64, (4,)),), (Value("y", F64),), nodes, {"zero": np.zeros(())})
    found = check_gradients(graph, {"x": np.array([-1.5, 0.5, 2.5, -0.3])}, ["x"], ["y"])
    assert np.count_nonzero(found["x"]) == 2


def test_a_value_that_is_read_twice() -> None:
    nodes = (
        Node("Tanh", ("x",), ("t",), {}, "tanh"),
        Node("Mul", ("t", "t"), ("square",), {}, "mul"),
        Node("MatMul", ("square", "w"), ("p",), {}, "product"),
        Node("Add", ("p", "t"), ("s",), {}, "add"),
        Node("ReduceMean", ("s",), ("y",), {"keepdims": 0}, "mean"),
    )
    values = (Value("x", F64, (3, 4)), Value("w", F64, (4, 4)))
    graph = Graph(values, (Value("y", F64), Value("s", F64)), nodes)
    feeds = {"x": RNG.standard_normal((3, 4)), "w": RNG.standard_normal((4, 4))}
    check_gradients(graph, feeds, ["x", "w"], ["y", "s"])


@pytest.mark.parametrize(
    ("op", "shapes", "attrs"),
    [
        ("Add", [(0, 3), (3,)], {}),
        ("Mul", [(0, 3), (1, 3)], {}),
        ("Max", [(0, 3), (1, 1)], {}),
        ("MatMul", [(0, 3), (3, 2)], {}),
        ("MatMul", [(2, 0), (0, 2)], {}),
        ("MatMul", [(2, 0, 3), (2, 3, 2)], {}),
        ("Gemm", [(0, 3), (3, 2), (2,)], {}),
        ("Softmax", [(0, 3)], {}),
        ("ReduceSum", [(0, 3)], {}),
        ("Concat", [(0, 3), (2, 3)], {"axis": 0}),
        ("LayerNormalization", [(0, 3), (3,), (3,)], {}),
        ("Sigmoid", [(0, 3)], {}),
        ("Transpose", [(0, 3)], {}),
    ],
)
def test_empty_tensors(op: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any]) -> None:
    graph, feeds = one_node(op, [RNG.random(shape) for shape in shapes], **attrs)
    check_gradients(graph, feeds, [v.name for v in graph.inputs], ["y0"])


def test_control_flow_is_refused() -> None:
    def body(k: int) -> Graph:
        return Graph((), (Value(f"b{k}", F64),), (Node("Exp" if k else "Tanh", ("x",), (f"b{k}",), {}, "f"),))

    nodes = (
        Node("Exp", ("w",), ("x",), {}, "exp"),
        Node("If", ("c",), ("z",), {"then_branch": body(0), "else_branch": body(1)}, "choice"),
        Node("Mul", ("z", "x"), ("y0",), {}, "mul"),
    )
    values = (Value("w", F64, (3,)), Value("c", np.dtype(bool), ()))
    graph = Graph(values, (Value("y0", F64),), nodes)
    # Bodies read x from outside; it is no input of the node.
    with pytest.raises(UnsupportedModelError, match=r"If node 'choice': .* make its condition a constant"):
        backward(graph, ["w"])
    nodes = (Node("Loop", ("n", "", "w"), ("y0",), {"body": loop_body()}, "recurrence"),)
    values = (Value("w", F64, (3,)), Value("n", np.dtype(np.int64), ()))
    with pytest.raises(UnsupportedModelError, match="Loop node 'recurrence': its bodies cannot be trained through"):
        backward(Graph(values, (Value("y0", F64),), nodes), ["w"])


def loop_body() -> Graph:
    state = Value("h", F64, (3,))
    inputs = (Value("i", np.dtype(np.int64), ()), Value("go", np.dtype(bool), ()), state)
    nodes = (Node("Identity", ("go",), ("on",), {}, "on"), Node("Tanh", ("h",), ("next",), {}, "tanh"))
    return Graph(inputs, (Value("on", np.dtype(bool), ()), Value("next", F64, (3,))), nodes)


def test_reductions_of_a_scatter_are_refused() -> None:
    arrays = [RNG.random((3, 2)), np.array([[0]]), RNG.random((1, 2))]
    graph, _ = one_node("ScatterND", arrays, reduction="max")
    with pytest.raises(UnsupportedModelError, match="reduction 'max' has no gradient; only 'none' and 'add' have"):
        backward(graph, ["x0"])


def test_a_diagonal_is_refused() -> None:
    graph, _ = one_node("Einsum", [RNG.random((3, 3))], equation="ii->i")
    with pytest.raises(UnsupportedModelError, match="takes a diagonal or holds an ellipsis"):
        backward(graph, ["x0"])


def test_the_checker_finds_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, feeds = one_node("Tanh", [RNG.random((3,))])

    def wrong(node: Node, grads: list[str], b: GradientContext) -> list[str]:
        return [b.op("Mul", [grads[0], node.outputs[0]])]

    check_gradients(graph, feeds, ["x0"], ["y0"])
    monkeypatch.setattr(get_operator("Tanh"), "gradient", wrong)
    with pytest.raises(AssertionError, match="gradient of x0"):
        check_gradients(graph, feeds, ["x0"], ["y0"])


def test_the_checker_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, feeds = one_node("Tanh", [RNG.random((3,))])
    monkeypatch.setitem(get_operator("UnaryGradient").lower.__globals__["OPCODES"], "Tanh", 3)
    with pytest.raises(AssertionError, match="compiled gradient of x0"):
        check_gradients(graph, feeds, ["x0"], ["y0"])


def test_gradients_of_gather_are_the_same_bits_for_every_isa() -> None:
    table, indices = RNG.standard_normal((7, 33)), RNG.integers(-7, 7, (40, 3))
    graph, feeds = one_node("Gather", [table, indices])
    joint = joint_graph(graph, feeds, ["x0"], ["y0"], np.float32)
    arrays = {v.name: RNG.standard_normal(v.shape).astype(np.float32) for v in joint.graph.inputs}
    arrays["x1"] = indices
    first, *others = [compiled(joint.graph, arrays, isa)[0] for isa in ISAS]
    want = np.zeros((7, 33), np.float32)
    for row, index in zip(arrays["seed/y0"].reshape(-1, 33), indices.ravel(), strict=True):
        want[index] += row
    np.testing.assert_array_equal(first, want)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_onnx_files_cannot_name_internal_operators() -> None:
    onnx = pytest.importorskip("onnx")
    from rnnrt.formats.onnx_import import graph_from_proto

    node = onnx.helper.make_node("RandomMask", ["x"], ["y"])
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [2]) for name in "xy"]
    proto = onnx.helper.make_model(onnx.helper.make_graph([node], "g", info[:1], info[1:]))
    with pytest.raises(UnsupportedModelError, match="operator RandomMask is not supported"):
        graph_from_proto(proto, "file.onnx", None)


def test_shapes_that_depend_on_data_are_refused() -> None:
    x = Value("x", np.dtype(np.float64), (None, 3))
    nodes = (Node("ReduceSum", ("x", "axes"), ("y",), {"keepdims": 0}, "sum"),)
    graph = Graph((x,), (Value("y", np.dtype(np.float64), (None,)),), nodes, {"axes": np.array([1])})
    specs = {"x": TensorSpec(x.dtype, (None, 3)), "axes": TensorSpec(np.dtype(np.int64), (1,), np.array([1]))}
    specs["y"] = TensorSpec(x.dtype, (None,))
    with pytest.raises(UnsupportedModelError, match=r"ReduceSum node 'sum'.*depends on data"):
        differentiate(graph, specs, {"y": "seed"}, ["x"])
