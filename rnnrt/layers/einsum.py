"""EinsumDense: a product with a kernel over any axes, in Einstein's notation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from rnnrt.layers.base import Extent, GraphBuilder, Layer, Tensor, TensorShape, product
from rnnrt.layers.core import ActivationLike, activate, checked_activation

_FORM = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumDense(Layer):
    """activation(einsum(equation, x, kernel) + bias).

    Parameters
    ----------
    equation : str
        "ab,bc->ac", or with "..." in front or behind in the first term and the result.
    output_shape : int or tuple
        Extents of the result without the batch; None for those that come from the input.
    activation : str, optional
    bias_axes : str, optional
        The letters of the result that the bias has; without them there is none.
    """

    arguments = (
        "equation",
        "output_shape",
        "activation",
        "bias_axes",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: ActivationLike = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.equation, self.bias_axes = str(equation).replace(" ", ""), bias_axes or None
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = checked_activation(self, activation)
        self.keep(locals())
        found = _FORM.fullmatch(self.equation)
        if not found or found.group(1) != found.group(5) or found.group(3) != found.group(7):
            raise self.unsupported(
                f"equation={equation!r}", "write it as 'ab,bc->ac', '...b,bc->...c' or 'ab...,ac->cb...'"
            )
        self._before = found.group(1) is not None
        self._terms = (found.group(2), found.group(4), found.group(6))
        x, kernel, result = self._terms
        if (found.group(1) and found.group(3)) or any(len(set(t)) < len(t) for t in self._terms):
            raise self.unsupported(f"equation={equation!r}", "name every letter once in a term, and write '...' once")
        if not set(kernel) | set(x) >= set(result) or not set(self.bias_axes or "") <= set(result):
            raise self.unsupported(f"equation={equation!r}, bias_axes={bias_axes!r}", "use letters that it has")

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.bias_axes else ("kernel",)

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"activation": self.activation} if isinstance(self.activation, Layer) else {}

    def _lettered(self, rank: int) -> tuple[str, str, str]:
        """The three terms with letters in the place of "..."."""
        x, kernel, result = self._terms
        free = [c for c in ascii_lowercase if c not in x + kernel + result]
        rest = "".join(free[: rank - len(x)])
        if rank < len(x) or (rest and "..." not in self.equation):
            raise self.unsupported(f"equation={self.equation!r} for {rank} axes", "give an input with its axes")
        return (rest + x, kernel, rest + result) if self._before else (x + rest, kernel, result + rest)

    def emit(self, b: GraphBuilder, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        x = b.cast(inputs, self.dtype)
        terms = self._lettered(x.rank)
        known: dict[str, Extent] = dict(zip(terms[0], x.shape, strict=True))
        # output_shape leaves out the batch, which comes first, and the axes of "...".
        named = terms[2] if self._before else self._terms[2]
        if len(self.output_shape) > len(named):
            raise self.unsupported(f"output_shape={self.output_shape} for {self.equation!r}", "give as many extents")
        for letter, extent in zip(named[len(named) - len(self.output_shape) :], self.output_shape, strict=True):
            if extent is not None and known.setdefault(letter, extent) is None:
                known[letter] = extent
        kernel = b.variable(self, "kernel", tuple(known.get(c) for c in terms[1]))
        known.update(zip(terms[1], kernel.shape, strict=True))
        y = contract(b, x, kernel, terms, known)
        if self.bias_axes:
            first = min(terms[2].index(c) for c in self.bias_axes)
            wide = tuple(known[c] if c in self.bias_axes else 1 for c in terms[2][first:])
            bias = b.variable(self, "bias", wide)
            y = b.op("Add", [y, bias], y.shape)
        return activate(b, y.with_mask(None), self.activation)


def contract(b: GraphBuilder, x: Tensor, kernel: Tensor, terms: Sequence[str], known: Mapping[str, Extent]) -> Tensor:
    """Einsum of `x` and a kernel of known shape: one matrix product between reshapes where the equation allows it."""
    first, second, result = terms
    shape: TensorShape = tuple(known[c] for c in result)
    summed = [c for c in second if c in first and c not in result]
    made = [c for c in second if c not in first]
    kept = [c for c in first if c in result and c not in second]
    if len(summed) + len(kept) < len(first) or len(summed) + len(made) < len(second) or not set(made) <= set(result):
        return b.op("Einsum", [x, kernel], shape, equation=f"{first},{second}->{result}")
    extents = dict(zip(first, b.dims_of(x), strict=True))
    inner, outer = (product(tuple(known[c] for c in letters)) for letters in (summed, made))
    if inner is None or outer is None:
        return b.op("Einsum", [x, kernel], shape, equation=f"{first},{second}->{result}")
    x, kernel = _moved(b, x, first, [*kept, *summed]), _moved(b, kernel, second, [*summed, *made])
    rows = tuple(known[c] for c in kept)
    if len(summed) != 1:
        x = b.reshape(x, [*(extents[c] for c in kept), inner], (*rows, inner))
    if (len(summed), len(made)) != (1, 1):
        kernel = b.reshape(kernel, [inner, outer], (inner, outer))
    y = b.op("MatMul", [x, kernel], (*rows, outer))
    wide = tuple(known[c] for c in made)
    if len(made) != 1:
        y = b.reshape(y, [*(extents[c] for c in kept), *(d for d in wide if d is not None)], (*rows, *wide))
    return _moved(b, y, "".join([*kept, *made]), list(result))


def _moved(b: GraphBuilder, x: Tensor, before: str, after: Sequence[str]) -> Tensor:
    order = [before.index(c) for c in after]
    return x if order == sorted(order) else b.transpose(x, order)
