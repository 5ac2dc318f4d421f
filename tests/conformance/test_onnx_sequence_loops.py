"""Loops that collect tensors in sequences, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from tests.conformance.onnx_files import Type, compare, drawn, helper, model, node, onnx, value

FEEDS = {"x": drawn(5, 2, 4), "h": drawn(2, 4, seed=1)}
NUMBERS = {
    "zero": np.array(0, np.int64), "one": np.array(1, np.int64), "last": np.array(-1, np.int64),
    "front": np.array([0], np.int64), "second": np.array([1], np.int64), "back": np.array([-1], np.int64),
    "true": np.array(True), "half": np.array(0.5, np.float32),
}  # fmt: skip
TENSORS = helper.make_sequence_type_proto(helper.make_tensor_type_proto(Type.FLOAT, None))

START = [
    node("Shape", ["x"], ["shape"]),
    node("Gather", ["shape", "zero"], ["steps"]),
    node("SequenceEmpty", [], ["empty"]),
]
STEP = [
    node("Gather", ["x", "t"], ["now"], axis=0),
    node("Mul", ["state", "half"], ["less"]),
    node("Add", ["now", "less"], ["sum"]),
    node("Tanh", ["sum"], ["next"]),
    node("Identity", ["true"], ["going"]),
]


def loop(
    steps: list[Any], carried: list[str], results: list[str], outer: list[str], scans: tuple[str, ...] = (),
    sequences: tuple[int, ...] = (1,),
) -> Any:  # fmt: skip
    """A Loop over the steps of x; those of its carried values at `sequences` are sequences."""
    kinds = [
        helper.make_value_info(name, TENSORS) if k in sequences else value(name, Type.FLOAT, None)
        for k, name in enumerate(carried)
    ]
    ends = [
        helper.make_value_info(name, TENSORS) if k in sequences else value(name, Type.FLOAT, None)
        for k, name in enumerate(results)
    ]
    body = helper.make_graph(
        steps, "body", [value("t", Type.INT64, []), value("on", Type.BOOL, []), *kinds],
        [value("going", Type.BOOL, []), *ends, *(value(name, Type.FLOAT, None) for name in scans)],
    )  # fmt: skip
    made = [f"out{k}" for k in range(len(carried) + len(scans))]
    return node("Loop", ["steps", "true", *outer], made, body=body)


def made(*nodes: Any, outputs: tuple[str, ...] = ("y",)) -> Any:
    inputs = [value("x", Type.FLOAT, ["T", "B", 4]), value("h", Type.FLOAT, ["B", 4])]
    return model([*START, *nodes], inputs, [value(name, Type.FLOAT, None) for name in outputs], NUMBERS)


def stack(sequence: str, result: str = "y", axis: int = 0, new: int = 1) -> Any:
    return node("ConcatFromSequence", [sequence], [result], axis=axis, new_axis=new)


APPENDS = loop([*STEP, node("SequenceInsert", ["seq", "next"], ["more"])], ["state", "seq"], ["next", "more"],
               ["h", "empty"])  # fmt: skip


@pytest.mark.parametrize(("axis", "new"), [(0, 1), (1, 1), (2, 1), (-1, 1), (-2, 1), (0, 0), (1, 0), (-1, 0)])
def test_one_tensor_a_step(axis: int, new: int, tmp_path: Path) -> None:
    compare(made(APPENDS, stack("out1", axis=axis, new=new)), FEEDS, tmp_path)


def test_one_step_and_many(tmp_path: Path) -> None:
    for steps in (1, 9):
        compare(made(APPENDS, stack("out1", axis=1)), {**FEEDS, "x": drawn(steps, 2, 4)}, tmp_path)


def test_what_was_collected_is_read_by_position(tmp_path: Path) -> None:
    more = [node("SequenceAt", ["out1", where], [f"y_{where}"]) for where in ("zero", "last")]
    compare(made(APPENDS, stack("out1"), *more, outputs=("y", "y_zero", "y_last", "out0")), FEEDS, tmp_path)


@pytest.mark.parametrize("position", ["zero", ""])
@pytest.mark.parametrize("start", ["empty", "begun"])
def test_at_either_end_of_what_is_there(position: str, start: str, tmp_path: Path) -> None:
    insert = node("SequenceInsert", ["seq", "next", position] if position else ["seq", "next"], ["more"])
    collect = loop([*STEP, insert], ["state", "seq"], ["next", "more"], ["h", start])
    begun = node("SequenceConstruct", ["h", "h"], ["begun"])
    compare(made(begun, collect, stack("out1", axis=1)), FEEDS, tmp_path)


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("axes", ["front", "second", "back"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_steps_that_get_an_axis_to_be_joined_along(axes: str, axis: int, new: int, tmp_path: Path) -> None:
    steps = [*STEP, node("Unsqueeze", ["next", axes], ["wide"]), node("SequenceInsert", ["seq", "wide"], ["more"])]
    collect = loop(steps, ["state", "seq"], ["next", "more"], ["h", "empty"])
    compare(made(collect, stack("out1", axis=axis, new=new)), FEEDS, tmp_path)


def test_sequences_beside_scan_outputs_and_invariants(tmp_path: Path) -> None:
    steps = [
        *STEP,
        node("SequenceInsert", ["seq", "next"], ["more"]),
        node("SequenceInsert", ["other", "less", "zero"], ["another"]),
        node("Neg", ["next"], ["minus"]),
    ]
    given = node("SequenceConstruct", ["h", "x"], ["fixed"])
    collect = loop(
        steps, ["seq", "state", "same", "other"], ["more", "next", "same", "another"], ["empty", "h", "fixed", "empty"],
        scans=("minus",), sequences=(0, 2, 3),
    )  # fmt: skip
    read = node("SequenceAt", ["out2", "last"], ["y2"])
    results = ("y", "y2", "y3", "out1", "out4")
    compare(made(given, collect, stack("out0"), read, stack("out3", "y3", 2), outputs=results), FEEDS, tmp_path)


def test_a_loop_over_pieces(tmp_path: Path) -> None:
    """As `for x_t in x.unbind(0)` is written."""
    split = node("SplitToSequence", ["x", "one"], ["pieces"], axis=0, keepdims=0)
    count = node("SequenceLength", ["pieces"], ["steps"])
    steps = [node("SequenceAt", ["pieces", "t"], ["now"]), *STEP[1:], node("SequenceInsert", ["seq", "next"], ["more"])]
    inputs = [value("x", Type.FLOAT, ["T", "B", 4]), value("h", Type.FLOAT, ["B", 4])]
    collect = loop(steps, ["state", "seq"], ["next", "more"], ["h", "empty"])
    nodes = [split, count, START[2], collect, stack("out1")]
    compare(model(nodes, inputs, [value("y", Type.FLOAT, None)], NUMBERS), FEEDS, tmp_path)


def test_a_loop_within_a_loop(tmp_path: Path) -> None:
    inner_body = helper.make_graph(
        [
            node("Gather", ["row", "j"], ["cell"], axis=1),
            node("SequenceInsert", ["inner", "cell"], ["longer"]),
            node("Identity", ["true"], ["stay"]),
        ],
        "inner",
        [value("j", Type.INT64, []), value("on2", Type.BOOL, []), helper.make_value_info("inner", TENSORS)],
        [value("stay", Type.BOOL, []), helper.make_value_info("longer", TENSORS)],
    )
    steps = [
        node("Gather", ["x", "t"], ["row"], axis=0),
        node("SequenceEmpty", [], ["none"]),
        node("Loop", ["four", "true", "none"], ["cells"], body=inner_body),
        stack("cells", "turned", 1),
        node("SequenceInsert", ["seq", "turned"], ["more"]),
        node("Identity", ["true"], ["going"]),
    ]
    collect = loop(steps, ["seq"], ["more"], ["empty"], sequences=(0,))
    four = node("Size", ["wide"], ["four"])
    shape = node("Gather", ["x", "front"], ["wide0"], axis=1)
    first = node("Gather", ["wide0", "front"], ["wide"], axis=0)
    compare(made(shape, first, four, collect, stack("out0", axis=2)), FEEDS, tmp_path)


def refused(*steps: Any, end: str = "more", start: str = "empty") -> Any:
    collect = loop([*STEP, *steps], ["state", "seq"], ["next", end], ["h", start])
    return made(collect, stack("out1"))


BRANCHES = {
    key: helper.make_graph(
        [node("SequenceInsert", ["seq", name], [key])], key, [], [helper.make_value_info(key, TENSORS)]
    )
    for key, name in (("then_branch", "next"), ("else_branch", "less"))
}
NOT_ONE = "does not hand on the sequence 'seq' with at most one tensor added in each step"
REFUSED = {
    "two a step": (
        NOT_ONE,
        refused(node("SequenceInsert", ["seq", "now"], ["one"]), node("SequenceInsert", ["one", "less"], ["more"])),
    ),
    "another": (NOT_ONE, refused(node("SequenceConstruct", ["next"], ["more"]))),
    "a choice": ("'then_branch' is of type sequence_type", refused(node("If", ["on"], ["more"], **BRANCHES))),
    "erased": (
        "SequenceErase node 'more': erases from a sequence whose length is not known",
        refused(node("SequenceErase", ["seq"], ["more"])),
    ),
    "read while it grows": (
        "SequenceAt node 'before': reads a sequence that a loop is still adding to",
        refused(node("SequenceAt", ["seq", "last"], ["before"]), node("SequenceInsert", ["seq", "before"], ["more"])),
    ),
    "measured while it grows": (
        "SequenceLength node 'length': measures a sequence that a loop is still adding to",
        refused(node("SequenceLength", ["seq"], ["length"]), node("SequenceInsert", ["seq", "next"], ["more"])),
    ),
    "joined while it grows": (
        "ConcatFromSequence node 'so_far': joins a sequence that a loop is still adding to",
        refused(stack("seq", "so_far"), node("SequenceInsert", ["seq", "next"], ["more"])),
    ),
    "a tensor instead": (NOT_ONE, refused(node("Neg", ["next"], ["more"]))),
    "a sequence from nothing": (
        "output 1 of its body is a sequence, and its input is none",
        made(
            loop(
                [*STEP, node("SequenceConstruct", ["now"], ["list"]), node("SequenceInsert", ["seq", "now"], ["more"])],
                ["state", "seq"], ["list", "more"], ["h", "empty"],
            ),
            stack("out1"),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    reason, proto = REFUSED[case]
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(rnnrt.UnsupportedModelError) as caught:
        rnnrt.load(tmp_path / "m.onnx")
    assert any(reason in told for told in caught.value.reasons), caught.value.reasons


def test_shapes_that_differ_from_step_to_step_are_named(tmp_path: Path) -> None:
    """A sequence may hold tensors of different shapes, results of a loop may not."""
    steps = [
        node("Unsqueeze", ["t", "front"], ["length"]),
        node("Add", ["length", "second"], ["more_than"]),
        node("ConstantOfShape", ["more_than"], ["piece"]),
        node("SequenceInsert", ["seq", "piece"], ["more"]),
        node("Identity", ["true"], ["going"]),
    ]
    proto = made(loop(steps, ["seq"], ["more"], ["empty"], sequences=(0,)), stack("out0", new=0))
    onnx.save(proto, tmp_path / "m.onnx")
    loaded = rnnrt.load(tmp_path / "m.onnx")
    with pytest.raises(rnnrt.ShapeError, match="Loop node"):
        loaded.run(None, FEEDS)
