"""A list of torch's layers and a state_dict into a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnrt.errors import RnnrtError
from rnnrt.formats import torch_functions, torch_recurrent
from rnnrt.formats import torch_layers as basic
from rnnrt.formats.state_dict import StateDict
from rnnrt.formats.torch_layers import Flow, TorchLayer, layer_from
from rnnrt.layers import Input, Network
from rnnrt.layers.trace import network_between

CLASSES: dict[str, type[TorchLayer]] = {
    name: cls
    for home in (basic, torch_functions, torch_recurrent)
    for name, cls in vars(home).items()
    if isinstance(cls, type)
    and issubclass(cls, TorchLayer)
    and cls.__module__ == home.__name__
    and name not in ("TorchLayer", "Named", "Plain", "Recurrent")
}
"""torch's name of a layer to the class."""


def layers_of(layers: Any) -> list[TorchLayer]:
    """The layers of a list; see `layer_from` for its forms.

    Raises
    ------
    RnnrtError
        It is no list, is empty, or holds what is no layer.
    """
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not layers:
        raise RnnrtError(f"layers: {str(layers)[:80]!r} is no list of layers; give [LSTM('rnn'), Linear('fc')], say")
    return [layer_from(value, CLASSES) for value in layers]  # type: ignore[arg-type]


def network_of(layers: Any, state: StateDict, input_shape: Sequence[int | None] | None = None) -> Network:
    """The network in which each layer gets what the one before gives; parameters and errors are those of `flow_of`."""
    flow = flow_of(layers, state, input_shape)
    return network_between(flow.inputs, [flow.x, *flow.outputs], "model")


def flow_of(layers: Any, state: StateDict, input_shape: Sequence[int | None] | None = None) -> Flow:
    """The layers called one after the other.

    Parameters
    ----------
    layers : sequence
        Of torch's layers or of their descriptions.
    state : StateDict
        All of its tensors are used, or ignored on purpose.
    input_shape : sequence of int or None, optional
        Without the first axis; by default what the first layer with tensors needs.

    Raises
    ------
    RnnrtError
        The list is malformed, or the shape of the input cannot be told.
    ModelFormatError
        Tensors are missing, left over, or of other shapes.
    UnsupportedModelError
        A layer has arguments that rnnrt cannot have exactly.
    """
    found = layers_of(layers)
    state.settle(getattr(layer, "name", "") for layer in found)
    read: dict[int, Any] = {}
    for layer in found:
        if id(layer) not in read:
            read[id(layer)] = layer.read(state)
    state.finish()
    made = [read[id(layer)] for layer in found]
    shape, is_integer = _first_shape(found, made, input_shape)
    x = Input(batch_shape=(None, *shape), dtype="int64" if is_integer else state.dtype, name="input")
    flow = Flow(x, state.dtype, [x])
    known: dict[int, Any] = {}
    taken: set[str] = {"input"}
    for k, (layer, content) in enumerate(zip(found, made, strict=True)):
        own_name = layer.layer_name(k)
        if own_name in taken and id(layer) not in known:
            own_name = f"{own_name}_{k}"
        taken.add(own_name)
        try:
            layer.build(content, flow, own_name, known)
        except RnnrtError:
            raise
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            raise RnnrtError(f"{layer.label()}: its arguments do not fit: {error}") from error
    return flow


def _first_shape(
    layers: Sequence[TorchLayer], made: Sequence[Any], given: Sequence[int | None] | None
) -> tuple[tuple[int | None, ...], bool]:
    """The shape of the input without its first axis, and whether it holds integers."""
    recurrent = any(isinstance(layer, torch_recurrent.Recurrent) for layer in layers)
    convolution = any(isinstance(layer, basic.Conv1d) for layer in layers)
    has_time = recurrent or (convolution and isinstance(layers[0], basic.BatchNorm1d))
    is_integer = layers[0].integer_input()
    if given is not None:
        if any(d is not None and (isinstance(d, bool) or not isinstance(d, int) or d < 1) for d in given):
            raise RnnrtError(f"input_shape={tuple(given)}: give positive extents, and None for free ones")
        return tuple(given), is_integer
    for layer, content in zip(layers, made, strict=True):
        shape = layer.input_shape(content, has_time) if layer.needs_arrays else None
        if shape is not None:
            return shape, is_integer
        if not layer.keeps_shape:
            break
    raise RnnrtError(
        f"layers: {layers[0].label()} does not tell the shape of the input; give input_shape=(None, 8), say: "
        "without the first axis, and None for free extents"
    )
