"""torch's layers by name: what each takes from a state_dict, and the rnnrt layers that compute the same.

Equations and layouts are those of the documentation of torch.nn. B batch, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

import rnnrt.layers as own
from rnnrt.errors import RnnrtError, UnsupportedModelError
from rnnrt.formats.state_dict import StateDict
from rnnrt.layers import Layer
from rnnrt.layers.symbolic import KerasTensor

Arrays = dict[str, np.ndarray]


@dataclass
class Flow:
    """A network as far as it is built: the tensor that the next layer gets, and further inputs and outputs."""

    x: KerasTensor
    dtype: str
    inputs: list[KerasTensor] = field(default_factory=list)
    outputs: list[KerasTensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class TorchLayer:
    """Base of torch's layers; `name` is what stands before the layer's tensors in the state_dict."""

    needs_arrays: ClassVar[bool] = False
    keeps_shape: ClassVar[bool] = True

    @property
    def kind(self) -> str:
        """The class's name."""
        return type(self).__name__

    def label(self) -> str:
        """How messages name the layer."""
        name = getattr(self, "name", None)
        return f"{self.kind}({'' if name is None else repr(name)})"

    def unsupported(self, what: str, do: str) -> UnsupportedModelError:
        """The error of an argument that cannot be had exactly."""
        return UnsupportedModelError(self.label(), [f"{self.label()}: {what}; {do}"])

    def prefix(self) -> str:
        """What stands before the names of the layer's tensors."""
        name = getattr(self, "name", "")
        return f"{name}." if name else ""

    def layer_name(self, position: int) -> str:
        """The name of the rnnrt layer."""
        return str(getattr(self, "name", "") or f"{self.kind.lower()}_{position}").replace("/", "_")

    def read(self, state: StateDict) -> Any:
        """What the layer is made of; what does not fit goes to the state_dict's problems."""
        return None

    def input_shape(self, made: Any, has_time: bool) -> tuple[int | None, ...] | None:
        """The shape that the layer needs of its input, without the first axis; None where any will do."""
        return None

    def integer_input(self) -> bool:
        """Whether the input holds indices."""
        return False

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        """The rnnrt layer, with its weights."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def build(self, made: Any, flow: Flow, name: str, known: dict[int, Any]) -> None:
        """Call the layer on what has been built; `known` holds the layers that were built by what describes them."""
        if id(self) not in known:
            known[id(self)] = self.make(made, name, flow.dtype)
        flow.x = known[id(self)](flow.x)


def filled(layer: Layer, arrays: Arrays) -> Layer:
    """The layer with those weights."""
    for name, array in arrays.items():
        layer.put_array(name, np.ascontiguousarray(array))
    return layer


@dataclass(frozen=True, eq=False)
class Named(TorchLayer):
    """A layer with tensors."""

    needs_arrays: ClassVar[bool] = True
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise RnnrtError(
                f"{self.kind}: its first argument is the name before its tensors in the state_dict, such as 'fc'; "
                f"got {self.name!r}; sizes are read from the tensors"
            )


@dataclass(frozen=True, eq=False)
class Linear(Named):
    """y = x W^T + b; tensors weight (outputs, inputs) and, where it has one, bias (outputs,)."""

    keeps_shape: ClassVar[bool] = False

    def read(self, state: StateDict) -> Arrays:
        weight = state.take(self.prefix() + "weight", (None, None))
        bias = state.take(self.prefix() + "bias", (None if weight is None else len(weight),), required=False)
        if weight is None:
            return {}
        return {"kernel": weight.T} | ({} if bias is None else {"bias": bias})

    def input_shape(self, made: Arrays, has_time: bool) -> tuple[int | None, ...]:
        size = made["kernel"].shape[0]
        return (None, size) if has_time else (size,)

    def make(self, made: Arrays, name: str, dtype: str) -> Layer:
        layer = own.Dense(made["kernel"].shape[1], use_bias="bias" in made, name=name, dtype=dtype)
        return filled(layer, made)


@dataclass(frozen=True, eq=False)
class Embedding(Named):
    """Rows of a table by integer; tensor weight (rows, features). `padding_idx` changes training alone."""

    keeps_shape: ClassVar[bool] = False

    def read(self, state: StateDict) -> Arrays:
        weight = state.take(self.prefix() + "weight", (None, None))
        return {} if weight is None else {"embeddings": weight}

    def input_shape(self, made: Arrays, has_time: bool) -> tuple[int | None, ...]:
        return (None,)

    def integer_input(self) -> bool:
        return True

    def make(self, made: Arrays, name: str, dtype: str) -> Layer:
        rows, features = made["embeddings"].shape
        return filled(own.Embedding(rows, features, name=name, dtype=dtype), made)


@dataclass(frozen=True, eq=False)
class LayerNorm(Named):
    """(x - mean) / sqrt(variance + eps) over the last axes, times weight, plus bias; both have these axes' shape."""

    eps: float = 1e-5

    def read(self, state: StateDict) -> Arrays:
        rank = max(1, state.rank(self.prefix() + "weight"))
        weight = state.take(self.prefix() + "weight", (None,) * rank)
        shape = (None,) * rank if weight is None else weight.shape
        bias = state.take(self.prefix() + "bias", shape, required=False)
        if weight is None:
            return {}
        return {"gamma": weight} | ({} if bias is None else {"beta": bias})

    def input_shape(self, made: Arrays, has_time: bool) -> tuple[int | None, ...]:
        shape = made["gamma"].shape
        return (None, *shape) if has_time and len(shape) == 1 else shape

    def make(self, made: Arrays, name: str, dtype: str) -> Layer:
        axes = [-k for k in range(made["gamma"].ndim, 0, -1)]
        layer = own.LayerNormalization(
            axes[0] if len(axes) == 1 else axes, self.eps, center="beta" in made, name=name, dtype=dtype
        )
        return filled(layer, made)


