"""rnnrt: recurrent networks on CPUs."""

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, StateError, UnsupportedModelError

__version__ = "0.1.0"
__all__ = ["ModelFormatError", "RnnrtError", "ShapeError", "StateError", "UnsupportedModelError", "__version__"]
