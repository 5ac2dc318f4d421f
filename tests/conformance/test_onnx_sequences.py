"""Sequences of tensors that are resolved while a file is read, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from tests.conformance.onnx_files import Type, compare, drawn, helper, model, node, onnx, value

X = drawn(5, 7, 3)
SEQUENCE = helper.make_sequence_type_proto(helper.make_tensor_type_proto(Type.FLOAT, None))


def ints(**values: Any) -> dict[str, np.ndarray]:
    return {name: np.array(v, np.int64) for name, v in values.items()}


NUMBERS = ints(zero=0, one=1, two=2, three=3, last=-1, third=-3, five=5, sizes=[2, 0, 4, 1], lone=[1])


def check(nodes: list[Any], folder: Path, feeds: dict[str, np.ndarray], free: bool = True) -> rnnrt.Model:
    """The results named y... of these nodes, which read x, and named n..., which are integers."""
    made = [name for n in nodes for name in n.output]
    outputs = [value(name, Type.FLOAT, None) for name in made if name.startswith("y")]
    outputs += [value(name, Type.INT64, None) for name in made if name.startswith("n")]
    inputs = [
        value(
            name, helper.np_dtype_to_tensor_dtype(x.dtype), [f"{name}{k}" for k in range(x.ndim)] if free else x.shape
        )
        for name, x in feeds.items()
    ]
    used = {name for n in nodes for name in n.input}
    arrays = {name: a for name, a in NUMBERS.items() if name in used}
    return compare(model(nodes, inputs, outputs, arrays), feeds, folder)


def at(sequence: str, index: str, result: str) -> Any:
    return node("SequenceAt", [sequence, index], [result])


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize(
    ("size", "index", "attrs"),
    [
        ("two", "zero", {"axis": 1}),
        ("two", "three", {"axis": 1}),  # the last piece is shorter
        ("two", "one", {"axis": -2, "keepdims": 1}),
        ("one", "last", {"axis": 0}),
        ("one", "third", {"axis": 1, "keepdims": 0}),
        ("five", "one", {"axis": -2}),
        ("", "two", {"axis": 1}),
        ("", "last", {"axis": -1}),
        ("", "two", {"axis": -1, "keepdims": 0}),
        ("", "third", {"axis": 1, "keepdims": 0}),
        ("sizes", "zero", {"axis": 1}),
        ("sizes", "one", {"axis": 1}),
        ("sizes", "third", {"axis": 1, "keepdims": 0}),
    ],
)
def test_pieces_of_a_tensor(size: str, index: str, attrs: dict[str, int], free: bool, tmp_path: Path) -> None:
    split = node("SplitToSequence", ["x", size] if size else ["x"], ["s"], **attrs)
    check([split, at("s", index, "y"), node("SequenceLength", ["s"], ["n"])], tmp_path, {"x": X}, free)


def test_the_last_of_large_pieces_needs_the_extent(tmp_path: Path) -> None:
    nodes = [node("SplitToSequence", ["x", "two"], ["s"], axis=1), at("s", "last", "y")]
    check(nodes, tmp_path, {"x": X}, free=False)
    with pytest.raises(rnnrt.UnsupportedModelError, match="SequenceAt node 'y': counts pieces of size 2 from the end"):
        check(nodes, tmp_path, {"x": X}, free=True)


def test_a_list_of_tensors(tmp_path: Path) -> None:
    nodes = [
        node("Neg", ["x"], ["a"]),
        node("Abs", ["x"], ["b"]),
        node("SequenceConstruct", ["x", "a"], ["s0"]),
        node("SequenceInsert", ["s0", "b"], ["s1"]),
        node("SequenceInsert", ["s1", "b", "zero"], ["s2"]),
        node("SequenceInsert", ["s2", "x", "last"], ["s3"]),  # b x a x b
        node("SequenceErase", ["s3", "one"], ["s4"]),
        node("SequenceErase", ["s4"], ["s5"]),  # b a x
        node("Identity", ["s5"], ["s6"]),
        node("SequenceLength", ["s3"], ["n"]),
        node("ConcatFromSequence", ["s6"], ["y0"], axis=1),
        node("ConcatFromSequence", ["s3"], ["y1"], axis=-1, new_axis=1),
        at("s3", "third", "y2"),
    ]
    check(nodes, tmp_path, {"x": X})


def test_a_list_that_starts_empty(tmp_path: Path) -> None:
    nodes = [
        node("SequenceEmpty", [], ["s0"], dtype=Type.FLOAT),
        node("SequenceLength", ["s0"], ["n"]),
        node("SequenceInsert", ["s0", "x"], ["s1"]),
        node("ConcatFromSequence", ["s1"], ["y"], axis=2, new_axis=1),
    ]
    check(nodes, tmp_path, {"x": X})


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("join", [0, 1, -1, -2])
@pytest.mark.parametrize(("keep", "new"), [(1, 0), (0, 1), (0, 0), (1, 1)])
def test_pieces_joined_again(keep: int, new: int, join: int, axis: int, free: bool, tmp_path: Path) -> None:
    nodes = [
        node("SplitToSequence", ["x"], ["s"], axis=axis, keepdims=keep),
        node("ConcatFromSequence", ["s"], ["y"], axis=join, new_axis=new),
    ]
    check(nodes, tmp_path, {"x": X}, free)


@pytest.mark.parametrize(("join", "new"), [(1, 0), (-2, 0), (0, 0), (2, 1)])
def test_large_pieces_joined_again(join: int, new: int, tmp_path: Path) -> None:
    """Where they are joined along another axis their number has to be known."""
    nodes = [
        node("SplitToSequence", ["x", "two"], ["s"], axis=1),
        node("ConcatFromSequence", ["s"], ["y"], axis=join, new_axis=new),
    ]
    check(nodes, tmp_path, {"x": X[:, :6]}, free=join in (1, -2))


def test_a_list_around_pieces(tmp_path: Path) -> None:
    nodes = [
        node("SplitToSequence", ["x"], ["s"], axis=0, keepdims=0),
        node("ReduceMax", ["x"], ["m"], axes=[0], keepdims=0),
        node("SequenceInsert", ["s", "m"], ["s1"]),
        node("SequenceInsert", ["s1", "m", "zero"], ["s2"]),
        node("ConcatFromSequence", ["s2"], ["y0"], axis=1, new_axis=1),
        at("s2", "zero", "y1"),
        at("s2", "last", "y2"),
        at("s2", "two", "y3"),
        node("SequenceLength", ["s2"], ["n"]),
    ]
    check(nodes, tmp_path, {"x": X})


@pytest.mark.parametrize("keep", [0, 1])
def test_a_position_that_a_run_decides(keep: int, tmp_path: Path) -> None:
    nodes = [
        node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=keep),
        at("s", "i", "y0"),
        node("Neg", ["x"], ["a"]),
        node("SequenceConstruct", ["x", "a"], ["t"]),
        node("Sub", ["i", "three"], ["j"]),
        at("t", "j", "y1"),
    ]
    check(nodes, tmp_path, {"x": X, "i": np.array(4)})


def test_positions_computed_from_constants(tmp_path: Path) -> None:
    nodes = [
        node("Add", ["one", "one"], ["i"]),
        node("Squeeze", ["lone"], ["j"]),
        node("Mul", ["i", "j"], ["k"]),
        node("Squeeze", ["lone"], ["size"]),
        node("SplitToSequence", ["x", "size"], ["s"], axis=1),
        at("s", "k", "y"),
    ]
    check(nodes, tmp_path, {"x": X})


def test_inside_a_function_and_a_branch(tmp_path: Path) -> None:
    body = [node("SplitToSequence", ["v"], ["s"], axis=1, keepdims=0), node("Identity", ["s"], ["r"])]
    pieces = helper.make_function("own", "Pieces", ["v"], ["r"], body, [helper.make_opsetid("", 17)])
    branches = {
        key: helper.make_graph([at("q", index, key)], key, [], [value(key, Type.FLOAT, None)])
        for key, index in (("then_branch", "zero"), ("else_branch", "last"))
    }
    nodes = [node("Pieces", ["x"], ["q"], domain="own"), node("If", ["c"], ["y"], **branches)]
    arrays = {k: NUMBERS[k] for k in ("zero", "last")}
    proto = model(
        nodes, [value("x", Type.FLOAT, ["a", "b", "c"]), value("c", Type.BOOL, [])], [value("y", Type.FLOAT, None)],
        arrays, {"": 17, "own": 1}, functions=[pieces],
    )  # fmt: skip
    for condition in (True, False):
        compare(proto, {"x": X, "c": np.array(condition)}, tmp_path)


def made_of(*nodes: Any, inputs: tuple[Any, ...] = (), outputs: tuple[Any, ...] = ()) -> Any:
    """A model of x (a, b, c), i (one integer) and further inputs and outputs."""
    given = [value("x", Type.FLOAT, ["a", "b", "c"]), value("i", Type.INT64, []), *inputs]
    made = {name for n in nodes for name in n.output}
    results = [value(name, Type.FLOAT, None) for name in sorted(made) if name.startswith("y")]
    return model(nodes, given, [*results, *outputs], NUMBERS)


SPLIT = node("SplitToSequence", ["x"], ["s"], axis=0, keepdims=0)
REFUSED = {
    "'q' is of type sequence_type": made_of(
        at("q", "zero", "y"), inputs=(helper.make_value_info("q", SEQUENCE),)
    ),
    "'s' is of type sequence_type": made_of(SPLIT, outputs=(helper.make_value_info("s", SEQUENCE),)),
    "SplitToSequence node 's': the lengths of its pieces are computed": made_of(
        node("SplitToSequence", ["x", "i"], ["s"]), at("s", "zero", "y")
    ),
    "SequenceInsert node 't': the position is computed": made_of(
        SPLIT, node("SequenceInsert", ["s", "x", "i"], ["t"]), at("t", "zero", "y")
    ),
    "SequenceInsert node 't': position 2 in a sequence whose length is not known": made_of(
        SPLIT, node("SequenceInsert", ["s", "x", "two"], ["t"]), at("t", "zero", "y")
    ),
    "SequenceErase node 't': the position is computed": made_of(
        node("SequenceConstruct", ["x"], ["s"]), node("SequenceErase", ["s", "i"], ["t"]), at("t", "zero", "y")
    ),
    "SequenceErase node 't': erases from a sequence whose length is not known": made_of(
        SPLIT, node("SequenceErase", ["s"], ["t"]), at("t", "zero", "y")
    ),
    "SequenceAt node 'y': asks for tensor 2, which the sequence does not have": made_of(
        node("SequenceConstruct", ["x", "x"], ["s"]), at("s", "two", "y")
    ),
    "SequenceAt node 'y': takes a tensor of an empty sequence": made_of(
        node("SequenceEmpty", [], ["s"]), at("s", "i", "y")
    ),
    "ConcatFromSequence node 'y': joins an empty sequence": made_of(
        node("SequenceEmpty", [], ["s"]), node("ConcatFromSequence", ["s"], ["y"], axis=0)
    ),
    "Relu node 'y': reads 's', which is a sequence": made_of(SPLIT, node("Relu", ["s"], ["y"])),
    "SequenceAt node 'y': reads 'x', which is not a sequence": made_of(at("x", "zero", "y")),
    "operator SequenceMap is not supported": made_of(
        SPLIT,
        node(
            "SequenceMap", ["s"], ["t"],
            body=helper.make_graph(
                [node("Neg", ["v"], ["w"])], "b", [value("v", Type.FLOAT, None)], [value("w", Type.FLOAT, None)]
            ),
        ),
        at("t", "zero", "y"),
    ),
    "ConcatFromSequence node 'y': joins the pieces of 'x' along axis 1, and their number is not known": made_of(
        node("SplitToSequence", ["x", "two"], ["s"]), node("ConcatFromSequence", ["s"], ["y"], axis=1)
    ),
    "ConcatFromSequence node 'y': axis 5 is not one of 3": made_of(
        SPLIT, node("ConcatFromSequence", ["s"], ["y"], axis=5, new_axis=1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_static_is_refused(reason: str, tmp_path: Path) -> None:
    onnx.save(REFUSED[reason], tmp_path / "m.onnx")
    with pytest.raises(rnnrt.UnsupportedModelError) as caught:
        rnnrt.load(tmp_path / "m.onnx")
    assert len(caught.value.reasons) == 1, caught.value.reasons
    assert reason in caught.value.reasons[0]


def test_all_reasons_come_at_once(tmp_path: Path) -> None:
    nodes = [
        node("SplitToSequence", ["x", "i"], ["s"]),
        node("SplitToSequence", ["x"], ["t"]),
        node("SequenceErase", ["t"], ["u"]),
        node("SequenceInsert", ["t", "x", "i"], ["v"]),
    ]
    onnx.save(made_of(*nodes, node("Neg", ["x"], ["y"])), tmp_path / "m.onnx")
    with pytest.raises(rnnrt.UnsupportedModelError) as caught:
        rnnrt.load(tmp_path / "m.onnx")
    assert [reason.split(":")[0] for reason in caught.value.reasons] == [
        "SplitToSequence node 's'", "SequenceErase node 'u'", "SequenceInsert node 'v'",
    ]  # fmt: skip


def test_a_wrong_declared_extent_is_noticed(tmp_path: Path) -> None:
    """Pieces are counted by what the file declares of its input, and a call has to keep to it."""
    nodes = [node("SplitToSequence", ["x", "two"], ["s"], axis=1), at("s", "last", "y")]
    proto = model(nodes, [value("x", Type.FLOAT, ["a", 7])], [value("y", Type.FLOAT, None)],
                  {k: NUMBERS[k] for k in ("two", "last")})  # fmt: skip
    loaded = compare(proto, {"x": X[:, :, 0]}, tmp_path)
    with pytest.raises(rnnrt.ShapeError):
        loaded(X[:, :6, 0])


def model_cases() -> list[Any]:
    from onnx.backend.test.case.model import collect_testcases

    return [case for case in collect_testcases() if case.name.startswith("test_sequence_model")]


@pytest.mark.parametrize("case", model_cases(), ids=lambda case: case.name)
def test_models_of_the_onnx_package(case: Any, tmp_path: Path) -> None:
    onnx.save(case.model, tmp_path / "case.onnx")
    if case.name == "test_sequence_model8":
        with pytest.raises(rnnrt.UnsupportedModelError, match="the lengths of its pieces are computed"):
            rnnrt.load(tmp_path / "case.onnx")
        return
    loaded = rnnrt.load(tmp_path / "case.onnx")
    for given, expected in case.data_sets:
        feeds = {info.name: x for info, x in zip(loaded.inputs, given, strict=True)}
        for got, want in zip(loaded.run(None, feeds), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=case.rtol, atol=case.atol)
