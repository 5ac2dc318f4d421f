"""Every backward rule against central differences, and compiled against its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt.ops import TensorSpec
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import specialise
from rnnrt.training.backward import differentiate
from tests.gradients.support import check_gradients, joint_graph
from tests.support import ISAS, one_node

RNG = np.random.default_rng(17)
EXTENTS = st.sampled_from([1, 2, 3, 5])
SHAPES = st.lists(EXTENTS, max_size=3).map(tuple)
FULL = st.lists(EXTENTS, min_size=1, max_size=3).map(tuple)
CASES = settings(max_examples=8, derandomize=True)
FEW = settings(max_examples=4, derandomize=True)


def check(
    op: str, inputs: list[Any], wanted: list[int], n_outputs: int = 1, constant: tuple[int, ...] = (),
    outputs: list[str] | None = None, isa: str = "", options: dict[str, Any] | None = None, **attrs: Any,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Check a one-node graph; `isa` or the next of all in turn, so that each case compiles for one."""
    graph, feeds = one_node(op, inputs, n_outputs, constant, **attrs)
    check.count = getattr(check, "count", 0) + 1  # type: ignore[attr-defined]
    isas = [isa or ISAS[check.count % len(ISAS)]]  # type: ignore[attr-defined]
    names = outputs or [f"y{k}" for k in range(n_outputs)]
    return check_gradients(graph, feeds, [f"x{i}" for i in wanted], names, isas=isas, **(options or {}))


def apart(shape: tuple[int, ...], step: float = 0.05) -> np.ndarray:
    """Numbers that all differ by at least `step`, in random order, none nearer to zero than half of it."""
    count = int(np.prod(shape))
    return step * (RNG.permutation(count) - count // 2 + 0.5).reshape(shape)


def real(shape: tuple[int, ...], low: float = -2, high: float = 2) -> np.ndarray:
    return RNG.uniform(low, high, shape)


def off_kinks(shape: tuple[int, ...], kinks: tuple[float, ...], low: float, high: float) -> np.ndarray:
    """Uniform numbers, but at least 1e-3 away from each kink."""
    x = real(shape, low, high)
    for kink in kinks:
        x = np.where(np.abs(x - kink) < 1e-3, kink + 2e-3, x)
    return x


UNARY: dict[str, tuple[float, float, tuple[float, ...], list[dict[str, Any]]]] = {
    "Sqrt": (0.2, 3, (), [{}]),
    "Log": (0.2, 3, (), [{}]),
    "Exp": (-2, 2, (), [{}]),
    "Sigmoid": (-4, 4, (), [{}]),
    "Tanh": (-3, 3, (), [{}]),
    "Erf": (-2, 2, (), [{}]),
    "Elu": (-3, 3, (0,), [{}, {"alpha": 0.3}]),
    "LeakyRelu": (-3, 3, (0,), [{}, {"alpha": 0.3}]),
    "Softsign": (-3, 3, (0,), [{}]),
    "Softplus": (-3, 3, (), [{}]),
    "HardSigmoid": (-4, 4, (-2.5, 2.5, 0.25, -2), [{}, {"alpha": 0.4, "beta": 0.1, "kinks": (-0.25, 2.25)}]),
    "Gelu": (-3, 3, (), [{}, {"approximate": "tanh"}]),
    "Reciprocal": (0.3, 2, (), [{}]),
    "Selu": (-3, 3, (0,), [{}, {"alpha": 0.7, "gamma": 1.3}]),
    "ThresholdedRelu": (-3, 3, (1, 0.4), [{}, {"alpha": 0.4}]),
    "HardSwish": (-5, 5, (-3, 3), [{}]),
    "Celu": (-3, 3, (0,), [{}, {"alpha": 0.6}]),
    "Mish": (-3, 3, (), [{}]),
    "Sin": (-3, 3, (), [{}]),
    "Cos": (-3, 3, (), [{}]),
    "Tan": (-1, 1, (), [{}]),
    "Asin": (-0.8, 0.8, (), [{}]),
    "Acos": (-0.8, 0.8, (), [{}]),
    "Atan": (-2, 2, (), [{}]),
    "Sinh": (-2, 2, (), [{}]),
    "Cosh": (-2, 2, (), [{}]),
    "Asinh": (-2, 2, (), [{}]),
    "Acosh": (1.3, 3, (), [{}]),
    "Atanh": (-0.8, 0.8, (), [{}]),
    "Neg": (-2, 2, (), [{}]),
    "Abs": (-2, 2, (0,), [{}]),
    "Relu": (-2, 2, (0,), [{}]),
    "Floor": (0.1, 0.9, (), [{}]),
    "Ceil": (0.1, 0.9, (), [{}]),
    "Round": (0.6, 1.4, (), [{}]),
    "Sign": (0.1, 2, (), [{}]),
}


@pytest.mark.parametrize("op", UNARY)
@FEW
@given(shape=SHAPES)
def test_functions_of_one_argument(op: str, shape: tuple[int, ...]) -> None:
    low, high, kinks, variants = UNARY[op]
    for attrs in variants:
        numbers = {k: v for k, v in attrs.items() if k != "kinks"}
        x = off_kinks(shape, kinks + attrs.get("kinks", ()), low, high)
        check(op, [x], [0], options={"native": True}, **numbers)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", UNARY)
def test_functions_of_one_argument_over_whole_registers(isa: str, op: str) -> None:
    low, high, kinks, variants = UNARY[op]
    for attrs in variants:
        numbers = {k: v for k, v in attrs.items() if k != "kinks"}
        check(op, [off_kinks((37,), kinks + attrs.get("kinks", ()), low, high)], [0], isa=isa, **numbers)


def broadcast_shapes(data: st.DataObject, count: int = 2) -> list[tuple[int, ...]]:
    """Shapes that broadcast together."""
    full = data.draw(SHAPES)
    found = []
    for _ in range(count):
        kept = [d if data.draw(st.booleans()) else 1 for d in full]
        found.append(tuple(kept[data.draw(st.integers(0, len(kept))) :]))
    return found


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Mod", "PRelu"])
@settings(max_examples=12, derandomize=True)
@given(data=st.data())
def test_arithmetic_with_broadcasting(op: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4)) if op in ("Max", "Min", "Sum", "Mean") else 2
    shapes = broadcast_shapes(data, count)
    inputs = [apart(shape, 0.31) + 0.07 * i for i, shape in enumerate(shapes)]
    attrs = {}
    if op in ("Div", "Mod"):
        inputs[1] = real(shapes[1], 0.6, 1.7)
    if op == "Mod":
        attrs = {"fmod": data.draw(st.integers(0, 1))}
        part = np.broadcast_to(inputs[0], np.broadcast_shapes(*shapes)) / inputs[1]
        if np.any(np.abs(part - np.rint(part)) < 1e-3):
            return
    wanted = data.draw(st.sets(st.integers(0, count - 1), min_size=1).map(sorted))
    check(op, inputs, wanted, **attrs)


