"""Front ends of audio networks, against definitions written out in float64, and against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnnrt.errors import ShapeError
from rnnrt.formats.onnx_import import graph_from_proto
from rnnrt.ir import Node
from rnnrt.ops import TensorSpec, get_operator
from tests.conformance.test_onnx_quantised import constant, model, node
from tests.support import ISAS, assert_close, compiled, oracle

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(8)


def run(op: str, inputs: list[Any], dtype: Any = np.float32, **attrs: Any) -> np.ndarray:
    """The reference, whose shape the shape rule told."""
    arrays = [None if x is None else np.asarray(x) for x in inputs]
    arrays[0] = arrays[0].astype(dtype) if arrays[0].dtype.kind == "f" else arrays[0]
    which = Node(op, tuple("" if x is None else f"x{k}" for k, x in enumerate(arrays)), ("y",), attrs, "node")
    (found,) = get_operator(op).reference(which, arrays)
    specs = [None if x is None else TensorSpec(x.dtype, x.shape, x if x.dtype.kind != "f" else None) for x in arrays]
    (spec,) = get_operator(op).infer(which, specs)
    assert (spec.dtype, spec.shape) == (found.dtype, found.shape)
    return found


def matrix(rows: int, columns: int, sign: int) -> np.ndarray:
    """exp(sign 2 pi i k n / columns), straight from the definition."""
    return np.exp(sign * 2j * np.pi * np.outer(np.arange(rows), np.arange(columns)) / columns)


def as_complex(x: np.ndarray) -> np.ndarray:
    return x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("signal", [5, 7, 16])
@pytest.mark.parametrize("parts", [1, 2])
def test_dft(length: int, signal: int, parts: int) -> None:
    x = RNG.standard_normal((3, signal, 2, parts))
    cut = np.zeros((3, length, 2), complex)
    cut[:, : min(signal, length)] = as_complex(x)[:, :length]
    for inverse in (0, 1):
        f = matrix(length, length, 1 if inverse else -1) / (length if inverse else 1)
        want = np.einsum("kn,bnc->bkc", f, cut)
        for dtype, rtol in ((np.float64, 1e-12), (np.float32, 1e-5)):
            got = run("DFT", [x, length, 1], dtype, inverse=inverse)
            assert_close(as_complex(got), want, rtol)
        if parts == 1 and not inverse:
            half = run("DFT", [x, length, -3], np.float64, onesided=1)
            assert_close(as_complex(half), want[:, : length // 2 + 1], 1e-12)
            if length % 2 == 0:
                back = run("DFT", [half, None, 1], np.float64, onesided=1, inverse=1)
                assert back.shape[-1] == 1
                assert_close(back[..., 0], cut.real, 1e-12)


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_stft(window: bool, onesided: int, step: int) -> None:
    x, size = RNG.standard_normal((2, 29, 1)), 8
    shape = RNG.uniform(0.5, 1, size) if window else np.ones(size)
    got = run("STFT", [x, step, shape if window else None, size], np.float64, onesided=onesided)
    frames = (29 - size) // step + 1
    want = np.stack([matrix(size, size, -1) @ (x[:, f * step : f * step + size, 0] * shape).T for f in range(frames)])
    want = want.transpose(2, 0, 1)[..., : size // 2 + 1 if onesided else size]
    assert_close(as_complex(got), want, 1e-12)


def test_stft_of_complex_signals() -> None:
    x = RNG.standard_normal((2, 11, 2))
    got = run("STFT", [x, 4, None, 4], np.float64, onesided=0)
    want = np.stack([as_complex(x)[:, f * 4 : f * 4 + 4] @ matrix(4, 4, -1).T for f in range(2)], 1)
    assert_close(as_complex(got), want, 1e-12)


WINDOWS = {"HannWindow": (0.5, 0.5, 0), "HammingWindow": (25 / 46, 21 / 46, 0), "BlackmanWindow": (0.42, 0.5, 0.08)}


@pytest.mark.parametrize("op", WINDOWS)
@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 2, 5, 400])
def test_windows(op: str, periodic: int, size: int) -> None:
    a, b, c = WINDOWS[op]
    t = 2 * np.pi * np.arange(size) / max(size - 1 + periodic, 1)
    want = a - b * np.cos(t) + c * np.cos(2 * t) if size > 1 else np.ones(size)
    for code, dtype in ((11, np.float64), (1, np.float32)):
        got = run(op, [np.array(size)], periodic=periodic, output_datatype=code)
        assert got.dtype == dtype
        assert_close(got, want, 1e-15 if code == 11 else 1e-7)


def front_end(opset: int = 17) -> Any:
    """Logarithms of mel energies, and a GRU over them."""
    numbers = {"step": 160, "size": 400, "mels": 40, "rate": 16000, "power": np.float32(2), "tiny": np.float32(1e-6)}
    edges = {"low": np.float32(0), "high": np.float32(8000)}
    parts = [constant(name, np.array(v)) for name, v in (numbers | edges).items()]
    parts += [constant("last", np.array([-1]))]
    shapes = {"W": (1, 3 * 24, 40), "R": (1, 3 * 24, 24)}
    parts += [constant(n, (0.1 * RNG.standard_normal(s)).astype(np.float32)) for n, s in shapes.items()]
    nodes = [
        node("HannWindow", ["size"], "window"),
        node("STFT", ["x", "step", "window", "size"], "spectrum"),
        node("Pow", ["spectrum", "power"], "squares"),
        node("ReduceSum", ["squares", "last"], "energies", keepdims=0),
        node("MelWeightMatrix", ["mels", "size", "rate", "low", "high"], "filters"),
        node("MatMul", ["energies", "filters"], "mel"),
        node("Add", ["mel", "tiny"], "safe"),
        node("Log", ["safe"], "features"),
        node("Transpose", ["features"], "steps", perm=[1, 0, 2]),
        node("GRU", ["steps", "W", "R"], "Y", hidden_size=24),
    ]
    x = {"x": RNG.standard_normal((2, 4000, 1)).astype(np.float32)}
    return model(nodes, x, parts, ["features", "Y"], opset), x


def test_front_end_of_a_recurrent_network() -> None:
    proto, feeds = front_end()
    graph = graph_from_proto(proto)
    want = oracle(graph, feeds)
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, a, b in zip(("features", "Y"), want, session.run(None, feeds), strict=True):
        assert_close(b, a, 1e-4, f"onnxruntime, {name}")
    for isa in ISAS:
        for a, b in zip(compiled(graph, feeds, isa, native=False), want, strict=True):
            assert a.dtype == np.float32
            assert_close(a, b, 1e-4, isa)


def test_dft_before_opset_20_has_its_axis_as_an_attribute() -> None:
    x = {"x": RNG.standard_normal((2, 6, 4, 1)).astype(np.float32)}
    for attrs, axis in (({}, 1), ({"axis": 2}, 2)):
        graph = graph_from_proto(model([node("DFT", "x", "y", **attrs)], x, [], "y", 17))
        assert_close(as_complex(oracle(graph, x)[0]), np.fft.fft(x["x"][..., 0].astype(np.float64), axis=axis), 1e-12)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "message"),
    [
        ("DFT", [np.ones((2, 4, 3))], {}, r"the last axis of shape \(2, 4, 3\) must be 1 or 2"),
        ("DFT", [np.ones((2, 4, 2))], {"onesided": 1}, "must be 1, as onesided needs a real signal"),
        ("DFT", [np.ones((2, 4, 1)), None, 2], {}, "the last axis holds complex numbers"),
        ("DFT", [np.ones((2, 4, 1)), 0], {}, "a transform of length 0"),
        ("STFT", [np.ones((2, 4, 1)), 1, None, 5], {}, "frames of 5, 1 apart, do not fit a signal of 4 samples"),
        ("STFT", [np.ones((2, 4, 1)), 0, None, 2], {}, "frames of 2, 0 apart"),
        ("STFT", [np.ones((2, 9, 1)), 1, np.ones(3), 4], {}, "frame_length is 4, the window has 3 samples"),
        ("HannWindow", [np.array(-1)], {}, "a window of -1 samples"),
        ("HannWindow", [np.array(3)], {"output_datatype": 17}, "output_datatype=17"),
        ("MelWeightMatrix", [8, 64, 8000, np.float32(0), np.float32(9000)], {}, "is above half of the sample rate"),
        ("MelWeightMatrix", [8, 64, 8000, np.float32(4), np.float32(1)], {}, "edges in order"),
    ],
)
def test_what_does_not_fit(op: str, inputs: list[Any], attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        run(op, inputs, **attrs)
