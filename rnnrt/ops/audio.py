"""What the front ends of audio networks compute: windows, Fourier transforms, mel filters.

Complex numbers are pairs of real ones in the last axis, as in ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.errors import ShapeError
from rnnrt.ir import Dim, Node, Shape
from rnnrt.ops.base import Flat, Operator, TensorSpec, register
from rnnrt.ops.broadcast import normalise_axis, present
from rnnrt.ops.cast import CAST_TARGETS
from rnnrt.ops.shape import constant_ints, given


class _Window(Flat):
    """Base: a sum of cosines over `size` samples; a periodic one is the first `size` samples of one that is longer."""

    attributes: ClassVar[Mapping[str, Any]] = {"periodic": 1, "output_datatype": 1}
    terms: ClassVar[tuple[float, ...]]
    """a, b, c of a - b cos(t) + c cos(2 t)."""

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        present(node, inputs)
        size = constant_ints(inputs, 0)
        if size and size[0] < 0:
            raise ShapeError(f"{node.label()}: a window of {size[0]} samples; the size must not be negative")
        return [TensorSpec(_output_type(node, cls.attr(node, "output_datatype")), (size[0] if size else None,))]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        size = _scalar(node, inputs[0], "the size")
        if size < 0:
            raise ShapeError(f"{node.label()}: a window of {size} samples; the size must not be negative")
        dtype = _output_type(node, cls.attr(node, "output_datatype"))
        if size == 1:
            return [np.ones(1, dtype)]  # one sample has no period
        t = 2 * np.pi * np.arange(size) / (size if cls.attr(node, "periodic") else size - 1)
        return [sum((-1) ** k * a * np.cos(k * t) for k, a in enumerate(cls.terms)).astype(dtype)]  # type: ignore[union-attr]


@register
class HannWindow(_Window):
    """ONNX HannWindow."""

    name = "HannWindow"
    terms = (0.5, 0.5)


@register
class HammingWindow(_Window):
    """ONNX HammingWindow, of the exact coefficients 25/46 and 21/46."""

    name = "HammingWindow"
    terms = (25 / 46, 21 / 46)


@register
class BlackmanWindow(_Window):
    """ONNX BlackmanWindow."""

    name = "BlackmanWindow"
    terms = (0.42, 0.5, 0.08)


@register
class MelWeightMatrix(Flat):
    """ONNX MelWeightMatrix: num_mel_bins, dft_length, sample_rate, lower and upper edge in Hz -> (bins, mels).

    Triangles between neighbouring edges, which lie evenly on the scale 2595 log10(1 + f / 700) and are moved down to
    whole bins of the transform. As in ONNX there are num_mel_bins + 2 steps, so the last edge is below the upper one.
    """

    name = "MelWeightMatrix"
    attributes: ClassVar[Mapping[str, Any]] = {"output_datatype": 1}
    min_inputs = max_inputs = 5

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        mels, length = constant_ints(inputs, 0), constant_ints(inputs, 1)
        shape: Shape = (length[0] // 2 + 1 if length else None, mels[0] if mels else None)
        return [TensorSpec(_output_type(node, cls.attr(node, "output_datatype")), shape)]

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        names = ("num_mel_bins", "dft_length", "sample_rate")
        mels, length, rate = (_scalar(node, x, what) for x, what in zip(inputs[:3], names, strict=True))
        low, high = (float(np.ravel(np.asarray(x))[0]) for x in inputs[3:])
        if min(mels, length, rate) < 1 or not 0 <= low <= high:
            raise ShapeError(
                f"{node.label()}: {mels} mel bins of {length} samples at {rate} Hz from {low} to {high} Hz; "
                "counts must be positive and edges in order"
            )
        first, last = (2595 * np.log10(1 + f / 700) for f in (low, high))
        scale = first + np.arange(mels + 2) * ((last - first) / (mels + 2))
        edges = np.floor((length + 1) * 700 * (10 ** (scale / 2595) - 1) / rate).astype(np.int64)
        bins = np.arange(length // 2 + 1)[:, None]
        left, top, right = edges[:-2], edges[1:-1], edges[2:]
        if top[-1] >= len(bins):
            raise ShapeError(f"{node.label()}: {high} Hz is above half of the sample rate {rate}")
        rise = np.where((bins >= left) & (bins < top), (bins - left) / np.maximum(top - left, 1), 0)
        fall = np.where((bins > top) & (bins < right), (right - bins) / np.maximum(right - top, 1), 0)
        peaks = bins == top
        return [(rise + fall + peaks).astype(_output_type(node, cls.attr(node, "output_datatype")))]


@register
class DFT(Operator):
    """ONNX DFT of opset 20: x (..., 1 or 2), the length and the axis, both optional -> (..., 2).

    With onesided=1 only the first half of the spectrum, of real input; with inverse=1 as well the way back from there.
    """

    name = "DFT"
    attributes: ClassVar[Mapping[str, Any]] = {"inverse": 0, "onesided": 0}
    max_inputs = 3

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        x, length, where = present(node, inputs), given(inputs, 1), given(inputs, 2)
        if x.dtype.kind != "f":
            raise ShapeError(f"{node.label()}: takes floating point inputs, not {x.dtype}; cast them first")
        if x.shape is None or (where is not None and where.value is None):
            return [TensorSpec(x.dtype, None if x.shape is None else (None,) * len(x.shape))]
        _check_complex(node, x.shape, cls.attr(node, "onesided") and not cls.attr(node, "inverse"))
        axis = cls.axis(node, None if where is None else where.value, len(x.shape))
        known = constant_ints(inputs, 1)
        count: Dim = known[0] if known else None
        if length is None:
            count = cls.length(node, x.shape[axis])
        half, back = cls.attr(node, "onesided"), cls.attr(node, "inverse")
        if half and not back:
            count = count // 2 + 1 if isinstance(count, int) else None
        return [TensorSpec(x.dtype, (*x.shape[:axis], count, *x.shape[axis + 1 : -1], 1 if half and back else 2))]

    @classmethod
    def axis(cls, node: Node, where: np.ndarray | None, rank: int) -> int:
        """The axis of the signal, which is not the last one."""
        axis = normalise_axis(node, -2 if where is None else int(np.ravel(where)[0]), rank)
        if axis == rank - 1:
            raise ShapeError(f"{node.label()}: the last axis holds complex numbers; transform along another")
        return axis

    @classmethod
    def length(cls, node: Node, extent: Dim) -> Dim:
        """The transform's length by default."""
        if cls.attr(node, "onesided") and cls.attr(node, "inverse"):
            return 2 * (extent - 1) if isinstance(extent, int) else None
        return extent

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        x, length, where = (*inputs, None, None)[:3]
        x = np.asarray(x)
        axis = cls.axis(node, where, x.ndim)
        half, back = cls.attr(node, "onesided"), cls.attr(node, "inverse")
        _check_complex(node, x.shape, half and not back)
        default = cls.length(node, x.shape[axis])
        count = _scalar(node, length, "the length") if length is not None else int(default or 0)
        if count < 1:
            raise ShapeError(f"{node.label()}: a transform of length {count}; it must be positive")
        if half and back:
            return [np.fft.irfft(_complex(x), count, axis).astype(x.dtype)[..., None]]
        if half:
            return [_pairs(np.fft.rfft(x[..., 0], count, axis), x.dtype)]
        return [_pairs((np.fft.ifft if back else np.fft.fft)(_complex(x), count, axis), x.dtype)]


