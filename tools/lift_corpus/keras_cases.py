"""Networks in Keras's words; `k` is keras, tf.keras or tf_keras, of any version since 2.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SIZE, UNITS, STEPS, TOKENS = 4, 5, 6, 9
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"reset_after": True}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "simple_rnn": ("SimpleRNN", {}),
}


def layer(k: Any, kind: str, units: int = UNITS, **options: Any) -> Any:
    """A recurrent layer of a kind."""
    name, fixed = KINDS[kind]
    return getattr(k.layers, name)(units, **{**fixed, **options})


def chain(k: Any, *layers: Any, steps: int | None = None, **options: Any) -> Any:
    """A model of layers one after the other, over sequences of SIZE features."""
    if "batch_shape" not in options:
        options["shape"] = (steps, SIZE)
    x = k.Input(**options)
    y = x
    for each in layers:
        y = each(y)
    return k.Model(x, y)


def with_state(k: Any, kind: str, masked: bool = False) -> Any:
    """Initial states are inputs, final states are outputs."""
    x = k.Input((None, SIZE))
    states = [k.Input((UNITS,)) for _ in range(2 if kind == "lstm" else 1)]
    y = k.layers.Masking()(x) if masked else x
    given = states if len(states) > 1 else states[0]
    out = layer(k, kind, return_sequences=True, return_state=True)(y, initial_state=given)
    return k.Model([x, *states], list(out))


def translator(k: Any, kind: str) -> Any:
    """The final states of one layer are the first states of another."""
    x = k.Input((STEPS, SIZE))
    last, *states = layer(k, kind, return_state=True)(x)
    y = k.layers.RepeatVector(7)(last)
    y = layer(k, kind, return_sequences=True)(y, initial_state=states if len(states) > 1 else states[0])
    return k.Model(x, k.layers.Dense(3)(y))


def embedded(k: Any, *layers: Any, steps: int | None = None) -> Any:
    """Tokens, of which zeros are masked."""
    x = k.Input((steps,), dtype="int32")
    y = k.layers.Embedding(TOKENS, SIZE, mask_zero=True)(x)
    for each in layers:
        y = each(y)
    return k.Model(x, y)


def custom_cell(k: Any, variant: str) -> Any:
    """An LSTM cell that ONNX has no operator for.

    "layer_norm" normalizes the sum of both products; "coupled" derives the input gate from the forget gate;
    "peephole" lets the gates see c through a full matrix.
    """

    class Cell(k.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.state_size, self.output_size = [UNITS, UNITS], UNITS
            self.input_product = k.layers.Dense(4 * UNITS)
            self.state_product = k.layers.Dense(4 * UNITS, use_bias=False)
            self.extra = k.layers.LayerNormalization() if variant == "layer_norm" else k.layers.Dense(2 * UNITS)

        def build(self, shape: Any) -> None:
            self.input_product.build((None, SIZE))
            self.state_product.build((None, UNITS))
            self.extra.build((None, 4 * UNITS if variant == "layer_norm" else UNITS))
            self.built = True

        def call(self, x: Any, states: Any, training: Any = None) -> Any:
            sigmoid, tanh = k.activations.sigmoid, k.activations.tanh
            h, c = states
            z = self.input_product(x) + self.state_product(h)
            if variant == "layer_norm":
                z = self.extra(z)
            i, f, g, o = (z[:, k_ * UNITS : (k_ + 1) * UNITS] for k_ in range(4))
            if variant == "peephole":
                seen = self.extra(c)
                i, f = i + seen[:, :UNITS], f + seen[:, UNITS:]
            gate = 1.0 - sigmoid(f) if variant == "coupled" else sigmoid(i)
            c = sigmoid(f) * c + gate * tanh(g)
            h = sigmoid(o) * tanh(c)
            return h, [h, c]

    return Cell()


def _cases() -> dict[str, tuple[str, Callable[[Any], Any]]]:
    cases: dict[str, tuple[str, Callable[[Any], Any]]] = {}

    def add(name: str, what: str, build: Callable[[Any], Any]) -> None:
        cases[name] = (what, build)

    seq = {"return_sequences": True}
    for kind in KINDS:
        add(f"{kind}_seq", f"{kind}, all steps, free T", lambda k, c=kind: chain(k, layer(k, c, **seq)))
        add(f"{kind}_last", f"{kind}, last step, T=6", lambda k, c=kind: chain(k, layer(k, c), steps=STEPS))
        add(f"{kind}_last_free", f"{kind}, last step, free T", lambda k, c=kind: chain(k, layer(k, c)))
        add(f"{kind}_seq_fixed", f"{kind}, all steps, T=6", lambda k, c=kind: chain(k, layer(k, c, **seq), steps=STEPS))
        add(
            f"{kind}_unroll",
            f"{kind}, unroll=True, all steps, T=6",
            lambda k, c=kind: chain(k, layer(k, c, unroll=True, **seq), steps=STEPS),
        )
        add(
            f"{kind}_unroll_last",
            f"{kind}, unroll=True, last step, T=6",
            lambda k, c=kind: chain(k, layer(k, c, unroll=True), steps=STEPS),
        )
        add(
            f"{kind}_masked",
            f"Masking, {kind}, all steps, free T",
            lambda k, c=kind: chain(k, k.layers.Masking(), layer(k, c, **seq)),
        )
        add(
            f"{kind}_masked_last",
            f"Masking, {kind}, last step, T=6",
            lambda k, c=kind: chain(k, k.layers.Masking(), layer(k, c), steps=STEPS),
        )
        add(
            f"{kind}_backwards",
            f"{kind}, go_backwards, all steps, free T",
            lambda k, c=kind: chain(k, layer(k, c, go_backwards=True, **seq)),
        )
        add(f"{kind}_state", f"{kind}, initial states in, final states out, free T", lambda k, c=kind: with_state(k, c))
        add(
            f"{kind}_stateful",
            f"{kind}, stateful, batch 2, T=6",
            lambda k, c=kind: chain(k, layer(k, c, stateful=True, **seq), batch_shape=(2, STEPS, SIZE)),
        )
    for kind in ("lstm", "gru", "gru_reset_before"):
        for mode in ("concat", "sum"):
            add(
                f"bi_{kind}_{mode}",
                f"Bidirectional {kind}, merge {mode}, all steps, free T",
                lambda k, c=kind, m=mode: chain(k, k.layers.Bidirectional(layer(k, c, **seq), merge_mode=m)),
            )
        add(
            f"bi_{kind}_last",
            f"Bidirectional {kind}, last step, T=6",
            lambda k, c=kind: chain(k, k.layers.Bidirectional(layer(k, c)), steps=STEPS),
        )
        add(
            f"bi_{kind}_masked",
            f"Masking, Bidirectional {kind}, all steps, free T",
            lambda k, c=kind: chain(k, k.layers.Masking(), k.layers.Bidirectional(layer(k, c, **seq))),
        )
        add(
            f"{kind}_embedding",
            f"Embedding with mask_zero, {kind}, last step, free T",
            lambda k, c=kind: embedded(k, layer(k, c)),
        )
        add(
            f"{kind}_stacked",
            f"two {kind}, Dense, free T",
            lambda k, c=kind: chain(k, layer(k, c, **seq), layer(k, c, 7), k.layers.Dense(3)),
        )
        add(
            f"{kind}_stacked_masked",
            f"Masking, two {kind}, T=6",
            lambda k, c=kind: chain(k, k.layers.Masking(), layer(k, c, **seq), layer(k, c, 7), steps=STEPS),
        )
        add(f"{kind}_no_bias", f"{kind}, use_bias=False", lambda k, c=kind: chain(k, layer(k, c, use_bias=False)))
        add(
            f"{kind}_relu",
            f"{kind}, activation relu",
            lambda k, c=kind: chain(k, layer(k, c, activation="relu", **seq)),
        )
        add(
            f"{kind}_hard_sigmoid",
            f"{kind}, recurrent_activation hard_sigmoid",
            lambda k, c=kind: chain(k, layer(k, c, recurrent_activation="hard_sigmoid", **seq)),
        )
        add(
            f"{kind}_linear",
            f"{kind}, activation linear",
            lambda k, c=kind: chain(k, layer(k, c, activation="linear", **seq)),
        )
        add(f"{kind}_translator", f"{kind} to {kind} by its states, T=6", lambda k, c=kind: translator(k, c))
        add(
            f"{kind}_float64",
            f"{kind}, float64",
            lambda k, c=kind: chain(k, layer(k, c, dtype="float64", **seq), dtype="float64"),
        )
        add(
            f"{kind}_state_masked",
            f"Masking, {kind}, states in and out, free T",
            lambda k, c=kind: with_state(k, c, masked=True),
        )
    add(
        "simple_rnn_relu",
        "simple_rnn, activation relu",
        lambda k: chain(k, layer(k, "simple_rnn", activation="relu", **seq)),
    )
    add(
        "simple_rnn_stacked",
        "three simple_rnn, free T",
        lambda k: chain(k, layer(k, "simple_rnn", **seq), layer(k, "simple_rnn", 7, **seq), layer(k, "simple_rnn")),
    )
    add(
        "lstm_masked_backwards",
        "Masking, lstm, go_backwards, last step, free T",
        lambda k: chain(k, k.layers.Masking(), layer(k, "lstm", go_backwards=True)),
    )
    add(
        "gru_zero_output",
        "Masking, gru, zero_output_for_mask, free T",
        lambda k: chain(k, k.layers.Masking(), layer(k, "gru", zero_output_for_mask=True, **seq)),
    )
    add("rnn_lstm_cell", "RNN(LSTMCell), free T", lambda k: chain(k, k.layers.RNN(k.layers.LSTMCell(UNITS), **seq)))
    add("rnn_gru_cell", "RNN(GRUCell), free T", lambda k: chain(k, k.layers.RNN(k.layers.GRUCell(UNITS), **seq)))
    add(
        "rnn_cells",
        "RNN([LSTMCell, GRUCell]) in one loop, free T",
        lambda k: chain(k, k.layers.RNN([k.layers.LSTMCell(UNITS), k.layers.GRUCell(7)], **seq)),
    )
    add(
        "rnn_cells_state",
        "RNN([LSTMCell, SimpleRNNCell]), final states out, T=6",
        lambda k: chain(
            k, k.layers.RNN([k.layers.LSTMCell(UNITS), k.layers.SimpleRNNCell(7)], return_state=True), steps=STEPS
        ),
    )
    add(
        "mixed_stack",
        "gru, lstm, simple_rnn, free T",
        lambda k: chain(k, layer(k, "gru", **seq), layer(k, "lstm", 7, **seq), layer(k, "simple_rnn")),
    )
    for variant in ("layer_norm", "coupled", "peephole"):
        add(
            f"cell_{variant}",
            f"custom LSTM cell ({variant}): no ONNX operator says this, free T",
            lambda k, v=variant: chain(k, k.layers.RNN(custom_cell(k, v), **seq)),
        )
    add("gru128_gru64", "gru 128, gru 64, Dense; T=100, 32 features", lambda k: _speed(k))
    return cases


def _speed(k: Any) -> Any:
    x = k.Input((100, 32))
    y = k.layers.GRU(128, return_sequences=True, reset_after=True)(x)
    y = k.layers.GRU(64, reset_after=True)(y)
    return k.Model(x, k.layers.Dense(10)(y))


CASES = _cases()
"""What, and how to build it, by name."""
