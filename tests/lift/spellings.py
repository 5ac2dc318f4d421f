"""Recurrent cells written out as arithmetic in many ways, inside loops and step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.ir import Graph, Node, Value

FLOAT = np.dtype(np.float32)
INT = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)


@dataclass
class Writer:
    """Collects nodes and constants of one graph; `prefix` keeps the names of bodies apart."""

    rng: np.random.Generator
    prefix: str = ""
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def name(self, hint: str) -> str:
        return f"{self.prefix}{hint}{len(self.nodes) + len(self.constants)}"

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = self.name("const")
        self.constants[name] = np.asarray(value, dtype)
        return name

    def op(self, op: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        name = self.name(op.lower())
        names = tuple(f"{name}.{k}" for k in range(outputs)) if outputs > 1 else (name,)
        self.nodes.append(Node(op, inputs, names, attrs, name))
        return list(names) if outputs > 1 else names[0]

    def weights(self, rows: int, columns: int) -> np.ndarray:
        return (self.rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)

    def part(self, value: str, start: int, stop: int) -> str:
        return self.op("Slice", value, *(self.constant([v], np.int64) for v in (start, stop, -1)))

    def graph(self, inputs: list[Value], outputs: list[Value]) -> Graph:
        return Graph(tuple(inputs), tuple(outputs), tuple(self.nodes), dict(self.constants))


@dataclass(frozen=True)
class Style:
    """How a cell is spelled."""

    fused: bool = True  # one product for all gates
    joined: bool = False  # [x, h] times one matrix
    gemm: bool = False  # Gemm with transB
    slices: bool = False  # Slice rather than Split
    late: bool = False  # one Sigmoid before the gates are taken apart
    update: int = 0  # the spelling of the convex combination
    inner: str = "Tanh"
    gate: str = "Sigmoid"
    before: bool = False  # reset before the product
    coupled: bool = False
    peepholes: bool = False


class CellWriter:
    """Writes steps of one cell, with the same weights each time, into any writer."""

    def __init__(self, op: str, rng: np.random.Generator, inputs: int, units: int, style: Style) -> None:
        self.op, self.inputs, self.units, self.style = op, inputs, units, style
        make = Writer(rng)
        self.gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
        self.W = make.weights(inputs, self.gates * units)
        self.R = make.weights(units, self.gates * units)
        self.b = make.weights(1, self.gates * units)[0]
        self.rb = make.weights(1, self.gates * units)[0]
        self.P = make.weights(3, units)

    def __repr__(self) -> str:
        return f"{self.op}({self.inputs}, {self.units}, {self.style})"

    def step(self, w: Writer, x: str, states: list[str]) -> list[str]:
        """The new states."""
        return {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.op](w, x, states)

    def _product(self, w: Writer, value: str, matrix: np.ndarray, bias: np.ndarray | None) -> str:
        if self.style.gemm:
            return w.op("Gemm", value, w.constant(matrix.T), *([] if bias is None else [w.constant(bias)]), transB=1)
        found = w.op("MatMul", value, w.constant(matrix))
        return found if bias is None else w.op("Add", found, w.constant(bias))

    def _parts(self, w: Writer, value: str, count: int) -> list[str]:
        if count == 1:
            return [value]
        if self.style.slices:
            return [w.part(value, k * self.units, (k + 1) * self.units) for k in range(count)]
        return w.op("Split", value, outputs=count, axis=-1)

    def _gates(self, w: Writer, x: str, h: str, which: range) -> list[str]:
        """Sums before activation of these gates, with both biases."""
        n, bias = self.units, self.b + self.rb
        columns = slice(which.start * n, which.stop * n)
        if self.style.joined:
            matrix = np.concatenate([self.W, self.R])[:, columns]
            total = self._product(w, w.op("Concat", x, h, axis=-1), matrix, bias[columns])
            return self._parts(w, total, len(which))
        if self.style.fused:
            left = self._product(w, x, self.W[:, columns], self.b[columns])
            total = w.op("Add", left, self._product(w, h, self.R[:, columns], self.rb[columns]))
            return self._parts(w, total, len(which))
        found = []
        for k in which:
            one = slice(k * n, (k + 1) * n)
            right = self._product(w, h, self.R[:, one], None)
            total = w.op("Add", self._product(w, x, self.W[:, one], None), right)
            found.append(w.op("Add", total, w.constant(bias[one])))
        return found

    def _gate(self, w: Writer, value: str) -> str:
        if self.style.gate == "keras hard sigmoid":
            scaled = w.op("Add", w.op("Mul", value, w.constant(0.2)), w.constant(0.5))
            return w.op("Clip", scaled, w.constant(0.0), w.constant(1.0))
        if self.style.gate == "relu6":
            clipped = w.op("Clip", w.op("Add", value, w.constant(3.0)), w.constant(0.0), w.constant(6.0))
            return w.op("Mul", clipped, w.constant(1 / 6))
        return w.op(self.style.gate, value)

    def _lstm(self, w: Writer, x: str, states: list[str]) -> list[str]:
        h, c = states
        i, f, g, o = self._gates(w, x, h, range(4))
        if self.style.peepholes:
            i, f = (w.op("Add", v, w.op("Mul", c, w.constant(p))) for v, p in ((i, self.P[0]), (f, self.P[1])))
        i, f, g = self._gate(w, i), self._gate(w, f), w.op(self.style.inner, g)
        kept = f
        if self.style.coupled:
            kept = w.op("Sub", w.constant(1.0), i)
        c = w.op("Add", w.op("Mul", kept, c), w.op("Mul", i, g))
        if self.style.peepholes:
            o = w.op("Add", o, w.op("Mul", w.constant(self.P[2]), c))
        return [w.op("Mul", self._gate(w, o), w.op(self.style.inner, c)), c]

    def _gru(self, w: Writer, x: str, states: list[str]) -> list[str]:
        (h,), n = states, self.units
        if self.style.late:
            both = self._gate(w, w.op("Concat", *self._gates(w, x, h, range(2)), axis=-1))
            z, r = self._parts(w, both, 2)
        else:
            z, r = (self._gate(w, v) for v in self._gates(w, x, h, range(2)))
        last = slice(2 * n, 3 * n)
        left = self._product(w, x, self.W[:, last], self.b[last])
        if self.style.before:
            right = self._product(w, w.op("Mul", r, h), self.R[:, last], None)
        else:
            right = w.op("Mul", r, self._product(w, h, self.R[:, last], self.rb[last]))
        new = w.op(self.style.inner, w.op("Add", left, right))
        one = w.constant(1.0)
        if self.style.update == 0:
            return [w.op("Add", w.op("Mul", z, h), w.op("Mul", w.op("Sub", one, z), new))]
        if self.style.update == 1:
            return [w.op("Add", new, w.op("Mul", z, w.op("Sub", h, new)))]
        if self.style.update == 2:
            return [w.op("Add", w.op("Sub", new, w.op("Mul", z, new)), w.op("Mul", z, h))]
        return [w.op("Add", w.op("Mul", w.op("Sub", one, z), h), w.op("Mul", z, new))]

    def _rnn(self, w: Writer, x: str, states: list[str]) -> list[str]:
        (total,) = self._gates(w, x, states[0], range(1))
        return [w.op(self.style.inner, total)]


def loop(cell: CellWriter, rng: np.random.Generator, *, mask: str = "", steps: Any = "T", shift: int = 0) -> Graph:
    """A Loop over the steps of an input X (T, B, I), as tf2onnx writes it.

    `mask` is how an input of bool (T, B, 1) holds a step: "where", "product" or "" for none. `steps` is the declared
    length. `shift` moves the end of the loop, which makes it something that must not be lifted.
    """
    n, count = cell.units, 2 if cell.op == "LSTM" else 1
    body = Writer(rng, "body.")
    x = body.op("Gather", "X", "body.time", axis=0)
    old = [f"body.state{k}" for k in range(count)]
    new = cell.step(body, x, old)
    if mask:
        on = body.op("Gather", "M", "body.time", axis=0)
        if mask == "where":
            new = [body.op("Where", on, a, b) for a, b in zip(new, old, strict=True)]
        else:
            yes, no = (body.op("Cast", v, to=1) for v in (on, body.op("Not", on)))
            new = [body.op("Add", body.op("Mul", a, yes), body.op("Mul", no, b)) for a, b in zip(new, old, strict=True)]
    later = body.op("Add", "body.time", body.constant(1, np.int64))
    going = body.op("Less", later, "limit")
    state = [Value(name, FLOAT, (None, n)) for name in old]
    inner = body.graph(
        [Value("body.i", INT, ()), Value("body.on", BOOL, ()), Value("body.time", INT, ()), *state],
        [Value(name, FLOAT, None) for name in (going, later, *new, new[0])],
    )
    out = Writer(rng)
    shape = out.op("Shape", "X")
    length = out.op("Squeeze", out.op("Slice", shape, *(out.constant([v], np.int64) for v in (0, 1, 0))))
    limit = out.op("Add", length, out.constant(shift, np.int64)) if shift else out.op("Identity", length)
    inner = _reading(inner, "limit", limit)
    starts = [f"S{k}" for k in range(count)]
    names = ("time_after", *(f"last{k}" for k in range(count)), "Y")
    inputs = (limit, out.op("Less", out.constant(0, np.int64), limit), out.constant(0, np.int64), *starts)
    out.nodes.append(Node("Loop", inputs, names, {"body": inner}, "loop"))
    given = [Value("X", FLOAT, (steps, "B", cell.inputs)), *(Value(name, FLOAT, ("B", n)) for name in starts)]
    if mask:
        given.append(Value("M", BOOL, (steps, "B", 1)))
    return out.graph(given, [Value(name, FLOAT, None) for name in names[1:]])


def scan(cell: CellWriter, rng: np.random.Generator, backwards: bool) -> Graph:
    """A Scan over axis 1 of an input X (B, T, I)."""
    n, count = cell.units, 2 if cell.op == "LSTM" else 1
    body = Writer(rng, "body.")
    old = [f"body.state{k}" for k in range(count)]
    new = cell.step(body, "body.x", old)
    inner = body.graph(
        [*(Value(name, FLOAT, (None, n)) for name in old), Value("body.x", FLOAT, (None, cell.inputs))],
        [Value(name, FLOAT, None) for name in (*new, body.op("Identity", new[0]))],
    )
    starts = [f"S{k}" for k in range(count)]
    names = (*(f"last{k}" for k in range(count)), "Y")
    attrs = {
        "body": inner,
        "num_scan_inputs": 1,
        "scan_input_axes": (1,),
        "scan_input_directions": (int(backwards),),
        "scan_output_axes": (1,),
    }
    out = Writer(rng)
    out.nodes.append(Node("Scan", (*starts, "X"), names, attrs, "scan"))
    given = [Value("X", FLOAT, ("B", "T", cell.inputs)), *(Value(name, FLOAT, ("B", n)) for name in starts)]
    return out.graph(given, [Value(name, FLOAT, None) for name in names])


def unrolled(cells: list[CellWriter], rng: np.random.Generator, steps: int, zeros: bool, backwards: bool) -> Graph:
    """Layers written step by step over an input X (steps, B, I); states are inputs, or zeros folded away."""
    out = Writer(rng)
    given = [Value("X", FLOAT, (steps, "B" if not zeros else 3, cells[0].inputs))]
    order = list(range(steps))[:: -1 if backwards else 1]
    xs = {t: out.op("Gather", "X", out.constant(t, np.int64), axis=0) for t in order}
    for k, cell in enumerate(cells):
        count = 2 if cell.op == "LSTM" else 1
        if zeros:
            states = [out.constant(np.zeros((3, cell.units))) for _ in range(count)]
        else:
            states = [f"S{k}.{i}" for i in range(count)]
            given += [Value(name, FLOAT, ("B", cell.units)) for name in states]
        for t in order:
            states = cell.step(out, xs[t], states)
            xs[t] = states[0]
    last = [out.op("Identity", name) for name in states]
    stacked = out.op("Concat", *(out.op("Unsqueeze", xs[t], out.constant([1], np.int64)) for t in range(steps)), axis=1)
    return out.graph(given, [Value(name, FLOAT, None) for name in (stacked, *last)])


def _reading(graph: Graph, old: str, new: str) -> Graph:
    nodes = tuple(
        Node(n.op, tuple(new if name == old else name for name in n.inputs), n.outputs, n.attrs, n.name)
        for n in graph.nodes
    )
    return graph.replace(nodes=nodes)
