"""What reading any Keras configuration shares: the findings so far, inputs, dtypes, and what is custom code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.layers import InputSpec

_OWN_MODULES = {"keras", "tf_keras", "tensorflow", "builtins", "keras_core"}
_PLAIN_POLICIES = {"DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1"}
_INTEGERS = {"bool", "int32", "int64", "uint8"}
_FLOAT_POLICIES = {"_infer", "infer", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float32"}


@dataclass
class Context:
    """What reading a configuration needs to know, and the reasons against the model found so far.

    With `is_file` a model must tell the shape of its input, for its weights are there. `notes` says what was read
    over because it changes no output. `version` is that of Keras, where it is known, and `backend` what it ran on.
    """

    source: str
    legacy: bool
    reasons: list[str] = field(default_factory=list)
    depth: int = 0
    is_file: bool = True
    version: str = ""
    backend: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def is_first(self) -> bool:
        """Whether Keras 1 wrote this: its versions 0.3 and 1, also where no version is told."""
        return self.legacy and self.version.split(".")[0] in ("0", "1")

    @property
    def old_masking(self) -> str:
        """What a recurrent layer does at masked steps in Keras before it became a part of TensorFlow; "" otherwise."""
        numbers = (1,) if self.is_first else _numbers(self.version)
        if not self.legacy or "tf" in self.version or numbers > (2, 3, 1):
            return ""
        return "hold" if numbers < (2, 3) and self.backend != "theano" else "repeat"

    @classmethod
    def of_version(cls, source: str, version: str, backend: str = "", is_file: bool = True) -> Context:
        """What a file or a text of that version of Keras needs."""
        return cls(source, is_legacy(version), is_file=is_file, version=version, backend=backend)


def is_legacy(version: str) -> bool:
    """Whether that version of Keras is before 3; a file that does not tell is old."""
    digits = version.split(".")[0]
    return not (digits.isdigit() and int(digits) >= 3)


def _numbers(version: str) -> tuple[int, ...]:
    parts = [p for p in version.split("-")[0].split(".") if p.isdigit()]
    return tuple(int(p) for p in parts[:3]) or (9,)


def input_spec(name: str, config: Mapping[str, Any], context: Context) -> InputSpec:
    """The input that an InputLayer's configuration declares; the batch is always free.

    Raises
    ------
    ModelFormatError
        The shape is missing or is not made of positive integers and null.
    """
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if shape is None and isinstance(config.get("shape"), list):
        shape = [None, *config["shape"]]
    valid = isinstance(shape, (list, tuple)) and len(shape) >= 1
    if not valid or any(d is not None and (type(d) is not int or d < 0) for d in shape):
        raise ModelFormatError(f"{context.source}: input {name!r} has no valid shape: {shape!r}")
    kind = config.get("dtype") or "float32"
    label = f"input {name!r}"
    if kind in ("int32", "int64", "bool"):
        dtype = np.dtype(kind)
    elif kind in ("uint8", "int8", "int16", "uint16"):
        dtype = np.dtype(np.int32)
    else:
        dtype = np.dtype(float_dtype(kind, label, context))
    for flag in ("sparse", "ragged"):
        if config.get(flag):
            context.reasons.append(f"{label}: {flag}=True; give it dense arrays and save it with {flag}=False")
    return InputSpec(name, (None, *shape[1:]), dtype)


def float_dtype(value: Any, label: str, context: Context) -> str:
    """float32 or float64 for a dtype or policy of Keras: half precision is computed in float32."""
    given = value
    if isinstance(value, Mapping):
        inner = value.get("config", {})
        plain = value.get("class_name") in _PLAIN_POLICIES and isinstance(inner, Mapping)
        value = inner.get("name") if plain else "unknown"
    if not isinstance(value, (str, type(None))):
        value = "unknown"
    if value is None or value in _FLOAT_POLICIES or value in _INTEGERS:
        return "float32"
    if value == "float64":
        return "float64"
    what = f"dtype {str(given)[:80]!r} is not known to rnnrt"
    context.reasons.append(f"{label}: {what}; save the model in float32, without quantisation")
    return "float32"


def is_custom(spec: Mapping[str, Any]) -> bool:
    """Whether a configuration names a class or function that is not Keras's own."""
    module, registered = spec.get("module"), spec.get("registered_name")
    if isinstance(module, str) and module.split(".")[0] not in _OWN_MODULES:
        return True
    # Keras writes no module for a class that was defined within a function or a script.
    nowhere = "module" in spec and module is None
    return isinstance(registered, str) and (">" in registered or nowhere)


def check_theano(kind: str, arguments: Mapping[str, Any], label: str, context: Context) -> None:
    """Refuse padding that Theano puts elsewhere: half a window at both ends, where TensorFlow fills up the rest."""
    if context.backend != "theano" or arguments.get("padding") != "same" or not kind.endswith("1D"):
        return
    size, step, apart = (
        v[0] if isinstance(v := arguments.get(key, 1), list) else v
        for key in ("kernel_size", "strides", "dilation_rate")
    )
    if kind.startswith("Conv") and step == 1 and (size - 1) * apart % 2 == 0:
        return
    context.reasons.append(
        f"{label}: padding='same' of the Theano backend lies elsewhere than that of others for this window and stride; "
        "use an odd window and stride 1, or padding='valid' behind ZeroPadding1D"
    )
