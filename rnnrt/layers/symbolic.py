"""Symbolic tensors as Keras has them: what calls of layers give before there is a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError
from rnnrt.layers.builder import GraphBuilder, Tensor, TensorShape

if TYPE_CHECKING:
    from rnnrt.layers.base import Layer

_outside: ContextVar[tuple[str, ...]] = ContextVar("outside", default=())
_kept: ContextVar[bool] = ContextVar("kept", default=True)
_numbers = count()

RUNNERS: list[Callable[..., Any]] = []
"""What runs a layer on arrays; `rnnrt.models` puts it here."""


class Record:
    """One call of a layer: its arguments with symbolic tensors in them, and the symbolic tensors that it gave."""

    def __init__(self, layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.layer, self.args, self.kwargs = layer, args, dict(kwargs)
        self.number = next(_numbers)
        self.outputs: list[KerasTensor] = []

    @property
    def inputs(self) -> list[KerasTensor]:
        """Every symbolic tensor among the arguments, in their order."""
        return tensors_in((self.args, self.kwargs))


class History:
    """A layer's calls with symbolic tensors."""

    def __init__(self) -> None:
        self.calls_recorded: list[Record] = []

    @property
    def input(self) -> Any:
        """The symbolic tensors that the layer's only call was given: one, or a list."""
        return self._common([record.inputs for record in self.calls_recorded])

    @property
    def output(self) -> Any:
        """The symbolic tensors that the layer's only call gave: one, or a list."""
        return self._common([record.outputs for record in self.calls_recorded])

    def _common(self, found: list[list[KerasTensor]]) -> Any:
        if len(found) != 1:
            raise RnnrtError(f"{self!r}: was called {len(found)} times with symbolic tensors; it must be once for this")
        return found[0][0] if len(found[0]) == 1 else found[0]


class KerasTensor:
    """What an input or a call of a layer will be when the network runs.

    Attributes
    ----------
    shape : tuple
        The batch first; None for free extents.
    dtype : str
    name : str
    record : Record
        The call that gives it.
    index : int
        Which of the call's outputs it is.
    mask_shape : tuple or None
        The shape of its mask, when it has one.
    """

    def __init__(
        self,
        shape: TensorShape,
        dtype: str,
        record: Record,
        index: int = 0,
        mask_shape: TensorShape | None = None,
        name: str | None = None,
    ) -> None:
        self.shape, self.dtype, self.record, self.index = tuple(shape), dtype, record, index
        self.mask_shape = mask_shape
        self.name = name or (record.layer.name if index == 0 else f"{record.layer.name}_{index}")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise RnnrtError(f"{self!r} is symbolic and has no values; give arrays to the model that it belongs to")

    def __bool__(self) -> bool:
        raise RnnrtError(f"{self!r} is symbolic, so that a program cannot branch on its values")

    def __iter__(self) -> Iterator[KerasTensor]:
        raise RnnrtError(f"{self!r} is symbolic and cannot be iterated over; index it")

    def __add__(self, other: Any) -> Any:
        return operate("Add", self, other)

    def __radd__(self, other: Any) -> Any:
        return operate("Add", other, self)

    def __sub__(self, other: Any) -> Any:
        return operate("Subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return operate("Subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return operate("Multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return operate("Multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return operate("TrueDivide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return operate("TrueDivide", other, self)

    def __pow__(self, other: Any) -> Any:
        return operate("Power", self, other)

    def __matmul__(self, other: Any) -> Any:
        return operate("Matmul", self, other)

    def __neg__(self) -> Any:
        return operate("Negative", self)

    def __getitem__(self, key: Any) -> Any:
        return operate("GetItem", self, key)


def operate(kind: str, *args: Any) -> Any:
    """The result of one of `keras.ops`' functions on symbolic tensors."""
    from rnnrt.layers.operations import Operation

    return Operation(kind, {})(*args)


def tensors_in(value: Any) -> list[KerasTensor]:
    """Every symbolic tensor in a nested structure."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in tensors_in(v)]
    return [value] if isinstance(value, KerasTensor) else []


def resolved(value: Any) -> Any:
    """A nested structure with symbolic tensors in the place of descriptions of a model's inputs and outputs."""
    if type(value) in (list, tuple):
        return type(value)(resolved(v) for v in value)
    if type(value) is dict:
        return {k: resolved(v) for k, v in value.items()}
    make = getattr(value, "make_symbol", None)
    return value if make is None else make()


def replaced(value: Any, put: Callable[[KerasTensor], Any]) -> Any:
    """A nested structure with something else in the place of each symbolic tensor."""
    if isinstance(value, KerasTensor):
        return put(value)
    if isinstance(value, tuple):
        return tuple(replaced(v, put) for v in value)
    if isinstance(value, list):
        return [replaced(v, put) for v in value]
    if isinstance(value, Mapping):
        return {k: replaced(v, put) for k, v in value.items()}
    return value


def call_layer(layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Record a call with symbolic tensors, or run one with arrays.

    Raises
    ------
    RnnrtError
        The arguments are neither; or arrays, and nothing that runs them has been imported.
    """
    args, kwargs = resolved(args), resolved(dict(kwargs))
    if tensors_in((args, kwargs)):
        return _record(layer, args, kwargs)
    if not args and not kwargs:
        raise ModelFormatError(f"{layer.label()}: is called without inputs; give it a tensor or an array")
    if not RUNNERS:
        raise RnnrtError(f"{layer.label()}: is called with arrays; import rnnrt.models, which runs them, or use Input")
    return RUNNERS[-1](layer, args, kwargs)


@contextmanager
def within(*names: str) -> Iterator[None]:
    """Weights that recorded calls make have these names before their own."""
    token = _outside.set(names)
    try:
        yield
    finally:
        _outside.reset(token)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Calls within do not count among the calls of their layers."""
    token = _kept.set(False)
    try:
        yield
    finally:
        _kept.reset(token)


def _record(layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    record = Record(layer, args, kwargs)
    b = GraphBuilder("shapes", variables=True, create=True)
    b.scope.extend(_outside.get())
    made: dict[int, Tensor] = {}

    def stand_in(x: KerasTensor) -> Tensor:
        if id(x) not in made:
            tensor = b.input(b.unique("input"), (None, *x.shape[1:]), np.dtype(x.dtype))
            if x.mask_shape is not None:
                tensor = tensor.with_mask(b.input(b.unique("mask"), x.mask_shape, np.dtype(bool)))
            made[id(x)] = tensor
        return made[id(x)]

    outputs = layer.apply(b, *replaced(args, stand_in), **replaced(kwargs, stand_in))
    found = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    batches = {x.shape[0] for x in record.inputs}
    batch = batches.pop() if len(batches) == 1 else None
    for k, y in enumerate(found):
        mask_shape = None if y.mask is None else y.mask.shape
        record.outputs.append(KerasTensor((batch, *y.shape[1:]), y.dtype.name, record, k, mask_shape))
    if _kept.get():
        layer.calls_recorded.append(record)
    return record.outputs if isinstance(outputs, (list, tuple)) else record.outputs[0]
