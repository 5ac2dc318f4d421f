"""Mutations of ONNX models as protobuf messages."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fuzz.values import FLOATS, INTS, STRINGS, near, pick

_LIMIT = 1 << 24
"""A mutated model is not let grow beyond this many bytes."""

_SINGLE = tuple(value for value in FLOATS if not 3.5e38 < abs(value) < float("inf"))
"""Those that float32 has."""


def mutate_onnx(data: bytes, rng: random.Random, words: Sequence[str] = ()) -> bytes:
    """One change to a model: of any field of any message, of an edge, an operator, a constant or a body.

    Parameters
    ----------
    data : bytes
        A sound model, or one that was changed here before.
    rng : random.Random
    words : sequence of str
        Names of operators.
    """
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(data)
    rng.choice(_KINDS)(model, rng, words)
    changed = model.SerializeToString()
    return changed if len(changed) < _LIMIT else data


def graphs(model: Any) -> list[Any]:
    """The graph of a model and all bodies."""
    found = [model.graph]
    for graph in found:
        for node in graph.node:
            found.extend(a.g for a in node.attribute if a.HasField("g"))
    return found


def _any_field(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Change one field of one message, found by walking down from the root at random."""
    message = model.graph if rng.random() < 0.8 else model
    names = [value for node in model.graph.node for value in (*node.input, *node.output)]
    while True:
        present = [f for f, _ in message.ListFields()]
        field = pick(present if present and rng.random() < 0.9 else message.DESCRIPTOR.fields, rng, None)
        if field is None:
            return
        if field.is_repeated:
            items = getattr(message, field.name)
            if len(items) and field.message_type and rng.random() < 0.75:
                message = items[rng.randrange(len(items))]
                continue
            _change_list(items, field, rng, [*names, *words, *STRINGS])
            return
        if field.message_type:
            if message.HasField(field.name) and rng.random() < 0.9:
                message = getattr(message, field.name)
                continue
            message.ClearField(field.name)
            return
        if rng.random() < 0.15:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _scalar(field, getattr(message, field.name), rng, [*names, *words, *STRINGS]))
        return


def _change_list(items: Any, field: Any, rng: random.Random, strings: Sequence[str]) -> None:
    kind, count = rng.randrange(5), len(items)
    if not count and not field.message_type:
        items.append(_scalar(field, _zero(field), rng, strings))
    elif not count:
        items.add()
    elif kind == 0:
        del items[rng.randrange(count)]
    elif kind == 1:
        items.extend([items[rng.randrange(count)]])
    elif kind == 2:
        order = list(items)
        rng.shuffle(order)
        if field.message_type:
            order = [type(item).FromString(item.SerializeToString()) for item in order]
        del items[:]
        items.extend(order)
    elif not field.message_type:
        at = rng.randrange(count)
        items[at] = _scalar(field, items[at], rng, strings)
    else:
        del items[rng.randrange(count) :]


def _zero(field: Any) -> Any:
    return {field.TYPE_STRING: "", field.TYPE_BYTES: b"", field.TYPE_FLOAT: 0.0, field.TYPE_DOUBLE: 0.0}.get(
        field.type, 0
    )


def _scalar(field: Any, old: Any, rng: random.Random, strings: Sequence[str]) -> Any:
    if field.type == field.TYPE_STRING:
        return pick(strings, rng, "x")
    if field.type == field.TYPE_BYTES:
        return _other_bytes(old, rng)
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rng.choice(FLOATS) if field.type == field.TYPE_DOUBLE else float(np.float32(rng.choice(_SINGLE)))
    if field.type == field.TYPE_ENUM:
        return pick([value.number for value in field.enum_type.values], rng, 0)
    value = near(int(old), rng)
    bits, signed = (32 if "32" in _type_name(field) else 64), not _type_name(field).startswith("U")
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _type_name(field: Any) -> str:
    names = {getattr(field, name): name[5:] for name in dir(field) if name.startswith("TYPE_")}
    return names[field.type]


