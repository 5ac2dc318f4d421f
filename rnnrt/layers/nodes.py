"""Nodes of a graph under construction, and the symbolic tensors between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate_node

Extent = int | None
TensorShape = tuple[Extent, ...]


@dataclass(frozen=True)
class Tensor:
    """A symbolic tensor: a value of the graph, its shape with the batch first (None: free), and its mask.

    `mask` names a bool value that tells which time steps count, batch first as Keras has it, or is None.
    """

    name: str
    shape: TensorShape
    dtype: np.dtype
    mask: Tensor | None = None

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def with_mask(self, mask: Tensor | None) -> Tensor:
        """The same value with another mask."""
        return replace(self, mask=mask)


def contiguous(array: Any) -> np.ndarray:
    """The array in C order, of the same rank."""
    return np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)


class NodeBuilder:
    """Collects nodes and constants, and hands out unique names. What depends on constants alone is computed at once.

    Parameters
    ----------
    name : str
        The graph's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.scope: list[str] = []
        self._nodes: list[Node] = []
        self._constants: dict[str, np.ndarray] = {}
        self._taken: set[str] = set()
        self._memo: dict[Any, Any] = {}

    @contextmanager
    def body(self, hint: str) -> Iterator[Body]:
        """What is added meanwhile goes into a graph within the graph, which reads values around it by their names."""
        outer, memo = self._nodes, dict(self._memo)
        self._nodes = []
        try:
            made = Body(self, hint)
            yield made
            made.nodes = tuple(self._nodes)
        finally:
            # Values made inside are not there outside.
            self._nodes, self._memo = outer, memo

    def unique(self, wish: str) -> str:
        """A name nobody has yet."""
        name, k = wish, 1
        while name in self._taken:
            name, k = f"{wish}_{k}", k + 1
        self._taken.add(name)
        return name

    def reserve(self, names: Sequence[str]) -> None:
        """Keep names for inputs and outputs, so that inner values do not take them."""
        self._taken.update(names)

    def where(self) -> str:
        """The layer being built, as messages name it."""
        return "/".join(self.scope) or self.name

    @contextmanager
    def nested(self, *names: str) -> Iterator[None]:
        """A scope within the scope: the layers inside a layer."""
        self.scope.extend(names)
        try:
            yield
        finally:
            del self.scope[len(self.scope) - len(names) :]

    def constant(self, array: np.ndarray, hint: str = "constant") -> str:
        """The name of a constant; small equal ones are shared."""
        array = contiguous(array)
        key = ("constant", array.dtype.str, array.shape, array.tobytes()) if array.size <= 8 else None
        if key is None or key not in self._memo:
            name = self.unique(f"{self.where()}/{hint}")
            self._constants[name] = array
            if key is None:
                return name
            self._memo[key] = name
        return str(self._memo[key])

    def node(self, op: str, inputs: Sequence[str], n_outputs: int = 1, **attrs: Any) -> list[str]:
        """Add a node; the names of its outputs."""
        if n_outputs == 1 and inputs and all(i in self._constants for i in inputs):
            return [self._folded(op, tuple(inputs), attrs)]
        name = self.unique(f"{self.where()}/{op}")
        outputs = [name] + [self.unique(f"{name}:{k}") for k in range(1, n_outputs)]
        self._nodes.append(Node(op, tuple(inputs), tuple(outputs), attrs, name))
        return outputs

    def _folded(self, op: str, inputs: tuple[str, ...], attrs: dict[str, Any]) -> str:
        memo = ("folded", op, inputs, tuple(sorted(attrs.items())))
        if memo not in self._memo:
            node = Node(op, inputs, ("y",), attrs, f"{self.where()}/{op}")
            with np.errstate(all="ignore"):
                (array,) = evaluate_node(node, [self._constants[i] for i in inputs], {})
            name = self.unique(f"{self.where()}/{op}")
            self._constants[name] = contiguous(array)
            self._memo[memo] = name
        return str(self._memo[memo])

    def op(
        self, op: str, inputs: Sequence[Tensor | str], shape: TensorShape, dtype: np.dtype | None = None, **attrs: Any
    ) -> Tensor:
        """Add a node of one output, of the given shape and the dtype of the first operand unless told."""
        names = [i.name if isinstance(i, Tensor) else i for i in inputs]
        if dtype is None:
            dtype = next(i.dtype for i in inputs if isinstance(i, Tensor))
        return Tensor(self.node(op, names, **attrs)[0], tuple(shape), dtype)

    def ints(self, *values: int) -> str:
        """A constant of int64, one axis."""
        return self.constant(np.array(values, np.int64), "ints")

    def scalar(self, value: float, dtype: np.dtype) -> str:
        """A constant without axes."""
        return self.constant(np.array(value, dtype), "scalar")

    def cast(self, x: Tensor, dtype: np.dtype) -> Tensor:
        """`x` in another dtype."""
        if x.dtype == dtype:
            return x
        return self.op("Cast", [x], x.shape, dtype, to=dtype_code(dtype)).with_mask(x.mask)

    def transpose(self, x: Tensor, perm: Sequence[int]) -> Tensor:
        """`x` with its axes permuted."""
        memo = ("transpose", x.name, tuple(perm))
        if memo not in self._memo:
            self._memo[memo] = self.op("Transpose", [x], tuple(x.shape[p] for p in perm), perm=tuple(perm))
        return self._memo[memo]

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        """`x` without an axis of extent one."""
        axis %= x.rank
        return self.op("Squeeze", [x, self.ints(axis)], x.shape[:axis] + x.shape[axis + 1 :])

    def unsqueeze(self, x: Tensor, axis: int) -> Tensor:
        """`x` with a new axis of extent one."""
        axis %= x.rank + 1
        return self.op("Unsqueeze", [x, self.ints(axis)], (*x.shape[:axis], 1, *x.shape[axis:]))

    def flip(self, x: Tensor, axis: int) -> Tensor:
        """`x` turned round along an axis."""
        inputs: list[Tensor | str] = [x, self.ints(-1), self.ints(-(2**62)), self.ints(axis), self.ints(-1)]
        return self.op("Slice", inputs, x.shape)

    def take(self, x: Tensor, index: int, axis: int) -> Tensor:
        """One entry of an axis, which disappears."""
        return self.op(
            "Gather",
            [x, self.constant(np.array(index, np.int64), "index")],
            x.shape[:axis] + x.shape[axis + 1 :],
            axis=axis,
        )

    def reduce(self, op: str, x: Tensor, axes: Sequence[int], keepdims: bool = False) -> Tensor:
        """A reduction ReduceX over axes."""
        axes = sorted(a % x.rank for a in axes)
        shape = tuple(1 if k in axes else d for k, d in enumerate(x.shape) if keepdims or k not in axes)
        return self.op(op, [x, self.ints(*axes)], shape, keepdims=int(keepdims))

    def extent(self, x: Tensor, axis: int) -> str:
        """The run-time extent of an axis: a value of int64, one axis of length one."""
        memo = ("extent", x.name, axis)
        if memo not in self._memo:
            shape = self.op("Shape", [x], (x.rank,), np.dtype(np.int64))
            self._memo[memo] = self.op("Gather", [shape, self.ints(axis)], (1,), axis=0).name
        return str(self._memo[memo])

    def dims_of(self, x: Tensor) -> list[int | str]:
        """All extents of `x`, as `reshape` and `random` take them."""
        return [d if d is not None else self.extent(x, k) for k, d in enumerate(x.shape)]

    def reshape(self, x: Tensor, dims: Sequence[int | str], shape: TensorShape) -> Tensor:
        """`x` in another shape.

        `dims` holds extents, at most one -1, and names of run-time extents made by `extent`.
        """
        if all(isinstance(d, int) for d in dims):
            target = self.ints(*(int(d) for d in dims))
        else:
            parts = [d if isinstance(d, str) else self.ints(d) for d in dims]
            target = self.node("Concat", parts, axis=0)[0]
        return self.op("Reshape", [x, target], shape)


