"""The .rnnrt container: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rnnrt import ModelFormatError, UnsupportedModelError
from rnnrt.formats import container, kind_of, read_model
from rnnrt.formats.container import Vector, read_container, read_vectors, write_container
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate

F32 = np.dtype("float32")


def graph() -> Graph:
    branch = Graph((), (Value("t", F32),), (Node("Add", ("x", "w"), ("t",)),), {"w": np.float32([1, 2])}, "then")
    other = Graph((), (Value("e", F32),), (Node("Neg", ("x",), ("e",)),), name="else")
    nodes = (
        Node("If", ("c",), ("b",), {"then_branch": branch, "else_branch": other}, "choice"),
        Node("LeakyRelu", ("b",), ("l",), {"alpha": 0.25}),
        Node("ConstantOfShape", ("shape",), ("k",), {"value": np.float32([3])}),
        Node("Add", ("l", "k"), ("m",)),
        Node("Transpose", ("m",), ("y",), {"perm": (1, 0)}),
    )
    inputs = (Value("x", F32, ("N", 2)), Value("c", np.dtype(bool), ()))
    constants = {"shape": np.array([1, 2])}
    return Graph(inputs, (Value("y", F32, (2, None)),), nodes, constants, "sample", {"format": "test"})


def feeds() -> dict[str, np.ndarray]:
    return {"x": np.float32([[1, -2], [3, -4]]), "c": np.array(False)}


def test_a_graph_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "m.rnnrt"
    outputs = {"y": evaluate(graph(), feeds())[0]}
    write_container(path, graph(), [Vector(feeds(), outputs)])
    assert kind_of(path) == "container"
    back = read_model(path)
    assert back.inputs == graph().inputs
    assert back.outputs == graph().outputs
    assert back.metadata == {"format": "test"}
    np.testing.assert_array_equal(evaluate(back, feeds())[0], outputs["y"])
    (vector,) = read_vectors(path)
    np.testing.assert_array_equal(vector.outputs["y"], outputs["y"])
    assert vector.inputs["c"].shape == ()


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.rnnrt"
    write_container(path, graph())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(container.os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_container(path, graph().replace(name="other"))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.rnnrt"]


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.rnnrt"
    write_container(path, graph())
    data = path.read_bytes()
    for size in (9, 100, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ModelFormatError, match="convert the model again"):
            read_container(path)


def tampered(path: Path, change) -> None:
    write_container(path, graph())
    from safetensors import safe_open

    with safe_open(str(path), "numpy") as file:
        document = json.loads(file.metadata()["rnnrt"])
    arrays = load_file(path)
    change(document)
    save_file(arrays, path, {"rnnrt": json.dumps(document)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(revision=99), "revision 99.*upgrade"),
        (lambda d: d.update(graph=[]), "graph is"),
        (lambda d: d["graph"]["constants"].update(shape="t99"), "tensor 't99' is missing"),
        (lambda d: d["graph"]["inputs"][0].update(dtype="object"), "dtype object"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[-1, 2]), "negative"),
        (
            lambda d: d["graph"]["nodes"][1]["attrs"].update(evil=1),
            r"LeakyRelu node 'l' has unknown attributes \['evil'\]",
        ),
        (lambda d: d["graph"]["nodes"][1]["attrs"].update(alpha={"code": "1"}), "attribute"),
        (lambda d: d["graph"]["nodes"][1].update(inputs="b"), "inputs is 'b'"),
    ],
)
def test_tampered_files_are_refused(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "m.rnnrt"
    tampered(path, change)
    with pytest.raises(ModelFormatError, match=message):
        read_container(path)


def test_unknown_operators_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.rnnrt"
    tampered(path, lambda d: d["graph"]["nodes"][1].update(op="Frobnicate"))
    with pytest.raises(UnsupportedModelError, match="Frobnicate"):
        read_container(path)


def test_plain_safetensors_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, path)
    with pytest.raises(ModelFormatError, match="without a graph"):
        read_model(path)
