"""What a batcher refuses, and why."""

from __future__ import annotations

from rnnrt.errors import RnnrtError


class QueueFullError(RnnrtError):
    """As many requests wait as may wait; try again later, or give the batcher a larger `max_queue`."""


class DeadlineError(RnnrtError):
    """A request's deadline passed before its answer was there."""


class ClosedError(RnnrtError):
    """The batcher is closed, or was closed before the request had its answer."""


class UnknownSequenceError(RnnrtError):
    """A sequence was never started, has ended, or was dropped after too long a pause."""


class BusySequenceError(RnnrtError):
    """A sequence got its next piece before the answer to the last one was there."""


class BatchError(RnnrtError):
    """A batch ended in an error that nobody foresaw; its requests are not to blame."""


_STATUS = {
    UnknownSequenceError: 404,
    BusySequenceError: 409,
    QueueFullError: 429,
    BatchError: 500,
    ClosedError: 503,
    DeadlineError: 504,
}


def status_of(error: RnnrtError) -> int:
    """HTTP's word for an error; 400 for all that a request causes by what it holds."""
    return _STATUS.get(type(error), 400)
