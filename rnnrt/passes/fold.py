"""Infer every type, compute what is constant, and take the branches that constant conditions choose."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError
from rnnrt.ir import Graph, Node, Shape, Value
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.control import Control, If, InferBody
from rnnrt.ops.evaluate import evaluate_node
from rnnrt.ops.python import Python

Specs = dict[str, TensorSpec]

FOLD_BYTES = 1 << 24
"""A constant larger than this is computed at run time, unless it is no larger than what it is made from."""

LARGEST_VALUE = 1 << 46
"""Bytes of one value that no machine has; sizes below stay clear of the limits of 64-bit integers."""

_MOST_BODIES = 5000
"""Loops infer their bodies several times, and the loops in these as often again."""


def fold(graph: Graph, specs: Mapping[str, TensorSpec]) -> tuple[Graph, Specs]:
    """The folded graph, and the types of all its values.

    Parameters
    ----------
    graph : Graph
    specs : mapping of str to TensorSpec
        Types of the graph's inputs, and of the enclosing scopes' values where the graph is a body.

    Raises
    ------
    ShapeError
        Shapes do not fit together; the message names the node.
    ModelFormatError
        Loops are nested so deeply that inferring their types would not end.
    RnnrtError
        A value would need more memory than any machine has.
    """
    return _fold(graph, specs, _Work())


@dataclass
class _Work:
    """What a graph and all its bodies have taken so far."""

    bodies: int = 0


def _fold(graph: Graph, specs: Mapping[str, TensorSpec], work: _Work) -> tuple[Graph, Specs]:
    state = _Fold(dict(specs), work)
    for name, array in graph.constants.items():
        state.constant(name, array)
    for node in graph.nodes:
        state.node(node)
    return graph.replace(nodes=tuple(state.nodes), constants=state.constants), state.specs


@dataclass
class _Fold:
    specs: Specs
    work: _Work
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    extents: dict[str, Shape] = field(default_factory=dict)
    """What results of Shape hold, where not all of it is known."""

    def constant(self, name: str, array: np.ndarray) -> None:
        self.constants[name] = array
        self.specs[name] = TensorSpec(array.dtype, array.shape, array)

    def node(self, node: Node) -> None:
        operator = get_operator(node.op)
        node = operator.without_defaults(node, [self.specs[name] if name else None for name in node.inputs])
        inputs = [self.specs[name] if name else None for name in node.inputs]
        if operator is If and inputs[0] is not None and inputs[0].value is not None:
            self.inline(node, If.chosen(node, inputs[0].value))
            return
        if issubclass(operator, Control):
            with _named(node, inputs):
                self.control(node, operator, inputs)
            return
        with _named(node, inputs):
            outputs = operator.infer(node, inputs)
        for spec in outputs:
            _check_size(node, spec)
        if operator is not Python and foldable(inputs, outputs):
            arrays = [None if s is None else s.value for s in inputs]
            with np.errstate(all="ignore"):
                results = evaluate_node(node, arrays, {})
            for name, result in zip(node.outputs, results, strict=False):
                if name:
                    self.constant(name, np.asarray(result))
            return
        picked = self._known_extents(node)
        if picked is not None:
            self.constant(node.outputs[0], picked)
            return
        rest = False
        for name, spec in zip(node.outputs, outputs, strict=False):
            if name and spec.value is not None:
                self.constant(name, spec.value)
            elif name:
                self.specs[name] = spec
                rest = True
        if rest:
            # An output that is constant already keeps its constant; the node must not define it again.
            names = tuple("" if name in self.constants else name for name in node.outputs)
            self.nodes.append(Node(node.op, node.inputs, names, node.attrs, node.name))

    def _known_extents(self, node: Node) -> np.ndarray | None:
        """What a Gather or Slice takes of a shape, if these extents are known though others are not."""
        if node.op == "Shape":
            shape = self.specs[node.inputs[0]].shape
            if shape is not None:
                self.extents[node.outputs[0]] = shape[node.attrs.get("start", 0) : node.attrs.get("end")]
            return None
        dims = self.extents.get(node.inputs[0]) if node.op in ("Gather", "Slice") else None
        others = [self.specs[name].value for name in node.inputs[1:] if name]
        if dims is None or any(value is None for value in others):
            return None
        # -1 stands for an extent that is not known: no extent is negative.
        held = np.array([d if isinstance(d, int) else -1 for d in dims], np.int64)
        taken = evaluate_node(node, [held, *(self.specs[n].value if n else None for n in node.inputs[1:])], {})[0]
        return taken if np.all(taken >= 0) else None

    def inline(self, node: Node, branch: Graph) -> None:
        """Put a branch in the place of its If."""
        if len(branch.outputs) != len(node.outputs):
            raise ShapeError(f"{node.label()}: a branch gives {len(branch.outputs)} of {len(node.outputs)} outputs")
        for name, array in branch.constants.items():
            self.constant(name, array)
        for item in branch.nodes:
            self.node(item)
        for name, value in zip(node.outputs, branch.outputs, strict=True):
            if name:
                self.node(Node("Identity", (value.name,), (name,), {}, f"{node.name}/{name}"))

    def control(self, node: Node, operator: type[Control], inputs: Sequence[TensorSpec | None]) -> None:
        """Infer through the bodies, and fold each of them in its surroundings."""

        def infer(body: Graph, given: Sequence[TensorSpec]) -> list[TensorSpec]:
            if operator is not If or id(body) not in bodies:
                self.work.bodies += 1
                if self.work.bodies > _MOST_BODIES:
                    raise ModelFormatError(f"{node.label()}: has too many loops nested in loops; export the model anew")
                names = {v.name: s for v, s in zip(body.inputs, given, strict=True)}
                bodies[id(body)] = _fold(body, {**self.specs, **names}, self.work)
            folded, inner = bodies[id(body)]
            return [inner[v.name] for v in folded.outputs]

        bodies: dict[int, tuple[Graph, Specs]] = {}
        try:
            outputs = operator.infer_bodies(node, inputs, infer)
        except ShapeError as error:
            if operator is not If:
                raise
            node = _one_way(node, error, infer, bodies)
            outputs = operator.infer_bodies(node, inputs, infer)
        attrs = dict(node.attrs)
        for key, body in node.attrs.items():
            if isinstance(body, Graph):
                folded, inner = bodies[id(body)]
                attrs[key] = folded.replace(
                    inputs=tuple(_typed(v, inner[v.name]) for v in folded.inputs),
                    outputs=tuple(_typed(v, inner[v.name]) for v in folded.outputs),
                )
        for name, spec in zip(node.outputs, outputs, strict=False):
            _check_size(node, spec)
            if name:
                self.specs[name] = TensorSpec(spec.dtype, spec.shape)
        self.nodes.append(Node(node.op, node.inputs, node.outputs, attrs, node.name))


def foldable(inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> bool:
    """Whether results of these types are constant, and small enough to be kept."""
    if any(s is not None and s.value is None for s in inputs):
        return False
    if any(not s.is_static for s in outputs):
        return True  # a constant whose shape depends on values: small in every known case
    source = sum(s.value.nbytes for s in inputs if s is not None and s.value is not None)
    size = sum(s.dtype.itemsize * int(np.prod(s.known_shape, dtype=np.float64)) for s in outputs)
    return size <= max(FOLD_BYTES, source)


@contextmanager
def _named(node: Node, inputs: Sequence[TensorSpec | None]) -> Iterator[None]:
    """Let whatever a rule runs into name the node: attributes and constants of a file can be anything."""
    try:
        yield
    except (RnnrtError, RecursionError, MemoryError):
        raise
    except Exception as error:
        shapes = [None if s is None else s.shape for s in inputs]
        raise ShapeError(f"{node.label()}: {error}; its inputs have the shapes {shapes}") from error


def _check_size(node: Node, spec: TensorSpec) -> None:
    known = [d for d in spec.shape or () if isinstance(d, int)]
    if min(known, default=0) < 0:
        raise ShapeError(f"{node.label()}: its result would have shape {spec.shape}; check its attributes")
    size = math.prod(known) * spec.dtype.itemsize
    if size > LARGEST_VALUE or (known and max(known) > LARGEST_VALUE):
        raise RnnrtError(
            f"{node.label()}: its result of shape {spec.shape} takes {size} bytes, more memory than there is; "
            "check the shapes in the file"
        )


def _one_way(node: Node, error: ShapeError, infer: InferBody, done: Mapping[int, object]) -> Node:
    """An If of which one branch does not fit the shapes, so that no run takes it: a run that does raises the error.

    Raises `error` where both branches fit, or neither does. `done` has the branches that fit by their identity.
    """
    for key, other in (("then_branch", "else_branch"), ("else_branch", "then_branch")):
        body: Graph = node.attrs[key]
        if id(body) in done:
            continue
        try:
            types = infer(node.attrs[other], ())
        except ShapeError:
            raise error from None
        if len(types) != len(body.outputs):
            raise error

        def refuse() -> NoReturn:
            raise error

        results = tuple(TensorSpec(s.dtype, s.shape) for s in types)
        names = tuple(f"{v.name}/{key}{k}" for k, v in enumerate(body.outputs))
        outputs = tuple(Value(name, s.dtype, s.shape) for name, s in zip(names, results, strict=True))
        refusal = Node("Python", (), names, {"call": refuse, "results": results}, node.name)
        return Node(node.op, node.inputs, node.outputs, {**node.attrs, key: Graph((), outputs, (refusal,))}, node.name)
    raise error


def _typed(value: Value, spec: TensorSpec) -> Value:
    return Value(value.name, spec.dtype, spec.shape if spec.shape is not None else value.shape)
