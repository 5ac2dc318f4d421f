"""References of LSTM, GRU and RNN against onnxruntime, torch and Keras."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from rnnrt.errors import ShapeError, UnsupportedModelError
from rnnrt.ir import Node
from rnnrt.ops import TensorSpec, get_operator
from tests.support import assert_close

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, INPUTS, HIDDEN = 5, 4, 3, 6
LENGTHS = np.array([0, 2, 5, 3], np.int32)


def reference(op: str, operands: list[np.ndarray | None], **attrs: Any) -> list[np.ndarray]:
    """Results, checked against the shape rule."""
    outputs = ("Y", "Y_h", "Y_c")[: 3 if op == "LSTM" else 2]
    node = Node(op, tuple("" if x is None else f"x{k}" for k, x in enumerate(operands)), outputs, attrs)
    found = get_operator(op).reference(node, operands)
    specs = get_operator(op).infer(node, [None if x is None else TensorSpec(x.dtype, x.shape) for x in operands])
    assert [(s.dtype, s.shape) for s in specs] == [(y.dtype, y.shape) for y in found]
    return found


def weights(op: str, directions: int = 1, seed: int = 0, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    """Random operands by name."""
    rng, rows = np.random.default_rng(seed), GATES[op] * HIDDEN
    shapes = {
        "X": (STEPS, BATCH, INPUTS), "W": (directions, rows, INPUTS), "R": (directions, rows, HIDDEN),
        "B": (directions, 2 * rows), "h": (directions, BATCH, HIDDEN), "c": (directions, BATCH, HIDDEN),
        "P": (directions, 3 * HIDDEN),
    }  # fmt: skip
    return {name: (0.6 * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}


def onnxruntime_results(op: str, operands: list[np.ndarray | None], attrs: dict[str, Any]) -> list[np.ndarray]:
    """The node run by onnxruntime."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    names = ["" if x is None else f"x{k}" for k, x in enumerate(operands)]
    feeds = {name: x for name, x in zip(names, operands, strict=True) if name}
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    make = onnx.helper
    infos = [
        make.make_tensor_value_info(name, make.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in feeds.items()
    ]
    results = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    graph = make.make_graph([make.make_node(op, names, outputs, **attrs)], "g", infos, results)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 14)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


