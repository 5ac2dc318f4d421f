"""Graph with static shapes -> Plan: kernels chosen, weights packed, every temporary placed in one arena."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt._kernels import program
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.ir import Graph, Node, Value, outer_names
from rnnrt.ops import KernelCall, TensorSpec, get_operator
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import specialise
from rnnrt.plan.arena import Lifetime, place
from rnnrt.plan.select import RecurrentWork, choose_split
from rnnrt.plan.target import PackCache, Target

_IDENTITY = "identity"


@dataclass(frozen=True)
class Plan:
    """What the executor needs: immutable, shared between threads. `executor()` binds it to memory of its own.

    `node_labels[k]` names the node of instruction k; `hosted` lists the nodes that run as numpy.
    """

    target: Target
    tensors: tuple[tuple[Any, ...], ...]
    instructions: tuple[tuple[Any, ...], ...]
    arena_bytes: int
    inputs: tuple[tuple[np.dtype, tuple[int, ...]], ...]
    outputs: tuple[tuple[np.dtype, tuple[int, ...]], ...]
    node_labels: tuple[str, ...]
    hosted: tuple[str, ...]

    def executor(self) -> program.Executor:
        """A new executor of this plan.

        Raises
        ------
        RnnrtError
            There is no memory for it.
        """
        try:
            return program.Executor(
                self.target.isa, self.tensors, self.instructions, self.arena_bytes, self.inputs, self.outputs
            )
        except MemoryError as error:
            raise self.too_large(error) from None
        except OverflowError as error:
            raise RnnrtError(f"a number in an attribute is beyond 64 bits: {error}; check the file") from error

    def too_large(self, error: MemoryError) -> RnnrtError:
        """What to raise where there is no memory: it names the node with the largest result, and its size."""
        sizes = [(math.prod(shape) * dtype.itemsize, shape) for dtype, shape, *_ in self.tensors]
        results = [(*sizes[i], label) for code, label in zip(self.instructions, self.node_labels, strict=True)
                   for i in code[3] if i >= 0]  # fmt: skip
        size, shape, label = max(results, default=(0, (), "the graph"))
        return RnnrtError(
            f"{label}: its result of shape {shape} takes {size} bytes, and everything together needs more memory "
            f"than there is ({error}); give smaller inputs"
        )


@dataclass
class _Tensor:
    """A tensor under construction; several share `storage` when one is a reshaped view of another."""

    spec: TensorSpec
    storage: int
    place: str = "arena"
    what: Any = None


@dataclass
class _Instruction:
    kind: str
    label: str
    kernel: Any = None
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    scratch: int = 0
    target: int = 0


def lower(
    graph: Graph,
    specs: Mapping[str, TensorSpec],
    target: Target,
    packs: PackCache,
    threads: int = 1,
    bound: Mapping[str, np.ndarray] | None = None,
) -> Plan | None:
    """The plan of a specialised graph, or None when some shape depends on data.

    Parameters
    ----------
    graph, specs
        What `rnnrt.passes.specialise` returned for concrete input shapes.
    target, packs
    threads : int
        How many threads a run may use.
    bound : mapping of str to ndarray, optional
        Inputs that every run reads from these arrays, whatever they hold then, and outputs that it writes to these:
        C-contiguous, of the value's type. A run neither takes nor returns them.
    """
    for node in graph.nodes:
        if any(name and not specs[name].is_static for name in node.outputs):
            return None
    return _Lowering(specs, target, packs, threads, bound or {}).run(graph)


@dataclass
class _Lowering:
    specs: Mapping[str, TensorSpec]
    target: Target
    packs: PackCache
    threads: int
    bound: Mapping[str, np.ndarray]
    tensors: list[_Tensor] = field(default_factory=list)
    code: list[_Instruction] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    hosted: list[str] = field(default_factory=list)

    @property
    def vector_bytes(self) -> int:
        return self.target.vector_bytes

    def packed(self, array: np.ndarray, layout: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        return self.packs.get(array, f"{self.target.isa}:{layout}", make)

    def share_recurrence(self, **sizes: int) -> tuple[int, int, int]:
        return choose_split(RecurrentWork(vector_bytes=self.vector_bytes, **sizes), self.threads)

    def run(self, graph: Graph) -> Plan:
        inputs, outputs = ([v for v in values if v.name not in self.bound] for values in (graph.inputs, graph.outputs))
        for value in graph.inputs:
            place_ = ("const", self.bound[value.name]) if value.name in self.bound else ("input", inputs.index(value))
            self.ids[value.name] = self._new(self.specs[value.name], *place_)
        for name, array in graph.constants.items():
            self.ids[name] = self._const(array)
        for node in graph.nodes:
            self._node(node)
        for value in graph.outputs:
            if value.name in self.bound:
                self._output("const", self.bound[value.name], value.name)
        for position, value in enumerate(outputs):
            self._output("output", position, value.name)
        return self._finish(*([self.specs[v.name] for v in values] for values in (inputs, outputs)))

    def _new(self, spec: TensorSpec, place_: str = "arena", what: Any = None) -> int:
        self.tensors.append(_Tensor(spec, len(self.tensors), place_, what))
        return len(self.tensors) - 1

    def _const(self, array: np.ndarray) -> int:
        return self._new(TensorSpec(array.dtype, array.shape, array), "const", np.asarray(array, order="C"))

    def _view(self, source: int, spec: TensorSpec) -> int:
        """The memory of `source` under another shape."""
        root = self.tensors[source]
        if root.place == "const":
            return self._const(root.what.reshape(spec.shape))
        self.tensors.append(_Tensor(spec, root.storage, root.place, root.what))
        return len(self.tensors) - 1

    def _node(self, node: Node) -> None:
        inputs = [self.ids[name] if name else -1 for name in node.inputs]
        in_specs = [self.specs[name] if name else None for name in node.inputs]
        out_specs = [self.specs[name] if name else TensorSpec(np.dtype("float32"), ()) for name in node.outputs]
        if node.op == "If" and self._branches(node, inputs[0]):
            return
        try:
            calls = get_operator(node.op).lower(node, in_specs, out_specs, self)
        except (RnnrtError, MemoryError):
            raise
        except Exception as error:  # what `infer` could not see, for it knew less
            raise ShapeError(f"{node.label()}: {error}; its inputs have the types {in_specs}") from error
        typed = all(_has_kernels(spec) for spec in (*in_specs, *out_specs) if spec is not None)
        if calls is not None and all(
            c.kernel == "alias" or (typed and program.has_kernel(self.target.isa, c.kernel)) for c in calls
        ):
            for name, spec in zip(node.outputs, out_specs, strict=True):
                if name and not any(call.kernel == "alias" for call in calls):
                    self.ids[name] = self._new(spec)
            for call in calls:
                self._call(node, call, inputs)
        else:
            self._host(node, out_specs)

    def _call(self, node: Node, call: KernelCall, inputs: list[int]) -> None:
        operands = tuple(
            -1 if item is None else self._const(item) if isinstance(item, np.ndarray) else inputs[item]
            for item in call.inputs
        )
        if call.kernel == "alias":
            name = node.outputs[0]
            self.ids[name] = self._view(operands[0], self.specs[name])
            return
        outputs = tuple(-1 if k is None or not node.outputs[k] else self.ids[node.outputs[k]] for k in call.outputs)
        self.code.append(
            _Instruction("kernel", node.label(), call.kernel, operands, outputs, call.ints, call.floats, call.scratch)
        )

    def _host(self, node: Node, out_specs: list[TensorSpec]) -> None:
        """Run the operator's reference. A subgraph's captured values become operands, so that they stay alive."""
        captured: list[str] = []
        for value in node.attrs.values():
            if isinstance(value, Graph):
                captured += sorted(outer_names(value))
        captured = list(dict.fromkeys(captured))
        names = [*node.inputs, *captured]
        single = Graph((), (), (node,))
        wanted = node.outputs

        def call(arrays: list[np.ndarray | None]) -> list[Any]:
            env = {name: array for name, array in zip(names, arrays, strict=True) if name}
            results = _run_single(single, wanted, env)
            for spec, result in zip(out_specs, results, strict=True):
                if result is not None and np.shape(result) != spec.shape:
                    raise ShapeError(f"{node.label()}: gives shape {np.shape(result)}, planned was {spec.shape}")
            return results

        for name, spec in zip(node.outputs, out_specs, strict=True):
            if name:
                self.ids[name] = self._new(spec)
        self.hosted.append(node.label())
        self.code.append(
            _Instruction(
                "host",
                node.label(),
                call,
                tuple(self.ids[name] if name else -1 for name in names),
                tuple(self.ids[name] if name else -1 for name in node.outputs),
            )
        )

    def _branches(self, node: Node, condition: int) -> bool:
        """Plan both branches of an If behind a jump. False when a branch has shapes that depend on data."""
        plans = []
        for key in ("then_branch", "else_branch"):
            branch: Graph = node.attrs[key]
            inner, inner_specs = specialise(branch, self.specs)
            if len(inner.outputs) != len(node.outputs):
                return False
            for name, value in zip(node.outputs, inner.outputs, strict=True):
                if name and (inner_specs[value.name].shape != self.specs[name].shape):
                    return False
            if any(n and not inner_specs[n].is_static for item in inner.nodes for n in item.outputs):
                return False
            plans.append((inner, inner_specs))
        results = [self._new(self.specs[name]) if name else -1 for name in node.outputs]
        branch_at = len(self.code)
        self.code.append(_Instruction("branch", node.label(), inputs=(condition,)))
        ends: list[int] = []
        saved_ids, saved_specs = dict(self.ids), self.specs
        for inner, inner_specs in plans:
            self.specs = {**saved_specs, **inner_specs}
            for name, array in inner.constants.items():
                self.ids[name] = self._const(array)
            for item in inner.nodes:
                self._node(item)
            for result, value in zip(results, inner.outputs, strict=True):
                if result >= 0:
                    self._copy(self.ids[value.name], result, node.label())
            ends.append(len(self.code))
            self.code.append(_Instruction("jump", node.label()))
            self.ids = dict(saved_ids)
        self.specs = saved_specs
        self.code[branch_at].target = ends[0] + 1
        self.code[ends[0]].target = self.code[ends[1]].target = ends[1] + 1
        for name, result in zip(node.outputs, results, strict=True):
            if name:
                self.ids[name] = result
        return True

    def _copy(self, source: int, destination: int, label: str) -> None:
        if _has_kernels(self.tensors[source].spec):
            self.code.append(_Instruction("kernel", label, _IDENTITY, (source,), (destination,)))
        else:
            self.code.append(_Instruction("host", label, list, (source,), (destination,)))

    def _output(self, place_: str, what: Any, name: str) -> None:
        """Let a kernel write straight into the caller's array; copy what is an input, a constant or given twice."""
        tensor = self.tensors[self.ids[name]]
        if tensor.place == "arena":
            for other in self.tensors:
                if other.storage == tensor.storage:
                    other.place, other.what = place_, what
        else:
            self._copy(self.ids[name], self._new(tensor.spec, place_, what), f"output {name!r}")

    def _finish(self, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Plan:
        first: dict[object, int] = {}
        last: dict[object, int] = {}
        for at, step in enumerate(self.code):
            for tensor_id in (*step.inputs, *step.outputs):
                if tensor_id >= 0:
                    storage = self.tensors[tensor_id].storage
                    first.setdefault(storage, at)
                    last[storage] = at
        lifetimes = []
        for root in {t.storage for t in self.tensors if t.place == "arena"}:
            spec = self.tensors[root].spec
            nbytes = int(np.prod(spec.known_shape, dtype=np.int64)) * spec.dtype.itemsize
            lifetimes.append(Lifetime(root, nbytes, first.get(root, 0), last.get(root, 0)))
        for at, step in enumerate(self.code):
            if step.scratch:
                lifetimes.append(Lifetime(("scratch", at), step.scratch, at, at))
        offsets, arena_bytes = place(lifetimes)
        tensors = tuple((t.spec.dtype, t.spec.known_shape, t.place, _where(t, offsets)) for t in self.tensors)
        for row in tensors:
            if len(row[1]) > 8:
                raise RnnrtError(f"a tensor has {len(row[1])} axes; at most 8 are supported")
        instructions = tuple(
            (s.kind, s.kernel, s.inputs, s.outputs, s.ints, s.floats, offsets.get(("scratch", at), 0), s.target)
            for at, s in enumerate(self.code)
        )
        return Plan(
            self.target,
            tensors,
            instructions,
            arena_bytes,
            tuple((spec.dtype, spec.known_shape) for spec in inputs),
            tuple((spec.dtype, spec.known_shape) for spec in outputs),
            tuple(s.label for s in self.code),
            tuple(self.hosted),
        )


def _has_kernels(spec: TensorSpec) -> bool:
    """Whether kernels know the dtype; float16 they do not."""
    return spec.dtype.name in program.DTYPES


def _where(tensor: _Tensor, offsets: Mapping[object, int]) -> Any:
    if tensor.place == "arena":
        return offsets[tensor.storage]
    return tensor.what.reshape(tensor.spec.known_shape) if tensor.place == "const" else tensor.what


def _run_single(graph: Graph, wanted: tuple[str, ...], env: dict[str, Any]) -> list[Any]:
    """Evaluate a one-node graph whose values all come from `env`."""
    outputs = tuple(Value(name, np.dtype("float32")) for name in wanted if name)
    results = iter(evaluate(graph.replace(outputs=outputs), {}, outer=env))
    return [next(results) if name else None for name in wanted]
