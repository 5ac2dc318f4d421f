"""Gate orders there and back, and against torch's and Keras's own definitions."""

from __future__ import annotations

import numpy as np
import pytest

from rnnrt.layers.gates import ORDERS, cudnn_weights, ir_weights_to_keras, keras_weights, permute_gates
from tests.support import assert_close

H, I = 3, 2  # noqa: E741


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("source", ["keras", "torch"])
def test_there_and_back(op: str, source: str) -> None:
    gates = len(ORDERS["onnx"][op])
    array = np.arange(gates * H * I).reshape(gates * H, I)
    there = permute_gates(array, op, source)
    assert np.array_equal(permute_gates(there, op, "onnx", source), array)
    for gate in ORDERS[source][op]:
        at, to = ORDERS[source][op].index(gate) * H, ORDERS["onnx"][op].index(gate) * H
        assert np.array_equal(array[at : at + H], there[to : to + H])


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_keras_weights_there_and_back(op: str) -> None:
    gates = len(ORDERS["onnx"][op])
    rng = np.random.default_rng(0)
    kernel, recurrent = rng.normal(size=(I, gates * H)), rng.normal(size=(H, gates * H))
    for two_rows, shape in ((False, (gates * H,)), (True, (2, gates * H))):
        bias = rng.normal(size=shape)
        W, R, B = keras_weights(op, kernel, recurrent, bias)
        assert (W.shape, R.shape) == ((gates * H, I), (gates * H, H))
        assert B is not None
        back = ir_weights_to_keras(op, W, R, B, two_rows)
        for a, b in zip(back, (kernel, recurrent, bias), strict=True):
            assert np.array_equal(a, b)
    assert keras_weights(op, kernel, recurrent, None)[2] is None


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_against_torch(op: str) -> None:
    torch = pytest.importorskip("torch")
    from rnnrt.ops.evaluate import evaluate
    from tests.support import one_node

    layer = getattr(torch.nn, op)(I, H).double()
    weights = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
    W, R, Wb, Rb = (permute_gates(w.detach().numpy(), op, "torch") for w in weights)
    x = np.random.default_rng(1).normal(size=(4, 2, I))
    attrs = {"hidden_size": H, "linear_before_reset": 1} if op == "GRU" else {"hidden_size": H}
    graph, feeds = one_node(op, [x, W[None], R[None], np.concatenate([Wb, Rb])[None]], **attrs)
    want = layer(torch.from_numpy(x))[0].detach().numpy()
    assert_close(evaluate(graph, feeds)[0][:, 0], want, 1e-9)


def test_cudnn_layouts_against_keras_2() -> None:
    legacy = pytest.importorskip("tf_keras.src.saving.legacy.hdf5_format")
    keras = pytest.importorskip("tf_keras")
    rng = np.random.default_rng(2)
    for op, gates, factor in (("LSTM", 4, 8), ("GRU", 3, 6)):
        stored = [rng.normal(size=s) for s in ((I, gates * H), (H, gates * H), (factor * H,))]
        options = {"reset_after": True} if op == "GRU" else {}
        layer = getattr(keras.layers, op)(H, **options)
        layer.build((None, None, I))
        want = legacy.preprocess_weights_for_loading(layer, stored, original_keras_version="2")
        for a, b in zip(cudnn_weights(op, *stored), want, strict=True):
            assert np.array_equal(a, b)
