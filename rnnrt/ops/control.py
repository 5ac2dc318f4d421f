"""Operators with bodies: If, Loop, Scan.

Their bodies may read values of the enclosing graphs, so both rules below get a function that deals with a body
in its surroundings: `interpret` one that runs it, `infer_bodies` one that tells the types of its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ModelFormatError, ShapeError, UnsupportedModelError
from rnnrt.ir import Graph, Node, Shape
from rnnrt.ops.base import REQUIRED, GradientContext, Operator, TensorSpec, register

RunBody = Callable[[Graph, Mapping[str, Any]], list[np.ndarray]]
InferBody = Callable[[Graph, Sequence[TensorSpec]], list[TensorSpec]]

_ROUNDS = 8
"""Rounds after which a loop's carried shapes count as unknown."""

MOST_STEPS = 1 << 31
"""Steps of a loop whose condition stays true; more would take days, so that the number is taken for damage."""


class Control(Operator):
    """Base of operators with bodies."""

    @classmethod
    def interpret(cls, node: Node, inputs: Sequence[np.ndarray | None], run: RunBody) -> list[np.ndarray]:
        """Run the node; ``run(body, feeds)`` runs a body once."""
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def infer_bodies(cls, node: Node, inputs: Sequence[TensorSpec | None], infer: InferBody) -> list[TensorSpec]:
        """Types of the outputs; ``infer(body, specs)`` gives those of a body for its inputs' types."""
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        what = "make its condition a constant" if cls.name == "If" else "export the recurrence as LSTM, GRU or RNN"
        reason = f"{node.label()}: its bodies cannot be trained through; {what}, or freeze what is below"
        raise UnsupportedModelError("graph", [reason])


