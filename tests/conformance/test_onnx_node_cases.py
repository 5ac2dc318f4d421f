"""The cases that the onnx package generates for its operators: every one whose operators rnnrt has.

The package's own numpy code made the expected outputs. A case is run unless `LEFT_OUT` says why not; what is left out
has to be refused, and for that reason, so no entry outlives its cause.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt.formats.onnx_upgrade import RULES
from rnnrt.ops import is_known, operator_names
from tests.conformance.onnx_files import outputs_of

onnx = pytest.importorskip("onnx")

OPERATORS = sorted({*operator_names(), *RULES})
RECURRENT = ("GRU", "LSTM", "RNN")

LEFT_OUT = {
    r"cast(like)?_.*(FLOAT8|FLOAT4|INT4|INT2).*": r"element type (FLOAT8|FLOAT4|U?INT4|U?INT2)",
    r"(de)?quantizelinear_(e4m3fn.*|e5m2|float4e2m1|u?int[24])": r"element type (FLOAT8|FLOAT4|U?INT4|U?INT2)",
    r"bernoulli.*|random.*": "draws random numbers",
    r"equal_string.*": "element type STRING",
    r"(identity|if|loop\d*)_(seq.*|opt.*|\d*_?seq.*)": "(sequence|optional)_type",
    r"(split_to_sequence|sequence_insert|sequence_map).*": "sequence_type",
    r"(training_dropout.*|batchnorm_.*training_mode)": "export the model for inference",
    r"resize_.*(cubic|antialias).*": "attribute (mode='cubic'|antialias=1) is not supported",
    r"resize_tf_crop_and_resize.*": "coordinate_transformation_mode='tf_crop_and_resize' is not supported",
    r"maxpool_with_argmax_2d_precomputed_strides": "storage_order=1",
    r"scan_sum": "Scan of opset 8",
    r"not_[234]d": "opset 1",
}
"""Cases by a pattern of their names, and what the refusal says."""

DISPUTED = {
    "resize_downsample_scales_linear_align_corners": "ONNX's text divides by whole extents, the package by 0.6 * 4 - 1",
}
"""Cases whose outputs are not what the operator's text says; onnxruntime's take their place."""

HALF = {"float16": 2e-3, "bfloat16": 2e-2}
"""rnnrt computes half precision in float32 and rounds outputs that are float16; tolerance by the case's type."""


@functools.cache
def every_case() -> list[Any]:
    """All cases of the package."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return [case for case in collect_testcases() if case.model is not None]


@functools.cache
def cases() -> dict[str, list[Any]]:
    """Cases all of whose operators rnnrt has, by the operator of their first node."""
    groups = defaultdict(list)
    for case in every_case():
        if all(known(case, node) for node in case.model.graph.node):
            groups[case.model.graph.node[0].op_type].append(case)
    return groups


def not_run() -> dict[str, dict[str, int]]:
    """How many cases are not run, by operator and reason; operators of other domains with their domain."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for case in every_case():
        missing = [node for node in case.model.graph.node if not known(case, node)]
        why = "operator is not supported" if missing else left_out(case)
        if why is not None:
            node = (missing or case.model.graph.node)[0]
            found[f"{node.domain}.{node.op_type}".lstrip(".")][why] += 1
    return {operator: dict(reasons) for operator, reasons in sorted(found.items())}


def known(case: Any, node: Any) -> bool:
    own = {*RULES, *(function.name for function in case.model.functions)}
    return node.domain in ("", "ai.onnx") and (is_known(node.op_type) or node.op_type in own)


def name_of(case: Any) -> str:
    return str(case.name).removeprefix("test_")


def left_out(case: Any) -> str | None:
    return next((why for pattern, why in LEFT_OUT.items() if re.fullmatch(pattern, name_of(case))), None)


def array(given: Any) -> np.ndarray:
    return onnx.numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else np.asarray(given)


def held(x: np.ndarray) -> np.ndarray:
    """As rnnrt takes and gives it: numpy has no bfloat16."""
    return x.astype(np.float32) if x.dtype.name == "bfloat16" else x


def check(case: Any, path: Path) -> None:
    """Read the case's model from a file and compare every data set."""
    onnx.save(case.model, path)
    model = rnnrt.load(path)
    names = [value.name for value in case.model.graph.input]
    assert [info.name for info in model.inputs] == names
    assert [info.name for info in model.outputs] == [value.name for value in case.model.graph.output]
    for given, outputs in case.data_sets:
        inputs, expected = [array(x) for x in given], outputs
        if name_of(case) in DISPUTED:
            expected = outputs_of(path, dict(zip(names, inputs, strict=True)))
        half = max((HALF.get(x.dtype.name, 0) for x in [*inputs, *map(array, expected)]), default=0)
        results = model.run(None, dict(zip(names, map(held, inputs), strict=True)))
        for info, got, want in zip(model.outputs, results, map(array, expected), strict=True):
            assert got.dtype == info.dtype == held(want).dtype
            assert got.shape == want.shape
            rtol, atol = (half, half) if half else (case.rtol, case.atol)
            np.testing.assert_allclose(got, held(want), rtol=rtol, atol=atol, err_msg=info.name)


@pytest.mark.parametrize("operator", OPERATORS)
def test_cases_of(operator: str, tmp_path: Path) -> None:
    failures = []
    for case in cases().get(operator, []):
        why = left_out(case)
        try:
            if why is None:
                check(case, tmp_path / "case.onnx")
            else:
                with pytest.raises(rnnrt.UnsupportedModelError, match=why):
                    check(case, tmp_path / "case.onnx")
        except (AssertionError, rnnrt.RnnrtError, pytest.fail.Exception) as error:
            failures.append(f"{case.name}: {error}")
    assert not failures, f"{len(failures)} cases:\n" + "\n".join(failures)


def test_every_recurrent_case_is_run() -> None:
    """The onnx package has had 18 for years."""
    run = [case for operator in RECURRENT for case in cases()[operator] if left_out(case) is None]
    assert len(run) >= 18


def test_most_cases_are_run() -> None:
    everything = [case for group in cases().values() for case in group]
    assert sum(left_out(case) is None for case in everything) > 0.7 * len(everything) > 500


def test_every_case_is_run_or_has_a_reason() -> None:
    run = sum(left_out(case) is None for group in cases().values() for case in group)
    reasons = not_run()
    assert run + sum(count for row in reasons.values() for count in row.values()) == len(every_case())
    assert not {"LSTM", "GRU", "RNN", "MatMul", "Conv"} & set(reasons)


def test_files_of_the_newest_opset_are_read(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    for version, message in ((newest, None), (newest + 1, "install a newer onnx package"), (6, "version_converter")):
        case = next(case for case in cases()["Relu"] if name_of(case) == "relu")
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        model.opset_import[0].version = version
        onnx.save(model, tmp_path / "relu.onnx")
        if message is None:
            x = array(case.data_sets[0][0][0])
            np.testing.assert_array_equal(rnnrt.load(tmp_path / "relu.onnx")(x), np.maximum(x, 0))
            continue
        with pytest.raises(rnnrt.UnsupportedModelError, match=message):
            rnnrt.load(tmp_path / "relu.onnx")


@pytest.mark.parametrize("pattern", LEFT_OUT)
def test_no_entry_is_stale(pattern: str) -> None:
    assert any(re.fullmatch(pattern, name_of(case)) for group in cases().values() for case in group)
