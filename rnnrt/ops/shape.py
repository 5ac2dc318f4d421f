"""Operators that give data another shape or another order of axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node, Shape
from rnnrt.ops.adjoint import reshape
from rnnrt.ops.base import GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present

INT64 = np.dtype(np.int64)


def constant_ints(inputs: Sequence[TensorSpec | None], index: int) -> list[int] | None:
    """The integers of input `index`, or None when it is absent or not constant."""
    spec = inputs[index] if index < len(inputs) else None
    return None if spec is None or spec.value is None else [int(v) for v in np.ravel(spec.value)]


def given(inputs: Sequence[Any], index: int) -> Any:
    """Input `index`, None when it is absent."""
    return inputs[index] if index < len(inputs) else None


def ints(array: np.ndarray) -> list[int]:
    """The elements of an integer tensor."""
    return [int(v) for v in np.ravel(array)]


class View(Operator):
    """Base of operators that only rename the axes of the same memory."""

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        return [KernelCall("alias", (0,))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return [reshape(b, grads[0], b.spec(node.inputs[0]).known_shape)]


@register
class Identity(View):
    """The input itself."""

    name = "Identity"

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        return [present(node, inputs)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.asarray(inputs[0])]


@register
class Reshape(View):
    """0 copies an extent (unless allowzero), -1 takes what is left."""

    name = "Reshape"
    attributes: ClassVar[Mapping[str, Any]] = {"allowzero": 0}
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, target = present(node, inputs), constant_ints(inputs, 1)
        if target is None:
            rank = present(node, inputs, 1).shape
            known = rank is not None and len(rank) == 1 and isinstance(rank[0], int)
            return [TensorSpec(x.dtype, (None,) * rank[0] if known else None)]  # type: ignore[index,operator]
        shape: list[Dim] = []
        for at, want in enumerate(target):
            if want == 0 and not cls.attr(node, "allowzero"):
                if x.shape is None:
                    shape.append(None)
                elif at >= len(x.shape):
                    raise ShapeError(
                        f"{node.label()}: extent 0 at axis {at} copies an axis that {x.shape} does not have"
                    )
                else:
                    shape.append(x.shape[at])
            else:
                shape.append(want)
        if target.count(-1) > 1 or any(d < -1 for d in target):
            raise ShapeError(f"{node.label()}: {target} is not a shape; one extent at most may be -1")
        if -1 in target:
            shape[target.index(-1)] = None if x.shape is None else _rest(node, x.shape, shape, target.index(-1))
        elif (
            x.shape is not None
            and all(isinstance(d, int) for d in (*x.shape, *shape))
            and math.prod(x.shape) != math.prod(shape)  # type: ignore[arg-type]
        ):
            raise ShapeError(f"{node.label()}: {x.shape} does not fit into {tuple(shape)}")
        return [TensorSpec(x.dtype, tuple(shape))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, target = np.asarray(inputs[0]), ints(np.asarray(inputs[1]))
        if not cls.attr(node, "allowzero"):
            target = [x.shape[i] if d == 0 else d for i, d in enumerate(target)]
        return [x.reshape(target)]


def _rest(node: Node, source: Shape, shape: Sequence[Dim], hole: int) -> Dim:
    """The extent that makes `shape` hold as many elements as `source`; free extents on both sides cancel."""
    have = list(source)
    for i, d in enumerate(shape):
        if i != hole and not isinstance(d, int):
            if d is None or d not in have:
                return None
            have.remove(d)
    free = [d for d in have if not isinstance(d, int)]
    known = math.prod(d for d in have if isinstance(d, int))
    other = math.prod(d for i, d in enumerate(shape) if i != hole and isinstance(d, int))
    if free:
        return free[0] if len(free) == 1 and known == other else None
    if other == 0 or known % other:
        raise ShapeError(
            f"{node.label()}: {source} does not divide into {tuple(shape[:hole])} and {tuple(shape[hole + 1 :])}"
        )
    return known // other


@register
class Flatten(View):
    """Two axes: those before `axis`, and the rest."""

    name = "Flatten"
    attributes: ClassVar[Mapping[str, Any]] = {"axis": 1}

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        if x.shape is None:
            return [TensorSpec(x.dtype, (None, None))]
        at = cls._axis(node, len(x.shape))
        return [TensorSpec(x.dtype, tuple(_product(part) for part in (x.shape[:at], x.shape[at:])))]

    @classmethod
    def _axis(cls, node: Node, rank: int) -> int:
        axis = cls.attr(node, "axis")
        return rank if axis == rank else normalise_axis(node, axis, rank)

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        at = cls._axis(node, x.ndim)
        return [x.reshape(math.prod(x.shape[:at]), math.prod(x.shape[at:]))]


def _product(dims: Sequence[Dim]) -> Dim:
    free = [d for d in dims if not isinstance(d, int)]
    known = math.prod(d for d in dims if isinstance(d, int))
    if not free:
        return known
    return free[0] if len(free) == 1 and known == 1 else None


class _Axes(View):
    """Base of Squeeze and Unsqueeze: data, and a constant or computed list of axes."""

    max_inputs = 2

    @classmethod
    def axes(cls, node: Node, axes: Sequence[int], rank: int) -> list[int]:
        """Axes counted from the front, sorted; each once."""
        found = sorted(normalise_axis(node, a, rank) for a in axes)
        if len(set(found)) != len(found):
            raise ShapeError(f"{node.label()}: axes {list(axes)} name an axis twice")
        return found


@register
class Squeeze(_Axes):
    """Without the named axes of extent 1, or all of them."""

    name = "Squeeze"

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, axes = present(node, inputs), constant_ints(inputs, 1)
        if x.shape is None or (axes is None and given(inputs, 1) is not None):
            return [TensorSpec(x.dtype, None)]
        if axes is None:
            if not x.is_static:
                return [TensorSpec(x.dtype, None)]
            return [TensorSpec(x.dtype, tuple(d for d in x.shape if d != 1))]
        gone = cls.axes(node, axes, len(x.shape))
        for at in gone:
            if isinstance(x.shape[at], int) and x.shape[at] != 1:
                raise ShapeError(f"{node.label()}: axis {at} of {x.shape} has not extent 1")
        return [TensorSpec(x.dtype, tuple(d for i, d in enumerate(x.shape) if i not in gone))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, axes = np.asarray(inputs[0]), given(inputs, 1)
        return [np.squeeze(x) if axes is None else np.squeeze(x, tuple(cls.axes(node, ints(axes), x.ndim)))]


@register
class Unsqueeze(_Axes):
    """With new axes of extent 1, at these positions of the result."""

    name = "Unsqueeze"
    min_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, axes = present(node, inputs), constant_ints(inputs, 1)
        if x.shape is None or axes is None:
            return [TensorSpec(x.dtype, None)]
        new = cls.axes(node, axes, len(x.shape) + len(axes))
        rest = iter(x.shape)
        return [TensorSpec(x.dtype, tuple(1 if i in new else next(rest) for i in range(len(x.shape) + len(new))))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, axes = np.asarray(inputs[0]), ints(np.asarray(inputs[1]))
        return [np.expand_dims(x, tuple(cls.axes(node, axes, x.ndim + len(axes))))]


@register
class Transpose(Operator):
    """Axes in the order of `perm`, reversed by default."""

    name = "Transpose"
    attributes: ClassVar[Mapping[str, Any]] = {"perm": ()}

    @classmethod
    def perm(cls, node: Node, rank: int) -> tuple[int, ...]:
        """The order of axes. Raises `ShapeError` unless it names each axis once."""
        perm = tuple(cls.attr(node, "perm")) or tuple(reversed(range(rank)))
        if sorted(perm) != list(range(rank)):
            raise ShapeError(f"{node.label()}: perm {perm} is not an order of {rank} axes")
        return perm

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x = present(node, inputs)
        if x.shape is None:
            return [TensorSpec(x.dtype, (None,) * len(cls.attr(node, "perm")) or None)]
        return [TensorSpec(x.dtype, tuple(x.shape[p] for p in cls.perm(node, len(x.shape))))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x = np.asarray(inputs[0])
        return [np.ascontiguousarray(np.transpose(x, cls.perm(node, x.ndim))) if x.ndim else x]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        x = present(node, inputs)
        shape: tuple[int, ...] = x.shape  # type: ignore[assignment]
        perm = cls.perm(node, len(shape))
        moving = [p for p in perm if shape[p] != 1]
        if moving == sorted(moving):
            return [KernelCall("alias", (0,))]
        return [KernelCall("transpose", (0,), ints=perm)]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        perm = cls.perm(node, len(b.spec(node.inputs[0]).known_shape))
        back = tuple(perm.index(i) for i in range(len(perm)))
        return [b.op("Transpose", [grads[0]], perm=back) if back else grads[0]]
