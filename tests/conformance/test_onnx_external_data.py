"""Weights beside an ONNX file: one file or many, at offsets, behind links, and more than 2 GB of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from rnnrt import ModelFormatError
from rnnrt.formats.onnx_external import MAPPED_BYTES
from tests.conformance.onnx_files import Type, compare, drawn, model, node, onnx, value

GIVEN = {"x": drawn(5, 2, 300)}
WEIGHTS = {"W": drawn(1, 1200, 300), "R": drawn(1, 1200, 300) / 8, "B": drawn(1, 2400)}
LARGE = 1_300_000 * 512 * 4
"""Bytes of a table that no 32-bit size can hold: 2.66 GB."""


def lstm() -> Any:
    return model(
        [node("LSTM", ["x", "W", "R", "B"], ["y"], hidden_size=300)],
        [value("x", Type.FLOAT, ["T", "N", 300])],
        [value("y", Type.FLOAT, None)],
        WEIGHTS,
    )


def point(tensor: Any, **entries: object) -> None:
    """Say that a tensor's data lies outside."""
    tensor.ClearField("raw_data")
    tensor.data_location = Type.EXTERNAL
    del tensor.external_data[:]
    for key, entry in entries.items():
        tensor.external_data.add(key=key, value=str(entry))


@pytest.mark.parametrize("together", [True, False])
def test_one_file_or_many(together: bool, tmp_path: Path) -> None:
    proto = lstm()
    onnx.external_data_helper.convert_model_to_external_data(proto, together, "w.bin", size_threshold=0)
    onnx.save_model(proto, tmp_path / "model.onnx")
    assert len(list(tmp_path.iterdir())) == (2 if together else 4)
    compare(onnx.load(tmp_path / "model.onnx", load_external_data=False), GIVEN, tmp_path)


@pytest.mark.parametrize("start", [0, 1, 4, 4096, 4099])
def test_offsets(start: int, tmp_path: Path) -> None:
    """Small tensors and large ones, aligned and not; the file may go on behind them."""
    assert WEIGHTS["W"].nbytes > MAPPED_BYTES > WEIGHTS["B"].nbytes
    proto, data, at = lstm(), bytearray(start), start
    for tensor in proto.graph.initializer:
        raw = WEIGHTS[tensor.name].tobytes()
        point(tensor, location="sub/w.bin", offset=at, length=len(raw), checksum="unused")
        data += raw + b"between"
        at += len(raw) + 7
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(data)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    inside = tmp_path / "inside"
    inside.mkdir()
    want = compare(lstm(), GIVEN, inside)(GIVEN["x"])
    np.testing.assert_array_equal(rnnrt.load(tmp_path / "model.onnx")(GIVEN["x"]), want)


def test_the_rest_of_the_file_without_a_length(tmp_path: Path) -> None:
    proto = lstm()
    point(proto.graph.initializer[0], location="w.bin", offset=8)
    (tmp_path / "w.bin").write_bytes(bytes(8) + WEIGHTS["W"].tobytes())
    compare(proto, GIVEN, tmp_path)


def test_half_precision_and_integers_outside(tmp_path: Path) -> None:
    table = drawn(600, 1000).astype(np.float16)
    proto = model(
        [node("Cast", ["table"], ["wide"], to=Type.FLOAT), node("Gather", ["wide", "i"], ["g"]),
         node("Gather", ["g", "rows"], ["y"])],
        [value("i", Type.INT64, ["n"])], [value("y", Type.FLOAT, None)],
        {"table": table, "rows": np.array([2, 0])},
    )  # fmt: skip
    data = b""
    for tensor in proto.graph.initializer:
        raw = bytes(tensor.raw_data)
        point(tensor, location="w.bin", offset=len(data), length=len(raw))
        data += raw
    (tmp_path / "w.bin").write_bytes(data)
    compare(proto, {"i": np.array([5, 599, 0])}, tmp_path)


def outside(folder: Path, location: str) -> Path:
    """A model whose first weight is at `location`."""
    proto = lstm()
    point(proto.graph.initializer[0], location=location)
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


