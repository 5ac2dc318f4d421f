"""Matrix products."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node
from rnnrt.ops.base import REQUIRED, GradientContext, KernelCall, LowerContext, Operator, TensorSpec, register
from rnnrt.ops.broadcast import broadcast_shapes, present, same_dtype, size_of
from rnnrt.ops.dense_gradients import einsum_rule, gemm_rule, matmul_rule
from rnnrt.ops.product import NATIVE, computed_product, gemm, packed_product


def fits(a: Dim, b: Dim) -> bool:
    """Whether two extents may be equal."""
    return not (isinstance(a, int) and isinstance(b, int) and a != b)


@register
class MatMul(Operator):
    """numpy's matmul: the last two axes are matrices, those before broadcast; vectors lose their axis."""

    name = "MatMul"
    min_inputs = max_inputs = 2

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        a, b = present(node, inputs), present(node, inputs, 1)
        dtype = same_dtype(node, [a, b])
        if a.shape is None or b.shape is None:
            return [TensorSpec(dtype, None)]
        if not a.shape or not b.shape:
            raise ShapeError(
                f"{node.label()}: shapes {a.shape} and {b.shape}: scalars cannot be multiplied as matrices"
            )
        left = a.shape if len(a.shape) > 1 else (1, *a.shape)
        right = b.shape if len(b.shape) > 1 else (*b.shape, 1)
        if not fits(left[-1], right[-2]):
            raise ShapeError(
                f"{node.label()}: shapes {a.shape} and {b.shape} do not fit: {left[-1]} is not {right[-2]}"
            )
        shape: tuple[Dim, ...] = broadcast_shapes(node, [left[:-2], right[:-2]]) or ()
        shape += (left[-2],) if len(a.shape) > 1 else ()
        shape += (right[-1],) if len(b.shape) > 1 else ()
        return [TensorSpec(dtype, shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.asarray(np.matmul(inputs[0], inputs[1]))]  # type: ignore[arg-type]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        a, b = present(node, inputs), present(node, inputs, 1)
        if a.dtype not in NATIVE or 0 in (*(a.shape or ()), *(b.shape or ())):
            return None
        if b.value is not None and b.value.ndim == 2:
            return packed_product(ctx, b.value, "kn", b.value, None)
        if len(b.known_shape) == 2 and len(a.known_shape) > 1:
            return gemm(ctx, a, b, False, False, has_row=False)
        return computed_product(ctx, a, b, outputs[0])

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return matmul_rule(node, grads[0], b)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        inner = (present(node, inputs).shape or (1,))[-1]
        return 2 * size_of(outputs[0]) * (inner if isinstance(inner, int) else 1)


@register
class Gemm(Operator):
    """alpha A B + beta C; A and B may come transposed, C broadcasts."""

    name = "Gemm"
    attributes: ClassVar[Mapping[str, Any]] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    min_inputs = 2
    max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        specs = [s for s in inputs if s is not None]
        a, b = present(node, inputs), present(node, inputs, 1)
        dtype = same_dtype(node, specs)
        if a.shape is None or b.shape is None:
            return [TensorSpec(dtype, (None, None))]
        if len(a.shape) != 2 or len(b.shape) != 2:
            raise ShapeError(f"{node.label()}: shapes {a.shape} and {b.shape} are not matrices")
        m, k = reversed(a.shape) if cls.attr(node, "transA") else a.shape
        k2, n = reversed(b.shape) if cls.attr(node, "transB") else b.shape
        if not fits(k, k2):
            raise ShapeError(f"{node.label()}: shapes {a.shape} and {b.shape} do not fit: {k} is not {k2}")
        c = specs[2] if len(specs) > 2 else None
        if c is not None and c.shape is not None:
            shape = broadcast_shapes(node, [(m, n), c.shape])
            if shape is not None and (len(shape) != 2 or not fits(shape[0], m) or not fits(shape[1], n)):
                raise ShapeError(f"{node.label()}: C of shape {c.shape} does not broadcast to ({m}, {n})")
        return [TensorSpec(dtype, (m, n))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        a, b, c = (*(None if x is None else np.asarray(x) for x in inputs), None)[:3]
        assert a is not None and b is not None
        a = a.T if cls.attr(node, "transA") else a
        b = b.T if cls.attr(node, "transB") else b
        y = a @ b
        alpha, beta = a.dtype.type(cls.attr(node, "alpha")), a.dtype.type(cls.attr(node, "beta"))
        y = y if alpha == 1 else y * alpha
        return [y if c is None else y + (c if beta == 1 else c * beta)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        a, b = present(node, inputs), present(node, inputs, 1)
        c = inputs[2] if len(inputs) > 2 else None
        alpha, beta, transposed = (cls.attr(node, key) for key in ("alpha", "beta", "transB"))
        if a.dtype not in NATIVE or 0 in (*a.known_shape, *b.known_shape):
            return None
        if cls.attr(node, "transA") or b.value is None or (c is not None and c.value is None):
            row = c is None or (beta == 1 and size_of(c) == outputs[0].known_shape[1])
            turned = bool(cls.attr(node, "transA")), bool(transposed)
            return gemm(ctx, a, b, *turned, has_row=c is not None) if alpha == 1 and row and not all(turned) else None
        if c is not None and (c.value is None or (c.value.ndim > 1 and c.value.shape[0] != 1)):
            return None
        matrix = (b.value.T if transposed else b.value) * a.dtype.type(alpha)
        bias = None
        if c is not None and c.value is not None:
            bias = np.broadcast_to(c.value.reshape(-1) * a.dtype.type(beta), matrix.shape[1])
        return packed_product(ctx, b.value, f"{'nk' if transposed else 'kn'}*{alpha}", matrix, bias)

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        alpha, beta, turn_a, turn_b = (cls.attr(node, key) for key in ("alpha", "beta", "transA", "transB"))
        return gemm_rule(node, grads[0], b, alpha, beta, (turn_a, turn_b))

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        shape = present(node, inputs).shape or (1, 1)
        k = shape[0 if cls.attr(node, "transA") else 1]
        return 2 * size_of(outputs[0]) * (k if isinstance(k, int) else 1)


@register
class Einsum(Operator):
    """A sum of products in Einstein's notation."""

    name = "Einsum"
    attributes: ClassVar[Mapping[str, Any]] = {"equation": REQUIRED}
    max_inputs = None

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        specs = [present(node, inputs, i) for i in range(len(inputs))]
        dtype, equation = same_dtype(node, specs), str(node.attrs["equation"]).replace(" ", "")
        left, _, right = equation.partition("->")
        if "..." in equation or any(s.shape is None for s in specs):
            return [TensorSpec(dtype, None)]
        terms = left.split(",")
        if len(terms) != len(specs):
            raise ShapeError(f"{node.label()}: equation {equation!r} has {len(terms)} terms for {len(specs)} inputs")
        extents: dict[str, Dim] = {}
        for term, spec in zip(terms, specs, strict=True):
            if len(term) != len(spec.shape or ()):
                raise ShapeError(f"{node.label()}: term {term!r} of {equation!r} does not fit shape {spec.shape}")
            for letter, extent in zip(term, spec.shape or (), strict=True):
                if not fits(extents.setdefault(letter, extent), extent):
                    raise ShapeError(f"{node.label()}: index {letter} is both {extents[letter]} and {extent}")
        if "->" not in equation:
            right = "".join(sorted(c for c in extents if left.count(c) == 1))
        return [TensorSpec(dtype, tuple(extents[c] for c in right))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        return [np.asarray(np.einsum(node.attrs["equation"].replace(" ", ""), *map(np.asarray, inputs)))]

    @classmethod
    def gradient(cls, node: Node, grads: Sequence[str], b: GradientContext) -> Sequence[str]:
        return einsum_rule(node, grads[0], b)

    @classmethod
    def flops(cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> int:
        letters: dict[str, Any] = {}
        for term, spec in zip(str(node.attrs["equation"]).split("->")[0].split(","), inputs, strict=False):
            letters.update(zip(term.strip(), spec.shape or (), strict=False) if spec else ())
        return 2 * math.prod([d for d in letters.values() if isinstance(d, int)])
