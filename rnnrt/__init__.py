"""rnnrt: recurrent networks on CPUs.

>>> model = rnnrt.load("model.onnx")        # or .keras, .h5, .rnnrt
>>> y = model(x)
"""

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, StateError, UnsupportedModelError
from rnnrt.models import Model, load
from rnnrt.runtime import Stream

__version__ = "0.1.0"
__all__ = [
    "Model",
    "ModelFormatError",
    "RnnrtError",
    "ShapeError",
    "StateError",
    "Stream",
    "UnsupportedModelError",
    "__version__",
    "load",
]
