"""Serving: requests that share batches, and a server for the Open Inference Protocol.

`Batcher` needs nothing beside rnnrt. `rnnrt.serving.mlserver` needs the extra "serve".
"""

from rnnrt.serving.batcher import Batcher
from rnnrt.serving.errors import (
    BatchError,
    BusySequenceError,
    ClosedError,
    DeadlineError,
    QueueFullError,
    UnknownSequenceError,
)
from rnnrt.serving.metrics import Histogram, Metrics
from rnnrt.serving.sequences import Sequences

__all__ = [
    "BatchError",
    "Batcher",
    "BusySequenceError",
    "ClosedError",
    "DeadlineError",
    "Histogram",
    "Metrics",
    "QueueFullError",
    "Sequences",
    "UnknownSequenceError",
]
