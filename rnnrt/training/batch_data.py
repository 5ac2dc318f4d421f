"""What is asked of data before a network sees it: arrays of one length, finite, in the order of inputs and outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError

Batch = tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray] | None]
"""Inputs, targets (none: an empty list), and a weight array for each target, or None."""

Labelled = dict[str, np.ndarray]
"""Arrays by what messages call them: ``x``, ``x[1]``, ``y['out']``."""

_CHUNK = 1 << 20


def is_array(value: Any) -> bool:
    """Whether something is an array, or knows how to become one (tensors, data frames)."""
    return isinstance(value, np.ndarray) or hasattr(value, "__array__")


def labelled(value: Any, names: Sequence[str] | None, label: str) -> Labelled:
    """Arrays out of an array, a list or tuple of arrays, or a dict of arrays by name.

    Raises
    ------
    ShapeError
        Something in it is no array of numbers with an axis of rows, or names do not agree with `names`.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        if names is None:
            raise ShapeError(f"{label} is a dict, but there are no names to order it by; give a list of arrays")
        if missing := [name for name in names if name not in value]:
            raise ShapeError(f"{label} has no array for {', '.join(missing)}; it has {', '.join(map(str, value))}")
        if unknown := [str(name) for name in value if name not in names]:
            raise ShapeError(f"{label} has arrays of unknown names: {', '.join(unknown)}; known are {', '.join(names)}")
        return {f"{label}[{name!r}]": _array(value[name], f"{label}[{name!r}]") for name in names}
    if isinstance(value, list | tuple):
        if not value:
            raise ShapeError(f"{label} is an empty {type(value).__name__}; give at least one array")
        for position, item in enumerate(value):
            if not is_array(item):
                raise ShapeError(
                    f"{label}[{position}] is a {type(item).__name__}; a {type(value).__name__} holds one array for "
                    f"each input or output. Nested lists of numbers go through numpy.asarray({label}) first"
                )
        return {f"{label}[{position}]": _array(item, f"{label}[{position}]") for position, item in enumerate(value)}
    return {label: _array(value, label)}


def _array(value: Any, label: str) -> np.ndarray:
    if not is_array(value):
        raise ShapeError(f"{label} is a {type(value).__name__}; give a NumPy array")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{label} is of type {array.dtype}; give numbers or bools")
    if array.ndim == 0:
        raise ShapeError(f"{label} is a single number; the first axis of an array is that of the rows")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_rows(*groups: Labelled) -> int:
    """The number of rows that all arrays have.

    Raises
    ------
    ShapeError
        There are none, or numbers differ.
    """
    counts = {label: len(array) for group in groups for label, array in group.items()}
    if len(set(counts.values())) > 1:
        (first, rows), *others = counts.items()
        told = ", ".join(f"{label} {count}" for label, count in others)
        raise ShapeError(f"{first} has {rows} rows, {told}; all must have the same number of rows")
    if not any(counts.values()):
        raise ShapeError(f"{', '.join(counts) or 'x'}: there are no rows; give at least one")
    return next(iter(counts.values()))


def check_finite(*groups: Labelled) -> None:
    """Refuse NaN and infinity: one pass over the data.

    Raises
    ------
    ShapeError
        Names the first position.
    """
    for group in groups:
        for label, array in group.items():
            at = _first_not_finite(array)
            if at is not None:
                raise ShapeError(
                    f"{label}[{', '.join(map(str, at))}] is {array[at]}: a network cannot learn from NaN or infinity; "
                    "drop or fill such values"
                )


