"""Serving: requests that share batches, and a server for the Open Inference Protocol.

`Batcher` needs nothing beside rnnrt. `rnnrt.serving.mlserver` needs the extra "serve".
"""

from rnnrt.serving.batcher import Batcher
from rnnrt.serving.errors import (
    BusySequenceError,
    ClosedError,
    DeadlineError,
    QueueFullError,
    UnknownSequenceError,
)
from rnnrt.serving.metrics import Histogram, Metrics

__all__ = [
    "Batcher",
    "BusySequenceError",
    "ClosedError",
    "DeadlineError",
    "Histogram",
    "Metrics",
    "QueueFullError",
    "UnknownSequenceError",
]
