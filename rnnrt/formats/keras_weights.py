"""Weights of Keras files into layers: by class and number (.keras), or by layer name and weight_names (.h5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.formats.hdf5 import H5Reader
from rnnrt.layers import InputLayer, Layer, Network, PReLU
from rnnrt.layers.base import snake_case
from rnnrt.layers.operations import Operation

_CONTAINERS = {"layers": ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")}


Put = Callable[[Layer, str, np.ndarray], None]
"""What becomes of an array: the layer, the name of its weight, and the array."""


def _put(layer: Layer, name: str, array: np.ndarray) -> None:
    layer.put_array(name, array)


def load_groups(network: Network, reader: H5Reader, put: Put = _put) -> None:
    """Fill a network from the store of a .keras file.

    Each layer's arrays lie in `<path>/vars/0`, `1`, ...; layers in a list are named after their class in snake case,
    with _1, _2, ... in the order of the list.

    Raises
    ------
    ModelFormatError
        Arrays are missing, or are not what the configuration needs.
    """
    groups = reader.groups(reader.file)
    if not any(path.split("/")[0] in _CONTAINERS["layers"] for path in groups) and _needs(network):
        raise ModelFormatError(f"{reader.label}: holds no layers; its weights are missing")
    _fill(network, "", groups, reader, put)
    _forget(network)


def _fill(layer: Layer, path: str, groups: dict[str, Any], reader: H5Reader, put: Put) -> None:
    if layer.stands_for:
        layer.stands_for = ""
        _fill_custom(layer, path, groups, reader, put)
        return
    stored = layer.stored()
    if stored:
        own = groups.get(f"{path}/vars" if path else "vars")
        keys = sorted((k for k in own if k.isdigit()), key=int) if own is not None else []
        if len(keys) != len(stored):
            names = [name for _, name in stored]
            raise ModelFormatError(
                f"{reader.label}: {layer.label()} has {len(keys)} arrays at {path!r}, it needs {names}; "
                "a layer quantised or changed by LoRA must be merged before saving"
            )
        for (part, name), key in zip(stored, keys, strict=True):
            put(part, name, reader.array(reader.child(own, key), f"{path}/vars/{key}"))
    for attribute, child in layer.sublayers().items():
        if isinstance(child, list):
            _fill_list(child, path, attribute, groups, reader, put)
        elif isinstance(child, PReLU) and not len(groups.get(f"{path}/{attribute}/vars", ())):
            child.leave_out(layer)
        elif _needs(child):
            _fill(child, f"{path}/{attribute}" if path else attribute, groups, reader, put)


def _fill_custom(layer: Layer, path: str, groups: dict[str, Any], reader: H5Reader, put: Put) -> None:
    """Weights of a layer that the user gave, by its structure, or in order where the file has no layers inside."""
    found: list[tuple[Layer, str, np.ndarray]] = []
    holders = [g for g in groups if g.startswith(f"{path}/") and g.endswith("/vars") and len(groups[g])]
    try:
        _fill(layer, path, groups, reader, lambda *item: found.append(item))
    except ModelFormatError:
        found = []
    if len(found) != sum(len(groups[g]) for g in holders):
        slots = [slot for part in layer.walk() for slot in part.stored()]
        if holders != [f"{path}/vars"]:
            places = sorted(g[len(path) + 1 :] for g in holders)
            raise ModelFormatError(
                f"{reader.label}: {layer.label()} has arrays in {places}; let custom_objects give a layer whose "
                "attributes have these names"
            )
        own = groups[holders[0]]
        keys = sorted((k for k in own if k.isdigit()), key=int)
        arrays = [reader.array(reader.child(own, key), f"{holders[0]}/{key}") for key in keys]
        if len(arrays) != len(slots):
            have, need = [a.shape for a in arrays], [f"{part.name}/{name}" for part, name in slots]
            raise ModelFormatError(f"{reader.label}: {layer.label()} has arrays of shapes {have}, what custom_objects "
                                   f"gives for it needs {need}")  # fmt: skip
        found = [(part, name, array) for (part, name), array in zip(slots, arrays, strict=True)]
    for item in found:
        put(*item)


def _fill_list(
    layers: list[Layer], path: str, attribute: str, groups: dict[str, Any], reader: H5Reader, put: Put
) -> None:
    wishes = _CONTAINERS.get(attribute, (attribute,))
    bases = [f"{path}/{w}" if path else w for w in wishes]
    base = next((b for b in bases if any(g == b or g.startswith(b + "/") for g in groups)), bases[0])
    children = {g[len(base) + 1 :].split("/")[0] for g in groups if g.startswith(base + "/")}
    for kind, members in by_class(layers).items():
        heavy = [(n, m) for n, m in members.items() if _needs(m)]
        if any(n not in children for n, _ in heavy):
            # Keras 2.12 counted layers with weights twice, which leaves gaps.
            present = sorted((c for c in children if _number(c, kind) is not None), key=lambda c: _number(c, kind) or 0)
            present = [c for c in present if any(g.startswith(f"{base}/{c}/") for g in groups)]
            heavy = [(n, m) for n, (_, m) in zip(present, heavy, strict=False)] + heavy[len(present) :]
        for name, layer in heavy:
            _fill(layer, f"{base}/{name}", groups, reader, put)


def by_class(layers: list[Layer], renamed: Mapping[str, str] | None = None) -> dict[str, dict[str, Layer]]:
    """The layers of a list by the names of their groups, for each class in snake case: lstm, lstm_1, lstm_2."""
    found: dict[str, dict[str, Layer]] = {}
    for layer in layers:
        if not isinstance(layer, Operation):
            name = keras_class(layer)
            kind = snake_case((renamed or {}).get(name, name))
            members = found.setdefault(kind, {})
            members[f"{kind}_{len(members)}" if members else kind] = layer
    return found


def _number(name: str, kind: str) -> int | None:
    if name == kind:
        return 0
    tail = name[len(kind) + 1 :]
    return int(tail) if name.startswith(kind + "_") and tail.isdigit() else None


def keras_class(layer: Layer) -> str:
    """The name of the layer's class in Keras."""
    if layer.stands_for:
        return layer.stands_for
    if isinstance(layer, Network):
        return "Sequential" if layer.sequential else "Functional"
    return type(layer).__name__