def _other_bytes(old: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0 or not old:
        return rng.randbytes(rng.choice((0, 1, 4, 8, 64)))
    if kind == 1:
        return old[: rng.randrange(len(old))]
    if kind == 2:
        return old + rng.randbytes(4)
    at, out = rng.randrange(len(old)), bytearray(old)
    word = rng.choice((np.float32(rng.choice(_SINGLE)), np.int64(rng.choice(INTS)), np.int32(-1))).tobytes()
    out[at : at + len(word)] = word
    return bytes(out[: len(old)])


def _attribute(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Other numbers in an attribute of a node."""
    nodes = [n for g in graphs(model) for n in g.node if len(n.attribute)]
    node = pick(nodes, rng, None)
    if node is None:
        return
    attribute = node.attribute[rng.randrange(len(node.attribute))]
    if attribute.type == attribute.INT:
        attribute.i = _int64(near(attribute.i, rng))
    elif attribute.type == attribute.INTS and len(attribute.ints):
        at = rng.randrange(len(attribute.ints))
        attribute.ints[at] = _int64(near(attribute.ints[at], rng))
    elif attribute.type == attribute.FLOAT:
        attribute.f = float(np.float32(rng.choice(_SINGLE)))
    elif attribute.type == attribute.FLOATS and len(attribute.floats):
        attribute.floats[rng.randrange(len(attribute.floats))] = float(np.float32(rng.choice(_SINGLE)))
    elif attribute.type == attribute.STRING:
        strings = [a.s for n in nodes for a in n.attribute if a.type == a.STRING]
        attribute.s = pick([*strings, *(text.encode() for text in STRINGS)], rng, b"")


def _int64(value: int) -> int:
    return min(max(value, -(2**63)), 2**63 - 1)


def _edge(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Let a node read another value, or give its result another name: that may close a circle."""
    graph = pick(graphs(model), rng, model.graph)
    names = [n for node in graph.node for n in (*node.input, *node.output)]
    names += [*(v.name for v in graph.input), *(t.name for t in graph.initializer), ""]
    node = pick(graph.node, rng, None)
    if node is not None:
        ends = node.input if len(node.input) and rng.random() < 0.8 else node.output
        if len(ends):
            ends[rng.randrange(len(ends))] = pick(names, rng, "")


def _operator(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Another operator for a node, with all that the node has otherwise."""
    node = pick(pick(graphs(model), rng, model.graph).node, rng, None)
    if node is not None:
        node.op_type = pick(words, rng, "Relu")


def _rename(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Another opset, domain or IR version."""
    opset = pick(model.opset_import, rng, None)
    if opset is None or rng.random() < 0.1:
        model.ir_version = rng.choice(INTS) % (1 << 31)
    elif rng.random() < 0.9:
        opset.version = rng.choice((*range(1, 27), *INTS))
    else:
        opset.domain = rng.choice(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))


def _shape_constant(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Other numbers in a small integer constant: a shape, a number of repeats, a padding, a trip count."""
    from onnx import numpy_helper

    tensors = [t for g in graphs(model) for t in g.initializer]
    tensors += [a.t for g in graphs(model) for n in g.node for a in n.attribute if a.HasField("t")]
    small = [t for t in tensors if t.data_type in (6, 7) and len(t.dims) < 2 and sum(t.dims) < 20]
    tensor = pick(small if small and rng.random() < 0.8 else tensors, rng, None)
    if tensor is None:
        return
    try:
        array = np.array(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError, NotImplementedError):
        return  # changed before
    if array.dtype.kind not in "fiu" or not array.size:
        return
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            array.flat[rng.randrange(array.size)] = np.float64(rng.choice(_SINGLE)).astype(array.dtype)
    else:
        at = rng.randrange(array.size)
        limits = np.iinfo(array.dtype)
        array.flat[at] = min(max(near(int(array.flat[at]), rng), limits.min), limits.max)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _bind_input(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Make an input a constant that holds something, or give it another type or shape."""
    from onnx import TensorProto, numpy_helper

    info = pick(model.graph.input, rng, None)
    if info is None or not info.type.HasField("tensor_type"):
        return
    tensor = info.type.tensor_type
    if rng.random() < 0.5:
        for dim in tensor.shape.dim:
            if rng.random() < 0.4:
                dim.Clear()
                if rng.random() < 0.6:
                    dim.dim_value = rng.choice(INTS)
        return
    shape = [d.dim_value if 0 < d.dim_value < 100 else 2 for d in tensor.shape.dim][:4]
    if tensor.elem_type in (TensorProto.INT64, TensorProto.INT32):
        dtype = np.int64 if tensor.elem_type == TensorProto.INT64 else np.int32
        array = np.zeros(shape, dtype)
        for at in range(array.size if array.size < 100 else 0):
            value = rng.choice(INTS)
            array.flat[at] = value if dtype is np.int64 or abs(value) < 2**31 else 3
    elif tensor.elem_type == TensorProto.BOOL:
        array = np.full(shape, rng.random() < 0.5)
    else:
        array = np.full(shape, np.float32(rng.choice(_SINGLE)))
    model.graph.initializer.append(numpy_helper.from_array(array, info.name))


def _nest(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Put a graph, or a body, into itself or into another node."""
    all_graphs = graphs(model)
    source, target = pick(all_graphs, rng, None), pick(all_graphs, rng, None)
    bodies = [a for g in all_graphs for n in g.node for a in n.attribute if a.HasField("g")]
    attribute = pick(bodies, rng, None)
    copied = type(source).FromString(source.SerializeToString())
    if attribute is not None and rng.random() < 0.7:
        attribute.g.CopyFrom(copied)
    else:
        node = pick(target.node, rng, None)
        if node is not None:
            added = node.attribute.add()
            added.name, added.type = rng.choice(("body", "then_branch", "else_branch")), added.GRAPH
            added.g.CopyFrom(copied)


def _loop(model: Any, rng: random.Random, words: Sequence[str]) -> None:
    """Put the whole graph into a Loop (inside Loops) with a trip count and a condition that never says no."""
    from onnx import TensorProto, helper

    graph = model.graph
    if not len(graph.output):
        return
    depth = rng.choice((1, 1, 2, 3, 6, 12))
    inner = type(graph).FromString(graph.SerializeToString())
    trips = rng.choice((0, 1, 2, 3, 100, 2**31, 2**31 + 1, 2**63 - 1))
    for level in range(depth):
        body = type(graph)(name=f"body{level}")
        # What the graph reads stays outside; its nodes go in.
        body.node.extend(inner.node)
        on, k, still = (f"{part}{level}" for part in ("on", "k", "still"))
        body.input.extend(
            [helper.make_tensor_value_info(k, TensorProto.INT64, []),
             helper.make_tensor_value_info(on, TensorProto.BOOL, [])]
        )  # fmt: skip
        body.node.append(helper.make_node("Identity", [on], [still]))
        body.output.append(helper.make_tensor_value_info(still, TensorProto.BOOL, []))
        body.output.extend(inner.output)
        names = [f"{v.name}.{level}" for v in inner.output]
        count = f"trips{level}"
        nodes: Iterator[Any] = iter(
            [helper.make_node("Constant", [], [count], value=helper.make_tensor(count, TensorProto.INT64, [], [trips])),
             helper.make_node("Loop", [count, ""], names, body=body)]
        )  # fmt: skip
        inner = type(graph)(name="graph")
        inner.node.extend(nodes)
        inner.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    del graph.node[:]
    del graph.output[:]
    graph.node.extend(inner.node)
    graph.output.extend(inner.output)


_KINDS = (
    *(_any_field,) * 3, *(_attribute,) * 2, *(_shape_constant,) * 3, *(_bind_input,) * 2,
    _edge, _operator, _nest, _loop, _rename,
)  # fmt: skip