def common(a: TensorSpec, b: TensorSpec) -> TensorSpec:
    """What holds for both: extents that differ become unknown."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return TensorSpec(a.dtype, None)
    return TensorSpec(a.dtype, tuple(x if x == y else None for x, y in zip(a.shape, b.shape, strict=True)))


def _condition(node: Node, value: Any) -> bool:
    if np.size(value) != 1:
        raise ShapeError(f"{node.label()}: its condition must be one value, got shape {np.shape(value)}")
    return bool(np.asarray(value).reshape(()))


def _trips(node: Node, value: Any) -> int:
    if np.size(value) != 1:
        raise ShapeError(f"{node.label()}: its trip count must be one value, got shape {np.shape(value)}")
    return int(np.reshape(value, ()))


def _check_condition(node: Node, spec: TensorSpec | None) -> None:
    extents = () if spec is None or spec.shape is None else spec.shape
    if spec is None or spec.dtype != np.bool_ or any(isinstance(d, int) and d != 1 for d in extents):
        got = "nothing" if spec is None else f"{spec.dtype} of shape {spec.shape}"
        raise ShapeError(f"{node.label()}: its condition must be one bool, got {got}")


@register
class If(Control):
    """`then_branch` or `else_branch`."""

    name = "If"
    attributes: ClassVar[Mapping[str, Any]] = {"then_branch": REQUIRED, "else_branch": REQUIRED}

    @classmethod
    def chosen(cls, node: Node, condition: np.ndarray | None) -> Graph:
        """The branch that this condition takes."""
        return node.attrs["then_branch" if _condition(node, condition) else "else_branch"]

    @classmethod
    def interpret(cls, node: Node, inputs: Sequence[np.ndarray | None], run: RunBody) -> list[np.ndarray]:
        return run(cls.chosen(node, inputs[0]), {})

    @classmethod
    def infer_bodies(cls, node: Node, inputs: Sequence[TensorSpec | None], infer: InferBody) -> list[TensorSpec]:
        _check_condition(node, inputs[0])
        then, other = infer(node.attrs["then_branch"], ()), infer(node.attrs["else_branch"], ())
        if not len(then) == len(other) == len(node.outputs):
            raise ShapeError(
                f"{node.label()}: its branches give {len(then)} and {len(other)} outputs for {len(node.outputs)} names"
            )
        for a, b in zip(then, other, strict=True):
            if a.dtype != b.dtype:
                raise ShapeError(f"{node.label()}: its branches give {a.dtype} and {b.dtype} for one output")
        return [common(a, b) for a, b in zip(then, other, strict=True)]


@register
class Loop(Control):
    """Inputs: trip count (or empty), condition (or empty), carried values.

    The body takes (iteration, condition, carried...) and gives (condition, carried..., scanned...); scanned
    outputs are stacked along a new first axis.
    """

    name = "Loop"
    attributes: ClassVar[Mapping[str, Any]] = {"body": REQUIRED}
    min_inputs = 0
    max_inputs = None

    @classmethod
    def _body(cls, node: Node) -> tuple[Graph, int, int]:
        """The body, its number of carried values, and that of its scanned outputs."""
        body: Graph = node.attrs["body"]
        carried = max(len(node.inputs) - 2, 0)
        scanned = len(body.outputs) - 1 - carried
        if len(body.inputs) != carried + 2 or scanned < 0 or len(node.outputs) > carried + scanned:
            raise ShapeError(
                f"{node.label()}: {carried} carried values do not fit a body of {len(body.inputs)} inputs "
                f"and {len(body.outputs)} outputs"
            )
        return body, carried, scanned

    @classmethod
    def interpret(cls, node: Node, inputs: Sequence[np.ndarray | None], run: RunBody) -> list[np.ndarray]:
        body, n_carried, n_scanned = cls._body(node)
        trips, condition, *carried = (*inputs, None, None) if len(inputs) < 2 else inputs
        limit = None if trips is None else _trips(node, trips)
        going = condition is None or _condition(node, condition)
        carried = carried[:n_carried]
        scanned: list[list[np.ndarray]] = [[] for _ in range(n_scanned)]
        names = [value.name for value in body.inputs]
        step = 0
        while going and (limit is None or step < limit):
            feeds = dict(zip(names, [np.array(step, np.int64), np.array(True), *carried], strict=True))
            results = run(body, feeds)
            going = _condition(node, results[0])
            carried = list(results[1 : 1 + n_carried])
            for history, value in zip(scanned, results[1 + n_carried :], strict=True):
                history.append(value)
            step += 1
        stacked = [
            np.stack(history) if history else np.empty(_nothing(value.shape), value.dtype)
            for history, value in zip(scanned, body.outputs[1 + n_carried :], strict=True)
        ]
        return [np.asarray(value) for value in carried] + stacked

    @classmethod
    def infer_bodies(cls, node: Node, inputs: Sequence[TensorSpec | None], infer: InferBody) -> list[TensorSpec]:
        body, n_carried, _ = cls._body(node)
        trips = inputs[0] if inputs else None
        begin = inputs[1] if len(inputs) > 1 else None
        carried = [TensorSpec(spec.dtype, spec.shape) for spec in inputs[2:] if spec is not None]
        iteration = TensorSpec(np.dtype("int64"), ())
        on = TensorSpec(np.dtype("bool"), (), np.array(True))
        for _ in range(_ROUNDS):
            results = infer(body, [iteration, on, *carried])
            merged = [common(a, b) for a, b in zip(carried, results[1:], strict=False)]
            if merged == carried:
                break
            carried = merged
        else:
            carried = [TensorSpec(spec.dtype, None) for spec in carried]
            results = infer(body, [iteration, on, *carried])
        steps = None
        always = results[0].value is not None and bool(np.all(results[0].value))
        starts = begin is None or (begin.value is not None and bool(np.all(begin.value)))
        if always and starts and trips is None:
            raise ModelFormatError(f"{node.label()}: never ends: it has no trip count, and its condition stays true")
        if always and starts and trips is not None and trips.value is not None:
            steps = max(_trips(node, trips.value), 0)
            if steps > MOST_STEPS:
                raise ModelFormatError(f"{node.label()}: never ends: its {steps} steps are more than {MOST_STEPS}")
        scanned = [
            TensorSpec(spec.dtype, None if spec.shape is None else (steps, *spec.shape))
            for spec in results[1 + n_carried :]
        ]
        return carried + scanned


@register
class Scan(Control):
    """Inputs: carried values, then `num_scan_inputs` sequences; outputs: carried values, then stacked results."""

    name = "Scan"
    attributes: ClassVar[Mapping[str, Any]] = {
        "body": REQUIRED,
        "num_scan_inputs": REQUIRED,
        "scan_input_axes": (),
        "scan_input_directions": (),
        "scan_output_axes": (),
        "scan_output_directions": (),
    }
    max_inputs = None

    @classmethod
    def _split(cls, node: Node) -> tuple[Graph, int, int, int]:
        body: Graph = node.attrs["body"]
        scans = int(node.attrs["num_scan_inputs"])
        carried = len(node.inputs) - scans
        results = len(body.outputs) - carried
        if carried < 0 or results < 0 or len(body.inputs) != len(node.inputs):
            raise ShapeError(f"{node.label()}: {len(node.inputs)} inputs do not fit a body of {len(body.inputs)}")
        return body, scans, carried, results

    @classmethod
    def _list(cls, node: Node, key: str, count: int) -> list[int]:
        given = list(cls.attr(node, key)) or [0] * count
        if len(given) != count:
            raise ShapeError(f"{node.label()}: {key} has {len(given)} entries for {count} sequences")
        return given

    @classmethod
    def interpret(cls, node: Node, inputs: Sequence[np.ndarray | None], run: RunBody) -> list[np.ndarray]:
        body, scans, n_carried, n_results = cls._split(node)
        carried = list(inputs[:n_carried])
        axes = cls._list(node, "scan_input_axes", scans)
        backwards = cls._list(node, "scan_input_directions", scans)
        sequences = [np.moveaxis(np.asarray(x), a, 0) for x, a in zip(inputs[n_carried:], axes, strict=True)]
        if len({len(s) for s in sequences}) != 1:
            raise ShapeError(f"{node.label()}: its sequences have the lengths {[len(s) for s in sequences]}")
        names = [value.name for value in body.inputs]
        history: list[list[np.ndarray]] = [[] for _ in range(n_results)]
        for t in range(len(sequences[0])):
            now = [s[len(s) - 1 - t] if back else s[t] for s, back in zip(sequences, backwards, strict=True)]
            results = run(body, dict(zip(names, [*carried, *now], strict=True)))
            carried = list(results[:n_carried])
            for items, value in zip(history, results[n_carried:], strict=True):
                items.append(value)
        out_axes = cls._list(node, "scan_output_axes", n_results)
        out_back = cls._list(node, "scan_output_directions", n_results)
        stacked = []
        for items, kind, axis, back in zip(history, body.outputs[n_carried:], out_axes, out_back, strict=True):
            whole = np.stack(items[::-1] if back else items) if items else np.empty(_nothing(kind.shape), kind.dtype)
            stacked.append(np.moveaxis(whole, 0, axis))
        return [np.asarray(value) for value in carried] + stacked

    @classmethod
    def infer_bodies(cls, node: Node, inputs: Sequence[TensorSpec | None], infer: InferBody) -> list[TensorSpec]:
        body, scans, n_carried, n_results = cls._split(node)
        cls._list(node, "scan_input_directions", scans)
        cls._list(node, "scan_output_directions", n_results)
        specs = [spec for spec in inputs if spec is not None]
        carried = [TensorSpec(s.dtype, s.shape) for s in specs[:n_carried]]
        steps = None
        now: list[TensorSpec] = []
        for spec, axis in zip(specs[n_carried:], cls._list(node, "scan_input_axes", scans), strict=True):
            shape: Shape | None = None
            if spec.shape is not None:
                at = axis % len(spec.shape)
                steps = spec.shape[at] if steps is None else steps
                shape = spec.shape[:at] + spec.shape[at + 1 :]
            now.append(TensorSpec(spec.dtype, shape))
        for _ in range(_ROUNDS):
            results = infer(body, [*carried, *now])
            merged = [common(a, b) for a, b in zip(carried, results, strict=False)]
            if merged == carried:
                break
            carried = merged
        outputs = list(carried)
        for spec, axis in zip(results[n_carried:], cls._list(node, "scan_output_axes", n_results), strict=True):
            if spec.shape is None:
                outputs.append(TensorSpec(spec.dtype, None))
                continue
            at = axis % (len(spec.shape) + 1)
            outputs.append(TensorSpec(spec.dtype, (*spec.shape[:at], steps, *spec.shape[at:])))
        return outputs


def _nothing(shape: Shape | None) -> tuple[int, ...]:
    """The shape of zero stacked values."""
    return (0, *(d if isinstance(d, int) else 0 for d in shape or ()))
