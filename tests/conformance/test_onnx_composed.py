"""Operators that are read as compositions of others, against their texts written out in float64, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.onnx_import import graph_from_proto
from rnnrt.ops.evaluate import evaluate
from tests.conformance.test_onnx_quantised import model, node
from tests.support import ISAS, assert_close, compiled

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(11)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def hardmax(x: np.ndarray, axis: int) -> np.ndarray:
    moved = np.moveaxis(np.zeros_like(x), axis, -1)
    for place, value in np.ndenumerate(np.moveaxis(x, axis, -1).argmax(-1)):
        moved[(*place, value)] = 1
    return np.moveaxis(moved, -1, axis)


def mean_variance(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9)


def norm(x: np.ndarray, p: int, axes: Any) -> np.ndarray:
    return (np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p)


X = RNG.standard_normal((3, 4, 5)) * 2
TIES = np.array([[1.0, 3, 3], [2, 2, 0], [-1, -1, -1]])
WITH_ZEROS = np.concatenate([X[:, :3], np.zeros((3, 1, 5))], 1)
Function = Callable[..., np.ndarray]
CASES: list[tuple[str, dict[str, Any], list[np.ndarray], Function]] = [
    ("Swish", {}, [X], lambda x: x * sigmoid(x)),
    ("Swish", {"alpha": 1.7}, [X], lambda x: x * sigmoid(1.7 * x)),
    ("SwiGLU", {"alpha": 0.5}, [X, X[::-1]], lambda a, b: a * sigmoid(0.5 * a) * b),
    ("Shrink", {"lambd": 1.5, "bias": 0.5}, [X], lambda x: np.where(x < -1.5, x + 0.5, np.where(x > 1.5, x - 0.5, 0))),
    ("Shrink", {}, [np.array([-0.5, 0.5, 0.6, -0.6])], lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    ("Hardmax", {}, [X], lambda x: hardmax(x, -1)),
    ("Hardmax", {"axis": 1}, [X], lambda x: hardmax(x, 1)),
    ("Hardmax", {}, [TIES], lambda x: hardmax(x, -1)),
    ("LpNormalization", {}, [X], lambda x: x / norm(x, 2, -1)),
    ("LpNormalization", {"p": 1, "axis": 0}, [X], lambda x: x / norm(x, 1, 0)),
    ("LpNormalization", {"axis": -1}, [WITH_ZEROS], lambda x: np.nan_to_num(x / np.maximum(norm(x, 2, -1), 1e-300))),
    ("MeanVarianceNormalization", {"axes": [0, 2]}, [X], lambda x: mean_variance(x, (0, 2))),
    ("GlobalLpPool", {}, [X], lambda x: norm(x, 2, 2)),
    ("GlobalLpPool", {"p": 3}, [X[None]], lambda x: norm(x, 3, (2, 3))),
    ("GlobalLpPool", {"p": 1}, [X], lambda x: norm(x, 1, 2)),
    (
        "LpPool",
        {"kernel_shape": [3], "p": 3, "strides": [2], "pads": [1, 1]},
        [X],
        lambda x: norm(
            np.lib.stride_tricks.sliding_window_view(np.pad(x, [(0, 0), (0, 0), (1, 1)]), 3, 2)[:, :, ::2], 3, -1
        )[..., 0],
    ),
    ("RMSNormalization", {}, [X, X[0, 0]], lambda x, s: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * s),
    (
        "RMSNormalization",
        {"axis": 1, "epsilon": 0.1},
        [X, X[0]],
        lambda x, s: x / np.sqrt((x * x).mean((1, 2), keepdims=True) + 0.1) * s,
    ),
    (
        "RMSNormalization",
        {"axis": -2},
        [X, X[0]],
        lambda x, s: x / np.sqrt((x * x).mean((1, 2), keepdims=True) + 1e-5) * s,
    ),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_composition(number: int) -> None:
    op, attrs, arrays, function = CASES[number]
    newest = onnx.defs.onnx_opset_version()
    feeds = {name: x.astype(np.float32) for name, x in zip("xyz", arrays, strict=False)}
    graph = graph_from_proto(model([node(op, list(feeds), "out", **attrs)], feeds, [], ["out"], newest))
    want = function(*(x.astype(np.float64) for x in feeds.values()))
    assert_close(evaluate(graph, feeds, dtype=np.float64)[0], want, 1e-7, "reference")
    for isa in ISAS:
        (got,) = compiled(graph, feeds, isa)
        assert got.dtype == np.float32
        assert_close(got, want, 1e-5, isa)


def test_hardmax_before_opset_13_flattens() -> None:
    feeds = {"x": X.astype(np.float32)}
    graph = graph_from_proto(model([node("Hardmax", "x", "y")], feeds, [], "y", 11))
    want = hardmax(X.reshape(3, 20), -1).reshape(X.shape)
    for isa in ISAS:
        np.testing.assert_array_equal(compiled(graph, feeds, isa)[0], want)


def test_compositions_are_differentiated() -> None:
    from tests.gradients.support import check_gradients

    for op, attrs, arrays, _ in CASES[:3] + CASES[-3:]:
        feeds = dict(zip("xyz", arrays, strict=False))
        proto = model([node(op, list(feeds), "out", **attrs)], feeds, [], ["out"], onnx.defs.onnx_opset_version())
        check_gradients(graph_from_proto(proto), feeds, list(feeds), ["out"], isas=ISAS[:1])


@pytest.mark.parametrize(
    ("op", "attrs", "message"),
    [
        ("LpNormalization", {"p": 3}, "attribute p=3: only 1 and 2 are defined"),
        ("LpPool", {"kernel_shape": [2], "ceil_mode": 1}, "attribute ceil_mode=1 is not supported"),
        ("Swish", {"beta": 1.0}, r"attribute beta=1.0 is not known; export the model without it"),
    ],
)
def test_what_a_composition_does_not_know(op: str, attrs: dict[str, Any], message: str) -> None:
    feeds = {"x": X.astype(np.float32)}
    with pytest.raises(rnnrt.UnsupportedModelError, match=message):
        graph_from_proto(model([node(op, "x", "y", **attrs)], feeds, [], "y", onnx.defs.onnx_opset_version()))


@pytest.mark.parametrize(("axis", "count"), [(None, 5), (1, 3), (-1, 2)])
def test_compress(axis: int | None, count: int) -> None:
    condition = RNG.permutation(count) % 2 == 0
    feeds = {"x": X.astype(np.float32), "c": condition}
    attrs = {} if axis is None else {"axis": axis}
    proto = model([node("Compress", "xc", "y", **attrs)], feeds, [], "y")
    got = graph_from_proto(proto)
    moved = X.astype(np.float32).ravel() if axis is None else np.moveaxis(feeds["x"], axis, 0)
    want = np.stack([moved[k] for k in range(count) if condition[k]])
    np.testing.assert_array_equal(evaluate(got, feeds)[0], want if axis is None else np.moveaxis(want, 0, axis))
    long = {**feeds, "c": np.ones(99, bool)}
    with pytest.raises(rnnrt.ShapeError, match=r"a condition of shape \(99,\); it must be 1-D and no longer than"):
        evaluate(got, long)