@settings(max_examples=12, derandomize=True)
@given(data=st.data())
def test_powers(data: st.DataObject) -> None:
    shapes = broadcast_shapes(data)
    x, y = real(shapes[0], 0.3, 2), real(shapes[1], -2, 3)
    check("Pow", [x, y], [0, 1])
    exponent = np.full(shapes[1], data.draw(st.sampled_from([2.0, 0.5, -1.0, 3.0, 1.0, 0.0])))
    check("Pow", [x, exponent], [0], constant=(1,))
    check("Pow", [x, exponent.astype(np.int64)], [0])
    check("Pow", [x, exponent.astype(np.int64)], [0], constant=(1,))


def test_powers_of_zero() -> None:
    x = np.array([0.0, 2.0, 0.0])
    for constant in ((), (1,)):
        check("Pow", [x, np.array([0.0, 3.0, 2.0])], [0], constant=constant)
    check("Pow", [np.array([-1.0, 2.0]), np.array([2.0])], [0], constant=(1,))


@CASES
@given(data=st.data())
def test_where(data: st.DataObject) -> None:
    c, x, y = broadcast_shapes(data, 3)
    check("Where", [RNG.random(c) < 0.5, real(x), real(y)], [1, 2])
    check("Where", [RNG.random(c) < 0.5, real(x), real(y)], [data.draw(st.sampled_from([1, 2]))])


@CASES
@given(shape=SHAPES, low=st.booleans(), high=st.booleans())
def test_clip(shape: tuple[int, ...], low: bool, high: bool) -> None:
    x = off_kinks(shape, (-0.5, 0.7), -2, 2)
    bounds = [np.array(-0.5) if low else None, np.array([0.7]) if high else None]
    check("Clip", [x, *bounds], [0, *([1] if low else []), *([2] if high else [])])
    check("Clip", [x, *bounds], [0], constant=tuple(i for i in (1, 2) if bounds[i - 1] is not None))


