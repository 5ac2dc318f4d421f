"""Whole layers with drawn arguments: gradients of all their weights against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnrt
from rnnrt import layers
from rnnrt.models import Model
from rnnrt.utils import set_random_seed

Draw = Callable[[st.SearchStrategy[Any]], Any]
booleans = st.booleans()
SMOOTH = ["tanh", "sigmoid", "softsign", "silu", "softplus", "gelu", "linear", "mish", "elu", "selu"]
GATES = ["sigmoid", "tanh", "softsign"]
RATE = st.sampled_from([0.0, 0.3])


def cell_options(draw: Draw, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {"activation": draw(st.sampled_from(SMOOTH)), "use_bias": draw(booleans)}
    if kind != "SimpleRNN":
        options["recurrent_activation"] = draw(st.sampled_from(GATES))
    if kind == "GRU":
        options["reset_after"] = draw(booleans)
    if kind == "LSTM":
        options["unit_forget_bias"] = draw(booleans)
    return {**options, "dropout": draw(RATE), "recurrent_dropout": draw(RATE)}


def recurrent(draw: Draw, kind: str, sequences: bool) -> Any:
    options = cell_options(draw, kind)
    return getattr(layers, kind)(
        draw(st.integers(1, 5)), return_sequences=sequences, go_backwards=draw(booleans), dtype="float64", **options
    )


def plain(draw: Draw, sequences: bool, kind: str = "") -> Any:
    kind = kind or draw(st.sampled_from(["LSTM", "GRU", "SimpleRNN"]))
    return getattr(layers, kind)(draw(st.integers(1, 4)), return_sequences=sequences, dtype="float64")


def bidirectional(draw: Draw) -> Any:
    kind = draw(st.sampled_from(["LSTM", "GRU", "SimpleRNN"]))
    inner = getattr(layers, kind)(
        draw(st.integers(1, 4)), return_sequences=draw(booleans), dtype="float64", **cell_options(draw, kind)
    )
    return layers.Bidirectional(
        inner, merge_mode=draw(st.sampled_from(["concat", "sum", "mul", "ave"])), dtype="float64"
    )


def stacked(draw: Draw) -> Any:
    made = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["LSTM", "GRU", "SimpleRNN"]))
        made.append(
            getattr(layers, f"{kind}Cell")(draw(st.integers(1, 4)), dtype="float64", **cell_options(draw, kind))
        )
    return layers.RNN(made, return_sequences=draw(booleans), dtype="float64")


def distributed(draw: Draw) -> Any:
    return layers.TimeDistributed(
        layers.Dense(draw(st.integers(1, 4)), activation="tanh", dtype="float64"), dtype="float64"
    )


def convolution(draw: Draw) -> Any:
    return layers.Conv1D(
        draw(st.integers(1, 4)), draw(st.integers(1, 3)), padding=draw(st.sampled_from(["causal", "same"])),
        dilation_rate=draw(st.integers(1, 2)), activation="tanh", use_bias=draw(booleans), dtype="float64",
    )  # fmt: skip


def normalised(draw: Draw) -> Any:
    return layers.LayerNormalization(center=draw(booleans), scale=draw(booleans), dtype="float64")


def batch_normalised(draw: Draw) -> Any:
    return layers.BatchNormalization(center=draw(booleans), scale=draw(booleans), dtype="float64")


def pooled(draw: Draw) -> Any:
    kind = draw(st.sampled_from([layers.AveragePooling1D, layers.MaxPooling1D]))
    return kind(draw(st.integers(1, 2)), padding=draw(st.sampled_from(["same", "valid"])), dtype="float64")


def dropped(draw: Draw) -> Any:
    kind = draw(st.sampled_from([layers.Dropout, layers.SpatialDropout1D, layers.GaussianDropout]))
    return kind(draw(RATE), dtype="float64")


def dense(draw: Draw) -> Any:
    return layers.Dense(
        draw(st.integers(1, 4)), activation=draw(st.sampled_from(SMOOTH)), use_bias=draw(booleans), dtype="float64"
    )


MAKERS: dict[str, Callable[[Draw], Any]] = {
    **{kind: (lambda draw, kind=kind: recurrent(draw, kind, draw(booleans))) for kind in ("LSTM", "GRU", "SimpleRNN")},
    "Bidirectional": bidirectional,
    "RNN": stacked,
    "TimeDistributed": distributed,
    "Dense": dense,
    "Conv1D": convolution,
    "LayerNormalization": normalised,
    "BatchNormalization": batch_normalised,
    "pooling": pooled,
    "dropout": dropped,
    "PReLU": lambda draw: layers.PReLU(shared_axes=[1], dtype="float64", alpha_initializer="glorot_uniform"),
}


def merged(draw: Draw, x: Any) -> Any:
    """Two layers side by side, merged."""
    units = draw(st.integers(1, 3))
    a, b = (
        getattr(layers, draw(st.sampled_from(["LSTM", "GRU"])))(units, return_sequences=True, dtype="float64")(x)
        for _ in "ab"
    )
    kind = draw(st.sampled_from([layers.Add, layers.Multiply, layers.Average, layers.Concatenate, layers.Subtract]))
    return kind(dtype="float64")([a, b])


def check(model: Model, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
    """The gradient of every variable at a few places."""
    model.compile("sgd", "mse")
    trainer = model._trainer_for([x], [y])
    trainer.random[...] = rng.integers(0, 1000, 2)
    graph = trainer.graphs[True]
    arrays = trainer._inputs(graph, [x])
    program = trainer.program(True, arrays)
    kept = {id(v): v.value.copy() for v in graph.updates.values()}

    def loss() -> float:
        losses, _ = trainer.run(program, graph, arrays, [y], None)
        for v in graph.updates.values():
            v.assign(kept[id(v)])
        return losses[0]

    loss()
    gradients = trainer.gradients.copy()
    for segment in trainer.segments:
        for at in rng.integers(segment.start, segment.stop, 4):
            before = trainer.parameters[at]
            values = []
            for step in (1e-6, -1e-6):
                trainer.parameters[at] = before + step
                values.append(loss())
            trainer.parameters[at] = before
            expected = (values[0] - values[1]) / 2e-6
            assert gradients[at] == pytest.approx(expected, rel=1e-4, abs=2e-8), segment.name


@pytest.mark.parametrize("kind", [*MAKERS, "merge", "Embedding"])
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_gradients_of_layers(kind: str, data: st.DataObject, seed: int) -> None:
    rng, draw = np.random.default_rng(seed), data.draw
    set_random_seed(seed)
    rows, steps, features = draw(st.integers(1, 4)), draw(st.integers(2, 5)), draw(st.integers(1, 4))
    masked = draw(booleans) and kind not in ("Conv1D", "pooling", "BatchNormalization", "PReLU")
    if kind == "Embedding":
        i = rnnrt.Input((steps,), dtype="int32")
        h = layers.Embedding(5, features, mask_zero=masked, dtype="float64")(i)
        x: np.ndarray = rng.integers(0, 5, (rows, steps)).astype(np.int32)
    else:
        i = rnnrt.Input((steps, features), dtype="float64")
        x = rng.normal(size=(rows, steps, features))
        if masked:
            x[rng.random((rows, steps)) < 0.3] = 0
        # What comes first has weights too, so that gradients pass through the layer and not only into it.
        h = layers.Masking(dtype="float64")(i) if masked else i
        h = plain(draw, True)(h)
    if kind == "merge":
        h = merged(draw, h)
    elif kind != "Embedding":
        h = MAKERS[kind](draw)(h)
    if len(h.shape) > 2:
        h = plain(draw, draw(booleans))(h)
    model = Model(i, h)
    for variable in model.trainable_weights:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    y = rng.normal(size=model.predict(x).shape)
    check(model, x, y, rng)
