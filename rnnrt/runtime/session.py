"""A graph ready to be called with arrays: plans cached by input shapes, executors lent to callers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt._kernels import program
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.ir import Graph, Value, outer_names
from rnnrt.ops import TensorSpec
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import specialise
from rnnrt.plan import PackCache, Plan, Target, lower
from rnnrt.runtime.threads import thread_count

MAX_PLANS = 64
"""Plans kept; the least recently used goes first. Packed weights are shared and stay."""

MAX_VALUE_PLANS = 8
"""Distinct values of a deciding input (a sampling rate, say) that get plans of their own."""


@dataclass
class _Bound:
    """What one combination of input shapes runs: a plan with idle executors, or the folded graph itself."""

    graph: Graph
    plan: Plan | None
    idle: list[program.Executor] = field(default_factory=list)


class Session:
    """Runs a graph. Safe to call from many threads at once.

    Parameters
    ----------
    graph : Graph
        In the IR's canonical form.
    target : Target, optional
        The instruction set; by default the widest of this processor, or what RNNRT_ISA says.
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.
    packs : PackCache, optional
        Packed weights to share with other sessions of graphs that hold the same arrays.
    """

    def __init__(
        self,
        graph: Graph,
        target: Target | None = None,
        threads: int | None = None,
        packs: PackCache | None = None,
    ) -> None:
        self.target = target or Target.detect()
        self.threads = thread_count(threads)
        self.graph, self.specs = specialise(graph, {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs})
        self.packs = PackCache() if packs is None else packs
        self._bound: OrderedDict[tuple[Any, ...], _Bound] = OrderedDict()
        self._lock = threading.Lock()
        self._deciding = _deciding_inputs(self.graph)
        self._decided: set[tuple[Any, ...]] = set()
        self._recent: _Bound | None = None

    def run(self, inputs: list[Any]) -> list[np.ndarray]:
        """Run once.

        Parameters
        ----------
        inputs : list of array_like
            One for each graph input, in order.

        Returns
        -------
        list of ndarray
            One for each graph output, in order.

        Raises
        ------
        ShapeError
            An input has a dtype, rank or extent that the model does not take.
        RnnrtError
            The memory does not suffice, or a kernel met a value outside its domain, such as an index out of range.
        """
        recent = self._recent
        try:
            if recent is not None and (results := self._execute(recent, inputs)) is not None:
                return results
            return self._run_anew(inputs)
        except MemoryError as error:
            shapes = {value.name: np.shape(x) for value, x in zip(self.graph.inputs, inputs, strict=True)}
            raise RnnrtError(f"inputs of shapes {shapes} need more memory than there is ({error})") from None

    def _run_anew(self, inputs: list[Any]) -> list[np.ndarray]:
        """Check the inputs and find the plan for their shapes, then run it."""
        arrays = [checked_input(value, array) for value, array in zip(self.graph.inputs, inputs, strict=True)]
        bound = self._lookup(arrays)
        if bound.plan is None:
            feeds = {value.name: array for value, array in zip(bound.graph.inputs, arrays, strict=True)}
            with np.errstate(all="ignore"):
                return [np.asarray(y) for y in evaluate(bound.graph, feeds)]
        if not self._deciding:
            self._recent = bound  # the next call is likely to bring the same shapes, and then needs no look-up
        results = self._execute(bound, arrays)
        assert results is not None, "the plan was made for these arrays"
        return results

    def _execute(self, bound: _Bound, arrays: list[Any]) -> list[np.ndarray] | None:
        """Run the plan on one of its executors; None when the arrays are not exactly what it was made for."""
        try:
            executor = bound.idle.pop()
        except IndexError:
            assert bound.plan is not None
            executor = bound.plan.executor()
            executor.threads = self.threads
        try:
            return executor.run(arrays)
        except program.KernelError as error:
            assert bound.plan is not None
            raise RnnrtError(f"{bound.plan.node_labels[error.instruction]}: {error}") from None
        except MemoryError as error:
            assert bound.plan is not None
            raise bound.plan.too_large(error) from None
        finally:
            bound.idle.append(executor)

    def profile(self, inputs: list[Any], runs: int) -> list[tuple[str, str, float]]:
        """Node, kernel and mean seconds of each instruction of the plan, in order.

        Raises
        ------
        ShapeError
            As `run` does.
        RnnrtError
            Shapes depend on data, so that there is no plan.
        """
        arrays = [checked_input(value, array) for value, array in zip(self.graph.inputs, inputs, strict=True)]
        plan = self._lookup(arrays).plan
        if plan is None:
            raise RnnrtError("shapes depend on data, so there is no plan whose instructions could be timed")
        return BoundPlan(plan, self.threads).profile(arrays, runs)

    def specialised(self, given: Mapping[str, Any]) -> tuple[Graph, dict[str, TensorSpec]]:
        """The graph folded for these input shapes, and its types.

        Parameters
        ----------
        given : mapping of str to tuple of int or ndarray
            Every input's shape, or an array of that shape; the value of one that decides a branch is taken as known.
        """
        specs = {}
        for i, value in enumerate(self.graph.inputs):
            x = given[value.name]
            known = np.asarray(x, value.dtype) if isinstance(x, np.ndarray) and i in self._deciding else None
            specs[value.name] = TensorSpec(value.dtype, x.shape if isinstance(x, np.ndarray) else tuple(x), known)
        return specialise(self.graph, specs)

    def plan_for(self, given: Mapping[str, Any]) -> tuple[Graph, Plan | None]:
        """The folded graph and the plan for what `specialised` takes (plan None: shapes depend on data)."""
        graph, specs = self.specialised(given)
        return graph, lower(graph, specs, self.target, self.packs, self.threads)

    def executor_for(self, shapes: Mapping[str, tuple[int, ...]]) -> program.Executor | None:
        """An executor of the caller's own for these input shapes; None when shapes depend on data."""
        _, plan = self.plan_for(shapes)
        if plan is None:
            return None
        executor = plan.executor()
        executor.threads = self.threads
        return executor

    def _lookup(self, arrays: list[np.ndarray]) -> _Bound:
        key: tuple[Any, ...] = tuple(a.shape for a in arrays)
        values = tuple(arrays[i].tobytes() for i in self._deciding)
        if values and (values in self._decided or len(self._decided) < MAX_VALUE_PLANS):
            self._decided.add(values)
            key = (key, values)
        else:
            values = ()
        with self._lock:
            bound = self._bound.get(key)
            if bound is not None:
                self._bound.move_to_end(key)
                return bound
        bound = self._bind(arrays, fix_deciding=bool(values))
        with self._lock:
            self._bound[key] = bound
            while len(self._bound) > MAX_PLANS:
                self._bound.popitem(last=False)
        return bound

    def _bind(self, arrays: list[np.ndarray], fix_deciding: bool) -> _Bound:
        specs = {}
        for i, (value, array) in enumerate(zip(self.graph.inputs, arrays, strict=True)):
            known = array.copy() if fix_deciding and i in self._deciding else None
            specs[value.name] = TensorSpec(array.dtype, array.shape, known)
        graph, all_specs = specialise(self.graph, specs)
        return _Bound(graph, lower(graph, all_specs, self.target, self.packs, self.threads))


