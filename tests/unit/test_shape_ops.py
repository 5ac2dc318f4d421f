"""Shape, indexing and creating operators: references against onnxruntime, kernels against references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt import RnnrtError, ShapeError
from rnnrt.ops.evaluate import evaluate
from tests.support import ISAS, compiled, one_node

RNG = np.random.default_rng(5)
X = RNG.standard_normal((2, 3, 5)).astype(np.float32)
I64 = np.int64


def i(*values: int) -> np.ndarray:
    return np.array(values, I64)


CASES = {
    "reshape copy": ("Reshape", [X, i(0, -1)], 1, {}),
    "reshape plain": ("Reshape", [X, i(5, 6)], 1, {}),
    "flatten": ("Flatten", [X], 1, {"axis": 2}),
    "flatten all": ("Flatten", [X], 1, {"axis": -3}),
    "squeeze": ("Squeeze", [X[:, :1], i(1)], 1, {}),
    "squeeze all": ("Squeeze", [X[:1, :1]], 1, {}),
    "unsqueeze": ("Unsqueeze", [X, i(0, -1)], 1, {}),
    "transpose": ("Transpose", [X], 1, {"perm": (2, 0, 1)}),
    "transpose default": ("Transpose", [X], 1, {}),
    "transpose last": ("Transpose", [X], 1, {"perm": (0, 2, 1)}),
    "concat": ("Concat", [X, X[:, :2], X[:, 1:]], 1, {"axis": -2}),
    "concat empty": ("Concat", [X, X[:, :0]], 1, {"axis": 1}),
    "split": ("Split", [X, i(1, 0, 4)], 3, {"axis": 2}),
    "split equal": ("Split", [X], 2, {"axis": 2, "num_outputs": 2}),
    "expand": ("Expand", [X[:, :1], i(4, 1, 3, 5)], 1, {}),
    "tile": ("Tile", [X, i(1, 2, 3)], 1, {}),
    "shape": ("Shape", [X], 1, {"start": 1}),
    "size": ("Size", [X], 1, {}),
    "constant of shape": ("ConstantOfShape", [i(2, 3)], 1, {"value": np.array([7], I64)}),
    "range": ("Range", [np.array(1.0, np.float32), np.array(4.5, np.float32), np.array(0.5, np.float32)], 1, {}),
    "range back": ("Range", [np.array(9), np.array(2), np.array(-3)], 1, {}),
    "slice": ("Slice", [X, i(1, -3), i(100, -1), i(1, 2)], 1, {}),
    "slice back": ("Slice", [X, i(-1), i(-(2**62)), i(2), i(-2)], 1, {}),
    "slice back part": ("Slice", [X, i(3), i(-5), i(2), i(-1)], 1, {}),
    "slice nothing": ("Slice", [X, i(3), i(2), i(2)], 1, {}),
    "slice no axes": ("Slice", [X, i(0, 1, 1), i(1, 3, 4)], 1, {}),
    "gather": ("Gather", [X, i(-1, 0, 2)], 1, {"axis": 1}),
    "gather scalar": ("Gather", [X, np.array(-2)], 1, {"axis": 2}),
    "gather matrix": ("Gather", [X, np.array([[0, 1], [1, 1]], np.int32)], 1, {"axis": 0}),
    "gather elements": ("GatherElements", [X, RNG.integers(-3, 3, (2, 4, 5))], 1, {"axis": 1}),
    "gather nd": ("GatherND", [X, np.array([[0, 1], [1, -1]])], 1, {}),
    "gather nd batch": ("GatherND", [X, np.array([[1], [2]])], 1, {"batch_dims": 1}),
    "scatter elements": (
        "ScatterElements",
        [X, np.array([[[0, 2, 1]]]), np.ones((1, 1, 3), np.float32)],
        1,
        {"axis": 2},
    ),
    "scatter nd": ("ScatterND", [X, np.array([[0, 1], [1, 2]]), np.ones((2, 5), np.float32)], 1, {}),
    "pad": ("Pad", [X, i(0, 1, 2, 1, 0, 3), np.array(9, np.float32)], 1, {}),
    "pad cut": ("Pad", [X, i(0, -1, 2, 1, 0, -3)], 1, {}),
    "pad axes": ("Pad", [X, i(1, 2), None, i(-1)], 1, {}),
    "pad reflect": ("Pad", [X, i(0, 1, 2, 0, 2, 3)], 1, {"mode": "reflect"}),
    "pad edge": ("Pad", [X, i(0, 1, 2, 0, 2, 3)], 1, {"mode": "edge"}),
    "pad wrap": ("Pad", [X, i(0, 1, 2, 0, 2, 3)], 1, {"mode": "wrap"}),
    "reverse sequence": ("ReverseSequence", [X, i(3, 1)], 1, {"time_axis": 1, "batch_axis": 0}),
    "nonzero": ("NonZero", [(X > 0).astype(np.float32)], 1, {}),
    "trilu": ("Trilu", [X, np.array(-1)], 1, {"upper": 0}),
    "eye": ("EyeLike", [X[0]], 1, {"k": 1, "dtype": 7}),
    "one hot": ("OneHot", [i(1, -1, 3), np.array(4), np.array([0, 2], np.float32)], 1, {"axis": 0}),
}
NATIVE = frozenset(
    [
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Concat",
        "Split",
        "Expand",
        "Slice",
        "Gather",
        "Pad",
        "Tile",
        "GatherElements",
        "GatherND",
        "ScatterElements",
        "ScatterND",
        "ReverseSequence",
        "OneHot",
        "Trilu",
        "EyeLike",
    ]
)


@pytest.mark.parametrize("name", CASES)
def test_reference_equals_onnxruntime(name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx").helper
    op, inputs, n_outputs, attrs = CASES[name]
    graph, feeds = one_node(op, inputs, n_outputs, **attrs)
    values = [
        helper.make_tensor_value_info(v.name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for v in graph.inputs
    ]
    onnx_attrs = {
        k: helper.make_tensor("value", helper.np_dtype_to_tensor_dtype(v.dtype), v.shape, v)
        if isinstance(v, np.ndarray) else v
        for k, v in attrs.items()
    }  # fmt: skip
    node = helper.make_node(op, graph.nodes[0].inputs, graph.nodes[0].outputs, **onnx_attrs)
    outputs = [helper.make_empty_tensor_value_info(v.name) for v in graph.outputs]
    model = helper.make_model(
        helper.make_graph([node], "g", values, outputs), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for got, want in zip(evaluate(graph, feeds), session.run(None, feeds), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_plan_equals_reference(name: str, isa: str) -> None:
    op, inputs, n_outputs, attrs = CASES[name]
    fixed = [] if op == "Shape" else range(1, len(inputs))
    if op in ("Concat", "Gather", "GatherElements", "ReverseSequence"):
        fixed = []
    if op in ("ScatterElements", "ScatterND"):
        fixed = []
    graph, feeds = one_node(op, inputs, n_outputs, [k for k in fixed if inputs[k] is not None], **attrs)
    native = op in NATIVE
    if any(np.size(x) == 0 for x in inputs if x is not None):
        native = False
    for got, want in zip(compiled(graph, feeds, isa, native), evaluate(graph, feeds), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_, np.int16])
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_moves_equal_numpy(isa: str, dtype: type, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 19), min_size=1, max_size=4))
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    perm = data.draw(st.permutations(range(len(shape))))
    graph, feeds = one_node("Transpose", [x], perm=tuple(perm))
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], np.transpose(x, perm))
    axis = data.draw(st.integers(0, len(shape) - 1))
    graph, feeds = one_node("Concat", [x, x], axis=axis)
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], np.concatenate([x, x], axis))
    cut = data.draw(st.integers(0, shape[axis]))
    graph, feeds = one_node("Split", [x, i(cut, shape[axis] - cut)], 2, [1], axis=axis)
    for got, want in zip(compiled(graph, feeds, isa), np.split(x, [cut], axis), strict=True):
        np.testing.assert_array_equal(got, want)
    start, stop = data.draw(st.integers(-25, 25)), data.draw(st.integers(-25, 25))
    step = data.draw(st.sampled_from([1, 2, 3]))
    graph, feeds = one_node("Slice", [x, i(start), i(stop), i(axis), i(step)], 1, range(1, 5))
    want = x[(slice(None),) * axis + (slice(start, stop, step),)]
    np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], want)


@pytest.mark.parametrize("isa", ISAS)
def test_an_index_out_of_range_is_an_error(isa: str) -> None:
    graph, feeds = one_node("Gather", [X, i(0, 3)], axis=1)
    with pytest.raises(ShapeError, match=r"Gather node 'node': index 3 is out of range for an extent of 3"):
        evaluate(graph, feeds)
    with pytest.raises(RnnrtError, match=r"Gather node 'node'.*out of range"):
        compiled(graph, feeds, isa)
