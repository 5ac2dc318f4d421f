"""Damaged files end in an answer or in a `RnnrtError`, whatever the damage."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.formats import read_model

DATA = Path(rnnrt.__file__).parent / "demo_data"


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut off, overwritten here and there (mostly near the ends, where the structure is), or with bytes missing."""
    out = bytearray(data)
    kind = rng.choice(["cut", "scatter", "scatter", "range", "drop"])
    if kind == "cut":
        return bytes(out[: rng.randrange(len(out))])
    near = (
        rng.randrange(min(len(out), 4000)) if rng.random() < 0.5 else len(out) - 1 - rng.randrange(min(len(out), 6000))
    )
    length = rng.randrange(1, 32)
    if kind == "scatter":
        for _ in range(rng.randrange(1, 6)):
            out[(near + rng.randrange(length)) % len(out)] = rng.randrange(256)
    elif kind == "range":
        out[near : near + length] = rng.randbytes(len(out[near : near + length]))
    else:
        del out[near : near + length]
    return bytes(out)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["digits.onnx", "digits.keras", "digits.rnnrt"])
def test_damage_is_an_answer_or_an_rnnrt_error(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    if name.endswith(".rnnrt"):
        rnnrt.load(DATA / "digits.onnx").save(tmp_path / name)
    whole = (tmp_path if name.endswith(".rnnrt") else DATA).joinpath(name).read_bytes()
    refused = 0
    for seed in range(80):
        file = tmp_path / f"damaged_{name}"
        file.write_bytes(damaged(whole, random.Random(seed)))
        try:
            model = rnnrt.load(file)
            feeds = {i.name: np.zeros([d or 1 for d in i.shape or ()], i.dtype) for i in model.inputs}
            if sum(x.size for x in feeds.values()) < 1 << 20:
                model.run(None, feeds)
        except rnnrt.RnnrtError:
            refused += 1
    assert refused > 20


def test_what_a_reader_did_not_foresee_is_a_format_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    import rnnrt.formats.onnx_import

    for error, words in ((KeyError("weights"), "KeyError: 'weights'"), (RecursionError(), "nested too deeply")):

        def broken(path: Path, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(rnnrt.formats.onnx_import, "read_onnx", broken)
        with pytest.raises(rnnrt.ModelFormatError, match=words):
            read_model(DATA / "digits.onnx")
