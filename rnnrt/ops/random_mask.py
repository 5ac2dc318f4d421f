"""Random numbers that a counter names: dropout, noise, and nothing to remember between runs.

Element i depends on (seed, counter, stream, i) alone, by Philox-4x32 with ten rounds (Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011). The generator is applied twice: (counter, stream) under the
seed gives a key and half of a counter, under which the place of the element gives its bits. The kernel does the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Node
from rnnrt.ops.base import Flat, KernelCall, LowerContext, TensorSpec, register
from rnnrt.ops.broadcast import present
from rnnrt.ops.cast import CAST_TARGETS
from rnnrt.ops.shape import INT64, constant_ints, given, ints

KINDS = ("dropout", "uniform", "normal")
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: Sequence[Any], key: Sequence[Any]) -> list[np.ndarray]:
    """Four words of 32 bits for each counter of four words under a key of two; all of them held as uint64."""
    c = [np.asarray(word, np.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(10):
        one, two = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (two >> _HALF) ^ c[1] ^ np.uint64(k[0]), two & _LOW, (one >> _HALF) ^ c[3] ^ np.uint64(k[1]), one & _LOW
        ]  # fmt: skip
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def _words(number: int) -> tuple[int, int]:
    return number & 0xFFFFFFFF, number >> 32 & 0xFFFFFFFF


def random_words(seed: int, counter: int, stream: int, blocks: int) -> np.ndarray:
    """(blocks, 4) words of 32 bits as uint64."""
    derived = [int(word) for word in philox((*_words(counter), *_words(stream)), _words(seed))]
    place = np.arange(blocks, dtype=np.uint64)
    return np.stack(philox((place & _LOW, place >> _HALF, *derived[2:]), derived[:2]), -1).reshape(blocks, 4)


def threshold(rate: float) -> int:
    """Elements whose word is at least this are kept."""
    return int(np.rint(rate * 2.0**32))


def kept_value(rate: float) -> float:
    """What a kept element is: the mean stays 1."""
    return 1 / (1 - rate) if rate < 1 else 0.0


@register
class RandomMask(Flat):
    """Random numbers of a shape.

    Input 0 holds (seed, counter), int64; input 1, or the attribute `shape` where it is absent, the shape.

    Attributes
    ----------
    kind : "dropout" (0 with probability `rate`, else 1 / (1 - rate)), "uniform" in [0, 1), or "normal".
    rate : float in [0, 1]
    stream : int
        Tells the nodes of one graph apart.
    to : int
        ONNX's number of the dtype: 1 float32, 11 float64.
    """

    name = "RandomMask"
    internal = True
    attributes: ClassVar[Mapping[str, Any]] = {"kind": "dropout", "rate": 0.0, "shape": (), "stream": 0, "to": 1}
    min_inputs = 1
    max_inputs = 2

    @classmethod
    def _checked(cls, node: Node) -> tuple[str, float, np.dtype]:
        kind, rate, to = cls.attr(node, "kind"), float(cls.attr(node, "rate")), cls.attr(node, "to")
        if kind not in KINDS:
            raise ShapeError(f"{node.label()}: kind {kind!r} is none of {list(KINDS)}")
        if not 0 <= rate <= 1:
            raise ShapeError(f"{node.label()}: rate {rate} is not in [0, 1]")
        if to not in (1, 11):
            raise ShapeError(f"{node.label()}: to={to} is neither 1 (float32) nor 11 (float64)")
        return kind, rate, np.dtype(CAST_TARGETS[to])

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        _, _, dtype = cls._checked(node)
        state = present(node, inputs)
        if state.dtype != INT64 or (state.shape is not None and state.shape not in ((2,), (None,))):
            got = f"{state.dtype} of shape {state.shape}"
            raise ShapeError(f"{node.label()}: input 0 is {got}; it takes (seed, counter), int64 of shape (2,)")
        target = tuple(cls.attr(node, "shape"))
        if given(inputs, 1) is not None:
            values, rank = constant_ints(inputs, 1), present(node, inputs, 1).shape
            if values is None:
                known = rank is not None and len(rank) == 1 and isinstance(rank[0], int)
                return [TensorSpec(dtype, (None,) * rank[0] if known else None)]  # type: ignore[index,operator]
            target = tuple(values)
        if min(target, default=0) < 0:
            raise ShapeError(f"{node.label()}: {target} is not a shape")
        return [TensorSpec(dtype, target)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        kind, rate, dtype = cls._checked(node)
        seed, counter = ints(np.asarray(inputs[0]))
        target = tuple(cls.attr(node, "shape")) if given(inputs, 1) is None else tuple(ints(np.asarray(inputs[1])))
        count = int(np.prod(target, dtype=np.int64))
        per_block = 2 if kind == "uniform" and dtype == np.float64 else 4
        words = random_words(seed, counter, cls.attr(node, "stream"), -(-count // per_block))
        if kind == "dropout":
            out = np.where(words >= np.uint64(threshold(rate)), kept_value(rate), 0)
        elif kind == "uniform" and dtype == np.float64:
            high, low = words[:, ::2] >> np.uint64(5), words[:, 1::2] >> np.uint64(6)
            out = (high.astype(np.float64) * 2.0**26 + low) * 2.0**-53
        elif kind == "uniform":
            out = (words >> np.uint64(8)) * 2.0**-24
        else:
            # Box and Muller: two words make two numbers
            radius = np.sqrt(-2 * np.log((words[:, ::2] + 0.5) * 2.0**-32))
            angle = words[:, 1::2] * (2 * np.pi * 2.0**-32)
            out = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
        return [out.ravel()[:count].astype(dtype).reshape(target)]

    @classmethod
    def lower(
        cls, node: Node, inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec], ctx: LowerContext
    ) -> Sequence[KernelCall] | None:
        kind, rate, _ = cls._checked(node)
        numbers = (KINDS.index(kind), cls.attr(node, "stream"), threshold(rate))
        return [KernelCall("random_mask", (0,), ints=numbers, floats=(kept_value(rate),))]