EXTRAS: dict[str, list[dict[str, int]]] = {
    "LSTM": [{}, {"input_forget": 1}, {"P": 1}, {"P": 1, "input_forget": 1}],
    "GRU": [{}, {"linear_before_reset": 1}],
    "RNN": [{}],
}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", sorted(GATES))
def test_onnxruntime_attributes(op: str, direction: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    # The RNN of onnxruntime 1.23, the last for Python 3.10, reads outside its memory for a length of 0.
    sound = op != "RNN" or tuple(map(int, ort.__version__.split(".")[:2])) > (1, 23)
    ragged = LENGTHS if sound else np.maximum(LENGTHS, 1)
    w = weights(op, 2 if direction == "bidirectional" else 1)
    for lengths, state, clip, extra in product((None, ragged), (False, True), (0.0, 0.4), EXTRAS[op]):
        operands = [w["X"], w["W"], w["R"], w["B"], lengths, w["h"] if state else None]
        attrs: dict[str, Any] = {"direction": direction, "hidden_size": HIDDEN, **({"clip": clip} if clip else {})}
        if op == "LSTM":
            operands += [w["c"] if state else None, w["P"] if "P" in extra else None]
        attrs |= {k: v for k, v in extra.items() if k != "P"}
        want = onnxruntime_results(op, operands, attrs)
        for name, a, b in zip(("Y", "Y_h", "Y_c"), reference(op, operands, **attrs), want, strict=False):
            assert_close(a, b, 1e-5, f"{name}, {attrs}, lengths {lengths}, P {'P' in extra}")


USES = {
    "Affine": "ab", "Elu": "a", "HardSigmoid": "ab", "LeakyRelu": "a", "Relu": "", "ScaledTanh": "ab", "Sigmoid": "",
    "Softplus": "", "Softsign": "", "Tanh": "", "ThresholdedRelu": "a",
}  # fmt: skip


@pytest.mark.parametrize("activation", sorted(USES))
@pytest.mark.parametrize("op", sorted(GATES))
def test_onnxruntime_activations(op: str, activation: str) -> None:
    w, usual = weights(op), get_operator(op).default_activations
    operands = [w["X"][:2], w["W"], w["R"], w["B"], None, w["h"], *([w["c"]] if op == "LSTM" else [])]
    for place in range(len(usual)):
        names = tuple(activation if k == place else name for k, name in enumerate(usual))
        full = {"activation_alpha": tuple(0.3 if k == place else 0.0 for k in range(len(usual)))}
        full["activation_beta"] = tuple(0.7 if k == place else 0.0 for k in range(len(usual)))
        compact: dict[str, Any] = {"activations": list(names)}
        compact |= {"activation_alpha": [0.3]} if "a" in USES[activation] else {}
        compact |= {"activation_beta": [0.7]} if "b" in USES[activation] else {}
        want = onnxruntime_results(op, operands, {"hidden_size": HIDDEN, **compact})
        for a, b in zip(reference(op, operands, hidden_size=HIDDEN, activations=names, **full), want, strict=True):
            assert_close(a, b, 1e-5, f"{activation} at {place}")


def test_layout_is_a_transpose() -> None:
    for op in GATES:
        w = weights(op, 2)
        state = [w["h"], *([w["c"]] if op == "LSTM" else [])]
        plain = reference(op, [w["X"], w["W"], w["R"], w["B"], LENGTHS, *state], direction="bidirectional")
        turned = [w["X"].swapaxes(0, 1), w["W"], w["R"], w["B"], LENGTHS, *(s.swapaxes(0, 1) for s in state)]
        batch_first = reference(op, turned, direction="bidirectional", layout=1)
        np.testing.assert_array_equal(batch_first[0], plain[0].transpose(2, 0, 1, 3))
        for a, b in zip(batch_first[1:], plain[1:], strict=True):
            np.testing.assert_array_equal(a, b.swapaxes(0, 1))


@pytest.mark.parametrize("op", sorted(GATES))
def test_torch(op: str) -> None:
    torch = pytest.importorskip("torch")
    order = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}[op]  # where torch's gates are in ours
    w = weights(op, 2, dtype=np.float64)
    layer = getattr(torch.nn, op)(INPUTS, HIDDEN, bidirectional=True, dtype=torch.float64)
    for d, suffix in enumerate(("", "_reverse")):
        halves = np.split(w["B"][d], 2)
        for name, array in (
            ("weight_ih", w["W"][d]),
            ("weight_hh", w["R"][d]),
            ("bias_ih", halves[0]),
            ("bias_hh", halves[1]),
        ):
            blocks = np.split(array, GATES[op])
            getattr(layer, f"{name}_l0{suffix}").data = torch.from_numpy(np.concatenate([blocks[k] for k in order]))
    state = [w["h"], *([w["c"]] if op == "LSTM" else [])]
    given = tuple(torch.from_numpy(s) for s in state)
    with torch.no_grad():
        y, last = layer(torch.from_numpy(w["X"]), given if op == "LSTM" else given[0])
    attrs = {"linear_before_reset": 1} if op == "GRU" else {}
    found = reference(op, [w["X"], w["W"], w["R"], w["B"], None, *state], direction="bidirectional", **attrs)
    want = [y.reshape(STEPS, BATCH, 2, HIDDEN).permute(0, 2, 1, 3), *(last if op == "LSTM" else [last])]
    for a, b in zip(found, want, strict=True):
        assert_close(a, b.numpy(), 1e-12)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_keras_mask(backwards: bool, zero: bool) -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(1)
    w = weights("GRU")
    mask = rng.random((STEPS, BATCH)) < 0.6
    mask[:2, 0] = mask[3:, 1] = mask[:, 2] = False
    layer = keras.layers.GRU(
        HIDDEN, return_sequences=True, return_state=True, go_backwards=backwards, zero_output_for_mask=zero
    )
    layer.build((None, None, INPUTS))
    bias = np.stack(np.split(w["B"][0], 2))
    layer.set_weights([w["W"][0].T, w["R"][0].T, bias])
    y, last = layer(w["X"].swapaxes(0, 1), mask=mask.T, initial_state=keras.ops.convert_to_tensor(w["h"][0]))
    operands = [w["X"], w["W"], w["R"], w["B"], None, w["h"], mask]
    attrs = {
        "direction": "reverse" if backwards else "forward",
        "linear_before_reset": 1,
        "zero_output_for_mask": int(zero),
    }
    found = reference("GRU", operands, **attrs)
    y, last = keras.ops.convert_to_numpy(y), keras.ops.convert_to_numpy(last)
    want = y.swapaxes(0, 1)
    assert_close(found[0][:, 0], want[::-1] if backwards else want, 1e-5)
    assert_close(found[1][0], last, 1e-5)


def spec(*shape: Any) -> TensorSpec:
    return TensorSpec(np.dtype("float32"), shape)


def test_infer_keeps_free_axes() -> None:
    op = get_operator("LSTM")
    node = Node("LSTM", ("x", "w", "r"), ("y", "h", "c"), {"direction": "bidirectional"})
    outputs = op.infer(node, [spec("T", None, 3), spec(2, 24, 3), spec(2, 24, 6)])
    assert [o.shape for o in outputs] == [("T", 2, None, 6), (2, None, 6), (2, None, 6)]


@pytest.mark.parametrize(
    ("attrs", "shapes", "error", "message"),
    [
        ({}, [(5, 4, 3), (1, 24, 2), (1, 24, 6)], ShapeError, r"X has shape \(5, 4, 3\); its axis I must be 2"),
        ({}, [(5, 4, 3), (1, 25, 3), (1, 24, 6)], ShapeError, "W has shape"),
        ({"hidden_size": 5}, [(5, 4, 3), (1, 24, 3), (1, 24, 6)], ShapeError, "axis GH must be 20"),
        ({"direction": "both"}, [(5, 4, 3), (1, 24, 3), (1, 24, 6)], UnsupportedModelError, "direction 'both'"),
        (
            {"activations": ("Tan",) * 3},
            [(5, 4, 3), (1, 24, 3), (1, 24, 6)],
            UnsupportedModelError,
            "'Tan' is not known",
        ),
        ({"activations": ("Tanh",)}, [(5, 4, 3), (1, 24, 3), (1, 24, 6)], UnsupportedModelError, "3 are needed"),
    ],
)
def test_infer_refuses(
    attrs: dict[str, Any], shapes: list[tuple[int, ...]], error: type[Exception], message: str
) -> None:
    node = Node("LSTM", ("x", "w", "r"), ("y",), attrs, "cell")
    with pytest.raises(error, match=message):
        get_operator("LSTM").infer(node, [spec(*shape) for shape in shapes])
