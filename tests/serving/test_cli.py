"""The verb `serve` up to the start of the server."""

from __future__ import annotations

import importlib.util
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rnnrt.cli import main
from rnnrt.serving.launch import Address, write_settings
from rnnrt.serving.options import Options
from tests.serving.support import network


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["serve", *(str(a) for a in arguments)])


@pytest.fixture
def served(tmp_path: Path) -> Path:
    network().save(tmp_path / "m.rnnrt")
    return tmp_path / "m.rnnrt"


def test_help() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert "Open Inference Protocol V2" in result.output


def test_without_mlserver(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlserver" else find(name))
    result = call(served)
    assert result.exit_code == 1
    assert 'pip install "rnnrt[serve]"' in result.output


def test_what_is_wrong_with_the_file_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    result = call(tmp_path / "m.onnx")
    assert result.exit_code == 1
    assert "m.onnx" in result.output
    assert call(tmp_path / "m.onnx", "--max-queue", 0).exit_code == 2


def test_options_reach_the_settings(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    async def run(folder: Path, max_body_bytes: int) -> None:
        seen["server"] = json.loads((folder / "settings.json").read_text())
        seen["model"] = json.loads((folder / "tagger" / "model-settings.json").read_text())
        seen["body"] = max_body_bytes

    monkeypatch.setattr("rnnrt.serving.launch._run", run)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = call(served, "--port", port)
        assert result.exit_code == 1
        assert f"port={port} on 127.0.0.1: Address already in use" in result.output
    monkeypatch.setattr("rnnrt.serving.launch._check_ports", lambda address: None)
    result = call(served, "--name", "tagger", "--port", 9000, "--threads", 2, "--max-queue", 7, "--max-body-mb", 3)
    assert result.exit_code == 0, result.output
    assert "http://127.0.0.1:9000" in result.output
    assert (seen["server"]["host"], seen["server"]["http_port"]) == ("127.0.0.1", 9000)
    assert seen["server"]["parallel_workers"] == 0
    assert seen["body"] == seen["server"]["grpc_max_message_length"] == 3 << 20
    assert seen["model"]["parameters"]["uri"] == str(served)
    options = Options.of(seen["model"]["parameters"]["extra"])
    assert (options.threads, options.max_queue) == (2, 7)
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert "must be three ports" in call(served, "--port", 9000, "--grpc-port", 9000).output
    result = call(served, "--name", "a/b")
    assert result.exit_code == 1
    assert "does not suit a URL" in result.output


def test_settings_are_one_folder_a_model(tmp_path: Path) -> None:
    write_settings(tmp_path, tmp_path / "m.onnx", "m", Address(), Options(), 1)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")) == [
        "m/model-settings.json",
        "settings.json",
    ]
