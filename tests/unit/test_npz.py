"""Weights in .npz: dictionaries of arrays are read, and whatever else a pickle can be is refused unrun."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt.errors import ModelFormatError
from rnnrt.formats.keras_import import read_keras
from rnnrt.formats.npz import NpzReader


def npz(**members: Any) -> bytes:
    """As numpy's savez keeps dictionaries."""
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def member(data: bytes) -> bytes:
    """An archive of one array of objects, whose pickle is given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"shape": (), "fortran_order": False, "descr": "|O"})
        archive.writestr("layers/dense.npy", header.getvalue() + data)
    return buffer.getvalue()


ARRAYS = {
    "0": np.arange(6, dtype=np.float32).reshape(2, 3),
    "1": np.asfortranarray(np.arange(6, dtype=">f8").reshape(3, 2)),
    "2": np.array(7, np.int64),
    "3": np.array([True, False]),
    "4": np.float32(2.5),
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays(protocol: int) -> None:
    whole = np.empty((), object)
    whole[()] = ARRAYS
    reader = NpzReader(member(pickle.dumps(whole, protocol=protocol)), "w")
    (path,) = reader.groups(None)
    assert path == "layers/dense/vars"
    group = reader.groups(None)[path]
    for key, want in ARRAYS.items():
        got = reader.array(reader.child(group, key), key)
        assert got.dtype == np.asarray(want).dtype
        np.testing.assert_array_equal(got, want)


def test_paths_of_windows_and_the_root() -> None:
    data = npz(**{"layers\\dense": ARRAYS, "__root__": {}})
    assert sorted(NpzReader(data, "w").groups(None)) == ["layers/dense/vars", "vars"]


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_code_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    for value in (Harmful(target), {"0": Harmful(target)}):
        with pytest.raises(ModelFormatError, match=r"mkdir.*no array needs"):
            NpzReader(npz(**{"layers/dense": np.array(value, object)}), "w")
    assert not target.exists()
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        archive.writestr("model.weights.npz", npz(**{"layers/dense": np.array(Harmful(target), object)}))
    with pytest.raises(ModelFormatError):
        read_keras(tmp_path / "m.keras")
    assert not target.exists()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no file|not a zip file"),
        (npz(plain=np.zeros(3)), "where Keras keeps a dictionary of arrays"),
        (member(b"\x80\x04."), "damaged"),
        (member(pickle.dumps([1])), "holds a list"),
        (member(pickle.dumps({"0": [1]})), "a list is no array"),
        (member(pickle.dumps({"0": set()})), "no array needs"),
        (member(b"cnumpy.core.multiarray\n_reconstruct\n."), "holds a str"),
        (member(b"}r\xff\xff\xff\x7fh\x01."), "damaged"),
        (member(b"(" * 50 + b"."), "holds a _Mark"),
        (member(b"I1\n}b."), "something else than arrays"),
    ],
)
def test_what_is_no_dictionary_of_arrays(data: bytes, match: str) -> None:
    with pytest.raises(ModelFormatError, match=match):
        NpzReader(data, "w")


def test_members_that_unpack_to_far_more() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(80 << 20))
    with pytest.raises(ModelFormatError, match="zip bomb"):
        NpzReader(buffer.getvalue(), "w")


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_is_named(seed: int) -> None:
    whole = np.empty((), object)
    whole[()] = ARRAYS
    data = bytearray(pickle.dumps(whole, protocol=3 + seed % 2))
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(data), 3):
        data[at] = rng.integers(0, 256)
    try:
        reader = NpzReader(member(bytes(data)), "w")
        for group in reader.groups(None).values():
            for key in group:
                assert isinstance(reader.array(reader.child(group, key), key), np.ndarray)
    except ModelFormatError:
        pass
