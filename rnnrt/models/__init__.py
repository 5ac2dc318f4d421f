"""Models: Sequential and Functional ones as in Keras, and those that files hold."""

from rnnrt.models.checking import Report, check
from rnnrt.models.loading import clone_model, load, load_model, model_from_json
from rnnrt.models.model import Model
from rnnrt.models.running import TensorInfo
from rnnrt.models.sequential import Sequential

__all__ = [
    "Model",
    "Report",
    "Sequential",
    "TensorInfo",
    "check",
    "clone_model",
    "load",
    "load_model",
    "model_from_json",
]
