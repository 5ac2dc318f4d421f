"""Mutations of .rnnrt containers: of the header of safetensors, and of the graph in it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from fuzz.json_mutations import mutate_json

_KEY = "rnnrt"


def mutate_container(data: bytes, rng: random.Random, words: Sequence[str] = ()) -> bytes:
    """One change to a container.

    Parameters
    ----------
    data : bytes
        A sound file, or one that was changed here before.
    rng : random.Random
    words : sequence of str
        Names of operators.
    """
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if rng.random() < 0.85 and isinstance(metadata, dict) and isinstance(metadata.get(_KEY), str):
        document = json.loads(metadata[_KEY])
        metadata[_KEY] = json.dumps(mutate_json(document, rng, words))
    else:
        header = mutate_json(header, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
