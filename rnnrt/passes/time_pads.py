"""Write padding as attributes of the convolutions behind it, and cut what looks ahead only to be cut off.

Exporters write a causal convolution as Pad and Conv, or as a Conv padded on both sides whose last steps a Slice drops.
Both become a Conv with padding in front, which `follow_time` knows to reach back only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnnrt.ir import Graph, Node, names_read
from rnnrt.ops import TensorSpec
from rnnrt.ops.pad import Pad
from rnnrt.ops.window import Window
from rnnrt.passes.prune import prune


def absorb_pads(graph: Graph, specs: Mapping[str, TensorSpec]) -> Graph:
    """The graph with such convolutions in their plain form; results are the same.

    Parameters
    ----------
    graph : Graph
        With constants folded.
    specs : mapping of str to TensorSpec
        Types of its values; ranks are needed, not extents.
    """
    readers: dict[str, list[Node]] = {v.name: [] for v in graph.outputs}
    kept = set(readers)
    for node in graph.nodes:
        for name in names_read(node):
            readers.setdefault(name, []).append(node)
    made = {name: node for node in graph.nodes for name in node.outputs}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op == "Conv" and (pad := made.get(node.inputs[0])) and pad.op == "Pad":
            node = _with_pads(node, pad, specs) or node
        if node.op == "Conv" and node.outputs[0] not in kept:
            users = readers.get(node.outputs[0], [])
            shorter = _without_end(node, users, specs)
            if shorter is not None:
                nodes += [shorter, Node("Identity", node.outputs, users[0].outputs, {}, users[0].name)]
                readers[node.outputs[0]] = []
                continue
        if node.op == "Slice" and not readers.get(node.inputs[0], [node]):
            continue  # what it dropped is not computed any more
        nodes.append(node)
    return prune(graph.replace(nodes=tuple(nodes)))


def _window(node: Node, specs: Mapping[str, TensorSpec]) -> Window | None:
    kernel = specs[node.inputs[1]].shape
    if kernel is None or not all(isinstance(k, int) for k in kernel):
        return None
    window = Window.of(node, kernel[2:])
    return None if window.auto_pad.startswith("SAME") else window


def _padded(node: Node, before: Sequence[int], after: Sequence[int]) -> Node:
    attrs = {**node.attrs, "pads": (*before, *after), "auto_pad": "NOTSET"}
    return Node(node.op, node.inputs, node.outputs, attrs, node.name)


def _with_pads(node: Node, pad: Node, specs: Mapping[str, TensorSpec]) -> Node | None:
    """The convolution with the zeros of the Pad before it as its own."""
    window, shape = _window(node, specs), specs[pad.inputs[0]].shape
    values = [specs[name].value if name else None for name in (*pad.inputs, "", "", "")[:4]]
    if window is None or shape is None or values[1] is None or pad.attrs.get("mode", "constant") != "constant":
        return None
    if len(pad.inputs) > 2 and pad.inputs[2] and (values[2] is None or np.any(values[2] != 0)):
        return None
    if len(pad.inputs) > 3 and pad.inputs[3] and values[3] is None:
        return None
    axes = None if values[3] is None else [int(a) for a in values[3].ravel()]
    both = Pad.pads(pad, len(shape), [int(p) for p in values[1].ravel()], axes)
    if any(a < 0 or b < 0 for a, b in both) or any(a or b for a, b in both[:2]):
        return None
    own = window.padding([1] * len(window.kernel))
    before = [a + p for (a, _), (p, _) in zip(own, both[2:], strict=True)]
    after = [b + p for (_, b), (_, p) in zip(own, both[2:], strict=True)]
    wide = _padded(node, before, after)
    return Node(wide.op, (pad.inputs[0], *node.inputs[1:]), wide.outputs, wide.attrs, wide.name)


def _without_end(node: Node, users: Sequence[Node], specs: Mapping[str, TensorSpec]) -> Node | None:
    """The convolution without the steps that the Slice behind it, its only reader, drops at the end."""
    window = _window(node, specs)
    if window is None or len(users) != 1 or users[0].op != "Slice" or len(users[0].inputs) < 4:
        return None
    operands = [specs[name].value if name else None for name in (*users[0].inputs[1:], "")[:4]]
    starts, ends, axes, steps = operands
    if (
        starts is None
        or ends is None
        or axes is None
        or axes.size != 1
        or (steps is not None and steps.ravel()[0] != 1)
    ):
        return None
    at, cut = int(axes.ravel()[0]) % (2 + len(window.kernel)) - 2, -int(ends.ravel()[0])
    own = window.padding([1] * len(window.kernel))
    if at < 0 or starts.ravel()[0] != 0 or window.strides[at] != 1 or not 0 < cut <= own[at][1]:
        return None
    return _padded(node, [a for a, _ in own], [b - cut * (k == at) for k, (_, b) in enumerate(own)])
