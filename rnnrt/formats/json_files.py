"""JSON files of networks: reading them with care, and telling whose they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rnnrt.errors import ModelFormatError


def read_document(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    ModelFormatError
        The file is not whole JSON, holds no object, a key twice, or NaN and the like, which JSON does not have.
    """
    label = os.fspath(path)

    def refuse(word: str) -> NoReturn:
        raise ModelFormatError(f"{label}: holds {word}, which is no number of JSON; train the network anew")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ModelFormatError(f"{label}: has a key twice in one place, among {sorted(found)[:10]}; leave one")
        return found

    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    except OSError as error:
        raise ModelFormatError(f"{label}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ModelFormatError(f"{label}: nested too deeply") from None
    except ValueError as error:
        raise ModelFormatError(f"{label}: is text that is no whole JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise ModelFormatError(f"{label}: is JSON of a {type(value).__name__}, not a model")
    return value


def maker_of(document: Mapping[str, Any]) -> str:
    """Whose form a document has: "rtneural", "guitarml", "state_dict", "keras" or "unknown"."""
    if "class_name" in document and "config" in document:
        return "keras"
    if "in_shape" in document and "layers" in document:
        return "rtneural"
    if "model_data" in document and "state_dict" in document:
        return "guitarml"
    return "state_dict" if _tensors_of(document) else "unknown"


def _tensors_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """A state_dict, by itself or under that key; empty where there is none."""
    inner = document.get("state_dict", document)
    if not isinstance(inner, dict) or not any(isinstance(v, list) for v in inner.values()):
        return {}
    # a tensor without axes, such as num_batches_tracked, is a number
    return dict(inner) if all(isinstance(v, list) or type(v) in (int, float) for v in inner.values()) else {}


def state_dict_in(document: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The lists of a state_dict by name.

    Raises
    ------
    ModelFormatError
        There are none.
    """
    tensors = _tensors_of(document)
    if not tensors:
        keys = [str(k)[:40] for k in list(document)[:10]]
        raise ModelFormatError(f"{label}: has no state_dict, lists of numbers by name; it has the keys {keys}")
    return tensors


def float_array(value: Any, what: str) -> np.ndarray:
    """Nested lists of numbers as float32.

    Raises
    ------
    ModelFormatError
        They are ragged, or hold something else than numbers that are finite in float32.
    """
    try:
        array = np.array(value)
    except (ValueError, OverflowError, TypeError):
        array = np.array(None)
    if array.dtype.kind not in "fiu" or (isinstance(value, list) and not array.size):
        raise ModelFormatError(f"{what} is {str(value)[:40]!r}...; it has to be lists of numbers, all of one length")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ModelFormatError(f"{what} holds numbers too large for float32; train the network anew")
    return array