class Body:
    """The graph inside a node such as Scan, under construction."""

    def __init__(self, b: NodeBuilder, hint: str) -> None:
        self.b, self.name = b, b.unique(f"{b.where()}/{hint}")
        self.nodes: tuple[Node, ...] = ()
        self._inputs: list[Value] = []
        self._outputs: list[Value] = []

    def input(self, shape: TensorShape, dtype: np.dtype) -> Tensor:
        """The next input."""
        self._inputs.append(Value(self.b.unique(f"{self.name}/input"), dtype, shape))
        return Tensor(self._inputs[-1].name, shape, dtype)

    def finish(self, outputs: Sequence[Tensor]) -> None:
        """Set the outputs, each under a name of its own."""
        for x in outputs:
            own = self.b.op("Identity", [x], x.shape)
            self._outputs.append(Value(own.name, x.dtype, x.shape))

    @property
    def graph(self) -> Graph:
        """The graph, once it is complete."""
        return Graph(tuple(self._inputs), tuple(self._outputs), self.nodes, {}, self.name, {})


_DTYPE_CODES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float64": 11}


def dtype_code(dtype: np.dtype) -> int:
    """ONNX's number of a dtype, as Cast's attribute `to` has it."""
    return _DTYPE_CODES[np.dtype(dtype).name]


def product(dims: TensorShape) -> int | None:
    """The number of elements, None when an extent is free."""
    return None if any(d is None for d in dims) else math.prod(d for d in dims if d is not None)
