"""`import rnnrt` brings in numpy and the standard library, nothing else."""

import subprocess
import sys

OPTIONAL = {"onnx", "h5py", "scipy", "tqdm", "matplotlib", "click", "rich", "safetensors", "onnxruntime", "tensorflow"}


def loaded(statement):
    """Top-level packages in memory after `statement`, in a new interpreter."""
    code = f"import sys, rnnrt; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_import_is_lean():
    assert not OPTIONAL & loaded("pass")


def test_first_use_is_lean():
    packages = loaded("rnnrt.load, rnnrt.Model, rnnrt.Stream")
    assert {"rnnrt", "numpy"} <= packages
    assert not OPTIONAL & packages


def test_everything_public_can_be_reached():
    import rnnrt

    assert "load" in rnnrt.__all__
    for name in rnnrt.__all__:
        assert getattr(rnnrt, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    import pytest

    import rnnrt

    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        _ = rnnrt.loads
    assert {"load", "Model", "errors"} <= set(dir(rnnrt))


def test_a_checkout_that_is_not_built_says_so(tmp_path):
    import shutil
    from pathlib import Path

    import rnnrt

    shutil.copytree(Path(rnnrt.__file__).parent, tmp_path / "rnnrt", ignore=shutil.ignore_patterns("*.so", "demo_data"))
    run = subprocess.run(
        [sys.executable, "-c", "import rnnrt; rnnrt.load"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert run.returncode == 1
    assert "compiled part of rnnrt is missing from" in run.stderr
    assert "pip install -e ." in run.stderr
