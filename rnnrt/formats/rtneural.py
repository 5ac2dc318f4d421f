"""RTNeural's JSON models.

RTNeural's exporter writes Keras's arrays as lists, with a type and a shape for each layer. RTNeural runs sample by
sample: its convolutions see the samples before, as Keras's with padding="causal" do. Further keys are those of AIDA-X:
in_skip adds the first channel of the input to the output; in_gain and out_gain, in decibels, scale input and output.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import rnnrt.layers as own
from rnnrt.errors import UnsupportedModelError
from rnnrt.formats.json_files import float_array
from rnnrt.formats.json_model import JsonModel
from rnnrt.layers import Layer, Network
from rnnrt.layers.symbolic import KerasTensor
from rnnrt.layers.trace import network_between

_ACTIVATIONS = ("tanh", "relu", "sigmoid", "softmax", "elu")


class RTNeuralModel(JsonModel):
    """A document with `in_shape` and `layers`."""

    keys = frozenset({"in_shape", "layers", "in_skip", "in_gain", "out_gain"})

    def network(self) -> Network:
        shape = self._shape(self.document["in_shape"], "in_shape")
        rows = self.document["layers"]
        if not isinstance(rows, list) or not rows:
            raise self.error(f"layers is {str(rows)[:40]!r}, not a list of layers")
        for k, row in enumerate(rows):
            if not isinstance(row, dict) or not isinstance(row.get("type"), str):
                raise self.error(f"layer {k} is {str(row)[:60]!r}, which has no type")
            self._check(k, row)
        self.refuse()
        x = source = own.Input(batch_shape=(None, *shape), name="input")
        source = self._gain(source, "in_gain")
        y = source
        for k, row in enumerate(rows):
            y = self._layer(k, row, y)
        y = self.with_skip(source, y, self.whole(self.document.get("in_skip", 0), "in_skip", 0))
        return network_between([x], [self._gain(y, "out_gain")], Path(self.label).stem)

    def _shape(self, value: Any, what: str) -> tuple[int | None, ...]:
        is_shape = isinstance(value, list) and all(d is None or type(d) is int for d in value[:-1])
        if not is_shape or len(value) not in (2, 3, 4):
            raise self.error(f"{what} is {str(value)[:40]!r}, not a list of a batch, steps and features")
        if len(value) == 4:
            raise UnsupportedModelError(
                self.label, [f"{what} {value[:4]}: two axes of features, for Conv2D, which rnnrt lacks; use Conv1D"]
            )
        steps = () if len(value) == 2 else (None,)
        return (*steps, self.whole(value[-1], f"the last extent of {what}"))

    def _gain(self, x: KerasTensor, key: str) -> KerasTensor:
        decibels = self.number(self.document.get(key) or 0, key)
        if decibels == 0:
            return x
        if key == "in_gain" and x.shape[-1] != 1:
            raise UnsupportedModelError(self.label, [f"in_gain={decibels} for {x.shape[-1]} inputs; scale the audio"])
        return own.Rescaling(10 ** (decibels / 20), name=key)(x)

    def _check(self, k: int, row: Mapping[str, Any]) -> None:
        """Note what of a layer is not understood."""
        kind = row["type"]
        where = f"layer {k} ({kind[:40]})"
        if kind in ("conv2d", "batchnorm2d"):
            self.reasons.append(f"{where}: rnnrt has no layers of two axes in space; use conv1d")
        elif kind not in _MAKERS:
            do = (
                "the exporter writes 'unknown' for layers that RTNeural lacks"
                if kind == "unknown"
                else "use " + ", ".join(sorted(_MAKERS))
            )
            self.reasons.append(f"{where}: rnnrt knows no such layer; {do}")
        else:
            self.unknown(row, {"type", "name", "activation", "shape", "weights", *_EXTRAS.get(kind, {})}, where)
            activation = row.get("activation", "")
            fits: tuple[str, ...] = ("", "tanh") if kind in ("gru", "lstm") else ("", *_ACTIVATIONS)
            if kind == "activation":
                fits = _ACTIVATIONS
            if kind in ("prelu", "batchnorm"):
                fits = ("",)
            if activation not in fits:
                shown = ", ".join(map(repr, fits))
                self.reasons.append(f"{where}: activation {str(activation)[:40]!r}; RTNeural has one of {shown} there")
            for key, plain in _EXTRAS.get(kind, {}).items():
                if plain is not None and row.get(key, plain) not in (plain, [plain]):
                    self.reasons.append(f"{where}: {key}={str(row[key])[:40]}; RTNeural's own exporter writes {plain}")

    def _layer(self, k: int, row: Mapping[str, Any], x: KerasTensor) -> KerasTensor:
        kind = row["type"]
        where = f"layer {k} ({kind})"
        shape = self._shape(row.get("shape"), f"{where}: shape")
        weights = row.get("weights", [])
        if not isinstance(weights, list):
            raise self.error(f"{where}: weights is {str(weights)[:40]!r}, not a list")
        arrays = [float_array(w, f"{self.label}: {where}: array {n} of weights") for n, w in enumerate(weights)]
        made = _MAKERS[kind](self, row, where, arrays, x, shape)
        y: KerasTensor = made(x)
        if y.shape[-1] != shape[-1] or y.ndim != len(shape) + 1:
            raise self.error(f"{where}: gives {y.shape[1:]}, its shape says {shape}")
        return y

    def arrays(self, where: str, given: list[np.ndarray], **shapes: tuple[int | None, ...]) -> dict[str, np.ndarray]:
        """The arrays by name, checked; `shapes` holds None for any extent."""
        have = [a.shape for a in given]
        fits = len(given) == len(shapes) and all(
            a.ndim == len(s) and all(w in (None, d) for w, d in zip(s, a.shape, strict=True))
            for a, s in zip(given, shapes.values(), strict=True)
        )
        if not fits:
            wish = [f"{name} {shape}".replace("None", "any") for name, shape in shapes.items()]
            raise self.error(f"{where}: weights have the shapes {have}; it needs {', '.join(wish) or 'none'}")
        return dict(zip(shapes, given, strict=True))


def _name(row: Mapping[str, Any], where: str) -> str:
    return f"{row['type'].replace('-', '_')}_{where.split()[1]}"


def _filled(layer: Layer, arrays: Mapping[str, np.ndarray]) -> Layer:
    for name, array in arrays.items():
        layer.put_array(name, array)
    return layer


def _dense(r: RTNeuralModel, row: Any, where: str, given: Any, x: KerasTensor, shape: Any) -> Layer:
    size, units = x.shape[-1], shape[-1]
    bias = {"bias": (units,)} if len(given) != 1 else {}
    arrays = r.arrays(where, given, kernel=(size, units), **bias)
    layer = own.Dense(units, row.get("activation") or None, use_bias=bool(bias), name=_name(row, where))
    return _filled(layer, arrays)


def _conv1d(r: RTNeuralModel, row: Any, where: str, given: Any, x: KerasTensor, shape: Any) -> Layer:
    width, dilation, groups = (
        r.whole(row.get(key, plain), f"{where}: {key}")
        for key, plain in (("kernel_size", None), ("dilation", 1), ("groups", 1))
    )
    channels, filters = x.shape[-1] or 0, shape[-1]
    if channels % groups or filters % groups:
        raise r.error(f"{where}: {groups} groups do not divide {channels} channels and {filters} filters")
    bias = {"bias": (filters,)} if len(given) != 1 else {}
    arrays = r.arrays(where, given, kernel=(width, channels // groups, filters), **bias)
    layer = own.Conv1D(
        filters, width, padding="causal", dilation_rate=dilation, groups=groups,
        activation=row.get("activation") or None, use_bias=bool(bias), name=_name(row, where),
    )  # fmt: skip
    return _filled(layer, arrays)


def _recurrent(r: RTNeuralModel, row: Any, where: str, given: Any, x: KerasTensor, shape: Any) -> Layer:
    if x.ndim != 3:
        raise r.error(f"{where}: needs (batch, steps, features), gets {x.shape}")
    size, units, is_gru = x.shape[-1], shape[-1], row["type"] == "gru"
    gates = 3 if is_gru else 4
    bias = {"bias": (2, 3 * units) if is_gru else (4 * units,)}
    arrays = r.arrays(where, given, kernel=(size, gates * units), recurrent_kernel=(units, gates * units), **bias)
    layer = (own.GRU if is_gru else own.LSTM)(units, return_sequences=len(shape) == 2, name=_name(row, where))
    _filled(layer.cell, arrays)  # type: ignore[arg-type]
    return layer


def _prelu(r: RTNeuralModel, row: Any, where: str, given: Any, x: KerasTensor, shape: Any) -> Layer:
    arrays = r.arrays(where, given, alpha=(*(1,) * (x.ndim - 2), x.shape[-1]))
    return _filled(own.PReLU(shared_axes=list(range(1, x.ndim - 1)) or None, name=_name(row, where)), arrays)


def _batchnorm(r: RTNeuralModel, row: Any, where: str, given: Any, x: KerasTensor, shape: Any) -> Layer:
    each = (x.shape[-1],)
    factors = {"gamma": each, "beta": each} if len(given) != 2 else {}
    arrays = r.arrays(where, given, **factors, moving_mean=each, moving_variance=each)
    epsilon = r.number(row.get("epsilon"), f"{where}: epsilon")
    if epsilon <= 0 or (arrays["moving_variance"] < 0).any():
        raise r.error(f"{where}: epsilon {epsilon} or a variance is not positive")
    has = bool(factors)
    return _filled(own.BatchNormalization(epsilon=epsilon, center=has, scale=has, name=_name(row, where)), arrays)


def _activation(r: RTNeuralModel, row: Any, where: str, given: Any, x: KerasTensor, shape: Any) -> Layer:
    r.arrays(where, given)
    return own.Activation(row["activation"], name=_name(row, where))


_MAKERS = {
    "activation": _activation,
    "batchnorm": _batchnorm,
    "conv1d": _conv1d,
    "dense": _dense,
    "gru": _recurrent,
    "lstm": _recurrent,
    "prelu": _prelu,
    "time-distributed-dense": _dense,
}
_EXTRAS: dict[str, dict[str, int | None]] = {
    "batchnorm": {"epsilon": None},
    "conv1d": {"kernel_size": None, "dilation": None, "groups": None, "strides": 1},
}
"""Further keys of a layer, with the only value that RTNeural has where there is one."""
