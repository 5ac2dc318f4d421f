"""Loops of jax.lax, by hand and over cells of equinox, through jax2onnx."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lift_corpus.record import draw, make_all, randomize, record

SIZE, UNITS, STEPS = 4, 5, 6


def _by_hand(kind: str, loop: str) -> Callable[[Any], Any]:
    """A recurrence over x (B, STEPS, SIZE) written with jax.lax: all steps, or the last one of a `fori` loop."""
    import jax.numpy as jnp
    from jax import lax, nn

    gates = {"lstm": 4, "gru": 3, "rnn": 1}[kind]
    w, r, b = (jnp.asarray(a) for a in randomize([
        np.empty((SIZE, gates * UNITS), np.float32), np.empty((UNITS, gates * UNITS), np.float32),
        np.empty(gates * UNITS, np.float32),
    ]))  # fmt: skip

    def step(state: Any, x: Any) -> Any:
        h, c = state
        a, s = jnp.split(x @ w + b, gates, axis=-1), jnp.split(h @ r, gates, axis=-1)
        if kind == "lstm":
            i, f, g, o = (p + q for p, q in zip(a, s, strict=True))
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
        elif kind == "gru":
            z, n = nn.sigmoid(a[0] + s[0]), jnp.tanh(a[2] + nn.sigmoid(a[1] + s[1]) * s[2])
            h = (1 - z) * n + z * h
        else:
            h = jnp.tanh(a[0] + s[0])
        return (h, c), h

    def run(x: Any) -> Any:
        first = jnp.zeros((x.shape[0], UNITS), jnp.float32)
        if loop == "scan":
            return jnp.swapaxes(lax.scan(step, (first, first), jnp.swapaxes(x, 0, 1))[1], 0, 1)

        def body(t: Any, state: Any) -> Any:
            return (state[0], *step(state[1:], state[0][:, t])[0])

        # jax2onnx lets a loop see no arrays but its own state.
        return lax.fori_loop(0, STEPS, body, (x, first, first))[1]

    return run


def _equinox(name: str) -> Callable[[Any], Any]:
    """A cell of equinox in jax.lax.scan."""
    import equinox
    import jax
    from jax import lax

    cell = getattr(equinox.nn, name)(SIZE, UNITS, key=jax.random.key(0))

    def run(x: Any) -> Any:
        first = jax.numpy.zeros((x.shape[0], UNITS), jax.numpy.float32)

        def step(state: Any, each: Any) -> Any:
            state = jax.vmap(cell)(each, state)
            return state, state[0] if "LSTM" in name else state

        state = (first, first) if "LSTM" in name else first
        return jax.numpy.swapaxes(lax.scan(step, state, jax.numpy.swapaxes(x, 0, 1))[1], 0, 1)

    return run


def _cases() -> dict[str, tuple[str, Callable[[], Any]]]:
    cases: dict[str, tuple[str, Callable[[], Any]]] = {}
    for name in ("LSTMCell", "GRUCell"):
        cases[f"equinox_{name.lower()}"] = (f"equinox.nn.{name} in jax.lax.scan, T=6", lambda n=name: _equinox(n))
    for kind in ("lstm", "gru", "rnn"):
        for loop in ("scan", "fori"):
            what = f"{kind} by hand in jax.lax.{loop}, T=6"
            cases[f"{loop}_{kind}"] = (what, lambda k=kind, p=loop: _by_hand(k, p))
    return cases


def main(folder: Path, options: list[str]) -> None:
    """Make the models: options are names of cases."""
    import jax.numpy as jnp
    from jax2onnx import to_onnx

    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("jax2onnx", "jax", "equinox"))
    cases = _cases()

    def make(name: str) -> None:
        what, build = cases[name]
        function = build()
        feeds = [[draw((None, STEPS, SIZE), batch, STEPS, batch)] for batch in (2, 3)]

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [np.asarray(function(*(jnp.asarray(a) for a in arrays)))]

        made, problem = None, None
        for batch in ("B", 2):
            try:
                made = to_onnx(function, inputs=[(batch, STEPS, SIZE)])
                break
            except Exception as error:
                problem = error
        if made is None:
            raise problem or RuntimeError(name)
        record(folder, f"jax2onnx_{name}", made, versions, what, run, feeds)

    make_all({name: lambda name=name: make(name) for name in options or cases})  # type: ignore[misc]
