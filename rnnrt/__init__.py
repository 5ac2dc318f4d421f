"""rnnrt: recurrent networks on CPUs.

>>> model = rnnrt.load("model.onnx")        # or .keras, .h5, .rnnrt
>>> y = model(x)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, StateError, UnsupportedModelError

if TYPE_CHECKING:
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

# Found at first use, so that a program pays for `import rnnrt` when it runs a model, not when it starts.
_HOMES = {"Model": "rnnrt.models", "Stream": "rnnrt.runtime", "load": "rnnrt.models"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