@register
class STFT(Operator):
    """ONNX STFT: signal (B, samples, 1 or 2), frame_step, window and frame_length -> (B, frames, bins, 2)."""

    name = "STFT"
    attributes: ClassVar[Mapping[str, Any]] = {"onesided": 1}
    min_inputs = 2
    max_inputs = 4

    @classmethod
    def infer(cls, node: Node, inputs: Sequence[TensorSpec | None]) -> list[TensorSpec]:
        signal, window, length = present(node, inputs), given(inputs, 2), constant_ints(inputs, 3)
        if signal.dtype.kind != "f":
            raise ShapeError(f"{node.label()}: takes floating point inputs, not {signal.dtype}; cast them first")
        if signal.shape is None:
            return [TensorSpec(signal.dtype, (None, None, None, 2))]
        if len(signal.shape) != 3:
            raise ShapeError(f"{node.label()}: the signal has shape {signal.shape}; (batch, samples, 1 or 2) is needed")
        half = bool(cls.attr(node, "onesided"))
        _check_complex(node, signal.shape, half)
        samples, step = signal.shape[1], constant_ints(inputs, 1)
        size: Dim = samples
        if given(inputs, 3) is not None:
            size = length[0] if length else None
        elif window is not None:
            size = window.shape[0] if window.shape else None
        frames = None
        if isinstance(samples, int) and isinstance(size, int) and step:
            frames = cls.frames(node, samples, size, step[0])
        bins = (size // 2 + 1 if half else size) if isinstance(size, int) else None
        return [TensorSpec(signal.dtype, (signal.shape[0], frames, bins, 2))]

    @classmethod
    def frames(cls, node: Node, samples: int, size: int, step: int) -> int:
        """How many frames of `size` samples there are, `step` apart."""
        if not 1 <= size <= samples or step < 1:
            raise ShapeError(
                f"{node.label()}: frames of {size}, {step} apart, do not fit a signal of {samples} samples"
            )
        return (samples - size) // step + 1

    @classmethod
    def reference(cls, node: Node, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        signal, frame_step, window, length = (*inputs, None, None)[:4]
        signal, half = np.asarray(signal), bool(cls.attr(node, "onesided"))
        _check_complex(node, signal.shape, half)
        step = _scalar(node, frame_step, "frame_step")
        size = signal.shape[1] if window is None else len(window)
        if length is not None:
            asked = _scalar(node, length, "frame_length")
            if window is not None and asked != size:
                raise ShapeError(f"{node.label()}: frame_length is {asked}, the window has {size} samples")
            size = asked
        count = cls.frames(node, signal.shape[1], size, step)
        values = signal[..., 0] if signal.shape[-1] == 1 else _complex(signal)
        views = np.lib.stride_tricks.sliding_window_view(values, size, 1)[:, : (count - 1) * step + 1 : step]
        windowed = views if window is None else views * window
        return [_pairs((np.fft.rfft if half else np.fft.fft)(windowed, axis=-1), signal.dtype)]


def _check_complex(node: Node, shape: Sequence[Dim], real: bool) -> None:
    """The last axis holds 1 or 2 numbers; 1 where the signal has to be real."""
    last = shape[-1] if len(shape) > 1 else 0
    if isinstance(last, int) and last not in ((1,) if real else (1, 2)):
        wanted = "1, as onesided needs a real signal" if real else "1 or 2"
        raise ShapeError(f"{node.label()}: the last axis of shape {tuple(shape)} must be {wanted}")


def _complex(x: np.ndarray) -> np.ndarray:
    """Pairs as complex numbers of the same precision."""
    return np.asarray(x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0] + 0j)


def _pairs(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Complex numbers as pairs."""
    return np.stack([values.real, values.imag], -1).astype(dtype, copy=False)


def _scalar(node: Node, x: np.ndarray | None, what: str) -> int:
    if x is None or np.size(x) != 1:
        raise ShapeError(f"{node.label()}: {what} has shape {None if x is None else np.shape(x)}; one number is needed")
    return int(np.ravel(np.asarray(x))[0])


def _output_type(node: Node, number: int) -> np.dtype:
    if number not in CAST_TARGETS:
        raise ShapeError(f"{node.label()}: output_datatype={number} is no data type rnnrt knows; use float or int")
    return np.dtype(CAST_TARGETS[number])
