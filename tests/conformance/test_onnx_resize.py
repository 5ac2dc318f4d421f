"""Resize and Upsample against onnxruntime; gradients against central differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from tests.conformance.onnx_files import Type, compare, drawn, model, node, onnx, outputs_of, value
from tests.gradients.support import check_gradients
from tests.support import ISAS, compiled, one_node

X = drawn(2, 3, 7)
WAYS = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def made(
    shape: tuple[Any, ...], scales: Any = None, sizes: Any = None, opset: int = 19, op: str = "Resize", **attrs: Any
) -> Any:
    given = {"scales": np.array(scales if scales is not None else [], np.float32)}
    if sizes is not None:
        given["sizes"] = np.array(sizes, np.int64)
    inputs = ["x", "scales"] if opset < 11 else ["x", "", "scales", "sizes"][: 4 if sizes is not None else 3]
    if opset < 9:
        attrs["scales"] = [float(v) for v in scales]
        inputs, given = ["x"], {}
    if sizes is not None:
        inputs[2] = ""
        del given["scales"]
    nodes = [node(op, inputs, ["y"], **attrs)]
    return model(nodes, [value("x", Type.FLOAT, shape)], [value("y", Type.FLOAT, None)], given, opset)


MODES = [("linear", "floor"), *(("nearest", rounding) for rounding in ROUNDINGS)]


@pytest.mark.parametrize(
    ("mode", "rounding", "way", "scale"),
    [
        (*mode, way, scale)
        for mode in MODES
        for way in WAYS
        for scale in (2.0, 3.0, 1.5, 0.6, 2.3, 11 / 3)
        # The sums of this way end at ties more often, which the last bit of a float decides, as ONNX's text does not.
        if way != "half_pixel_symmetric" or mode[0] == "linear" or scale in (2.0, 3.0, 1.5)
    ],
)
def test_by_scales(mode: str, rounding: str, way: str, scale: float, tmp_path: Path) -> None:
    attrs = {"mode": mode, "coordinate_transformation_mode": way, "nearest_mode": rounding}
    proto = made(("N", 3, "L"), [1, 1, scale], **attrs)
    loaded = compare(proto, {"x": X}, tmp_path)
    for length in (1, 2, 12):  # one model for all lengths
        compare(proto, {"x": drawn(1, 3, length)}, tmp_path)
    assert loaded.inputs[0].shape == (None, 3, None)


@pytest.mark.parametrize("size", [1, 2, 7, 10, 21])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_by_sizes(mode: str, way: str, size: int, tmp_path: Path) -> None:
    attrs = {"mode": mode, "coordinate_transformation_mode": way}
    compare(made((2, 3, "L"), None, [2, 3, size], **attrs), {"x": X}, tmp_path)


def test_by_a_size_that_the_network_computes(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Mul", ["shape", "times"], ["sizes"]),
        node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear"),
    ]
    proto = model(
        nodes, [value("x", Type.FLOAT, ["N", "C", "L"])], [value("y", Type.FLOAT, None)],
        {"times": np.array([1, 1, 2])}, 18,
    )  # fmt: skip
    for length in (3, 8):
        compare(proto, {"x": drawn(2, 3, length)}, tmp_path)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_images(mode: str, tmp_path: Path) -> None:
    attrs = {"mode": mode, "coordinate_transformation_mode": "align_corners"}
    compare(made((1, 2, "H", "W"), None, [1, 2, 7, 5], opset=13, **attrs), {"x": drawn(1, 2, 4, 6)}, tmp_path)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_some_axes_and_their_ratio(policy: str, tmp_path: Path) -> None:
    proto = made((2, 3, 7), None, [9, 4], axes=[2, 1], keep_aspect_ratio_policy=policy, mode="linear")
    compare(proto, {"x": X}, tmp_path)


@pytest.mark.parametrize(("op", "opset"), [("Upsample", 7), ("Upsample", 9), ("Resize", 10)])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_older_spellings(op: str, opset: int, mode: str, tmp_path: Path) -> None:
    for scale in (2.0, 2.5):
        proto = made(("N", 1, "H", 7), [1, 1, 1, scale], opset=opset, op=op, mode=mode)
        compare(proto, {"x": X[:, None]}, tmp_path)


@pytest.mark.parametrize("isa", ISAS)
def test_nearest_of_one_axis_is_compiled(isa: str, tmp_path: Path) -> None:
    loaded = compare(made((2, 3, 7), [1, 1, 2]), {"x": X}, tmp_path)
    np.testing.assert_array_equal(compiled(loaded.graph, {"x": X}, isa)[0], X.repeat(2, -1))


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_written_out_again(mode: str, tmp_path: Path) -> None:
    loaded = compare(made(("N", 3, "L"), [1, 1, 2.5], mode=mode), {"x": X}, tmp_path)
    loaded.save(tmp_path / "again.onnx")
    (want,) = outputs_of(tmp_path / "again.onnx", {"x": X})
    np.testing.assert_allclose(loaded(X), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (made((1, 2, 7), [1, 1, 2], mode="cubic"), "attribute mode='cubic' is not supported; use nearest or linear"),
        (made((1, 2, 7), [1, 1, 2], mode="linear", antialias=1), "attribute antialias=1 is not supported"),
        (
            made((1, 2, 7), [1, 1, 2], coordinate_transformation_mode="tf_crop_and_resize"),
            "'tf_crop_and_resize' is not",
        ),
        (made((1, 2, 7), [1, 1, 0.5], opset=10), "opset 10 does not say which value is the nearest"),
    ],
)
def test_what_is_refused(proto: Any, message: str, tmp_path: Path) -> None:
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(rnnrt.UnsupportedModelError, match=message):
        rnnrt.load(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (made((1, 2, 7), [1, 2]), "needs scales or sizes, one number for each of the axes"),
        (made((1, 2, 7), [1, 1, -1]), "axis 2 of extent 7 cannot become -1.0 of that"),
        (made((1, 2, 7), [1, 2], axes=[1, -2]), "name an axis twice"),
    ],
)
def test_what_does_not_fit(proto: Any, message: str, tmp_path: Path) -> None:
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(rnnrt.ShapeError, match=message):
        rnnrt.load(tmp_path / "m.onnx")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("sizes", [(2, 3, 9), (2, 3, 4), (2, 5, 7), (3, 2, 5)])
def test_gradients(sizes: tuple[int, ...], mode: str, way: str) -> None:
    x = np.random.default_rng(3).standard_normal((2, 3, 7))
    inputs = [x, None, None, np.array(sizes)]
    graph, feeds = one_node("Resize", inputs, 1, (3,), mode=mode, coordinate_transformation_mode=way)
    check_gradients(graph, feeds, ["x0"], ["y0"], isas=ISAS[:1])
