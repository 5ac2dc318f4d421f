"""Custom layers and functions of Keras files: what the user gives in `custom_objects` stands for them.

A file names a custom layer and holds its configuration and its weights, but not its code, which is never run. Under
that name the user gives one of these:

- a class derived from `rnnrt.layers.Layer`: it is made by its `from_config`, as in Keras;
- a function `build(**config)`, or `build(config)` where its only parameter has that name, which gives a layer, a
  Sequential or a Model of rnnrt's layers, or a function of symbolic tensors where there are no weights;
- for an activation, a function of one symbolic tensor.

What every layer has (`name`, `trainable`, `dtype`, `activity_regularizer`) is handed to a function that takes it.

Weights go by the structure of the layer where the file has the same: attributes of the same names in .keras, the same
number of weights in .h5. Otherwise a layer that has all its weights itself, without layers inside, hands them on in
its order. Each array is checked against the shape that configuration and input ask for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rnnrt.errors import RnnrtError
from rnnrt.layers import Layer
from rnnrt.layers.custom import Custom
from rnnrt.registry import custom_object

if TYPE_CHECKING:
    from rnnrt.formats.keras_arguments import Context

HINT = "give what stands for it: rnnrt.load(path, custom_objects={name: class or function})"
"""What to do about custom code."""

_BASE = ("name", "trainable", "dtype", "activity_regularizer")


def given_for(spec: Mapping[str, Any]) -> Any:
    """What the user gave for a layer or function by the names that a file has for it, or None."""
    config = spec.get("config")
    function = config if isinstance(config, str) else None
    return custom_object(spec.get("registered_name"), spec.get("class_name"), function)


def layer_of(build: Callable[..., Any], kind: str, config: Mapping[str, Any], label: str, context: Context) -> Layer:
    """The layer that the user's class or function makes of a configuration; `kind` is the class that the file names.

    Raises
    ------
    RnnrtError
        It does not take the configuration, fails, or gives something else than a layer or a function.
    """
    name = str(config.get("name"))
    try:
        made = _made(build, dict(config))
    except RnnrtError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise RnnrtError(f"{context.source}: {label}: what custom_objects has for it failed: {what}") from error
    made = getattr(made, "network", made)  # of a model
    if callable(made) and not isinstance(made, Layer):
        made = Custom(made, dtype=config.get("dtype"))
    if not isinstance(made, Layer):
        raise RnnrtError(
            f"{context.source}: {label}: what custom_objects has for it gives {type(made).__name__}; "
            "let it give a layer, a model, or a function of symbolic tensors"
        )
    made.name = name
    made.stands_for = kind.rpartition(">")[2]
    if made.activity_regularizer is None:
        made.activity_regularizer = config.get("activity_regularizer")
    if not config.get("trainable", True):
        made.trainable = False
    return made


def _made(build: Callable[..., Any], config: dict[str, Any]) -> Any:
    if inspect.isclass(build) and hasattr(build, "from_config"):
        return build.from_config(config)  # type: ignore[attr-defined]
    parameters = inspect.signature(build).parameters
    if list(parameters) == ["config"]:
        return build(config)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [key for key in config if key not in parameters and not takes_all]
    refused = [key for key in unknown if key not in _BASE]
    if refused:
        raise TypeError(f"it takes {list(parameters)}, the configuration also has {refused}")
    return build(**{key: value for key, value in config.items() if key not in unknown})
