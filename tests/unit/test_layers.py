"""Layers by hand: configurations there and back, graphs without a file, and what a layer refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rnnrt import layers as L
from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.layers import GraphBuilder, Layer
from rnnrt.layers.activations import is_recurrent, recurrent
from rnnrt.layers.serial import plain
from rnnrt.ops.activations import ACTIVATIONS
from rnnrt.ops.evaluate import evaluate

ARGUMENTS: dict[str, dict[str, Any]] = {
    "AlphaDropout": {"rate": 0.25},
    "Activation": {"activation": "tanh"},
    "AveragePooling1D": {"pool_size": (3,)},
    "AveragePooling2D": {"pool_size": (3, 2)},
    "AveragePooling3D": {"pool_size": (3, 2, 1)},
    "Bidirectional": {"merge_mode": "sum"},
    "CategoryEncoding": {"num_tokens": 4, "output_mode": "count"},
    "Conv1D": {"filters": 3, "kernel_size": (2,), "padding": "causal", "dilation_rate": (2,)},
    "Conv1DTranspose": {"filters": 3, "kernel_size": (2,), "strides": (2,), "padding": "same"},
    "Conv2D": {"filters": 3, "kernel_size": (2, 3), "strides": (1, 2), "data_format": "channels_first"},
    "Conv2DTranspose": {"filters": 3, "kernel_size": (2, 3)},
    "Conv3D": {"filters": 3, "kernel_size": (2, 3, 1)},
    "Conv3DTranspose": {"filters": 3, "kernel_size": (2, 3, 1)},
    "ConvLSTM1D": {"filters": 3, "kernel_size": (3,), "return_state": True, "unit_forget_bias": False},
    "ConvLSTM2D": {"filters": 3, "kernel_size": (3, 2), "padding": "same", "go_backwards": True},
    "ConvLSTM3D": {"filters": 3, "kernel_size": (3, 2, 1), "recurrent_activation": "hard_sigmoid"},
    "Cropping1D": {"cropping": (1, 2)},
    "Cropping2D": {"cropping": ((1, 2), (0, 1))},
    "Cropping3D": {"cropping": ((1, 2), (0, 1), (1, 1))},
    "CuDNNGRU": {"units": 3},
    "CuDNNLSTM": {"units": 3},
    "Dense": {"units": 3, "activation": "relu", "use_bias": False},
    "DepthwiseConv1D": {"kernel_size": (3,), "depth_multiplier": 2},
    "DepthwiseConv2D": {"kernel_size": (3, 2), "depth_multiplier": 2},
    "Discretization": {"bin_boundaries": [0.5, 1.5], "output_mode": "count"},
    "Dot": {"axes": (1, 2), "normalize": True},
    "Dropout": {"rate": 0.25, "seed": 3},
    "ELU": {"alpha": 0.5},
    "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"},
    "Embedding": {"input_dim": 5, "output_dim": 2, "mask_zero": True},
    "GRU": {"units": 3, "reset_after": False, "return_sequences": True},
    "GRUCell": {"units": 3, "reset_after": False},
    "GroupNormalization": {"groups": 2, "axis": 1, "scale": False},
    "GroupQueryAttention": {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2, "use_gate": True},
    "GroupedQueryAttention": {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
    "GaussianDropout": {"rate": 0.25},
    "GaussianNoise": {"stddev": 0.5},
    "InputLayer": {"batch_shape": (None, 3)},
    "LSTM": {"units": 3, "activation": "relu", "go_backwards": True, "kernel_initializer": "zeros"},
    "LSTMCell": {"units": 3, "recurrent_activation": "hard_sigmoid"},
    "LeakyReLU": {"negative_slope": 0.1},
    "Masking": {"mask_value": -1.0},
    "MultiHeadAttention": {
        "num_heads": 2,
        "key_dim": 3,
        "value_dim": 4,
        "attention_axes": (1, 2),
        "output_shape": (5,),
    },
    "Normalization": {"mean": 1.0, "variance": 2.0},
    "PReLU": {"shared_axes": [1]},
    "Permute": {"dims": (2, 1)},
    "RNN": {"return_state": True},
    "ReLU": {"max_value": 6.0, "threshold": 0.5},
    "RepeatVector": {"n": 3},
    "Rescaling": {"scale": 0.5, "offset": 1.0},
    "Reshape": {"target_shape": (2, -1)},
    "RMSNormalization": {"epsilon": 0.1},
    "SeparableConv1D": {"filters": 3, "kernel_size": (2,)},
    "SeparableConv2D": {"filters": 3, "kernel_size": (2, 3)},
    "SimpleRNN": {"units": 3, "activation": "relu"},
    "SimpleRNNCell": {"units": 3},
    "SpatialDropout1D": {"rate": 0.25, "seed": 3},
    "SpatialDropout2D": {"rate": 0.25, "data_format": "channels_first"},
    "SpatialDropout3D": {"rate": 0.25},
    "UpSampling1D": {"size": 3},
    "UpSampling2D": {"size": (3, 2)},
    "UpSampling3D": {"size": (3, 2, 1)},
    "ZeroPadding1D": {"padding": (1, 2)},
    "ZeroPadding2D": {"padding": ((1, 2), (0, 3))},
    "ZeroPadding3D": {"padding": ((1, 2), (0, 3), (1, 1))},
}


NESTED: dict[str, Any] = {
    "Bidirectional": lambda: {"layer": L.GRU(2), "backward_layer": L.GRU(2, go_backwards=True)},
    "RNN": lambda: {"cell": L.StackedRNNCells([L.LSTMCell(2), L.GRUCell(3)])},
    "SpectralNormalization": lambda: {"layer": L.Dense(2), "power_iterations": 2},
    "StackedRNNCells": lambda: {"cells": [L.LSTMCell(2)]},
    "TimeDistributed": lambda: {"layer": L.Dense(2)},
}


@pytest.mark.parametrize("name", sorted(L.LAYERS))
def test_a_configuration_makes_an_equal_layer(name: str) -> None:
    given = ARGUMENTS.get(name, {})
    given = {**given, **(NESTED[name]() if name in NESTED else {})}
    layer = L.LAYERS[name](**given, name="mine", trainable=False)
    config = layer.get_config()
    assert config["name"] == "mine"
    for key, value in given.items():
        assert config[key] == plain(value, key), key
    json.dumps(config)
    again = type(layer).from_config(config)
    assert type(again) is type(layer)
    assert again.get_config() == config


def build(layer: Layer, x: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
    for part in layer.walk():
        for name in (*part.weight_names(), *part.state_names()):
            part.put_array(name, weights.pop(0))
    b = GraphBuilder("test")
    outputs = layer.apply(b, b.input("x", (None, *x.shape[1:]), x.dtype))
    found = outputs if isinstance(outputs, list) else [outputs]
    return evaluate(b.finish([(f"y{k}", y) for k, y in enumerate(found)]), {"x": x})


def test_a_layer_without_a_file() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    kernel, bias = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    (y,) = build(L.Dense(4, activation="tanh"), x, [kernel, bias])
    np.testing.assert_allclose(y, np.tanh(x @ kernel + bias), rtol=1e-5)


def test_a_layer_called_twice_has_its_weights_once() -> None:
    layer = L.Dense(3, use_bias=False)
    layer.put_array("kernel", np.eye(3, dtype=np.float32))
    b = GraphBuilder()
    x = b.input("x", (None, 3), np.dtype(np.float32))
    graph = b.finish([("y", layer.apply(b, layer.apply(b, x)))])
    assert len(graph.nodes) == 2
    assert len(graph.constants) == 1


def test_wrong_and_missing_weights_are_named() -> None:
    x = np.zeros((2, 5, 3), np.float32)
    with pytest.raises(ModelFormatError, match=r"layer 'dense' \(Dense\): weight 'kernel' has shape \(2, 4\)"):
        build(L.Dense(4, use_bias=False, name="dense"), x, [np.zeros((2, 4))])
    b = GraphBuilder()
    with pytest.raises(ModelFormatError, match="weight 'kernel' is missing"):
        L.Dense(4).apply(b, b.input("x", (None, 3), np.dtype(np.float32)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: L.LSTM(3, activation="softmax"), "softmax"),
        (lambda: L.Dense(3, activation="nothing"), "nothing"),
        (lambda: L.Dense(3, mystery=4), "mystery=4"),
        (lambda: L.Conv2D(3, (2, 2, 2)), "kernel_size"),
        (lambda: L.Conv2D(3, 2, padding="causal"), "causal"),
        (lambda: L.ConvLSTM1D(3, 2, strides=2, dilation_rate=2), "leave one of them at 1"),
        (lambda: L.EinsumDense("ab->ab", 3), "equation"),
        (lambda: L.GroupQueryAttention(2, 3, 2), "multiple of the second"),
        (lambda: L.UpSampling2D(interpolation="bilinear"), "bilinear"),
        (lambda: L.Discretization(num_bins=3), "bin_boundaries"),
        (lambda: L.SpectralNormalization(L.Flatten()), "has a kernel"),
        (lambda: L.Bidirectional(L.GRU(2), backward_layer=L.GRU(2)), "same way"),
        (lambda: L.Bidirectional(L.Dense(2), backward_layer=L.GRU(2)), "wraps a Dense"),
        (lambda: L.RNN(L.Dense(2)), "cell is a Dense"),
        (lambda: L.Conv1D(3, 2, padding="reflect"), "reflect"),
        (lambda: L.Attention(score_mode="other"), "score_mode"),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(UnsupportedModelError, match=match):
        make()


def test_every_activation_of_a_recurrent_layer_is_known_to_the_operator() -> None:
    from rnnrt.layers.activations import RECURRENT

    for name in (*RECURRENT, "hard_sigmoid", "swish", None):
        assert is_recurrent(name)
        assert recurrent(name, legacy=False)[0] in ACTIVATIONS
    assert recurrent("hard_sigmoid", legacy=True)[1] == 0.2
    assert recurrent("hard_sigmoid", legacy=False)[1] == 1 / 6
