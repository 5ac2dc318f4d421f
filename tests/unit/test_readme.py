"""What the README shows is true: its example runs, its commands exist, its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def blocks(language: str) -> list[str]:
    """The README's code blocks in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_example_runs(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    (tmp_path / "digits.onnx").symlink_to(ROOT / "rnnrt/demo_data/digits.onnx")
    monkeypatch.chdir(tmp_path)
    run, train = blocks("python")
    scope: dict[str, object] = {}
    exec(compile(run, "README.md", "exec"), scope)
    np.testing.assert_array_equal(scope["y_t"], scope["y"])
    (tmp_path / "digits.onnx").unlink()  # a link to the demo's own file
    exec(compile(train, "README.md", "exec"), scope)
    assert (tmp_path / "digits.onnx").exists()


def test_the_verbs_exist():
    from rnnrt.cli import main

    verbs = set(re.findall(r"^rnnrt (\w+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert {"convert", "inspect", "run"} <= verbs
    assert verbs <= set(main.commands)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_list_of_operators_and_layers_is_complete():
    from rnnrt.layers import LAYERS
    from rnnrt.ops import operator_names

    words = set(re.findall(r"\w+", (ROOT / "docs/importing.md").read_text()))
    # Gradients are made by training; no file holds them.
    assert {name for name in operator_names() if "Gradient" not in name and name != "Python"} <= words
    assert set(LAYERS) <= words
