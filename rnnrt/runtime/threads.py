"""How many threads a run may use."""

from __future__ import annotations

import os
from pathlib import Path

from rnnrt.errors import RnnrtError

_VARIABLE = "RNNRT_NUM_THREADS"


def available_processors() -> int:
    """Processors this process may use: the affinity mask, cut by the control group's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has affinity masks
        count = os.cpu_count() or 1
    quota = _quota()
    return max(1, count if quota is None else min(count, quota))


def thread_count(asked: int | None = None) -> int:
    """The number of threads for a model.

    Parameters
    ----------
    asked : int, optional
        What the caller wants; by default RNNRT_NUM_THREADS, or else every processor available.

    Raises
    ------
    RnnrtError
        The number is not a positive integer.
    """
    where, given = ("threads", asked) if asked is not None else (_VARIABLE, os.environ.get(_VARIABLE) or None)
    if given is None:
        return available_processors()
    try:
        count = int(given)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise RnnrtError(f"{where}={given!r} is not a number of threads; give 1 or more")
    return count


def _quota() -> int | None:
    """Whole processors that the control group grants, rounded up; None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        quota_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return -(-quota_us // period_us) if quota_us > 0 and period_us > 0 else None
