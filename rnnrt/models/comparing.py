"""How far two results may lie apart, and how far they do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

TOLERANCE = 2e-5
"""Largest difference to the float64 reference that still counts as the same result, in float32."""

TOLERANCES: Mapping[str, float] = {"float64": 1e-10}
"""As `TOLERANCE`, for other types of a result."""

SLACK, LOOSEST = 8.0, 1e-2
"""Where numpy itself, in the model's own type, is further off than the tolerance, `SLACK` times what it is off by is
allowed, up to `LOOSEST`: a long recurrence may enlarge what rounding begins with."""


def tolerance_of(dtype: np.dtype, tolerance: float | None = None) -> float:
    """What is allowed for results of this type; `tolerance` is what the user said, if anything."""
    return TOLERANCES.get(dtype.name, TOLERANCE) if tolerance is None else tolerance


def largest_difference(got: np.ndarray, want: np.ndarray) -> float:
    """The largest absolute difference, relative to the largest expected magnitude where that exceeds 1.

    Of float16 what counts is the difference beyond one step of the type: equal results may be rounded either way.
    Infinite where shapes differ, or where only one of both is NaN.
    """
    if got.shape != want.shape:
        return float("inf")
    if got.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
        if got.dtype == np.float16:
            difference = np.maximum(difference - np.spacing(np.abs(got)).astype(np.float64), 0.0)
    difference = np.where(got == want, 0.0, difference)
    if np.any(np.isnan(difference) & ~(np.isnan(got) & np.isnan(want))):
        return float("inf")
    finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind == "f" else np.abs(want.astype(np.float64))
    scale = max(1.0, float(finite.max(initial=0)))
    return float(np.nanmax(difference, initial=0)) / scale


def beyond(got: np.ndarray, exact: np.ndarray, rough: np.ndarray, tolerance: float) -> tuple[float, float]:
    """The difference and what is allowed, for a result that is further from the float64 one than `tolerance`.

    Parameters
    ----------
    got, exact, rough : ndarray
        The result in question, the float64 reference's, and that of the same reference in the model's own type.
    tolerance : float
    """
    if (own := largest_difference(got, rough)) <= tolerance:
        return own, tolerance
    inherent = SLACK * largest_difference(rough, exact)
    return largest_difference(got, exact), max(tolerance, min(inherent, LOOSEST))
