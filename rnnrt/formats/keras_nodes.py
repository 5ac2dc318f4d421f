"""How Keras writes the calls of a Functional model: Keras 2's nested lists and Keras 3's dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnnrt.errors import ModelFormatError
from rnnrt.formats.keras_tf_functions import arguments_of
from rnnrt.layers.network import Call, Ref, refs_in

if TYPE_CHECKING:
    from rnnrt.formats.keras_arguments import Context

_IGNORED = ("training",)


def calls_of(name: str, nodes: Any, taken: Sequence[str] | None, context: Context) -> list[Call]:
    """The calls of one layer from its inbound_nodes; `taken` names the arguments a call may have, None for any."""
    if not isinstance(nodes, list):
        raise ModelFormatError(f"{context.source}: layer {name!r}: inbound_nodes is not a list")
    calls = []
    for number, node in enumerate(nodes):
        args, kwargs = _dict_node(node, name, context) if isinstance(node, Mapping) else _list_node(node, name, context)
        if taken is None:
            calls.append(Call(name, number, args, arguments_of(kwargs)))
            continue
        kept = {}
        for key, value in kwargs.items():
            if value is None or key in _IGNORED:
                continue
            if key in taken or refs_in(value):
                kept[key] = value
            elif value not in (False, [], ()):
                context.reasons.append(
                    f"layer {name!r}: is called with {key}={str(value)[:60]}, which rnnrt does not know; "
                    "call it without that argument"
                )
        unknown = sorted(set(kept) - set(taken))
        if unknown:
            context.reasons.append(f"layer {name!r}: is called with tensors for {unknown}; call it without them")
        calls.append(Call(name, number, args, kept))
    return calls


def _list_node(node: Any, name: str, context: Context) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Keras 2: a list of [layer, call, tensor, kwargs], one for each tensor of the first argument."""
    if not isinstance(node, list) or not node:
        raise ModelFormatError(f"{context.source}: layer {name!r}: a call in inbound_nodes is malformed")
    if _is_list_ref(node) or _is_constant(node):
        node = [node]
    refs: list[Any] = []
    kwargs: dict[str, Any] = {}
    for item in node:
        if _is_constant(item):
            refs.append(item[2])
            if len(item) > 3 and isinstance(item[3], Mapping):
                kwargs.update({k: _list_value(v) for k, v in item[3].items()})
            continue
        if not _is_list_ref(item):
            raise ModelFormatError(f"{context.source}: layer {name!r}: {str(item)[:80]!r} names no tensor")
        refs.append(Ref(item[0], item[1], item[2]))
        if len(item) > 3 and isinstance(item[3], Mapping):
            kwargs.update({k: _list_value(v) for k, v in item[3].items()})
    return (refs[0] if len(refs) == 1 else refs,), kwargs


def _list_value(value: Any) -> Any:
    if _is_list_ref(value):
        return Ref(value[0], value[1], value[2])
    if _is_constant(value):
        return value[2]
    if isinstance(value, list):
        return [_list_value(v) for v in value]
    return value


def _is_constant(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and value[:2] == ["_CONSTANT_VALUE", -1]


def _is_list_ref(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and value[1] >= 0
        and type(value[2]) is int
    )


def _dict_node(node: Mapping[str, Any], name: str, context: Context) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Keras 3: {"args": [...], "kwargs": {...}} with {"class_name": "__keras_tensor__", ...} for tensors."""
    args, kwargs = node.get("args", []), node.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise ModelFormatError(f"{context.source}: layer {name!r}: a call in inbound_nodes is malformed")
    found = [_dict_value(a, name, context) for a in args]
    named = {str(k): _dict_value(v, name, context) for k, v in kwargs.items()}
    if not found:
        found = [named.pop(key) for key in ("inputs", "sequences", "x", "query") if key in named][:1]
    if not found:
        raise ModelFormatError(f"{context.source}: layer {name!r}: is called without inputs")
    return tuple(found), named


def _dict_value(value: Any, name: str, context: Context) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            history = value.get("config", {}).get("keras_history")
            if not _is_list_ref(history):
                raise ModelFormatError(f"{context.source}: layer {name!r}: keras_history {history!r} is malformed")
            return Ref(history[0], history[1], history[2])
        if value.get("class_name") == "__tuple__":
            return [_dict_value(v, name, context) for v in value.get("items", [])]
        if value.get("class_name") == "__slice__":
            return slice(*(value.get("config", value).get(k) for k in ("start", "stop", "step")))
        if value.get("class_name") == "__ellipsis__":
            return Ellipsis
        return {k: _dict_value(v, name, context) for k, v in value.items()}
    if isinstance(value, list):
        return [_dict_value(v, name, context) for v in value]
    return value


def tensor_list(value: Any, context: Context) -> list[Ref]:
    """input_layers or output_layers: one reference, a list of them, or a dictionary of them, which Keras sorts."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value)]
    if _is_list_ref(value):
        return [Ref(value[0], value[1], value[2])]
    if not isinstance(value, list):
        raise ModelFormatError(f"{context.source}: input_layers or output_layers are malformed: {str(value)[:80]!r}")
    return [ref for item in value for ref in tensor_list(item, context)]


def renumber(calls: list[Call], outputs: list[Ref], models: set[str], legacy: bool) -> tuple[list[Call], list[Ref]]:
    """Count the calls of nested Functional models from 0 in calls and in output references.

    Keras takes the model's own definition for its call 0. Keras 2 counts so in every reference, Sequential included;
    Keras 3 only where a Functional model's output is an output of the whole.
    """
    if not legacy:
        shifted = [Ref(r.layer, r.call - 1, r.tensor) if r.layer in models and r.call > 0 else r for r in outputs]
        return calls, shifted
    used: dict[str, set[int]] = {}
    for ref in [*outputs, *(r for c in calls for r in refs_in((c.args, c.kwargs)))]:
        used.setdefault(ref.layer, set()).add(ref.call)
    late = {name for name, numbers in used.items() if name in models and 0 not in numbers}
    return [Call(c.layer, c.number + 1, c.args, c.kwargs) if c.layer in late else c for c in calls], outputs