@dataclass(frozen=True, eq=False)
class BatchNorm1d(Named):
    """(x - running_mean) / sqrt(running_var + eps), times weight, plus bias, on axis 1 of (B, C) or (B, C, T)."""

    eps: float = 1e-5

    def read(self, state: StateDict) -> Arrays:
        p = self.prefix()
        mean = state.take(p + "running_mean", (None,))
        size = None if mean is None else len(mean)
        variance = state.take(p + "running_var", (size,))
        affine = state.has(p + "weight") or state.has(p + "bias")
        weight, bias = (state.take(p + key, (size,), required=affine) for key in ("weight", "bias"))
        state.skip(p + "num_batches_tracked")
        found = {"gamma": weight, "beta": bias, "moving_mean": mean, "moving_variance": variance}
        return {key: a for key, a in found.items() if a is not None}

    def input_shape(self, made: Arrays, has_time: bool) -> tuple[int | None, ...]:
        size = made["moving_mean"].shape[0]
        return (size, None) if has_time else (size,)

    def make(self, made: Arrays, name: str, dtype: str) -> Layer:
        # torch's momentum is the weight of the new value, Keras's that of the old one.
        affine = "gamma" in made
        layer = own.BatchNormalization(1, 0.9, self.eps, center=affine, scale=affine, name=name, dtype=dtype)
        return filled(layer, made)


@dataclass(frozen=True, eq=False)
class Conv1d(Named):
    """A convolution along the last axis of (B, C, T); tensors weight (filters, C / groups, width), bias (filters,)."""

    keeps_shape: ClassVar[bool] = False
    stride: int = 1
    padding: int | str = 0
    dilation: int = 1
    groups: int = 1

    def read(self, state: StateDict) -> Arrays:
        weight = state.take(self.prefix() + "weight", (None, None, None))
        bias = state.take(self.prefix() + "bias", (None if weight is None else len(weight),), required=False)
        if weight is not None and len(weight) % self.groups:
            state.problems.append(f"{self.label()}: {len(weight)} filters do not divide into groups={self.groups}")
        if weight is None:
            return {}
        return {"kernel": weight.transpose(2, 1, 0)} | ({} if bias is None else {"bias": bias})

    def input_shape(self, made: Arrays, has_time: bool) -> tuple[int | None, ...]:
        return (made["kernel"].shape[1] * self.groups, None)

    def build(self, made: Arrays, flow: Flow, name: str, known: dict[int, Any]) -> None:
        padded = isinstance(self.padding, int) and self.padding > 0
        if padded:
            # rnnrt pads along the middle axis
            flow.x = own.Permute((2, 1), name=f"{name}_steps")(flow.x)
            flow.x = own.ZeroPadding1D(int(self.padding), name=f"{name}_padded")(flow.x)
            flow.x = own.Permute((2, 1), name=f"{name}_channels")(flow.x)
        super().build(made, flow, name, known)

    def make(self, made: Arrays, name: str, dtype: str) -> Layer:
        if self.padding not in ("same", "valid") and (not isinstance(self.padding, int) or self.padding < 0):
            raise self.unsupported(f"padding={self.padding!r}", "use a number, 'same' or 'valid'")
        if self.padding == "same" and self.stride != 1:
            raise self.unsupported("padding='same' with strides, which torch has not", "give the padding as a number")
        width, _, filters = made["kernel"].shape
        layer = own.Conv1D(
            filters, width, self.stride, "same" if self.padding == "same" else "valid", "channels_first",
            self.dilation, self.groups, use_bias="bias" in made, name=name, dtype=dtype,
        )  # fmt: skip
        return filled(layer, made)


def layer_from(value: Any, classes: dict[str, Callable[..., TorchLayer]]) -> TorchLayer:
    """A layer from itself, from {"type": "LSTM", "name": "rnn", ...}, or from ("rnn", {"type": "LSTM", ...}).

    Raises
    ------
    RnnrtError
        It is none of these, or has arguments that the class does not take.
    """
    if isinstance(value, TorchLayer):
        return value
    if isinstance(value, type) and issubclass(value, TorchLayer):
        return layer_from({"type": value.__name__}, classes)
    if isinstance(value, str):
        value = {"type": value}
    if isinstance(value, Sequence) and len(value) == 2 and isinstance(value[1], dict):
        value = {"name": value[0], **value[1]}
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise RnnrtError(
            f"layers: {str(value)[:80]!r} is no layer; give rnnrt.torch's, or what says {{'type': 'LSTM', 'name': ...}}"
        )
    kind, arguments = value["type"], {str(k): v for k, v in value.items() if k != "type"}
    if kind not in classes:
        raise RnnrtError(f"layers: {kind!r} is not known; rnnrt.torch has {', '.join(sorted(classes))}")
    cls: Any = classes[kind]
    known = [f.name for f in fields(cls)]
    if unknown := sorted(set(arguments) - set(known)):
        raise RnnrtError(f"layers: {kind} takes no {', '.join(unknown)}; it takes {', '.join(known) or 'nothing'}")
    if "name" in known and "name" not in arguments:
        raise RnnrtError(f"layers: {kind} needs a name, what stands before its tensors in the state_dict")
    made: TorchLayer = cls(**arguments)
    return made
