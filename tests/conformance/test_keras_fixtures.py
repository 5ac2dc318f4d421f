"""Stored files of Keras 3 and 2, for environments without Keras; tools/make_keras_fixtures.py made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnnrt
from tests.support import assert_close

pytest.importorskip("h5py")

FOLDER = Path(__file__).resolve().parents[1] / "data" / "keras"
FILES = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".keras", ".h5"))


def test_the_fixtures_are_there() -> None:
    assert len(FILES) == 38


@pytest.mark.parametrize("name", FILES)
def test_stored_file(name: str) -> None:
    case = np.load(FOLDER / f"{name}.npz")
    model = rnnrt.load(FOLDER / name)
    outputs = model.run(None, {info.name: case[f"x{k}"] for k, info in enumerate(model.inputs)})
    assert len(outputs) + len(model.inputs) == len(case.files)
    for k, got in enumerate(outputs):
        assert_close(got, case[f"y{k}"], 2e-5, f"{name}, output {k}")
