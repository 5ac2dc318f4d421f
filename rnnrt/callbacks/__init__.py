"""Callbacks: what runs between the batches and epochs of `fit`, `evaluate` and `predict`, as in Keras 3."""

from rnnrt.callbacks.base import Callback, CallbackList
from rnnrt.callbacks.gradients import GradientMonitor
from rnnrt.callbacks.loggers import CSVLogger, History
from rnnrt.callbacks.monitor import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from rnnrt.callbacks.progress import ProgbarLogger, ProgressBar
from rnnrt.callbacks.saving import BackupAndRestore, ModelCheckpoint
from rnnrt.callbacks.search import OptunaPruning
from rnnrt.callbacks.simple import LambdaCallback, LearningRateScheduler, TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientMonitor",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "OptunaPruning",
    "ProgbarLogger",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