@settings(max_examples=20, derandomize=True)
@given(data=st.data())
def test_matmul(data: st.DataObject) -> None:
    m, k, n = (data.draw(EXTENTS) for _ in range(3))
    left, right = broadcast_shapes(data) if data.draw(st.booleans()) else (data.draw(SHAPES), ())
    x, y = (*left[:2], m, k), (*right[:2], k, n)
    x = (k,) if data.draw(st.integers(0, 5)) == 0 else x
    y = (k,) if data.draw(st.integers(0, 5)) == 0 else y
    check("MatMul", [real(x), real(y)], data.draw(st.sampled_from([[0, 1], [0], [1]])))


@settings(max_examples=20, derandomize=True)
@given(data=st.data())
def test_gemm(data: st.DataObject) -> None:
    m, k, n = (data.draw(EXTENTS) for _ in range(3))
    turn_a, turn_b = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    c = data.draw(st.sampled_from([None, (), (n,), (m, n), (1, n), (m, 1), (1,)]))
    inputs = [real((k, m) if turn_a else (m, k)), real((n, k) if turn_b else (k, n)), None if c is None else real(c)]
    alpha, beta = data.draw(st.sampled_from([(1.0, 1.0), (0.7, -1.5)]))
    wanted = [0, 1] if c is None else [0, 1, 2]
    check("Gemm", inputs, wanted, alpha=alpha, beta=beta, transA=turn_a, transB=turn_b)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "bij,bkj->bik", "bthd,bshd->bhts", "ij->j", "i,j", "abc,cd->abd",
                                      "ij,jk,kl->il", "ij,k->k"])  # fmt: skip
def test_einsum(equation: str) -> None:
    sizes = dict(zip("abcdhijklst", (2, 3, 2, 4, 2, 3, 2, 4, 3, 2, 5), strict=True))
    terms = equation.split("->")[0].split(",")
    check("Einsum", [real(tuple(sizes[c] for c in term)) for term in terms], list(range(len(terms))), equation=equation)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@CASES
@given(data=st.data())
def test_softmax(op: str, data: st.DataObject) -> None:
    shape = data.draw(FULL)
    check(op, [real(shape)], [0], axis=data.draw(st.integers(-len(shape), len(shape) - 1)), options={"native": True})


REDUCTIONS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]


@pytest.mark.parametrize("kind", REDUCTIONS)
@settings(max_examples=10, derandomize=True)
@given(data=st.data())
def test_reductions(kind: str, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)).map(sorted)) if shape else []
    x = apart(shape)
    if kind in ("Prod", "LogSum"):
        x = real(shape, 0.5, 1.5)
    how = {"keepdims": data.draw(st.integers(0, 1)), "noop_with_empty_axes": data.draw(st.integers(0, 1))}
    if axes:
        check(f"Reduce{kind}", [x, np.array(axes)], [0], constant=(1,), **how)
    else:
        check(f"Reduce{kind}", [x], [0], **how)


def test_reductions_at_special_points() -> None:
    check(
        "ReduceProd",
        [np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 1.5], [1.0, 2.0, -3.0]]), np.array([1])],
        [0],
        constant=(1,),
    )
    # A length has no gradient at zero, and what is chosen there is zero and not NaN.
    for op, x, want in (("ReduceL2", np.zeros(3), np.zeros(3)), ("ReduceMax", np.array([1.0, 2, 2]), [0, 0.5, 0.5])):
        graph, feeds = one_node(op, [x])
        joint = joint_graph(graph, feeds, ["x0"], ["y0"], np.float64)
        np.testing.assert_array_equal(evaluate(joint.graph, {**feeds, "seed/y0": np.ones((1,))})[0], want)


@CASES
@given(data=st.data())
def test_changes_of_shape(data: st.DataObject) -> None:
    shape = data.draw(FULL)
    x = real(shape)
    check("Identity", [x], [0])
    check("Transpose", [x], [0], perm=tuple(data.draw(st.permutations(range(len(shape))))))
    check("Transpose", [x], [0])
    check("Reshape", [x, np.array([-1])], [0], constant=(1,))
    check("Flatten", [x], [0], axis=data.draw(st.integers(0, len(shape))))
    check("Squeeze", [x], [0])
    check("Unsqueeze", [x, np.array([0, -1])], [0], constant=(1,))
    check("Transpose", [np.array(1.5)], [0])


