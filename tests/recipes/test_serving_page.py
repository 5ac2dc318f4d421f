"""docs/serving.md is true: its code runs in the order in which it stands, its server serves, and its commands work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rnnrt
from rnnrt.cli import main
from rnnrt.cli.serve import serve

PAGE = Path(__file__).resolve().parents[2] / "docs/serving.md"
SERVED = {"Serve", "Call it"}


def blocks() -> list[tuple[str, str, str]]:
    """Heading, language and text of each block, in order."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    return [
        (heading, *block)
        for heading, text in zip(["", *parts[1::2]], [parts[0], *parts[2::2]], strict=True)
        for block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    ]


@pytest.fixture
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for package in ("onnx", "h5py"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    return {"__name__": "page"}


def run_python(text: str, scope: dict[str, Any]) -> None:
    exec(compile(text, PAGE.name, "exec"), scope)


def run_rnnrt(text: str) -> str:
    """The output of lines that call rnnrt."""
    told = ""
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "rnnrt"
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        told += result.output
    return told


def test_all_but_the_server(scope: dict[str, Any]) -> None:
    for heading, language, text in blocks():
        if heading in SERVED or text.startswith("pip"):
            continue
        if language == "python":
            run_python(text, scope)
        else:
            assert "digits.rnnrt" in run_rnnrt(text)
    model, pictures, labels = (scope[name] for name in ("model", "pictures", "labels"))
    want = model(pictures)
    assert np.mean(want.argmax(1)[:60] == labels[:60]) > 0.7
    assert [[int(i) for i in want[k::8][:5].argmax(1)] for k in range(8)] == scope["answers"]
    np.testing.assert_array_equal(scope["probabilities"], want[:50])
    assert len(scope["pool"]) == 0
    kept = model.stream_pool()
    kept.restore("elsewhere", scope["kept"])
    assert kept.ids == ["elsewhere"]


@pytest.fixture
def server(scope: dict[str, Any]) -> Iterator[Any]:
    """The page's server, on ports that are free."""
    pytest.importorskip("mlserver")
    from tests.serving.test_server import Server

    for heading, _, text in blocks():
        if heading == "A trained file":
            run_python(text, scope)
        elif heading == "Convert and verify":
            run_rnnrt(text)
    (command,) = (text for heading, language, text in blocks() if heading == "Serve")
    assert shlex.split(command) == ["rnnrt", "serve", "digits.rnnrt", "--port", "8080"]
    running = Server(Path("digits.rnnrt").resolve())
    yield running
    assert running.stop() == 0


def test_the_server_is_called(scope: dict[str, Any], server: Any, capsys: Any) -> None:
    pytest.importorskip("httpx")
    told = []
    for heading, language, text in blocks():
        here = text.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
        if heading == "Call it" and language == "python":
            run_python(here, scope)
        elif heading == "Call it" and shutil.which("curl"):
            for line in here.splitlines():
                done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=60)
                told.append(done.stdout)
    model, pictures = rnnrt.load("digits.rnnrt"), scope["pictures"]
    want = model(pictures[:2])
    if told:
        _, about, answer = told
        assert json.loads(about)["name"] == "digits"
        np.testing.assert_allclose(np.reshape(json.loads(answer)["outputs"][0]["data"], (2, 10)), want, atol=1e-6)
    np.testing.assert_allclose(scope["heard"], want[0], atol=1e-6)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("after row")]
    stream = model.stream()
    steps = [stream.step(row[None])[0] for row in pictures[0]]
    assert lines == [f"after row {k}: {y.argmax()} ({y.max():.2f})" for k, y in enumerate(steps)]


def test_the_table_of_options_is_true() -> None:
    page = PAGE.read_text()
    named = set(re.findall(r"`(--[\w-]+)`", page))
    assert named <= {option for parameter in serve.params for option in parameter.opts}
    defaults = {parameter.name: parameter.default for parameter in serve.params}
    assert (defaults["host"], defaults["port"], defaults["grpc_port"]) == ("127.0.0.1", 8080, 8081)
    assert defaults["metrics_port"] == 8082
