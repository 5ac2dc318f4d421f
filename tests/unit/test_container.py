"""The .rnnrt container: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import rnnrt
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


def test_a_save_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "link.rnnrt").symlink_to(tmp_path / "m.rnnrt")
    write_container(tmp_path / "link.rnnrt", graph())
    assert (tmp_path / "link.rnnrt").is_symlink()
    assert read_container(tmp_path / "m.rnnrt").name == "sample"


def test_a_file_is_as_private_as_the_user_has_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_container(tmp_path / "m.rnnrt", graph())
    finally:
        os.umask(before)
    assert (tmp_path / "m.rnnrt").stat().st_mode & 0o777 == 0o600


def counting_loop() -> Graph:
    """Adds w to x for four turns, and gathers the sums; the body reads w from outside."""
    i64, flag = np.dtype("int64"), np.dtype(bool)
    body = Graph(
        (Value("i", i64, ()), Value("go", flag, ()), Value("s", F32, (2,))),
        (Value("go_on", flag, ()), Value("t", F32, (2,)), Value("row", F32, (2,))),
        (
            Node("Identity", ("go",), ("go_on",)),
            Node("Add", ("s", "w"), ("t",)),
            Node("Identity", ("t",), ("row",)),
        ),
        name="body",
    )
    nodes = (Node("Loop", ("turns", "", "x"), ("last", "rows"), {"body": body}, "count"),)
    constants = {"turns": np.array(4), "w": np.float32([1, 10])}
    outputs = (Value("last", F32, (2,)), Value("rows", F32, (4, 2)))
    return Graph((Value("x", F32, (2,)),), outputs, nodes, constants)


def test_loops_come_back(tmp_path: Path) -> None:
    write_container(tmp_path / "m.rnnrt", counting_loop())
    last, rows = rnnrt.load(tmp_path / "m.rnnrt")(np.float32([5, 7]))
    np.testing.assert_array_equal(last, [9, 47])
    np.testing.assert_array_equal(rows, [[6, 17], [7, 27], [8, 37], [9, 47]])


def test_attributes_of_every_type_come_back(tmp_path: Path) -> None:
    attrs = {
        "direction": "reverse", "hidden_size": 3, "clip": 0.1, "activations": ("Tanh",),
        "activation_alpha": (float("inf"),), "activation_beta": (0.1,),
    }  # fmt: skip
    nodes = (
        Node("RNN", ("x", "w", "r"), ("", "h"), attrs),
        Node("ConstantOfShape", ("h",), ("k",), {"value": np.float64([2.5])}),
    )
    constants = {"w": np.ones((1, 3, 2), np.float32), "r": np.ones((1, 3, 3), np.float32), "e": np.zeros((0, 4))}
    value = Value("x", F32, (None, "N", 2))
    write_container(tmp_path / "m.rnnrt", Graph((value,), (Value("h", F32),), nodes, constants))
    back = read_container(tmp_path / "m.rnnrt")
    assert back.inputs == (value,)
    assert back.nodes[0] == nodes[0]
    assert [type(v) for v in back.nodes[0].attrs.values()] == [type(v) for v in attrs.values()]
    assert back.nodes[1].attrs["value"].dtype == np.float64
    assert back.constants["e"].shape == (0, 4)


JUNK: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**70, 1.5, "", "x", "t0", [], {}, [1, 2], {"tuple": [-1, 5]}, {"tuple": []},
    {"tensor": "t0"}, {"float": "nan"}, {"tuple": ["Tanh", None]}, "reverse",
]  # fmt: skip


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = document.items() if isinstance(document, dict) else enumerate(document) if type(document) is list else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("make", [graph, counting_loop])
def test_random_tampering_ends_in_an_error_of_ours_or_runs(tmp_path: Path, make: Callable[[], Graph]) -> None:
    path, random = tmp_path / "m.rnnrt", Random(7)
    feeds = {v.name: np.ones([d if isinstance(d, int) else 1 for d in v.shape or ()], v.dtype) for v in make().inputs}
    write_container(path, make(), [Vector(feeds, {})])
    with safe_open(str(path), "numpy") as file:
        text = file.metadata()["rnnrt"]
    arrays = load_file(path)
    refused = 0
    for _ in range(300):
        document = json.loads(text)
        *way, last = random.choice(list(places(document)))
        holder = document
        for key in way:
            holder = holder[key]
        if random.random() < 0.2:
            del holder[last]
        else:
            holder[last] = random.choice(JUNK)
        save_file(arrays, path, {"rnnrt": json.dumps(document)})
        try:
            model = rnnrt.load(path)
            for vector in read_vectors(path):
                model.run(None, vector.inputs)
        except rnnrt.RnnrtError:
            refused += 1
    assert refused > 150


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


@pytest.mark.parametrize("op", ["Frobnicate", "Python", "LSTMGradient", "RandomMask"])
def test_unknown_operators_are_named_and_those_of_training_are_none_of_a_file(op: str, tmp_path: Path) -> None:
    path = tmp_path / "m.rnnrt"
    tampered(path, lambda d: d["graph"]["nodes"][1].update(op=op))
    with pytest.raises(UnsupportedModelError, match=op):
        read_container(path)


def test_plain_safetensors_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, path)
    with pytest.raises(ModelFormatError, match="without a graph"):
        read_model(path)
