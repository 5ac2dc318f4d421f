"""Changed model files never crash, hang or fill the memory, and every error is rnnrt's own; `tools/fuzz_import.py`
goes on for longer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("h5py")

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
if not (TOOLS / "fuzz").exists():
    pytest.skip("tools/ is part of the checkout, not of the installed package", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("the process that tries files measures its memory as Linux has it", allow_module_level=True)

sys.path.insert(0, str(TOOLS))
try:
    from fuzz import cases
    from fuzz.sweep import sweep
    from fuzz.worker import Worker
finally:
    sys.path.remove(str(TOOLS))

GOOD = ("ran", "loaded", "refused", "interrupted")
KINDS = ("onnx", "keras", "container", "json")
LARGEST = 60_000


NEED_MORE = ("keras_custom/", "lift/torch_scripted")
"""Files that need custom objects, or hold sequences."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as one:
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def lstm() -> Any:
    """A network with shapes that are computed, a loop and an If, for there is little ONNX in the checkout."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    value, node = helper.make_tensor_value_info, helper.make_node
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.standard_normal((2, 8, 3)).astype(np.float32), "r": rng.standard_normal((2, 8, 2)).astype(np.float32),
        "two": np.array([2], np.int64), "rest": np.array([-1], np.int64), "trips": np.array(3), "first": np.array([1]),
        "depth": np.array(4), "flags": np.array([0, 1], np.float32), "pads": np.array([0, 1, 0, 0, 2, 0]),
        "repeats": np.array([1, 2, 1]), "start": np.array(0), "delta": np.array(1),
    }  # fmt: skip
    body = helper.make_graph(
        [node("Identity", ["on"], ["still"]), node("Add", ["a", "a"], ["b"]), node("Relu", ["b"], ["row"])],
        "body",
        [value("k", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("a", TensorProto.FLOAT, None)],
        [value(name, kind, None) for name, kind in (("still", TensorProto.BOOL), ("b", 1), ("row", 1))],
    )
    branches = [helper.make_graph([node(op, ["flat"], [op])], op, [], [value(op, 1, None)]) for op in ("Tanh", "Abs")]
    nodes = [
        node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=2, direction="bidirectional", clip=3.0),
        node("Transpose", ["h"], ["t"], perm=[1, 0, 2]),
        node("Pad", ["t", "pads"], ["padded"]),
        node("Tile", ["padded", "repeats"], ["tiled"]),
        node("Shape", ["tiled"], ["shape"]),
        node("Slice", ["shape", "start1", "first"], ["batch"]),
        node("Concat", ["batch", "rest"], ["target"], axis=0),
        node("Reshape", ["tiled", "target"], ["flat"]),
        node("ConstantOfShape", ["target2"], ["zeros"]),
        node("Loop", ["trips", "", "flat"], ["grown", "rows"], body=body),
        node("ReduceMax", ["grown"], ["top"], keepdims=0),
        node("Greater", ["top", "limit"], ["big"]),
        node("If", ["big"], ["y"], then_branch=branches[0], else_branch=branches[1]),
        node("Range", ["start", "depth", "delta"], ["index"]),
        node("OneHot", ["index", "depth", "flags"], ["hot"], axis=-1),
        node("Expand", ["zeros", "target2"], ["wide"]),
    ]
    arrays |= {"start1": np.array([0]), "target2": np.array([2, 3]), "limit": np.array(0.5, np.float32)}
    outputs = [value(name, TensorProto.FLOAT, None) for name in ("y", "rows", "hot", "wide")]
    inputs = [value("x", TensorProto.FLOAT, ["steps", "batch", 3])]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.fixture(scope="module")
def seeds(folder: Path) -> dict[str, list[cases.Seed]]:
    """Small sound files by kind."""
    files = [f for f in cases.seeds_below([ROOT / "tests" / "data"], LARGEST) if not f.name.startswith(NEED_MORE)]
    network = cases.Seed("onnx", "here", "lstm.onnx", lstm().SerializeToString())
    found = [*files, network, *cases.containers_of([network, *(f for f in files[::3] if f.kind == "keras")], folder)]
    return {kind: [seed for seed in found if seed.kind == kind] for kind in KINDS}


def tried(case: cases.Case, worker: Worker, folder: Path) -> dict[str, Any]:
    path = folder / "case"
    path.write_bytes(cases.build(case, [case.seed.data]))
    return worker.try_file(path, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_are_sound(kind: str, seeds: dict[str, list[cases.Seed]], worker: Worker, folder: Path) -> None:
    assert seeds[kind]
    outcomes = []
    for seed in seeds[kind]:
        result = tried(cases.Case(seed, ()), worker, folder)
        assert result["phase"] == "run" and result["outcome"] in ("ran", "refused"), (seed.name, result)
        outcomes.append(result["outcome"])
    # A few networks take no inputs as small, or as little alike, as those that are made up.
    assert outcomes.count("ran") >= 0.9 * len(outcomes)


@pytest.mark.parametrize(("kind", "count"), [("onnx", 500), ("keras", 200), ("container", 300), ("json", 200)])
def test_changed_files(kind: str, count: int, seeds: dict[str, list[cases.Seed]], worker: Worker, folder: Path) -> None:
    step = st.tuples(st.sampled_from([kind, kind, kind, "bytes"]), st.integers(0, 2**32 - 1))
    changed = st.builds(cases.Case, st.sampled_from(seeds[kind]), st.lists(step, min_size=1, max_size=4).map(tuple))
    outcomes = set()

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(changed)
    def check(case: cases.Case) -> None:
        result = tried(case, worker, folder)
        outcomes.add(result["outcome"])
        assert result["outcome"] in GOOD, result.get("traceback", result)

    check()
    assert {"ran", "refused"} <= outcomes


def test_every_attribute_and_constant_with_extreme_values(
    seeds: dict[str, list[cases.Seed]], worker: Worker, folder: Path
) -> None:
    outcomes = set()
    for number, (what, data) in enumerate(sweep(seeds["onnx"])):
        (folder / "case").write_bytes(data)
        result = worker.try_file(folder / "case", number)
        outcomes.add(result["outcome"])
        assert result["outcome"] in GOOD, f"{what}: {result.get('traceback', result)}"
    assert {"ran", "refused"} <= outcomes


def test_a_case_is_made_again_from_its_numbers(seeds: dict[str, list[cases.Seed]]) -> None:
    for kind, some in seeds.items():
        made = [cases.build(cases.Case(some[0], ((kind, n), ("bytes", n)))) for n in range(30)]
        again = [cases.build(cases.Case(some[0], ((kind, n), ("bytes", n)))) for n in range(30)]
        assert made == again
        assert len(set(made)) > 20, "most changes change something"


FAKE = """
import os, sys
sys.stdout.write("ready\\n"); sys.stdout.flush()
for line in sys.stdin:
    if "crash" in line:
        os.abort()
    if "hang" in line:
        while True:
            pass
    sys.stdout.write('run\\n{"outcome": "ran"}\\n'); sys.stdout.flush()
"""


def test_what_kills_or_stops_the_process_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.worker.GRACE", 0)
    (tmp_path / "fake.py").write_text(FAKE)
    with Worker(1, [str(tmp_path / "fake.py")]) as fake:
        outcomes = [fake.try_file(Path(name), 0)["outcome"] for name in ("good", "crash", "good", "hang", "good")]
    assert outcomes == ["ran", "crash", "ran", "hang", "ran"]


def test_what_goes_wrong_inside_is_told(
    tmp_path: Path, seeds: dict[str, list[cases.Seed]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fuzz import trial

    import rnnrt

    def broken(path: str) -> None:
        raise KeyError(path)

    monkeypatch.setattr(rnnrt, "load", broken)
    result = trial.try_file(str(tmp_path), 0, lambda: None)
    assert result["outcome"] == "exception"
    assert "KeyError" in result["traceback"]
    monkeypatch.setattr(trial, "LARGEST_LOAD", 16 << 20)
    monkeypatch.setattr(rnnrt, "load", lambda path: bytearray(b"x") * (64 << 20))
    assert trial.try_file(str(tmp_path), 0, lambda: None)["outcome"] == "memory"
