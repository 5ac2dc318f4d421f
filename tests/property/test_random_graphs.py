"""Random graphs, planned and run, against their references in float64: aliases, arena, outputs and branches."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rnnrt.ir import Graph, Node, Value
from tests.support import ISAS, assert_close, compiled, oracle

F32, BOOL = np.dtype("float32"), np.dtype("bool")
Shape = tuple[int, ...]


class Builder:
    """Grows a graph node by node; `shapes` holds every value made so far."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.arrays = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, Shape] = {}
        self.count = 0

    def name(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def pick(self) -> str:
        """A value, mostly a recent one."""
        names = list(self.shapes)
        return self.rng.choice(names[-4:] if self.rng.random() < 0.7 else names)

    def constant(self, array: np.ndarray) -> str:
        name = self.name("c")
        self.constants[name] = array
        return name

    def emit(self, op: str, inputs: list[str], shapes: list[Shape], **attrs: object) -> None:
        names = tuple(self.name() for _ in shapes)
        self.nodes.append(Node(op, tuple(inputs), names, attrs, f"{op}_{names[0]}"))
        self.shapes.update(zip(names, shapes, strict=True))

    def grow(self) -> None:
        """Add one node."""
        x = self.pick()
        getattr(self, self.rng.choice([k for k in dir(self) if k.startswith("add_")]))(x, self.shapes[x])

    def add_unary(self, x: str, shape: Shape) -> None:
        self.emit(self.rng.choice(["Neg", "Tanh", "Abs", "Sigmoid", "Identity", "Tanh"]), [x], [shape])

    def add_binary(self, x: str, shape: Shape) -> None:
        others = [name for name, other in self.shapes.items() if other == shape]
        if self.rng.random() < 0.5:
            narrow = tuple(1 if self.rng.random() < 0.5 else d for d in shape)[self.rng.randrange(len(shape) + 1) :]
            other = self.constant(self.arrays.standard_normal(narrow).astype(F32))
        else:
            other = self.rng.choice(others)
        pair = [x, other] if self.rng.random() < 0.5 else [other, x]
        self.emit(self.rng.choice(["Add", "Sub", "Mul", "Max"]), pair, [shape])

    def add_reshape(self, x: str, shape: Shape) -> None:
        size = int(np.prod(shape))
        rows = self.rng.choice([d for d in range(1, size + 1) if size % d == 0])
        new = self.rng.choice([(size,), (rows, size // rows), (1, size, 1)])
        self.emit("Reshape", [x, self.constant(np.array(new))], [new])

    def add_transpose(self, x: str, shape: Shape) -> None:
        perm = self.rng.sample(range(len(shape)), len(shape))
        self.emit("Transpose", [x], [tuple(shape[k] for k in perm)], perm=tuple(perm))

    def add_concat(self, x: str, shape: Shape) -> None:
        if np.prod(shape) > 500 or not shape:
            return
        axis = self.rng.randrange(len(shape))
        same = [n for n, s in self.shapes.items() if s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]]
        same = [n for n in same if len(self.shapes[n]) == len(shape)]
        parts = [x, *self.rng.choices(same, k=self.rng.randrange(1, 3))]
        total = sum(self.shapes[n][axis] for n in parts)
        self.emit("Concat", parts, [(*shape[:axis], total, *shape[axis + 1 :])], axis=axis)

    def add_split(self, x: str, shape: Shape) -> None:
        axes = [k for k, d in enumerate(shape) if d > 1]
        if not axes:
            return
        axis = self.rng.choice(axes)
        cut = self.rng.randrange(1, shape[axis])
        lengths = [cut, shape[axis] - cut]
        shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]
        self.emit("Split", [x, self.constant(np.array(lengths))], shapes, axis=axis)

    def add_sum(self, x: str, shape: Shape) -> None:
        if shape:
            axis = self.rng.randrange(len(shape))
            kept = (*shape[:axis], 1, *shape[axis + 1 :])
            self.emit("ReduceSum", [x, self.constant(np.array([axis]))], [kept], keepdims=1)

    def add_along(self, x: str, shape: Shape) -> None:
        if shape:
            axis = self.rng.randrange(len(shape))
            if self.rng.random() < 0.5:
                self.emit("Softmax", [x], [shape], axis=axis)
            else:
                self.emit("CumSum", [x, self.constant(np.array(axis))], [shape], reverse=self.rng.randrange(2))

    def add_nothing(self, x: str, shape: Shape) -> None:
        """Nodes that hand their input on."""
        if self.rng.random() < 0.5:
            self.emit("Cast", [x], [shape], to=1)
        else:
            self.emit("Pow", [x, self.constant(np.float32(1))], [shape])

    def add_choice(self, x: str, shape: Shape) -> None:
        """An If over outer values; a branch may hand one through, or a constant."""
        bodies = []
        for _ in range(2):
            kind, out = self.rng.randrange(3), self.name("b")
            if kind == 0:
                bodies.append(Graph((), (Value(out, F32),), (Node("Neg", (x,), (out,)),)))
            elif kind == 1:
                inner = self.name("b")
                nodes = (Node("Mul", (x, x), (inner,)), Node("Tanh", (inner,), (out,)))
                bodies.append(Graph((), (Value(out, F32),), nodes))
            else:
                array = self.arrays.standard_normal(shape).astype(F32)
                bodies.append(Graph((), (Value(out, F32),), (), {out: array}))
        self.emit("If", ["flag"], [shape], then_branch=bodies[0], else_branch=bodies[1])

    def graph(self, steps: int) -> tuple[Graph, dict[str, np.ndarray]]:
        """The graph, and feeds for it."""
        feeds: dict[str, np.ndarray] = {"flag": np.array(self.rng.random() < 0.5)}
        for name in ("x", "y"):
            shape = tuple(self.rng.randrange(1, 6) for _ in range(self.rng.randrange(1, 4)))
            feeds[name] = self.arrays.standard_normal(shape).astype(F32)
            self.shapes[name] = shape
        for _ in range(steps):
            self.grow()
        outputs = self.rng.sample(list(self.shapes), min(4, len(self.shapes)))
        outputs.append(list(self.shapes)[-1])
        inputs = tuple(Value(name, array.dtype, array.shape) for name, array in feeds.items())
        values = tuple(Value(name, F32) for name in dict.fromkeys(outputs))
        return Graph(inputs, values, tuple(self.nodes), self.constants), feeds


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("start", range(0, 120, 20))
def test_random_graphs(isa: str, start: int) -> None:
    for seed in range(start, start + 20):
        graph, feeds = Builder(seed).graph(steps=5 + seed % 20)
        for flag in (feeds["flag"], ~feeds["flag"]):
            feeds = {**feeds, "flag": flag}
            results = compiled(graph, feeds, isa, native=False)
            for value, got, want in zip(graph.outputs, results, oracle(graph, feeds), strict=True):
                assert_close(got, want, 2e-5, f"seed {seed}, flag {flag}, {value.name}")
