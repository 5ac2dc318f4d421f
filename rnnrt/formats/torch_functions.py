"""torch's layers without tensors: activations, pooling, dropout, changes of shape; and PReLU, which has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import rnnrt.layers as own
from rnnrt.formats.state_dict import StateDict
from rnnrt.formats.torch_layers import Arrays, Flow, Named, TorchLayer, filled
from rnnrt.layers import Layer
from rnnrt.layers.leading import TakeLeading
from rnnrt.layers.operations import Operation


class Plain(TorchLayer):
    """An activation without arguments, by Keras's name."""

    function: ClassVar[str]

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.Activation(self.function, name=name, dtype=dtype)


class ReLU(Plain):
    """max(x, 0)."""

    function = "relu"


class ReLU6(Plain):
    """min(max(x, 0), 6)."""

    function = "relu6"


class Tanh(Plain):
    """tanh(x)."""

    function = "tanh"


class Sigmoid(Plain):
    """1 / (1 + exp(-x))."""

    function = "sigmoid"


class LogSigmoid(Plain):
    """log of Sigmoid."""

    function = "log_sigmoid"


class SiLU(Plain):
    """x times Sigmoid of x."""

    function = "silu"


class Mish(Plain):
    """x tanh(softplus(x))."""

    function = "mish"


class SELU(Plain):
    """The self-normalising ELU."""

    function = "selu"


class Softplus(Plain):
    """log(1 + exp(x)), with torch's default beta of 1."""

    function = "softplus"


class Softsign(Plain):
    """x / (1 + |x|)."""

    function = "softsign"


class Hardtanh(Plain):
    """x between -1 and 1, torch's defaults."""

    function = "hard_tanh"


class Hardsigmoid(Plain):
    """x / 6 + 1 / 2 between 0 and 1."""

    function = "hard_sigmoid"


class Hardswish(Plain):
    """x times Hardsigmoid of x."""

    function = "hard_silu"