def _first_not_finite(array: np.ndarray) -> tuple[int, ...] | None:
    if array.dtype.kind != "f":
        return None
    rows = max(1, _CHUNK // max(1, math.prod(array.shape[1:])))
    with np.errstate(all="ignore"):
        for begin in range(0, len(array), rows):
            part = array[begin : begin + rows]
            # A sum has no temporary; it is finite only if all are, though large finite numbers may exceed it.
            if np.isfinite(part.sum()):
                continue
            wrong = np.argwhere(~np.isfinite(part))
            if len(wrong):
                row, *rest = (int(i) for i in wrong[0])
                return (begin + row, *rest)
    return None


def weights_of(
    targets: Labelled,
    sample_weight: Any,
    class_weight: Mapping[int, float] | None,
    output_names: Sequence[str] | None = None,
    sparse: bool | None = None,
) -> Labelled:
    """A weight array for each target, or nothing.

    Parameters
    ----------
    targets : dict of str to ndarray
    sample_weight : array, list, tuple, dict or None
        One array for each output, or one alone of shape (rows,) for all.
    class_weight : mapping of int to float, optional
        For a network with one output.
    sparse : bool, optional
        Whether targets are class numbers; see `class_weights`.

    Raises
    ------
    ShapeError
        Weights do not suit the targets.
    RnnrtError
        `class_weight` is not understood, or lacks a class.
    """
    weights = labelled(sample_weight, output_names, "sample_weight")
    if weights and not targets:
        raise ShapeError("sample_weight is given, but y is not; weights belong to targets")
    if len(weights) == 1 and len(targets) > 1 and is_array(sample_weight):
        (alone,) = weights.values()
        if math.prod(alone.shape[1:]) != 1:
            raise ShapeError(
                f"sample_weight of shape {alone.shape} for {len(targets)} outputs; give one array for each output, or "
                "one of shape (rows,) for all"
            )
        weights = {f"sample_weight for {label}": alone for label in targets}
    if weights and len(weights) != len(targets):
        raise ShapeError(f"there are {len(weights)} arrays of sample_weight for {len(targets)} of y; give one for each")
    if weights:
        check_rows(targets, weights)
    if class_weight is None:
        return weights
    if len(targets) != 1:
        raise RnnrtError("`class_weight` is only supported for Models with a single output; use sample_weight")
    (target,) = targets.values()
    by_class = class_weights(target, class_weight, sparse)
    if not weights:
        return {"class_weight": by_class}
    ((label, given),) = weights.items()
    if given.ndim == 2 and given.shape[1] == 1 and by_class.ndim == 1:
        given = given[:, 0]
    axes = max(given.ndim, by_class.ndim)
    given, by_class = (w.reshape(*w.shape, *[1] * (axes - w.ndim)) for w in (given, by_class))
    try:
        return {label: (given * by_class).astype(np.float32)}
    except ValueError:
        raise ShapeError(f"{label} of shape {given.shape} does not suit targets of shape {target.shape}") from None


def class_weights(targets: np.ndarray, class_weight: Mapping[int, float], sparse: bool | None = None) -> np.ndarray:
    """The weight of each target's class.

    Parameters
    ----------
    targets : ndarray
        Class numbers (rows,), (rows, 1) or (rows, steps[, 1]), or rows with one entry for each class,
        (rows, classes) or (rows, steps, classes): the largest counts.
    class_weight : mapping of int to float
    sparse : bool, optional
        Whether a last axis longer than 1 is one of class numbers. Default: it is if the numbers are integers that
        are not rows with one 1 and zeros.

    Returns
    -------
    ndarray of float32, (rows,) or (rows, steps)

    Raises
    ------
    RnnrtError
        `class_weight` has something else than class numbers and weights of at least 0, or lacks a class.
    """
    try:
        table = {int(number): float(weight) for number, weight in class_weight.items()}
    except (AttributeError, TypeError, ValueError):
        raise RnnrtError(f"class_weight={class_weight!r:.80}: give a dict of class numbers and weights") from None
    for number, weight in table.items():
        if not 0 <= weight < math.inf:
            raise RnnrtError(f"class_weight[{number}] is {weight}; weights are 0 or more, and finite")
    if targets.ndim > 1 and targets.shape[-1] == 1:
        targets = targets[..., 0]
    elif targets.ndim > 1 and not (_is_sparse(targets) if sparse is None else sparse):
        targets = targets.argmax(-1)
    numbers, places = np.unique(np.round(targets).astype(np.int64), return_inverse=True)
    if lacking := [int(number) for number in numbers if int(number) not in table]:
        raise RnnrtError(
            f"class_weight has no weight for class {', '.join(map(str, lacking[:10]))}, which y has; "
            f"it has {', '.join(map(str, sorted(table)))}"
        )
    return np.array([table[int(n)] for n in numbers], np.float32)[places].reshape(targets.shape)


def _is_sparse(targets: np.ndarray) -> bool:
    if targets.dtype.kind not in "iu":
        return False
    return not (((targets == 0) | (targets == 1)).all() and (targets.sum(-1) == 1).all())


def split_validation(arrays: Any, fraction: float) -> tuple[Any, Any]:
    """Split off the last rows, for validation.

    Parameters
    ----------
    arrays : nested tuples, lists and dicts of arrays and None
        Such as ``(x, y, sample_weight)``.
    fraction : float within (0, 1)
        Of the rows; the first ``floor(rows * (1 - fraction))`` stay.

    Returns
    -------
    first, last
        Of the same structure; views.

    Raises
    ------
    RnnrtError
        `fraction` is out of its range.
    ShapeError
        One part would be empty, or numbers of rows differ.
    """
    if not isinstance(fraction, float | int) or not 0 < fraction < 1:
        raise RnnrtError(f"validation_split={fraction!r}: give a fraction between 0 and 1")
    leaves: Labelled = {}
    _collect(arrays, "", leaves)
    rows = check_rows(leaves)
    at = math.floor(rows * (1.0 - fraction))
    if at == 0 or at == rows:
        raise ShapeError(
            f"validation_split={fraction} of {rows} rows leaves {at} for training and {rows - at} for validation; "
            "change it, or give validation_data"
        )
    return _cut(arrays, slice(0, at)), _cut(arrays, slice(at, None))


def _collect(value: Any, label: str, leaves: Labelled) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            _collect(item, f"{label}[{name!r}]", leaves)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            named = ("x", "y", "sample_weight")[position] if not label and position < 3 else f"{label}[{position}]"
            _collect(item, named, leaves)
    elif value is not None:
        if not is_array(value):
            raise ShapeError(
                f"validation_split needs arrays, and {label or 'x'} is a {type(value).__name__}; give validation_data"
            )
        leaves[label or "x"] = _array(value, label or "x")


def _cut(value: Any, rows: slice) -> Any:
    if isinstance(value, Mapping):
        return {name: _cut(item, rows) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cut(item, rows) for item in value)
    return None if value is None else np.asarray(value)[rows]
