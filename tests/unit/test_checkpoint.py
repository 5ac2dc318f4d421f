"""Checkpoints: what goes in comes out, kills leave one whole, and damage is seen."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from rnnrt.errors import ModelFormatError, RnnrtError
from rnnrt.formats import checkpoint
from rnnrt.formats.checkpoint import load_checkpoint, save_checkpoint

ARRAYS = {
    "kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "turned": np.arange(6.0).reshape(2, 3).T,
    "big_endian": np.arange(3, dtype=">f8"),
    "scalar": np.float64(0.1),
    "steps": np.array(2**40),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 5), np.float16),
}
META = {"epoch": 3, "rate": 0.1, "nan": float("nan"), "inf": -np.inf, "text": "ä", "big": 2**127, "list": [1, [2.5]]}


def test_round_trip(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, ARRAYS, {**META, "np": np.float32(0.5), "array": np.arange(3)})
    arrays, meta = load_checkpoint(path)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].shape == np.shape(array)
        assert arrays[name].dtype == np.asarray(array).dtype.newbyteorder("=")
        np.testing.assert_array_equal(arrays[name], array)
    arrays["kernel"][0] = 7
    assert np.isnan(meta.pop("nan"))
    assert meta == {**{k: v for k, v in META.items() if k != "nan"}, "np": 0.5, "array": [0, 1, 2]}
    assert os.listdir(tmp_path) == ["c.safetensors"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save_checkpoint(tmp_path / "link", ARRAYS, {})
    assert (tmp_path / "link").is_symlink()
    assert load_checkpoint(tmp_path / "real")[1] == {}


CHILD = """
import sys, numpy as np
from rnnrt.formats.checkpoint import save_checkpoint
k = int(sys.argv[2])
while True:
    k += 1
    save_checkpoint(sys.argv[1], {"a": np.full(200_000, k, np.float32), "b": np.full(k % 7, k)}, {"k": k})
    print(k, flush=True)
"""


def test_a_kill_at_any_moment_leaves_one_whole(tmp_path):
    path = tmp_path / "c.safetensors"
    generator = np.random.default_rng(0)
    done = 0
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", CHILD, path, str(done)], stdout=subprocess.PIPE)
        told = int(child.stdout.readline())
        time.sleep(generator.uniform(0, 0.03))
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        told = int(rest.split()[-1]) if rest.split() else told
        arrays, meta = load_checkpoint(path)
        # What was reported as saved is there, or the one after it.
        assert meta["k"] in (told, told + 1)
        assert (arrays["a"] == meta["k"]).all()
        assert len(arrays["b"]) == meta["k"] % 7
        done = meta["k"]
    save_checkpoint(path, {}, {})
    assert os.listdir(tmp_path) == ["c.safetensors"]


@pytest.mark.parametrize("failing", ["open", "fsync", "replace"])
def test_a_failure_leaves_the_old_one(failing, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": np.zeros(2)}, {"k": 1})

    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("builtins.open" if failing == "open" else f"os.{failing}", fail)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, {"a": np.ones(2)}, {"k": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)[1] == {"k": 1}
    assert os.listdir(tmp_path) == ["c.safetensors"]


def test_the_file_and_its_folder_are_flushed_in_order(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (events.append(os.readlink(f"/proc/self/fd/{f}")), fsync(f))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), replace(a, b))[1])
    save_checkpoint(path, ARRAYS, META)
    assert events == [str(tmp_path / ".c.safetensors.tmp"), "replace", str(tmp_path)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "c.safetensors"
    save_checkpoint(path, {"a": np.arange(5.0), "b": np.ones((2, 2), np.float32)}, {"k": 1})
    return path


@given(st.data())
def test_any_changed_byte_is_seen(whole, data):
    content = bytearray(whole.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    damaged = whole.with_name("damaged")
    damaged.write_bytes(content)
    try:
        arrays, meta = load_checkpoint(damaged)
    except ModelFormatError:
        return
    # Only what has no meaning, such as padding of the header, may differ.
    assert meta == {"k": 1}
    np.testing.assert_array_equal(arrays["a"], np.arange(5.0))
    np.testing.assert_array_equal(arrays["b"], np.ones((2, 2)))


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_truncated_files(keep, whole, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(ModelFormatError, match=r"is not a whole checkpoint \(.*\); give another checkpoint, or remove"):
        load_checkpoint(path)


def test_foreign_files(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(b"PK\x03\x04 a zip archive, perhaps")
    with pytest.raises(ModelFormatError, match="is not a whole checkpoint"):
        load_checkpoint(path)
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(ModelFormatError, match="no checkpoint of rnnrt"):
        load_checkpoint(path)
    for document in ("[]", "{}", "nonsense", '{"revision": 1, "crc32": 0, "meta": 5}', "[" * 100_000):
        save_file({"a": np.zeros(2)}, path, {"rnnrt_checkpoint": document})
        with pytest.raises(ModelFormatError, match="its header is damaged"):
            load_checkpoint(path)
    newer = json.dumps({"revision": checkpoint.REVISION + 1, "crc32": 0, "meta": "{}"})
    save_file({"a": np.zeros(2)}, path, {"rnnrt_checkpoint": newer})
    with pytest.raises(ModelFormatError, match="upgrade rnnrt"):
        load_checkpoint(path)
    with pytest.raises(ModelFormatError, match="is not a file"):
        load_checkpoint(tmp_path)
    with pytest.raises(ModelFormatError, match="no such file"):
        load_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize(
    ("arrays", "meta", "message"),
    [
        ({"a": np.array(["text"])}, {}, "array 'a' is of type <U4"),
        ({"a": np.zeros(2, complex)}, {}, "complex128"),
        ({"a": np.zeros(2, np.longdouble)}, {}, "array 'a'"),
        ({"__metadata__": np.zeros(2)}, {}, "named '__metadata__'"),
        ({}, {"f": print}, "cannot be written as JSON.*builtin_function"),
    ],
)
def test_what_cannot_be_saved(arrays, meta, message, tmp_path):
    with pytest.raises(RnnrtError, match=message):
        save_checkpoint(tmp_path / "c", arrays, meta)
    assert os.listdir(tmp_path) == []