@dataclass(frozen=True, eq=False)
class GELU(TorchLayer):
    """x times the normal distribution function; `approximate` is "none" or "tanh"."""

    approximate: str = "none"

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        if self.approximate not in ("none", "tanh"):
            raise self.unsupported(f"approximate={self.approximate!r}", "use 'none' or 'tanh'")
        return own.Activation("gelu" if self.approximate == "none" else "gelu_tanh", name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class LeakyReLU(TorchLayer):
    """x, or negative_slope x below zero."""

    negative_slope: float = 0.01

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.LeakyReLU(self.negative_slope, name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class ELU(TorchLayer):
    """x, or alpha (exp(x) - 1) below zero."""

    alpha: float = 1.0

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.ELU(self.alpha, name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Softmax(TorchLayer):
    """exp(x) over its sum along axis `dim`."""

    dim: int = -1

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.Softmax(self.dim, name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class LogSoftmax(TorchLayer):
    """The logarithm of Softmax, along the last axis."""

    dim: int = -1

    def build(self, made: Any, flow: Flow, name: str, known: dict[int, Any]) -> None:
        if self.dim not in (-1, flow.x.ndim - 1):
            raise self.unsupported(f"dim={self.dim} of {flow.x.ndim} axes", "use the last one")
        super().build(made, flow, name, known)

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.Activation("log_softmax", name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Dropout(TorchLayer):
    """Drops in training alone."""

    p: float = 0.5

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.Dropout(self.p, name=name, dtype=dtype)


class Identity(TorchLayer):
    """Gives its input."""

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.Identity(name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class PReLU(Named):
    """x, or weight x below zero; tensor weight (1,), or (C,) for axis 1."""

    def read(self, state: StateDict) -> Arrays:
        weight = state.take(self.prefix() + "weight", (None,))
        return {} if weight is None else {"weight": weight}

    def build(self, made: Arrays, flow: Flow, name: str, known: dict[int, Any]) -> None:
        rank, alpha = flow.x.ndim, made["weight"]
        if id(self) not in known:
            wide = np.reshape(alpha, (-1, *[1] * (rank - 2)) if len(alpha) > 1 else (1,) * (rank - 1))
            shared = [k for k in range(1, rank) if wide.shape[k - 1] == 1]
            known[id(self)] = filled(own.PReLU(shared_axes=shared, name=name, dtype=flow.dtype), {"alpha": wide})
        flow.x = known[id(self)](flow.x)


@dataclass(frozen=True, eq=False)
class Transpose(TorchLayer):
    """Two axes change places; neither is the first. Between layers that keep channels last and those that do not."""

    keeps_shape: ClassVar[bool] = False
    dim0: int = 1
    dim1: int = 2

    def build(self, made: Any, flow: Flow, name: str, known: dict[int, Any]) -> None:
        rank = flow.x.ndim
        axes = list(range(rank))
        if not all(-rank <= d < rank and d % rank for d in (self.dim0, self.dim1)):
            raise self.unsupported(f"dim0={self.dim0}, dim1={self.dim1} of {rank} axes", "name axes behind the first")
        a, c = self.dim0 % rank, self.dim1 % rank
        axes[a], axes[c] = c, a
        flow.x = own.Permute(tuple(axes[1:]), name=name)(flow.x)


@dataclass(frozen=True, eq=False)
class Select(TorchLayer):
    """Entry `index` of axis `dim`, which disappears: Select(1, -1) is x[:, -1], the last step of (B, T, C)."""

    keeps_shape: ClassVar[bool] = False
    dim: int = 1
    index: int = -1

    def build(self, made: Any, flow: Flow, name: str, known: dict[int, Any]) -> None:
        rank = flow.x.ndim
        if not -rank <= self.dim < rank:
            raise self.unsupported(f"dim={self.dim} of {rank} axes", "name one that is there")
        if self.dim % rank == 0:
            flow.x = TakeLeading(self.index, name=name)(flow.x)
            return
        key = (*[slice(None)] * (self.dim % rank), int(self.index))
        flow.x = Operation("GetItem", {"key": key}, name=name)(flow.x)


@dataclass(frozen=True, eq=False)
class Mean(TorchLayer):
    """The mean along axis `dim`, which disappears: x.mean(dim=1)."""

    keeps_shape: ClassVar[bool] = False
    dim: int = 1
    operation: ClassVar[str] = "Mean"

    def build(self, made: Any, flow: Flow, name: str, known: dict[int, Any]) -> None:
        rank = flow.x.ndim
        if not -rank <= self.dim < rank or self.dim % rank == 0:
            raise self.unsupported(f"dim={self.dim} of {rank} axes", "name one behind the first")
        flow.x = Operation(self.operation, {"axis": self.dim % rank}, name=name)(flow.x)


class Max(Mean):
    """The largest value along axis `dim`, which disappears: x.amax(dim=1)."""

    operation = "Max"


@dataclass(frozen=True, eq=False)
class Flatten(TorchLayer):
    """(B, ...) to (B, all the rest)."""

    keeps_shape: ClassVar[bool] = False

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.Flatten(name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class MaxPool1d(TorchLayer):
    """The largest value of each window along the last axis of (B, C, T)."""

    keeps_shape: ClassVar[bool] = False
    kernel_size: int = 2
    stride: int | None = None

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.MaxPooling1D(self.kernel_size, self.stride, data_format="channels_first", name=name, dtype=dtype)


@dataclass(frozen=True, eq=False)
class AvgPool1d(TorchLayer):
    """The mean of each window along the last axis of (B, C, T)."""

    keeps_shape: ClassVar[bool] = False
    kernel_size: int = 2
    stride: int | None = None

    def make(self, made: Any, name: str, dtype: str) -> Layer:
        return own.AveragePooling1D(self.kernel_size, self.stride, data_format="channels_first", name=name, dtype=dtype)
