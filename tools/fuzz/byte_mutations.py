"""Mutations of a file as a string of bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence


def mutate_bytes(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One change: bytes flipped, overwritten, inserted, deleted, doubled or cut off, or two files spliced.

    Parameters
    ----------
    data : bytes
    rng : random.Random
    others : sequence of bytes
        Files that parts may be taken from.
    """
    if not data:
        return rng.randbytes(8)
    out = bytearray(data)
    at, length = _place(len(out), rng), 1 << rng.randrange(8)
    kind = rng.choice(("flip", "flip", "set", "range", "insert", "delete", "double", "cut", "splice", "number"))
    if kind == "flip":
        for _ in range(rng.randrange(1, 5)):
            out[(at + rng.randrange(length)) % len(out)] ^= 1 << rng.randrange(8)
    elif kind == "set":
        out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == "range":
        out[at : at + length] = rng.randbytes(len(out[at : at + length]))
    elif kind == "insert":
        out[at:at] = rng.randbytes(length)
    elif kind == "delete":
        del out[at : at + length]
    elif kind == "double":
        out[at:at] = out[at : at + length]
    elif kind == "cut":
        del out[at:]
    elif kind == "number":
        size = rng.choice((4, 8))
        value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, len(out), len(out) * 1000)) % (1 << 8 * size)
        out[at : at + size] = value.to_bytes(size, "little")
    elif others:
        other = others[rng.randrange(len(others))]
        return bytes(out[:at]) + other[_place(len(other), rng) if other else 0 :]
    return bytes(out)


def _place(size: int, rng: random.Random) -> int:
    """A position; half of them near an end, where most formats keep their structure."""
    if size < 2:
        return 0
    span = size if rng.random() < 0.5 else min(size, 4000)
    at = rng.randrange(span)
    return at if rng.random() < 0.6 else size - 1 - at
