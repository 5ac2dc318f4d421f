"""Operators whose attributes, constants or shapes no exporter writes: refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import RnnrtError, ShapeError
from tests.conformance.test_hostile_onnx import body_of, model, node, onnx, run

F = np.float32
W = np.ones((4, 2, 3), F)
"""Weights of a convolution."""
BODY = body_of(node("Identity", ["a"], ["b"]))


@pytest.mark.parametrize(
    ("proto", "match"),
    [
        (model(node("ConvTranspose", ["x", "w"], ["y"], output_shape=[-1]), constants={"w": W}, shape=(1, 4, 5)),
         "ConvTranspose node 'y': its result would have shape"),
        (model(node("EyeLike", ["x"], ["y"], dtype=99)), "EyeLike node 'y': attribute dtype=99 is no data type"),
        (model(node("EyeLike", ["x"], ["y"]), shape=(2, 3, 4)), "EyeLike node 'y': takes a matrix"),
        (model(node("GatherND", ["x", "i"], ["y"], batch_dims=-1), constants={"i": [[0], [1]]}), "batch_dims -1"),
        (model(node("GatherND", ["x", "i"], ["y"], batch_dims=2), constants={"i": [[0], [1]]}), "batch_dims 2"),
        (model(node("LayerNormalization", ["x", "w"], ["y"]), constants={"w": np.ones((1, 2, 4), F)}),
         "LayerNormalization node 'y': input 1 of shape"),
        (model(node("ReverseSequence", ["x", "n"], ["y"], time_axis=7), constants={"n": [1, 1]}), "axis 7 is out"),
        (model(node("Trilu", ["x", "k"], ["y"]), constants={"k": np.zeros(0, np.int64)}), "k must be one value"),
        (model(node("Trilu", ["x"], ["y"]), shape=(4,)), "Trilu node 'y': takes matrices"),
        (model(node("Loop", ["n", "", "x"], ["y"], body=BODY), constants={"n": [3, 4]}),
         "Loop node 'y': its trip count must be one value"),
    ],
)  # fmt: skip
def test_refused(proto: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=match):
        run(proto, tmp_path)


@pytest.mark.parametrize(
    "key", ["scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"]
)
def test_a_scan_with_lists_of_another_length(key: str, tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    nodes = [node("Add", ["a", "p"], ["b"]), node("Identity", ["q"], ["row"])]
    body = onnx.helper.make_graph(
        nodes, "body", [value(n, 1, None) for n in "apq"], [value(n, 1, None) for n in ("b", "row")]
    )
    scan = node("Scan", ["zero", "x", "x"], ["last", "y"], body=body, num_scan_inputs=2, **{key: [0, 0, 0]})
    path = tmp_path / "model.onnx"
    path.write_bytes(model(scan, constants={"zero": np.zeros(4, F)}).SerializeToString())
    with pytest.raises(ShapeError, match=f"Scan node 'last': {key} has 3 entries"):
        rnnrt.load(path)


def test_a_loop_that_learns_its_trip_count_while_running(tmp_path: Path) -> None:
    count = [node("Cast", ["x"], ["n"], to=7), node("Loop", ["n", "", "x"], ["y"], body=BODY)]
    with pytest.raises(ShapeError, match="Loop node 'y': its trip count must be one value"):
        run(model(*count), tmp_path)


@pytest.mark.parametrize("flag", [1, 2, 1 << 62, -5])
def test_any_flag_that_is_not_zero_is_true(flag: int, tmp_path: Path) -> None:
    cast = node("Cast", ["t"], ["y"], to=1)
    found = run(model(node("Div", ["x", "z"], ["u"]), node("IsInf", ["u"], ["t"], detect_positive=flag), cast,
                      constants={"z": F(0)}), tmp_path)  # fmt: skip
    assert np.all(found == 1)


def test_a_rule_that_runs_into_something_names_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnrt.ops import get_operator

    operator = get_operator("Einsum")
    for part in ("infer", "lower", "reference"):

        def broken(*args: Any) -> Any:
            raise KeyError("nobody foresaw this")

        with monkeypatch.context() as patch:
            patch.setattr(operator, part, broken)
            with pytest.raises(RnnrtError, match=r"Einsum node 'y'.*nobody foresaw this"):
                run(model(node("Einsum", ["x"], ["y"], equation="ij->ji")), tmp_path)


def test_a_reference_that_gives_another_shape_than_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnrt.ops import get_operator

    monkeypatch.setattr(get_operator("Einsum"), "reference", lambda *_: [np.zeros((7, 7), F)])
    with pytest.raises(ShapeError, match=r"Einsum node 'y': gives shape \(7, 7\), planned was \(4, 2\)"):
        run(model(node("Einsum", ["x"], ["y"], equation="ij->ji")), tmp_path)