@FEW
@given(shape=SHAPES)
def test_casts(shape: tuple[int, ...]) -> None:
    check("CastLike", [real(shape), real(())], [0, 1])


@pytest.mark.parametrize("number", [1, 11])
def test_cast_between_floats(number: int) -> None:
    x = real((3, 4)).astype(np.float64 if number == 1 else np.float32)
    graph, _ = one_node("Cast", [x], to=number)
    graph, specs = specialise(graph, {"x0": TensorSpec(x.dtype, x.shape)})
    last = differentiate(graph, specs, {"y0": "g"}, ["x0"]).nodes[-1]
    assert (last.op, last.inputs, last.attrs) == ("Cast", ("g",), {"to": 12 - number})


@CASES
@given(data=st.data())
def test_joining_and_cutting(data: st.DataObject) -> None:
    shape, axis = list(data.draw(FULL)), 0
    axis = data.draw(st.integers(0, len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    pieces = [real(tuple(n if i == axis else d for i, d in enumerate(shape))) for n in lengths]
    wanted = data.draw(st.sets(st.integers(0, len(pieces) - 1), min_size=1).map(sorted))
    check("Concat", pieces, wanted, axis=data.draw(st.sampled_from([axis, axis - len(shape)])))
    whole = np.concatenate(pieces, axis)
    read = [f"y{k}" for k in wanted]
    check("Split", [whole, np.array(lengths)], [0], len(lengths), (1,), read, axis=axis)
    check("Split", [whole], [0], 1, axis=axis)


@settings(max_examples=20, derandomize=True)
@given(data=st.data())
def test_slices(data: st.DataObject) -> None:
    shape = data.draw(FULL.map(lambda s: tuple(d + 2 for d in s)))
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1).map(sorted))
    starts = [data.draw(st.integers(-8, 8)) for _ in axes]
    ends = [data.draw(st.integers(-8, 8)) for _ in axes]
    steps = [data.draw(st.sampled_from([1, 1, 2, 3, -1, -2, -3])) for _ in axes]
    operands = [np.array(v) for v in (starts, ends, axes, steps)]
    check("Slice", [real(shape), *operands], [0], constant=(1, 2, 3, 4), options={"native": True})


@settings(max_examples=12, derandomize=True)
@given(data=st.data())
def test_gathering(data: st.DataObject) -> None:
    shape = data.draw(FULL)
    axis = data.draw(st.integers(0, len(shape) - 1))
    extent, kind = shape[axis], data.draw(st.sampled_from([np.int32, np.int64]))
    indices = RNG.integers(-extent, extent, data.draw(SHAPES)).astype(kind)
    check("Gather", [real(shape), indices], [0], axis=axis, options={"native": True})
    fitting = tuple(data.draw(st.integers(1, d)) if i != axis else 4 for i, d in enumerate(shape))
    check("GatherElements", [real(shape), RNG.integers(-extent, extent, fitting)], [0], axis=axis)
    depth = data.draw(st.integers(1, len(shape)))
    tuples = np.stack([RNG.integers(-d, d, (2, 3)) for d in shape[:depth]], -1)
    check("GatherND", [real(shape), tuples], [0])
    batch = (2, *shape)
    tuples = np.stack([RNG.integers(-d, d, (2, 4)) for d in shape[:depth]], -1)
    check("GatherND", [real(batch), tuples], [0], batch_dims=1)
    check("GatherND", [real((2, 3, *shape)), tuples[:, :3]], [0], batch_dims=2)


def test_gathering_one_row_often_adds_up_in_order() -> None:
    indices = np.array([[1, 1], [-1, 1]])
    found = check("Gather", [real((4, 3)), indices], [0])
    assert np.all(found["x0"][[0, 2]] == 0)


@CASES
@given(data=st.data())
def test_scattering(data: st.DataObject) -> None:
    shape = data.draw(FULL)
    axis = data.draw(st.integers(0, len(shape) - 1))
    count = data.draw(st.integers(1, shape[axis]))
    fitting = tuple(count if i == axis else d for i, d in enumerate(shape))
    order = np.argsort(RNG.random(shape), axis).take(np.arange(count), axis)
    reduction = data.draw(st.sampled_from(["none", "add"]))
    check("ScatterElements", [real(shape), order, real(fitting)], [0, 2], axis=axis, reduction=reduction)
    rows = RNG.permutation(shape[0])[:2, None] - shape[0]
    check("ScatterND", [real(shape), rows, real((len(rows), *shape[1:]))], [0, 2], reduction=reduction)


