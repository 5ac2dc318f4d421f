"""Mutations of JSON documents: of the configurations of Keras, and of the graphs in containers."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

from fuzz.values import FLOATS, INTS, STRINGS, near, pick

_Place = tuple[Any, Any]
_NESTED = 200


def mutate_json(document: Any, rng: random.Random, words: Sequence[str] = ()) -> Any:
    """A copy with one change somewhere in the tree.

    Parameters
    ----------
    document : object
        What json.loads gave.
    rng : random.Random
    words : sequence of str
        Names that mean something to the reader: of layers, of operators.
    """
    root = [copy.deepcopy(document)]
    places = list(_places(root))
    # Half of the changes are to leaves, which are most of the places, and half to what holds them.
    branches = [p for p in places if isinstance(p[0][p[1]], (dict, list))]
    parent, key = pick(branches if rng.random() < 0.4 else places, rng, (root, 0))
    value = parent[key]
    kind = rng.randrange(8)
    if kind <= 3:
        parent[key] = _instead(value, rng, words, places)
    elif kind == 4 and parent is not root:
        del parent[key]
    elif kind == 5 and isinstance(parent, dict):
        parent[rng.choice((*list(parent), *STRINGS[:4]))] = parent.pop(key)
    elif kind == 6 and isinstance(parent, list) and parent is not root:
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(value))
    else:
        source, at = pick(places, rng, (root, 0))
        parent[key] = copy.deepcopy(source[at])
    return root[0]


def mutate_json_file(data: bytes, rng: random.Random, words: Sequence[str] = ()) -> bytes:
    """As `mutate_json`, for the bytes of a file."""
    return json.dumps(mutate_json(json.loads(data), rng, words)).encode("utf-8", "surrogatepass")


def _places(holder: Any) -> list[_Place]:
    found: list[_Place] = []
    stack = [holder]
    while stack:
        at = stack.pop()
        for key in list(at) if isinstance(at, dict) else range(len(at)):
            found.append((at, key))
            if isinstance(at[key], (dict, list)):
                stack.append(at[key])
    return found


def _instead(value: Any, rng: random.Random, words: Sequence[str], places: Sequence[_Place]) -> Any:
    """Another value, of the same type more often than not."""
    if rng.random() < 0.3:
        return rng.choice((None, True, False, 0, -1, 2**62, 0.5, float("nan"), "", "x", [], {}, [None], [[]], {"a": 1}))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return near(value, rng)
    if isinstance(value, float):
        return rng.choice(FLOATS)
    if isinstance(value, str):
        seen = [p[k] for p, k in places if isinstance(p[k], str)]
        return pick(rng.choice((seen, words, STRINGS)), rng, "x")
    if value is None:
        return rng.choice((*INTS, *FLOATS, "x", [], {}))
    if rng.random() < 0.2:
        for _ in range(rng.choice((1, 5, 40, _NESTED))):
            value = [value] if isinstance(value, list) else {"class_name": "Sequential", "config": {"layers": [value]}}
        return value
    if isinstance(value, list):
        changed = list(value)
        rng.shuffle(changed)
        return rng.choice((changed, value * 2, value[:-1], value[1:], []))
    return {k: v for k, v in value.items() if rng.random() < 0.7}