def test_links_and_paths_that_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS["W"].tobytes())
    own = tmp_path / "own"
    own.mkdir()
    (own / "link.bin").symlink_to(tmp_path / "w.bin")
    (own / "up").symlink_to(tmp_path)
    for location in ("../w.bin", str(tmp_path / "w.bin"), "up/w.bin", "sub/../../w.bin"):
        with pytest.raises(ModelFormatError, match=r"model\.onnx: tensor 'W': .*outside the model's folder; that"):
            rnnrt.load(outside(own, location))
    with pytest.raises(ModelFormatError, match=r"where it leads to '.*w\.bin'; .*beside the model"):
        rnnrt.load(outside(own, "link.bin"))


def test_links_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(WEIGHTS["W"].tobytes())
    (tmp_path / "link.bin").symlink_to("sub/w.bin")
    rnnrt.load(outside(tmp_path, "link.bin"))(GIVEN["x"])


def test_a_cache_of_links(tmp_path: Path) -> None:
    """Downloaders keep files under the names of their contents, and a folder of links to them."""
    blobs, shown = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    shown.mkdir(parents=True)
    outside(blobs, "model.onnx_data").rename(blobs / "aa")
    (blobs / "bb").write_bytes(WEIGHTS["W"].tobytes())
    (tmp_path / "cc").write_bytes(WEIGHTS["W"].tobytes())
    (shown / "model.onnx").symlink_to("../../blobs/aa")
    (shown / "model.onnx_data").symlink_to("../../blobs/bb")
    rnnrt.load(shown / "model.onnx")(GIVEN["x"])
    (shown / "model.onnx_data").unlink()
    (shown / "model.onnx_data").symlink_to("../../cc")
    with pytest.raises(ModelFormatError, match="outside the model's folder"):
        rnnrt.load(shown / "model.onnx")


@pytest.mark.parametrize("size", [0, 3, WEIGHTS["W"].nbytes - 1])
def test_files_that_end_early(size: int, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(size))
    with pytest.raises(ModelFormatError, match=f"'w.bin' ends early: {size} of {WEIGHTS['W'].nbytes} bytes"):
        rnnrt.load(outside(tmp_path, "w.bin"))
    with pytest.raises(ModelFormatError, match=r"'none\.bin' cannot be read \(No such file"):
        rnnrt.load(outside(tmp_path, "none.bin"))


def test_weights_of_more_than_2_gb(tmp_path: Path) -> None:
    """A table in a file that is all hole but for one row; loading it must not take the memory that it describes."""
    rows = LARGE // 2048
    proto = model(
        [node("Gather", ["table", "i"], ["x"]), node("LSTM", ["x", "W", "R"], ["y"], hidden_size=16)],
        [value("i", Type.INT64, ["T", "N"])], [value("y", Type.FLOAT, None)],
        {"W": drawn(1, 64, 512) / 4, "R": drawn(1, 64, 16)},
    )  # fmt: skip
    table = proto.graph.initializer.add(name="table", data_type=Type.FLOAT, dims=[rows, 512])
    point(table, location="w.bin", length=LARGE)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    with (tmp_path / "w.bin").open("wb") as stream:
        stream.truncate(LARGE)
        stream.seek((rows - 1) * 2048)
        stream.write(drawn(512).tobytes())
    if (tmp_path / "w.bin").stat().st_blocks * 512 > 1 << 24:
        pytest.skip("this file system keeps no holes")
    small = model(
        [node("LSTM", ["x", "W", "R"], ["y"], hidden_size=16)], [value("x", Type.FLOAT, [None, None, 512])],
        [value("y", Type.FLOAT, None)], {"W": drawn(1, 64, 512) / 4, "R": drawn(1, 64, 16)},
    )  # fmt: skip
    (tmp_path / "small").mkdir()
    x = np.stack([drawn(512), np.zeros(512, np.float32)])[:, None]
    want = compare(small, {"x": x}, tmp_path / "small")(x)
    code = (
        "import resource, sys, numpy as np, rnnrt\n"
        "model = rnnrt.load(sys.argv[1])\n"
        "np.save(sys.argv[2], model(np.array([[int(sys.argv[3]) - 1], [0]])))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.onnx"), str(tmp_path / "y.npy"), str(rows)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < LARGE / 8