@CASES
@given(data=st.data())
def test_expand_and_tile(data: st.DataObject) -> None:
    shape, target = broadcast_shapes(data)
    check("Expand", [real(shape), np.array(target, np.int64)], [0], constant=(1,))
    full = data.draw(FULL)
    check("Tile", [real(full), np.array([data.draw(st.integers(1, 3)) for _ in full])], [0], constant=(1,))


@settings(max_examples=16, derandomize=True)
@given(data=st.data(), mode=st.sampled_from(["constant", "constant", "reflect", "edge", "wrap"]))
def test_pad(data: st.DataObject, mode: str) -> None:
    shape = data.draw(FULL.map(lambda s: tuple(d + 1 for d in s)))
    pads = [data.draw(st.integers(-1 if i < len(shape) else 0, 3 if mode in ("constant", "edge") else 1))
            for i in range(2 * len(shape))]  # fmt: skip
    if mode == "reflect":
        pads = [max(p, 0) for p in pads]
    if mode == "constant":
        check("Pad", [real(shape), np.array(pads), np.array(0.5)], [0, 2], constant=(1,))
    check("Pad", [real(shape), np.array(pads)], [0], constant=(1,), mode=mode, options={"native": True})


@CASES
@given(data=st.data())
def test_along_an_axis(data: st.DataObject) -> None:
    shape = data.draw(FULL)
    axis = data.draw(st.integers(0, len(shape) - 1))
    flags = {"exclusive": data.draw(st.integers(0, 1)), "reverse": data.draw(st.integers(0, 1))}
    check("CumSum", [real(shape), np.array(axis)], [0], constant=(1,), **flags)
    k = data.draw(st.integers(1, shape[axis]))
    how = {"axis": axis, "largest": data.draw(st.integers(0, 1))}
    for count in (1, 2):
        check("TopK", [apart(shape), np.array([k])], [0], count, (1,), ["y0"], **how)
    square = (*shape, 3, 4)
    check("Trilu", [real(square), np.array(data.draw(st.integers(-3, 3)))], [0], constant=(1,), upper=k % 2)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_reverse_sequence(axes: tuple[int, int]) -> None:
    lengths = np.array([3, 0, 4, 1])
    shape = (5, 4, 2) if axes == (0, 1) else (4, 5, 2)
    check("ReverseSequence", [real(shape), lengths], [0], time_axis=axes[0], batch_axis=axes[1])


def test_values_of_one_hot() -> None:
    indices = np.array([[0, 2], [-1, 7]])
    check("OneHot", [indices, np.array(3), np.array([0.25, 2.0])], [2], constant=(1,), axis=1)


def geometry(data: st.DataObject, rank: int) -> dict[str, Any]:
    draw = data.draw
    return {
        "strides": tuple(draw(st.integers(1, 3)) for _ in range(rank)),
        "dilations": tuple(draw(st.integers(1, 2)) for _ in range(rank)),
        "pads": tuple(draw(st.integers(0, 2)) for _ in range(2 * rank)),
    }


