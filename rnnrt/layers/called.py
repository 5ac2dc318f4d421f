"""Layers and models whose computation is a method `call` in Python: it is run once on symbolic tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.layers.base import GraphBuilder, Layer, Tensor, TensorShape
from rnnrt.layers.inputs import InputLayer
from rnnrt.layers.network import Call, InputSpec, Network, Ref
from rnnrt.layers.symbolic import KerasTensor, tensors_in, unrecorded, within
from rnnrt.layers.trace import network_between


def emit_call(layer: Layer, call: Callable[..., Any], b: GraphBuilder, args: tuple[Any, ...], kwargs: Any) -> Any:
    """The nodes of what `call` does with its arguments.

    Raises
    ------
    RnnrtError
        It gives something else than symbolic tensors, or makes layers with weights of its own.
    """
    tensors: list[Tensor] = []
    symbols: list[KerasTensor] = []

    def symbol(x: Tensor) -> KerasTensor:
        if not any(x is t for t in tensors):
            made = InputLayer(batch_shape=x.shape, dtype=x.dtype.name, name=f"argument_{len(tensors)}").tensor()
            made.mask_shape = None if x.mask is None else x.mask.shape
            tensors.append(x)
            symbols.append(made)
        return next(s for s, t in zip(symbols, tensors, strict=True) if x is t)

    given, named = _with_symbols(args, symbol), _with_symbols(kwargs, symbol)
    if "training" in inspect.signature(call).parameters:
        named["training"] = b.training
    with within(*b.scope), unrecorded():
        result = call(*given, **named)
    found = tensors_in(result)
    if not found:
        raise RnnrtError(f"{layer.label()}: its call gives {type(result).__name__}, not what layers give")
    network = network_between(symbols, found, layer.name)
    own = {id(part) for part in layer.walk()}
    strangers = [part.name for part in network.walk() if part.weights and id(part) not in own and part is not network]
    if strangers:
        raise RnnrtError(
            f"{layer.label()}: its call uses layers {strangers} that are not among its attributes; "
            "make them in __init__, so that they keep their weights"
        )
    outputs = network.emit(b, tensors)
    several = isinstance(result, (list, tuple, Mapping))
    return [outputs] if several and not isinstance(outputs, list) else outputs


def _with_symbols(value: Any, put: Callable[[Tensor], KerasTensor]) -> Any:
    if isinstance(value, Tensor):
        return put(value)
    if isinstance(value, tuple):
        return tuple(_with_symbols(v, put) for v in value)
    if isinstance(value, list):
        return [_with_symbols(v, put) for v in value]
    if isinstance(value, Mapping):
        return {k: _with_symbols(v, put) for k, v in value.items()}
    return value


def layers_among(values: Mapping[str, Any]) -> list[Layer]:
    """The layers, and the networks of models, among attributes; each once, lists and dicts looked into."""
    found: dict[int, Layer] = {}

    def look(value: Any) -> None:
        value = getattr(value, "network", value)
        if isinstance(value, Layer):
            found.setdefault(id(value), value)
        elif isinstance(value, (list, tuple)):
            for v in value:
                look(v)
        elif isinstance(value, Mapping):
            for v in value.values():
                look(v)

    for value in values.values():
        look(value)
    return list(found.values())


class Called(Network):
    """The network of a model of a class of its own: its layers are its attributes, and `call` says what they do.

    Parameters
    ----------
    owner : object
        The model.
    hidden : set of str
        Attributes that are not its layers.
    """

    def __init__(self, owner: Any, hidden: frozenset[str], **options: Any) -> None:
        self._owner, self._hidden = owner, hidden
        self._keys: list[str] | None = None
        self._is_list = False
        super().__init__((), (), (), (), **options)

    @property
    def layers(self) -> list[Layer]:  # type: ignore[override]
        """The model's layers, in the order of its attributes."""
        return layers_among({k: v for k, v in vars(self._owner).items() if k not in self._hidden})

    @layers.setter
    def layers(self, value: Sequence[Layer]) -> None:
        pass

    @property
    def calls(self) -> tuple[Call, ...]:
        raise self.unsupported("is a class of its own, whose code no file holds", "save the model as .rnnrt or .onnx")

    @property
    def outputs(self) -> tuple[Ref, ...]:
        return (Ref(self.name),)

    @property
    def built(self) -> bool:
        return bool(self.inputs) and bool(self.layers) and super().built

    def as_spec(self) -> dict[str, Any]:
        raise self.unsupported("is a class of its own, whose code no file holds", "save the model as .rnnrt or .onnx")

    def expect(self, shapes: Any, dtypes: Any = None) -> None:
        """Set the inputs from their shapes, the batch first: one, a list of them, or a dict."""
        self._keys = sorted(shapes) if isinstance(shapes, Mapping) else None
        self._is_list = self._keys is None and bool(shapes) and isinstance(shapes[0], (list, tuple))
        if self._keys is not None:
            rows, kinds = [shapes[k] for k in self._keys], [dtypes[k] for k in self._keys] if dtypes else None
        elif self._is_list:
            rows, kinds = list(shapes), dtypes
        else:
            rows, kinds = [shapes], [dtypes] if dtypes is not None else None
        names = self._keys or (["input"] if len(rows) == 1 else [f"input_{k}" for k in range(len(rows))])
        self.symbols = None
        self.inputs = tuple(
            InputSpec(name, (None, *shape[1:]), np.dtype(kinds[k] if kinds else np.float32))
            for k, (name, shape) in enumerate(zip(names, rows, strict=True))
        )

    def build(self, input_shape: Any = None) -> None:
        if input_shape is not None:
            self.expect(input_shape)
        self.create()

    def create(self) -> None:
        if self.symbols is None:
            self._needs_inputs()
            tensors = [InputLayer(batch_shape=s.shape, dtype=s.dtype.name, name=s.name).tensor() for s in self.inputs]
            with within(self.name):
                self.symbols = (tensors, tensors_in(self._owner.call(self._arranged(tensors))))

    def _needs_inputs(self) -> None:
        if not self.inputs:
            what, do = "does not know the shapes of its inputs", "call it on arrays, or build(input_shape)"
            raise self.unsupported(what, do)

    def _arranged(self, values: Sequence[Any]) -> Any:
        if self._keys is not None:
            return dict(zip(self._keys, values, strict=True))
        return list(values) if self._is_list else values[0]

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        several = isinstance(inputs, (list, tuple)) and self.inputs and not b.scope
        return emit_call(self, self._owner.call, b, (self._arranged(inputs) if several else inputs, *args), kwargs)


def shapes_of(value: Any) -> tuple[Any, Any]:
    """The shapes and dtypes of arrays, arranged as these are."""
    if isinstance(value, Mapping):
        pairs = {k: shapes_of(v) for k, v in value.items()}
        return {k: p[0] for k, p in pairs.items()}, {k: p[1] for k, p in pairs.items()}
    if isinstance(value, (list, tuple)):
        found = [shapes_of(v) for v in value]
        return [p[0] for p in found], [p[1] for p in found]
    array = np.asarray(value)
    kinds = (np.int32, np.int64, np.bool_)
    shape: TensorShape = array.shape
    return shape, array.dtype if array.dtype in kinds else np.dtype(np.float32)
