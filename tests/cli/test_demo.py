"""The demo: its figures, its checks that can fail, and its picture."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rnnrt.cli import main
from rnnrt.cli.demo import DATA

DEMO = sys.modules["rnnrt.cli.demo"]  # the package's attribute of that name is the verb

pytest.importorskip("onnx")
pytest.importorskip("h5py")
FAST = ["demo", "--seconds", "0.01"]


def test_it_checks_both_files_and_prints_figures() -> None:
    result = CliRunner().invoke(main, [*FAST, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert set(report["files"]) == {"digits.keras", "digits.onnx"}
    for figures in report["files"].values():
        assert figures["largest_difference"] < 2e-5
        assert figures["accuracy"] > 0.95
    assert report["rows_equal_whole"]
    assert set(report["times"]) == {"one row, state kept", "one digit", "batch of 64"}
    for engines in report["times"].values():
        assert 0 < engines["rnnrt"]["p50_us"] <= engines["rnnrt"]["p99_us"]


def test_the_accuracy_is_that_of_the_kept_outputs() -> None:
    """What Keras gave, counted here, is what the demo says."""
    with np.load(DATA / "digits.npz") as kept:
        accuracy = (kept["outputs"].argmax(1) == kept["labels"]).mean()
    output = CliRunner().invoke(main, FAST).output.replace("\n", " ")
    assert output.count(f"accuracy {accuracy:.1%}") == 2


def test_it_fails_where_outputs_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA, tmp_path / "data")
    with np.load(DATA / "digits.npz") as kept:
        arrays = dict(kept)
    arrays["outputs"][7, 3] += 1e-3
    np.savez(tmp_path / "data" / "digits.npz", **arrays)
    monkeypatch.setattr(DEMO, "DATA", tmp_path / "data")
    result = CliRunner().invoke(main, FAST)
    assert result.exit_code != 0
    assert "outputs differ from the stored ones by 1.0e-03" in result.output


def test_it_does_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEMO, "_onnxruntime", lambda: None)
    result = CliRunner().invoke(main, FAST)
    assert result.exit_code == 0
    assert "install onnxruntime" in result.output


def test_it_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(main, [*FAST, "--plot", str(tmp_path / "digit.png")])
    assert result.exit_code == 0, result.output
    data = (tmp_path / "digit.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 10_000


def test_drawing_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(main, [*FAST, "--plot", str(tmp_path / "digit.png")])
    assert result.exit_code != 0
    assert "drawing needs matplotlib: pip install" in result.output
