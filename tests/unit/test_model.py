"""Calls of a model: what arrays it takes, what it says to the rest, and that callers do not disturb each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import rnnrt.runtime.session
from rnnrt import Model, RnnrtError, ShapeError
from rnnrt.ir import Graph, Node, Value
from rnnrt.plan import Target

F32, I64 = np.dtype("float32"), np.dtype("int64")


def affine(shape=("batch", 3)) -> Graph:
    """y = tanh(x * scale + shift), z = x - shift."""
    return Graph(
        (Value("x", F32, shape), Value("shift", F32, (3,))),
        (Value("y", F32), Value("z", F32)),
        (
            Node("Mul", ("x", "scale"), ("scaled",)),
            Node("Add", ("scaled", "shift"), ("sum",)),
            Node("Tanh", ("sum",), ("y",)),
            Node("Sub", ("x", "shift"), ("z",)),
        ),
        {"scale": np.array([1, 2, 3], F32)},
    )


X = np.random.default_rng(0).standard_normal((4, 3)).astype(F32)
SHIFT = np.array([0.5, -1, 2], F32)


def expected(x=X, shift=SHIFT):
    return np.tanh(x * np.array([1, 2, 3], F32) + shift), x - shift


def test_both_calling_conventions():
    model = Model.from_graph(affine())
    y, z = expected()
    for results in (model(X, SHIFT), model(X, shift=SHIFT), model.run(None, {"shift": SHIFT, "x": X})):
        np.testing.assert_allclose(results[0], y, rtol=1e-6)
        np.testing.assert_array_equal(results[1], z)
    first, second = model.run(["z", "y"], {"x": X, "shift": SHIFT})
    np.testing.assert_array_equal(first, z)
    np.testing.assert_allclose(second, y, rtol=1e-6)
    assert [(i.name, i.dtype, i.shape) for i in model.inputs] == [("x", F32, (None, 3)), ("shift", F32, (3,))]


@pytest.mark.parametrize(
    "x",
    [
        X.astype(np.float64),
        X.astype(">f4"),
        np.asfortranarray(X),
        np.repeat(X, 2, 0)[::2],
        X.tolist(),
        X[:, ::-1][:, ::-1],
    ],
    ids=["float64", "big-endian", "fortran", "strided", "list", "reversed"],
)
def test_any_layout_of_the_same_numbers(x):
    np.testing.assert_allclose(Model.from_graph(affine())(x, SHIFT)[0], expected()[0], rtol=1e-6)


def test_integers_are_taken_for_floats():
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(Model.from_graph(affine())(x, SHIFT)[1], expected(x.astype(F32))[1])


def test_inputs_are_not_written_to():
    x, shift = X.copy(), SHIFT.copy()
    x.flags.writeable = shift.flags.writeable = False
    Model.from_graph(affine())(x, shift)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((X[0], SHIFT), {}, r"input 'x' takes shape \(None, 3\) \(None: any\), got \(3,\)"),
        ((X[:, :2], SHIFT), {}, r"input 'x' takes shape \(None, 3\).*got \(4, 2\)"),
        ((X, SHIFT[:2]), {}, r"input 'shift' takes shape \(3,\).*got \(2,\)"),
        ((X.astype(complex), SHIFT), {}, r"input 'x' takes float32, got complex128; convert it with \.astype"),
        ((np.array([["a", "b", "c"]]), SHIFT), {}, "input 'x' takes float32, got <U1"),
        ((X,), {}, r"missing \['shift'\].*the model takes \['x', 'shift'\]"),
        ((), {}, r"missing \['x', 'shift'\]"),
        ((X, SHIFT), {"bias": 1}, r"unknown \['bias'\]"),
        ((X, SHIFT), {"x": X}, "input 'x' was given twice"),
        ((X, SHIFT, X), {}, "takes 2 inputs, got 3"),
    ],
)
def test_refusals_name_the_input(args, kwargs, message):
    with pytest.raises(ShapeError, match=message):
        Model.from_graph(affine())(*args, **kwargs)


def test_a_float_is_not_an_index():
    graph = Graph((Value("i", I64, (None,)),), (Value("y", I64),), (Node("Neg", ("i",), ("y",)),))
    with pytest.raises(ShapeError, match="input 'i' takes int64, got float64"):
        Model.from_graph(graph)(np.array([1.5]))


def test_an_unknown_output_is_refused():
    with pytest.raises(ShapeError, match=r"unknown outputs \['w'\]; the model gives \['y', 'z'\]"):
        Model.from_graph(affine()).run(["w"], {"x": X, "shift": SHIFT})


def test_shapes_that_do_not_fit_name_the_node():
    graph = Graph(
        (Value("a", F32, (None,)), Value("b", F32, (None,))),
        (Value("y", F32),),
        (Node("Add", ("a", "b"), ("y",), {}, "sum"),),
    )
    model = Model.from_graph(graph)
    with pytest.raises(ShapeError, match=r"Add node 'sum'"):
        model(np.zeros(2, F32), np.zeros(3, F32))
    np.testing.assert_array_equal(model(np.ones(2, F32), np.ones(2, F32)), [2, 2])


def test_empty_batches_and_scalars():
    y, z = Model.from_graph(affine())(X[:0], SHIFT)
    assert y.shape == z.shape == (0, 3)
    scalar = Graph((Value("x", F32, ()),), (Value("y", F32),), (Node("Neg", ("x",), ("y",)),))
    assert Model.from_graph(scalar)(2.0) == -2


def test_an_output_may_be_an_input_or_a_constant_or_given_twice():
    graph = Graph(
        (Value("x", F32, (None,)),),
        tuple(Value(name, F32) for name in ("x", "c", "y", "y2")),
        (Node("Neg", ("x",), ("y",)), Node("Identity", ("y",), ("y2",))),
        {"c": np.array([7], F32)},
    )
    x = np.array([1, 2], F32)
    same, constant, y, again = Model.from_graph(graph)(x)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(constant, [7])
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(again, -x)
    same[:] = constant[:] = 0  # the caller's own arrays, all of them
    assert x[0] == 1
    assert Model.from_graph(graph)(x)[1][0] == 7


def test_threads_share_a_model():
    model = Model.from_graph(affine())
    rng = np.random.default_rng(1)
    batches = [rng.standard_normal((1 + k % 5, 3)).astype(F32) for k in range(8)]
    start = Barrier(8)

    def work(x):
        start.wait()
        return [model(x, SHIFT) for _ in range(200)]

    with ThreadPoolExecutor(8) as pool:
        for x, results in zip(batches, pool.map(work, batches), strict=True):
            for y, z in results:
                np.testing.assert_allclose(y, expected(x)[0], rtol=1e-6)
                np.testing.assert_array_equal(z, expected(x)[1])


def test_plans_are_kept_and_the_oldest_goes_first(monkeypatch):
    made = []
    lower = rnnrt.runtime.session.lower

    def counted(graph, specs, *rest):
        made.append(specs["x"].shape[0])
        return lower(graph, specs, *rest)

    monkeypatch.setattr(rnnrt.runtime.session, "lower", counted)
    monkeypatch.setattr(rnnrt.runtime.session, "MAX_PLANS", 3)
    model = Model.from_graph(affine())
    for rows in (1, 2, 3, 1, 4, 1, 3, 2):  # 4 pushes 2 out, which comes back last
        y, _ = model(X[:1].repeat(rows, 0), SHIFT)
        assert y.shape == (rows, 3)
    assert made == [1, 2, 3, 4, 2]


def test_shapes_that_depend_on_data_still_run():
    graph = Graph(
        (Value("n", I64, ()),),
        (Value("y", I64),),
        (Node("Range", ("zero", "n", "one"), ("r",)), Node("Neg", ("r",), ("y",))),
        {"zero": np.array(0), "one": np.array(1)},
    )
    model = Model.from_graph(graph)
    np.testing.assert_array_equal(model(np.array(4)), [0, -1, -2, -3])
    np.testing.assert_array_equal(model(np.array(0)), [])


def test_a_kernels_complaint_names_the_node():
    graph = Graph(
        (Value("a", I64, (None,)), Value("b", I64, (None,))),
        (Value("y", I64),),
        (Node("Div", ("a", "b"), ("y",), {}, "ratio"),),
    )
    model = Model.from_graph(graph)
    with pytest.raises(RnnrtError, match=r"Div node 'ratio'.*division by zero"):
        model(np.array([1, 2]), np.array([1, 0]))
    np.testing.assert_array_equal(model(np.array([7, -7]), np.array([2, 2])), [3, -3])


def test_an_instruction_set_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("RNNRT_ISA", "avx1024")
    with pytest.raises(RnnrtError, match=r"RNNRT_ISA=avx1024: this processor runs base"):
        Model.from_graph(affine())
    monkeypatch.setenv("RNNRT_ISA", "base")
    assert Target.detect() == Target("base", 16)


@pytest.mark.parametrize("threads", [0, -1, "many"])
def test_a_number_of_threads_is_positive(threads, monkeypatch):
    with pytest.raises(RnnrtError, match="is not a number of threads"):
        Model.from_graph(affine(), threads=threads)
    monkeypatch.setenv("RNNRT_NUM_THREADS", str(threads))
    with pytest.raises(RnnrtError, match="RNNRT_NUM_THREADS="):
        Model.from_graph(affine())


def test_a_profile_names_every_instruction():
    model = Model.from_graph(affine())
    rows = model.profile(X, SHIFT, runs=3)
    nodes = [label for label, _, _ in rows]
    assert nodes == [info.label for info in model.describe({"x": X.shape, "shift": SHIFT.shape})]
    assert all(kernel != "numpy" and seconds >= 0 for _, kernel, seconds in rows)
    with pytest.raises(ShapeError, match="2 inputs, got 1"):
        model.profile(X)
