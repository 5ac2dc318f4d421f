"""Weights of Keras files into layers: by class and number (.keras), or by layer name and weight_names (.h5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.formats.hdf5 import H5Reader
from rnnrt.formats.keras_arrays import adapted
from rnnrt.layers import InputLayer, Layer, Network, PReLU
from rnnrt.layers.base import snake_case
from rnnrt.layers.operations import Operation

_CONTAINERS = {"layers": ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")}


Put = Callable[[Layer, str, np.ndarray], None]
"""What becomes of an array: the layer, the name of its weight, and the array."""


class Store(Protocol):
    """What `load_groups` reads: an `H5Reader`, or the same for .npz."""

    label: str
    file: Any

    def groups(self, group: Any) -> dict[str, Any]:
        """Every group below one, by its path."""

    def child(self, group: Any, path: str) -> Any:
        """What a group has under that name, or None."""

    def array(self, dataset: Any, what: str) -> np.ndarray:
        """The numbers of a dataset."""


def put_array(layer: Layer, name: str, array: np.ndarray) -> None:
    """Make an array one of the layer's weights, whatever its shape."""
    layer.put_array(name, array)


def load_groups(network: Network, reader: Store, put: Put = put_array) -> None:
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


def _fill(layer: Layer, path: str, groups: dict[str, Any], reader: Store, put: Put) -> None:
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
        arrays = [reader.array(reader.child(own, key), f"{path}/vars/{key}") for key in keys]
        label = f"{reader.label}: {layer.label()}"
        for (part, name), array in zip(stored, adapted(stored, arrays, "", label), strict=True):
            put(part, name, array)
    for attribute, child in layer.sublayers().items():
        if isinstance(child, list):
            _fill_list(child, path, attribute, groups, reader, put)
        elif isinstance(child, PReLU) and not len(groups.get(f"{path}/{attribute}/vars", ())):
            child.leave_out(layer)
        elif _needs(child):
            _fill(child, f"{path}/{attribute}" if path else attribute, groups, reader, put)


def _fill_custom(layer: Layer, path: str, groups: dict[str, Any], reader: Store, put: Put) -> None:
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


def _fill_list(layers: list[Layer], path: str, attribute: str, groups: dict[str, Any], reader: Store, put: Put) -> None:
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


class NamedLayers:
    """The layers in an .h5 file: a group for each by name, with its arrays in the order of weight_names.

    Parameters
    ----------
    reader : H5Reader

    Attributes
    ----------
    names : list of str
        In the order of the model that was saved.

    Raises
    ------
    ModelFormatError
        The file has no such groups.
    """

    def __init__(self, reader: H5Reader) -> None:
        self.reader = reader
        self.root = reader.child(reader.file, "model_weights") or reader.file
        names = reader.names(self.root, "layer_names")
        if names is None:
            raise ModelFormatError(f"{reader.label}: has no layer_names; its weights are missing")
        self.names = names
        self.backend = reader.text(self.root, "backend") or ""

    def heavy(self) -> list[str]:
        """Names of the layers that have arrays."""
        groups = {name: self.reader.child(self.root, name) for name in self.names}
        return [n for n, group in groups.items() if group is not None and self.reader.names(group, "weight_names")]

    def arrays(self, name: str) -> list[np.ndarray]:
        """The arrays of one layer, as they are in the file."""
        found = []
        group = self.reader.child(self.root, name)
        if group is None:
            raise ModelFormatError(f"{self.reader.label}: lists a layer {name!r} but has no group for it")
        if not len(group):
            return []  # h5py cannot read the empty list of names that then stands there
        for inside in self.reader.names(group, "weight_names") or []:
            dataset = self.reader.child(group, inside)
            if dataset is None:
                raise ModelFormatError(f"{self.reader.label}: layer {name!r} names an array {inside!r} that is missing")
            found.append(self.reader.array(dataset, f"array {inside!r} of layer {name!r}"))
        return found

    def fill(self, layer: Layer, name: str, put: Put) -> None:
        """Give a layer the arrays that the file has under a name."""
        slots, arrays = ordered_slots(layer), self.arrays(name)
        inside = layer.sublayers().get("activation")
        if isinstance(inside, PReLU) and len(arrays) == len(slots) - 1:
            inside.leave_out(layer)
            slots = [slot for slot in slots if slot[0] is not inside]
        arrays = adapted(slots, arrays, self.backend, f"{self.reader.label}: {layer.label()}")
        for (part, slot), array in zip(slots, arrays, strict=True):
            put(part, slot, array)


def load_named(network: Network, reader: H5Reader, put: Put = put_array) -> None:
    """Fill a network from an .h5 file, layer by layer after their names.

    Raises
    ------
    ModelFormatError
        Layers or arrays are missing, or there are more than the configuration needs.
    """
    stored = NamedLayers(reader)
    for layer in heavy_layers(network):
        if layer.name not in stored.names:
            raise ModelFormatError(f"{reader.label}: has no weights for {layer.label()}; it has {stored.names[:20]}")
        stored.fill(layer, layer.name, put)
    _forget(network)


def load_in_order(network: Network, reader: H5Reader, put: Put = put_array) -> None:
    """Fill a network from an .h5 file whose layers have other names: the first layer with weights from the first.

    Raises
    ------
    ModelFormatError
        There are more or fewer layers with weights, or their arrays do not fit.
    """
    stored = NamedLayers(reader)
    names = stored.heavy()
    layers = heavy_layers(network)
    if len(names) != len(layers):
        raise ModelFormatError(
            f"{reader.label}: holds {len(names)} layers with weights, {names[:20]}; the model has {len(layers)}, "
            f"{[layer.name for layer in layers][:20]}; load by name what both have"
        )
    for layer, name in zip(layers, names, strict=True):
        stored.fill(layer, name, put)
    _forget(network)


def heavy_layers(network: Network) -> list[Layer]:
    """The layers of a network that have weights."""
    return [layer for layer in network.layers if _needs(layer) and not isinstance(layer, InputLayer)]
