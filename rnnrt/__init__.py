"""rnnrt: recurrent networks on CPUs.

>>> model = rnnrt.load("model.onnx")        # or .keras, .h5, .rnnrt
>>> y = model(x)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError, StateError, UnsupportedModelError

if TYPE_CHECKING:
    from rnnrt import initializers, layers, models
    from rnnrt.layers import Input
    from rnnrt.models import Model, Sequential, check, load
    from rnnrt.models.streams import StreamPool
    from rnnrt.runtime import Stream

__version__ = "0.1.0"
__all__ = [
    "Input",
    "Model",
    "ModelFormatError",
    "RnnrtError",
    "Sequential",
    "ShapeError",
    "StateError",
    "Stream",
    "StreamPool",
    "UnsupportedModelError",
    "__version__",
    "check",
    "initializers",
    "layers",
    "load",
    "models",
]

# Found at first use, so that a program pays for `import rnnrt` when it runs a model, not when it starts.
_HOMES = {
    "Input": "rnnrt.layers",
    "Model": "rnnrt.models",
    "Sequential": "rnnrt.models",
    "Stream": "rnnrt.runtime",
    "StreamPool": "rnnrt.models.streams",
    "check": "rnnrt.models",
    "load": "rnnrt.models",
}
_MODULES = {
    "backend",
    "callbacks",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "ray",
    "regularizers",
    "serving",
    "torch",
    "utils",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        import_module("rnnrt.models")  # which teaches layers to run on arrays
        try:
            return import_module(f"rnnrt.{name}")
        except ModuleNotFoundError as error:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES) | _MODULES)