class BoundPlan:
    """A plan with memory of its own, for one caller at a time.

    Parameters
    ----------
    plan : Plan
    threads : int
        How many threads a run may use.
    """

    def __init__(self, plan: Plan, threads: int) -> None:
        self.plan = plan
        self._executor = plan.executor()
        self._executor.threads = threads

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Run once on arrays of exactly the dtypes and shapes the plan was made for.

        Raises
        ------
        RnnrtError
            A kernel met a value outside its domain, such as an index out of range.
        """
        try:
            results = self._executor.run(arrays)
        except program.KernelError as error:
            raise RnnrtError(f"{self.plan.node_labels[error.instruction]}: {error}") from None
        assert results is not None, "the plan was made for these arrays"
        return results

    def profile(self, arrays: list[np.ndarray], runs: int) -> list[tuple[str, str, float]]:
        """Node, kernel ("numpy" for a fallback) and mean seconds of each instruction, in order."""
        seconds = self._executor.profile(arrays, runs)
        assert seconds is not None, "the plan was made for these arrays"
        kernels = ["numpy" if kind == "host" else kernel or kind for kind, kernel, *_ in self.plan.instructions]
        return list(zip(self.plan.node_labels, kernels, seconds, strict=True))


def checked_input(value: Value, given: Any) -> np.ndarray:
    """`given` as a contiguous array of the declared dtype, its shape checked against the declared one.

    Raises
    ------
    ShapeError
        The shape is another, or the dtype would lose what the array holds.
    """
    array = np.asarray(given)
    if array.dtype != value.dtype:
        if not np.can_cast(array.dtype, value.dtype, "same_kind") and not (
            array.dtype.kind in "iub" and value.dtype.kind == "f"
        ):
            raise ShapeError(f"input {value.name!r} takes {value.dtype}, got {array.dtype}; convert it with .astype()")
        array = array.astype(value.dtype)
    if value.shape is not None and (
        array.ndim != len(value.shape)
        or any(isinstance(want, int) and want != got for want, got in zip(value.shape, array.shape, strict=True))
    ):
        want = tuple(d if isinstance(d, int) else None for d in value.shape)
        raise ShapeError(
            f"input {value.name!r} takes shape {want} (None: any), got {array.shape}; the model fixes the other extents"
        )
    return np.require(array, requirements=["C", "A"])


def _deciding_inputs(graph: Graph) -> tuple[int, ...]:
    """Positions of small integer inputs that reach the condition of an If: worth a plan for each value."""
    reach = {v.name: {v.name} for v in graph.inputs if v.dtype.kind in "iub" and v.shape in ((), (1,))}
    deciding: set[str] = set()

    def walk(g: Graph) -> None:
        for node in g.nodes:
            sources: set[str] = set().union(*(reach.get(name, set()) for name in node.inputs))
            for body in node.attrs.values():
                if isinstance(body, Graph):
                    sources = sources.union(*(reach.get(name, set()) for name in outer_names(body)))
            if node.op == "If":
                deciding.update(reach.get(node.inputs[0], set()))
            for name in node.outputs:
                if sources:
                    reach[name] = sources
            for body in node.attrs.values():
                if isinstance(body, Graph):
                    walk(body)

    walk(graph)
    return tuple(i for i, v in enumerate(graph.inputs) if v.name in deciding)
