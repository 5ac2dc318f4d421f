"""docs/training.md is true: its code runs in the order in which it stands, and so do its commands, and its table."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rnnrt.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs/training.md"


def blocks() -> list[tuple[str, str]]:
    """Language and text of each block, in order."""
    return re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for package in ("onnx", "h5py", "matplotlib", "yaml"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "page"}
    commands = 0
    for language, text in blocks():
        if language == "python":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="gradients are vanishing")
                warnings.filterwarnings("error", category=RuntimeWarning)
                exec(compile(text, PAGE.name, "exec"), scope)
        elif language == "yaml":
            Path(text.split("\n")[0].removeprefix("# ")).write_text(text)
        elif language == "sh":
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "rnnrt"
                result = CliRunner().invoke(main, arguments)
                assert result.exit_code == 0, result.output
                commands += 1
    assert commands == 3
    history = scope["history"].history
    assert history["val_accuracy"][-1] > 0.5
    report = scope["report"]
    assert {layer.name: layer.verdict for layer in report.layers} == {
        "simple_rnn": "healthy", "gru": "vanishing", "lstm": "vanishing", "lstm_forget_bias": "healthy"
    }  # fmt: skip
    assert scope["logs"]["gradient_norm"][0] == scope["monitor"].reports[0].gradient_norm
    assert scope["rate"](50) == pytest.approx(1e-2)
    expected = ["best.keras", "digits.keras", "digits.onnx", "digits.rnnrt", "tuned.rnnrt", "curves.png", "history.csv"]
    for name in [*expected, "gradients.png", "gradients-2.png", "gradients-4.png"]:
        assert (tmp_path / name).stat().st_size > 100, name
    assert not (tmp_path / "backup").exists()
    (table,) = (text for language, text in blocks() if language == "text")
    heading, _, *rows = table.splitlines()
    assert heading in capsys.readouterr().out
    for row, layer in zip(rows, report.layers, strict=True):
        name, kind, steps, first, last, carried, *_, verdict = row.split()
        assert (name, kind, int(steps), verdict) == (layer.name, layer.kind, 50, layer.verdict)
        # Other instruction sets round otherwise.
        for shown, value in ((first, layer.step_norms[0]), (last, layer.step_norms[-1]), (carried, layer.carry[-1])):
            assert float(shown) == pytest.approx(value, rel=0.06)


def test_what_the_page_says_of_keys_is_what_there_is() -> None:
    from rnnrt.models.description import COMPILE_KEYS, FIT_KEYS, KEYS

    words = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    assert set(KEYS) | set(COMPILE_KEYS) <= words
    assert {key for key in FIT_KEYS if not key.startswith("validation_")} <= words