@settings(max_examples=14, derandomize=True)
@given(data=st.data(), rank=st.integers(1, 2), group=st.integers(1, 2))
def test_convolution(data: st.DataObject, rank: int, group: int) -> None:
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    extents = tuple(data.draw(st.integers(5, 7)) for _ in range(rank))
    channels, filters = group * data.draw(st.integers(1, 2)), group * data.draw(st.integers(1, 2))
    inputs = [real((data.draw(st.integers(1, 2)), channels, *extents)), real((filters, channels // group, *kernel))]
    how = geometry(data, rank)
    if data.draw(st.integers(0, 3)) == 0:
        how = {"strides": how["strides"], "auto_pad": data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))}
    check("Conv", [*inputs, real((filters,))], [0, 1, 2], group=group, **how)
    check("Conv", inputs, [data.draw(st.integers(0, 1))], group=group, **how)


def test_convolution_over_three_axes() -> None:
    check("Conv", [real((1, 2, 3, 4, 3)), real((2, 2, 2, 1, 2)), real((2,))], [0, 1, 2], strides=(1, 2, 1))


@settings(max_examples=14, derandomize=True)
@given(data=st.data(), rank=st.integers(1, 2), group=st.integers(1, 2))
def test_transposed_convolution(data: st.DataObject, rank: int, group: int) -> None:
    kernel = tuple(data.draw(st.integers(2, 3)) for _ in range(rank))
    extents = tuple(data.draw(st.integers(3, 4)) for _ in range(rank))
    channels, filters = group * data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    inputs = [real((data.draw(st.integers(1, 2)), channels, *extents)), real((channels, filters, *kernel))]
    how = geometry(data, rank)
    kind = data.draw(st.integers(0, 3))
    if kind == 0:
        how = {"strides": how["strides"], "auto_pad": data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))}
    elif kind == 1:
        how["output_padding"] = tuple(data.draw(st.integers(0, 2)) for _ in range(rank))
    elif kind == 2:
        how = {"strides": how["strides"], "output_shape": tuple(data.draw(st.integers(4, 9)) for _ in range(rank))}
    check("ConvTranspose", [*inputs, real((filters * group,))], [0, 1, 2], group=group, **how)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@settings(max_examples=14, derandomize=True)
@given(data=st.data(), rank=st.integers(1, 3))
def test_pools(op: str, data: st.DataObject, rank: int) -> None:
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    how = geometry(data, rank)
    how["pads"] = tuple(data.draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    how["ceil_mode"] = data.draw(st.integers(0, 1))
    if op == "AveragePool":
        how["count_include_pad"] = data.draw(st.integers(0, 1))
    if data.draw(st.integers(0, 3)) == 0:
        how = {"strides": how["strides"], "auto_pad": data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))}
    extents = tuple(data.draw(st.integers(5, 6)) for _ in range(rank))
    shape = (1, 2, *extents) if rank < 3 else (1, 1, *extents)
    check(op, [apart(shape)], [0], kernel_shape=kernel, **how, options={"native": True})


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
@FEW
@given(extents=st.lists(EXTENTS, min_size=1, max_size=2))
def test_global_pools(op: str, extents: list[int]) -> None:
    check(op, [apart((2, 3, *extents))], [0], options={"native": True})


@settings(max_examples=12, derandomize=True)
@given(data=st.data())
def test_layer_normalisation(data: st.DataObject) -> None:
    shape = data.draw(FULL.map(lambda s: (*s, 3)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    row = shape[axis:]
    scale = row if data.draw(st.booleans()) else tuple(d if data.draw(st.booleans()) else 1 for d in row)
    inputs = [apart(shape, 0.3), real(scale), real(row) if data.draw(st.booleans()) else None]
    wanted = data.draw(st.sampled_from([[0], [1], [0, 1]])) + ([2] if inputs[2] is not None else [])
    how: dict[str, Any] = {"axis": axis - data.draw(st.sampled_from([0, len(shape)])), "epsilon": 1e-2}
    check("LayerNormalization", inputs, wanted, **how)
    read = data.draw(st.sampled_from([["y0", "y1", "y2"], ["y1"], ["y2"], ["y0", "y2"]]))
    check("LayerNormalization", inputs, [0, *wanted[1:]], 3, outputs=read, **how)


@CASES
@given(data=st.data(), extents=st.lists(EXTENTS, max_size=2))
def test_normalisations_with_channels(data: st.DataObject, extents: list[int]) -> None:
    shape = (2, 4, *extents, 3)
    parameters = [real((4,)), real((4,))]
    wanted = data.draw(st.sampled_from([[0], [1], [2], [0, 1, 2]]))
    check("InstanceNormalization", [apart(shape), *parameters], wanted, epsilon=1e-2)
    groups = data.draw(st.sampled_from([1, 2, 4]))
    check("GroupNormalization", [apart(shape), *parameters], wanted, num_groups=groups, epsilon=1e-2)
    statistics = [real((4,)), real((4,), 0.5, 2)]
    chosen = data.draw(st.sets(st.integers(0, 4), min_size=1).map(sorted))
    check("BatchNormalization", [real(shape), *parameters, *statistics], chosen, epsilon=1e-2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [7, 8, 9, 40, 65])
def test_layer_normalisation_of_long_rows(isa: str, n: int) -> None:
    check("LayerNormalization", [real((3, n)), real((n,)), real((n,))], [0, 1, 2], isa=isa)