def _needs(layer: Layer) -> bool:
    return bool(layer.stands_for) or any(part.weight_names() or part.state_names() for part in layer.walk())


def _forget(network: Network) -> None:
    """What stood for custom layers is a layer like others once it has its weights."""
    for part in network.walk():
        part.stands_for = ""


Slot = tuple[Layer, str]


def ordered_slots(layer: Layer) -> list[Slot]:
    """A layer's weights in the order of weight_names: what trains first, then the rest."""
    return [*_trainable(layer), *_frozen(layer)]


def _children(layer: Layer) -> list[Layer]:
    return [c for child in layer.sublayers().values() for c in (child if isinstance(child, list) else [child])]


def _trainable(layer: Layer) -> list[Slot]:
    if not layer.trainable:
        return []
    own = [(layer, name) for name in layer.weight_names()]
    return own + [slot for child in _children(layer) for slot in _trainable(child)]


def _frozen(layer: Layer) -> list[Slot]:
    own = [(layer, name) for name in layer.state_names()]
    if layer.trainable:
        return own + [slot for child in _children(layer) for slot in _frozen(child)]
    own = [(layer, name) for name in layer.weight_names()] + own
    return own + [slot for child in _children(layer) for slot in ordered_slots(child)]


def load_named(network: Network, reader: H5Reader, put: Put = _put) -> None:
    """Fill a network from an .h5 file: a group for each layer by name, its arrays in the order of weight_names.

    Raises
    ------
    ModelFormatError
        Layers or arrays are missing, or there are more than the configuration needs.
    """
    root = reader.child(reader.file, "model_weights") or reader.file
    stored = reader.names(root, "layer_names")
    if stored is None:
        raise ModelFormatError(f"{reader.label}: has no layer_names; its weights are missing")
    with_weights = [layer for layer in network.layers if _needs(layer) and not isinstance(layer, InputLayer)]
    for layer in with_weights:
        group = reader.child(root, layer.name) if layer.name in stored else None
        if group is None:
            raise ModelFormatError(f"{reader.label}: has no weights for {layer.label()}; it has {stored[:20]}")
        with reader.guard(f"group {layer.name!r}"):
            arrays = _arrays_of(group, layer, reader) if len(group) else []  # an empty list of names is unreadable
        slots = ordered_slots(layer)
        inside = layer.sublayers().get("activation")
        if isinstance(inside, PReLU) and len(arrays) == len(slots) - 1:
            inside.leave_out(layer)
            slots = [slot for slot in slots if slot[0] is not inside]
        if len(arrays) != len(slots):
            needed = [f"{part.name}/{name}" for part, name in slots]
            raise ModelFormatError(
                f"{reader.label}: {layer.label()} has {len(arrays)} arrays, its configuration needs {needed}"
            )
        for (part, name), array in zip(slots, arrays, strict=True):
            put(part, name, array)
    _forget(network)


def _arrays_of(group: Any, layer: Layer, reader: H5Reader) -> list[np.ndarray]:
    arrays = []
    for name in reader.names(group, "weight_names") or []:
        dataset = reader.child(group, name)
        if dataset is None:
            raise ModelFormatError(f"{reader.label}: {layer.label()} names an array {name!r} that is missing")
        arrays.append(reader.array(dataset, f"array {name!r} of layer {layer.name!r}"))
    return arrays
