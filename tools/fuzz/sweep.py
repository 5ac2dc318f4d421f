"""Every attribute and every constant of ONNX models in turn with extreme values, where mutations only draw some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fuzz.cases import Seed

_INTS = (-1, 0, 3, 9, 2**31, 2**62, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e38)
_SMALL = 20
"""Elements of an integer constant that is taken for a shape, a number or a list of axes."""

Place = tuple[str, ...]


def sweep(seeds: Iterable[Seed], seen: set[Place] | None = None) -> Iterator[tuple[str, bytes]]:
    """What was changed, and the changed model, for one place and one value at a time.

    Parameters
    ----------
    seeds : iterable of Seed
        ONNX models.
    seen : set of tuple of str, optional
        Places that need not be changed again in another seed: an operator and its attribute or input. What is met is
        added.
    """
    import onnx

    seen = set() if seen is None else seen
    for seed in seeds:
        model = onnx.ModelProto.FromString(seed.data)
        kind = f"{len(model.graph.input)} inputs"
        for node in model.graph.node:
            for attribute in node.attribute:
                yield from _once((node.op_type, attribute.name, kind), seen, seed, model, attribute, _attributes)
            for position, name in enumerate(node.input):
                for tensor in model.graph.initializer:
                    if tensor.name == name:
                        place = (node.op_type, str(position), kind)
                        yield from _once(place, seen, seed, model, tensor, _constants)


def _once(
    place: Place, seen: set[Place], seed: Seed, model: Any, part: Any, change: Any
) -> Iterator[tuple[str, bytes]]:
    if place in seen:
        return
    seen.add(place)
    whole = type(part).FromString(part.SerializeToString())
    for what in change(part, whole):
        yield f"{seed.name}: {' '.join(place)} = {what}", model.SerializeToString()
        part.CopyFrom(whole)


def _attributes(attribute: Any, whole: Any) -> Iterator[str]:
    """Change a numeric attribute again and again; it is set back in between."""
    if whole.type == whole.INT:
        for value in _INTS:
            attribute.i = value
            yield str(value)
    elif whole.type == whole.FLOAT:
        for number in _FLOATS:
            attribute.f = number
            yield str(number)
    elif whole.type == whole.INTS:
        for value in _INTS:
            if len(attribute.ints):
                attribute.ints[-1] = value
                yield str(value)
        attribute.ints.append(1)
        yield "one more"
        del attribute.ints[:]
        yield "none"


def _constants(tensor: Any, whole: Any) -> Iterator[str]:
    """Change an element or the shape of a constant."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(whole)
    if array.dtype.kind in "iu" and 0 < array.size <= _SMALL:
        limits = np.iinfo(array.dtype)
        for value in _INTS:
            changed = array.copy()
            changed.flat[-1] = min(max(value, int(limits.min)), int(limits.max))
            tensor.CopyFrom(numpy_helper.from_array(changed, whole.name))
            yield str(changed.flat[-1])
    if array.dtype.kind not in "fiub":
        return
    flat = array.ravel()
    for other in (array[None], flat, flat[:1], flat[:0], np.concatenate([flat, flat]), np.zeros((), array.dtype)):
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(other).reshape(other.shape), whole.name))
        yield f"shape {other.shape}"
