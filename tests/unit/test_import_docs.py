"""The tables of docs/importing.md are those of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "make_import_tables.py"


@pytest.fixture
def tool() -> Any:
    pytest.importorskip("onnx")
    if not TOOL.exists():
        pytest.skip("tools/ is part of the checkout, not of the installed package")
    spec = importlib.util.spec_from_file_location("make_import_tables", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_those_of_the_code(tool: Any) -> None:
    text = tool.PAGE.read_text()
    assert all(f"<!-- table: {name} -->" in text for name in tool.TABLES)
    assert text == tool.filled(text), "run python tools/make_import_tables.py"


def test_a_table_that_has_drifted_is_found(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tool.PAGE.read_text()
    page = tmp_path / "importing.md"
    page.write_text(text.replace("| LSTM | 7+ | compiled | yes |", "| LSTM | 7+ | hosted | yes |"))
    assert page.read_text() != text
    monkeypatch.setattr(tool, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["make_import_tables.py", "--check"])
    assert tool.main() == 1
    monkeypatch.setattr("sys.argv", ["make_import_tables.py"])
    assert tool.main() == 0
    assert page.read_text() == text
