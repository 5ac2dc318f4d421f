"""Tensors of a torch state_dict into models that are built of rnnrt's layers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.formats import foreseen
from rnnrt.formats import torch_functions as functions
from rnnrt.formats import torch_layers as basic
from rnnrt.formats.state_dict import StateDict, read_state_dict
from rnnrt.formats.torch_recurrent import Direction, read_stack
from rnnrt.layers import (
    RNN,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Embedding,
    GRUCell,
    Layer,
    LayerNormalization,
    PReLU,
)
from rnnrt.layers.activations import canonical
from rnnrt.layers.variable import Variable

Found = list[tuple[Variable, np.ndarray]]

_READERS: dict[type[Layer], type[basic.Named]] = {
    BatchNormalization: basic.BatchNorm1d,
    Conv1D: basic.Conv1d,
    Dense: basic.Linear,
    Embedding: basic.Embedding,
    LayerNormalization: basic.LayerNorm,
    PReLU: functions.PReLU,
}


def load_state_dict(
    model: Any,
    path: str | os.PathLike[str],
    names: Mapping[str, Any] | None = None,
    *,
    prefix: str | None = None,
    ignore: Iterable[str] = (),
    shared: Mapping[str, str] | None = None,
    strict: bool = True,
) -> None:
    """Assign the tensors of a torch state_dict to a model of rnnrt's layers; nothing is changed when they do not fit.

    What is no tensor is the caller's: an epsilon of torch's is 1e-5 by default, of Keras's 1e-3; torch's RNN has tanh
    unless told; its convolutions pad unlike Keras's "same" where there are strides.

    Parameters
    ----------
    model : Model
        Built: it knows the shape of its input.
    path : path-like
        A .safetensors file, or a state_dict written as JSON.
    names : mapping of str to layer, name of a layer, or list of these; optional
        What stands before the tensors of each module, and the layer for it; a list for the layers of a stack
        (`num_layers`), from the bottom up. By default every layer with weights has its own name.
    prefix : str, optional
        What stands before all names, such as "model."; by default it is found where all tensors have it.
    ignore : iterable of str
        Patterns, as of file names, of tensors that the model does not need.
    shared : mapping of str to str, optional
        Names that are not in the file, and the tensors that stand for them, as where two modules share a weight.
        Names that safetensors.torch.save_model left out are known.
    strict : bool
        False lets tensors and layers be left over.

    Raises
    ------
    ModelFormatError
        The file is missing or damaged, or its tensors are not those of the layers: everything that differs is named.
    RnnrtError
        The model is not built, or `names` names what it does not have.
    """
    if not model.built or model.network is None:
        raise RnnrtError(f"model {model.name!r}: has no layers with weights yet; call it, or build(input_shape)")
    with foreseen(path):
        state = read_state_dict(path, prefix, ignore, shared)
        wanted = _wanted(model, names)
        state.settle(wanted)
        found: Found = []
        for name, layers in wanted.items():
            found += _values(state, f"{name}." if name else "", layers)
        reached = {id(v) for v, _ in found}
        if strict and not state.problems and not state.missing:
            left = [v.path or v.name for v in model.weights if id(v) not in reached]
            if left:
                state.problems.append(f"the model's weights {left[:20]} get no tensor; name their layers in names")
        for variable, array in found:
            if variable.shape != array.shape:
                what = f"{variable.path or variable.name} has shape {variable.shape}"
                state.problems.append(f"{what}, its tensor gives {array.shape} in the same layout")
        state.finish(strict)
    for variable, array in found:
        variable.assign(array)


def _wanted(model: Any, names: Mapping[str, Any] | None) -> dict[str, list[Layer]]:
    if names is None:
        return {layer.name: [layer] for layer in model.network.layers if layer.weights}
    own = {layer.name: layer for layer in model.network.walk()}
    wanted: dict[str, list[Layer]] = {}
    for name, value in names.items():
        layers = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        wanted[name.removesuffix(".")] = [own.get(v, v) if isinstance(v, str) else v for v in layers]
        for layer in wanted[name.removesuffix(".")]:
            if not isinstance(layer, Layer) or not any(layer is part for part in own.values()):
                raise RnnrtError(f"names[{name!r}] is {layer!r}, no layer of model {model.name!r}; it has {list(own)}")
    return wanted


def _values(state: StateDict, prefix: str, layers: Sequence[Layer]) -> Found:
    """The variables of the layers for one module, and what becomes of them."""
    if all(isinstance(layer, (RNN, Bidirectional)) for layer in layers):
        return _recurrent(state, prefix, layers)
    layer = layers[0]
    reader = _READERS.get(type(layer))
    if len(layers) > 1 or reader is None:
        kinds = [type(part).__name__ for part in layers]
        state.problems.append(f"{prefix}: {kinds} cannot take the tensors of one module of torch")
        return []
    arrays = dict(reader(prefix.removesuffix(".")).read(state))
    if isinstance(layer, PReLU) and arrays:
        arrays = {"alpha": np.reshape(arrays["weight"], layer.own_variables["alpha"].shape)}
    if not arrays:
        return []
    return _paired(state, layer, arrays)


def _paired(state: StateDict, layer: Layer, arrays: Mapping[str, np.ndarray]) -> Found:
    own = layer.own_variables
    if set(own) != set(arrays):
        state.problems.append(f"{layer.label()} has {sorted(own)}, its tensors give {sorted(arrays)}")
        return []
    return [(own[name], array) for name, array in arrays.items()]


def _recurrent(state: StateDict, prefix: str, layers: Sequence[Any]) -> Found:
    ways = [_directions(layer) for layer in layers]
    ops = {cell.op for part in ways for way in part for cell in way.cells}
    if len(ops) != 1:
        state.problems.append(f"{prefix}: layers of {sorted(ops)} cannot take the tensors of one module of torch")
        return []
    stack = read_stack(state, prefix, ops.pop())
    if not stack:
        return []
    have, need = [len(s) for s in stack], [len(w) for w in ways]
    if have != need:
        state.problems.append(f"{prefix}: has layers of {have} directions, names gives it layers of {need}")
        return []
    found: Found = []
    for layer, part, directions in zip(layers, ways, stack, strict=True):
        for way, direction in zip(part, directions, strict=True):
            reason = _differs(layer, way, direction)
            if reason:
                state.problems.append(f"{layer.label()}: {reason}")
                continue
            arrays = {"kernel": direction.kernel, "recurrent_kernel": direction.recurrent}
            found += _paired(state, way.cell, arrays if direction.bias is None else arrays | {"bias": direction.bias})
    return found


def _directions(layer: Any) -> list[RNN]:
    return [layer.forward_layer, layer.backward_layer] if isinstance(layer, Bidirectional) else [layer]


def _differs(layer: Any, way: RNN, direction: Direction) -> str | None:
    """Why a layer does not compute what torch's does, None where it does."""
    cell = way.cells[0]
    if len(way.cells) > 1:
        return "holds several cells; use layers one after the other"
    if direction.projection is not None:
        return "its tensors have a projection (weight_hr); give the file to rnnrt.load with layers=[...]"
    if way.go_backwards != (isinstance(layer, Bidirectional) and way is layer.backward_layer):
        return "walks the other way than torch's"
    if isinstance(layer, Bidirectional) and layer.merge_mode != "concat":
        return f"merge_mode={layer.merge_mode!r}; torch has 'concat'"
    if isinstance(cell, GRUCell) and not cell.reset_after:
        return "reset_after=False; torch's GRU is that of reset_after=True"
    plain = ("tanh", "relu") if cell.op == "RNN" else ("tanh",)
    if canonical(cell.activation) not in plain:
        return f"activation={cell.activation!r}; torch has {' or '.join(plain)}"
    if canonical(getattr(cell, "recurrent_activation", "sigmoid")) != "sigmoid":
        return "recurrent_activation is not sigmoid, as torch has it"
    return None
