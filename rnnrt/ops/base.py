"""What an operator is: attributes, a shape rule, a reference, and the kernel that runs it.

To add an operator is to write one `Operator` subclass with `@register` in the family's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Node, Shape


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What planning knows of a tensor: dtype, shape (None: unknown rank), and its value when constant."""

    dtype: np.dtype
    shape: Shape | None
    value: np.ndarray | None = None

    @property
    def is_static(self) -> bool:
        """Whether every extent is a known integer."""
        return self.shape is not None and all(isinstance(d, int) for d in self.shape)

    @property
    def known_shape(self) -> tuple[int, ...]:
        """The extents of a static shape."""
        assert self.shape is not None
        return tuple(d for d in self.shape if isinstance(d, int))


class LowerContext(Protocol):
    """What `Operator.lower` may ask of the planner."""

    @property
    def vector_bytes(self) -> int:
        """Width of a vector register of the chosen instruction set: 64, 32 or 16."""
        ...

    def packed(self, array: np.ndarray, layout: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The packed form of a constant, made once per model and layout and shared by all plans."""
        ...

    def share_recurrence(self, **sizes: int) -> tuple[int, int, int]:
        """How many threads a recurrent call of these sizes gets, how they share it, and whether it is short.

        See `rnnrt.plan.select`.
        """
        ...


class GradientContext(Protocol):
    """What `Operator.gradient` may ask of the backward pass that is being built.

    Values are named as in the graph; every one has a static shape.
    """

    def spec(self, name: str) -> TensorSpec:
        """The type of a value, of the forward or of the backward pass."""
        ...

    def wanted(self, name: str) -> bool:
        """Whether the gradient of this value is needed; False for the empty name."""
        ...

    def op(self, op: str, inputs: Sequence[str], **attrs: Any) -> str:
        """Add a node of one output to the backward pass; the name of the output."""
        ...

    def node(self, op: str, inputs: Sequence[str], wanted: Sequence[bool], **attrs: Any) -> list[str]:
        """Add a node with an output for each entry of `wanted`; names, empty where not wanted."""
        ...

    def constant(self, array: Any) -> str:
        """The name of a constant."""
        ...


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One instruction: a kernel of `rnnrt._kernels` and its operands.

    `inputs` holds positions in the node's inputs, constant arrays, or None for absent operands; `outputs` holds
    positions in the node's outputs, or None. `ints` and `floats` are the kernel's parameters, and `scratch` the
    bytes it needs while it runs. The kernel "alias" makes output 0 share the memory of its input.
    """

    kernel: str
    inputs: tuple[int | np.ndarray | None, ...]
    outputs: tuple[int | None, ...] = (0,)
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    scratch: int = 0


class Operator:
    """One operator of the IR.

    Class attributes
    ----------------
    name : the ONNX name.
    internal : whether the operator is rnnrt's own, so that no ONNX file can hold it.
    has_workspace : whether the gradient reads what the run before it left in one further output, `workspace`.
    attributes : default by attribute name; `REQUIRED` where there is none. Any other attribute is refused.
    min_inputs, max_inputs : how many inputs the node may have (`max_inputs` None: variadic).
    """

    name: ClassVar[str]
    attributes: ClassVar[Mapping[str, Any]] = {}
    min_inputs: ClassVar[int] = 1
    max_inputs: ClassVar[int | None] = 1
    has_workspace: ClassVar[bool] = False
    internal: ClassVar[bool] = False

    @classmethod
    def attr(cls, node: Node, key: str) -> Any:
        """The attribute of `node`, or its default."""
        return node.attrs.get(key, cls.attributes[key])

    @classmethod
    def without_defaults(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> Node:
        """The node without those optional inputs whose constants say what their absence says."""
        return node

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        """Types of all outputs. Dims may be int, str or None; the result is exact when the inputs are static.

        Raises `ShapeError` when the shapes cannot fit together.
        """
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """The operator in plain numpy, in the dtype of its inputs: the oracle (on float64) and the fallback."""
        raise NotImplementedError(cls.name)  # abstract

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        """Kernel calls for static shapes, or None: then the numpy reference runs inside the plan."""
        return None

    @classmethod
    def result_count(cls) -> int:
        """How many outputs a node has before its workspace."""
        return 1

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        """The backward rule: adds nodes that turn gradients of the outputs into gradients of the inputs.

        Parameters
        ----------
        node : Node
        grads : sequence of str
            For each output of the node the name of its gradient, of the output's type; empty where nothing depends on
            that output. At least one is not empty.
        b : GradientContext

        Returns
        -------
        sequence of str
            For each input of the node the name of its gradient, of the input's type; empty where `b.wanted` says no,
            and where it is zero everywhere. May be shorter than the inputs.

        Raises
        ------
        UnsupportedModelError
            The operator cannot be trained through.
        """
        raise UnsupportedModelError("graph", [f"{node.label()}: has no gradient, so nothing below it can be trained"])

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        """Floating point operations of one run, a multiply-add counted as two; 0 for moves."""
        return 0


class Flat(Operator):
    """Base of operators whose results do not move with their inputs: nothing flows back through them."""

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return []


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()
"""Default of an attribute that has none."""

_REGISTRY: dict[str, type[Operator]] = {}


def register(cls: type[Operator]) -> type[Operator]:
    """Class decorator: make the operator known under its name."""
    if cls.name in _REGISTRY:
        raise ValueError(f"operator {cls.name} is registered twice")
    _REGISTRY[cls.name] = cls
    return cls


def is_known(name: str) -> bool:
    """Whether there is an operator of that name."""
    return name in _REGISTRY


def is_readable(name: str) -> bool:
    """Whether there is an operator of that name that an ONNX file may hold."""
    return name in _REGISTRY and not _REGISTRY[name].internal


def operator_names(internal: bool = False) -> list[str]:
    """Names of the operators that ONNX files may hold, sorted; with `internal`, of all operators."""
    return sorted(name for name, cls in _REGISTRY.items() if internal or not cls.internal)


def get_operator(name: str) -> type[Operator]:
    """The operator class of that name."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnsupportedModelError("graph", [f"operator {name}: not known to rnnrt"]) from None
