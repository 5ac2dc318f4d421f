"""Safetensors and JSON files of any content end in an answer or in a `RnnrtError`."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnrt
from rnnrt import RnnrtError
from rnnrt import torch as rt
from tests.property.test_damaged_files import damaged

DATA = Path(__file__).resolve().parents[1] / "data"
LAYERS = [rt.Embedding("embed"), rt.GRU("gru", batch_first=True), rt.Linear("out")]
SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = st.one_of(
    st.integers(-1, 5), st.sampled_from([2**31, 2**63, 2**64, 10**30, -(10**30)]), st.floats(), st.booleans(), st.none()
)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.sampled_from(["", "F32", "lstm", "dense", "tanh", "\n"])),
    lambda v: st.one_of(
        st.lists(v, max_size=4), st.dictionaries(st.sampled_from(["type", "shape", "x"]), v, max_size=3)
    ),
    max_leaves=8,
)


def tried(path: Path, **options: Any) -> bool:
    """Whether the file was read; every other error than rnnrt's own goes through."""
    try:
        model = rnnrt.load(path, **options)
        model.run(None, {i.name: np.zeros([d or 1 for d in i.shape or ()], i.dtype) for i in model.inputs})
    except RnnrtError:
        return False
    return True


@SETTINGS
@given(
    entries=st.dictionaries(
        st.sampled_from(["embed.weight", "gru.weight_ih_l0", "out.weight", "__metadata__", "", "a/b", "\x00"]),
        st.one_of(
            VALUES,
            st.fixed_dictionaries({
                "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "F99", "BOOL", 3]),
                "shape": st.lists(NUMBERS, max_size=4),
                "data_offsets": st.lists(st.one_of(st.integers(0, 70), NUMBERS), min_size=1, max_size=3),
            }),
        ),
        max_size=4,
    ),
    size=st.one_of(st.none(), st.integers(0, 2**64 - 1), st.integers(0, 300)),
    data=st.binary(max_size=64),
)  # fmt: skip
def test_headers_of_any_content(entries: dict[str, Any], size: int | None, data: bytes, tmp_path: Path) -> None:
    header = json.dumps(entries).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if size is None else size) + header + data)
    assert not tried(path)
    tried(path, layers=LAYERS)


@pytest.mark.parametrize(
    ("begin", "end", "shape"),
    [(0, 8, [2, 2]), (0, 32, [2, 2]), (8, 24, [2, 2]), (16, 0, [2, 2]), (0, 16, [2**62, 4]), (0, 2**63, [2**61])],
)
def test_offsets_that_lie(begin: int, end: int, shape: list[int], tmp_path: Path) -> None:
    header = json.dumps({"out.weight": {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert not tried(tmp_path / "w", layers=[rt.Linear("out")])


def test_tensors_that_overlap(tmp_path: Path) -> None:
    one = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    header = json.dumps({"out.weight": one, "fc.weight": one}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert not tried(tmp_path / "w", layers=[rt.Linear("out"), rt.Linear("fc")])


@SETTINGS
@given(
    rows=st.lists(VALUES, max_size=3),
    shape=VALUES,
    further=st.dictionaries(st.sampled_from(["in_skip", "in_gain"]), VALUES),
)
def test_json_of_any_content(rows: list[Any], shape: Any, further: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"in_shape": shape, "layers": rows, **further}))
    tried(path)
    path.write_text(json.dumps({"model_data": shape, "state_dict": {"a": rows}, **further}))
    assert not tried(path)
    path.write_text(json.dumps({"a.weight": rows, "b": [shape]}))
    assert not tried(path)
    tried(path, layers=[rt.Linear("a")], ignore=["b"])


@SETTINGS
@given(
    name=st.sampled_from(sorted(p.name for p in (DATA / "rtneural").glob("*.json"))),
    key=st.sampled_from(
        "in_shape activation dilation epsilon groups kernel_size shape type weights "
        "bias_fl hidden_size model num_layers output_size skip unit_type".split()
    ),
    value=VALUES,
    seed=st.integers(0, 99),
)  # fmt: skip
def test_json_with_one_value_changed(name: str, key: str, value: Any, seed: int, tmp_path: Path) -> None:
    document = json.loads((DATA / "rtneural" / name).read_text())
    places = [p for p in [document, *objects(document)] if key in p]
    if places:
        Random(seed).choice(places)[key] = value
    (tmp_path / "m.json").write_text(json.dumps(document))
    tried(tmp_path / "m.json")


def objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(o for v in value.values() for o in objects(v))]
    return (
        [o for v in value for o in objects(v)] if isinstance(value, list) and not isinstance(value[:1], float) else []
    )


@pytest.mark.parametrize("name", ["torch/tied.safetensors", "rtneural/rec_net.json", "rtneural/classifier.json"])
def test_damage(name: str, tmp_path: Path) -> None:
    whole = (DATA / name).read_bytes()
    options: dict[str, Any] = {"layers": LAYERS} if name.startswith("torch") else {}
    path = tmp_path / "damaged"
    path.write_bytes(whole)
    assert tried(path, **options)
    read = 0
    for seed in range(120):
        path.write_bytes(damaged(whole, Random(seed)))
        read += tried(path, **options)
    assert read < 100
