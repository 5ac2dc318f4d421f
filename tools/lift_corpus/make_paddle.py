"""Paddle's recurrent layers through paddle2onnx."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lift_corpus.record import draw, make_all, record

SIZE, UNITS, STEPS = 4, 5, 6


def _cases() -> dict[str, tuple[str, Callable[[Any], Any]]]:
    cases: dict[str, tuple[str, Callable[[Any], Any]]] = {}
    for name in ("LSTM", "GRU", "SimpleRNN"):
        for suffix, options in (("", {}), ("_bi", {"direction": "bidirect"}), ("_2", {"num_layers": 2})):
            cases[f"{name.lower()}{suffix}"] = (
                f"paddle.nn.{name} {options or ''}",
                lambda paddle, n=name, o=options: getattr(paddle.nn, n)(SIZE, UNITS, **o),
            )
    for name in ("LSTMCell", "GRUCell", "SimpleRNNCell"):
        cases[name.lower()] = (
            f"paddle.nn.{name} in a Python loop, T=6",
            lambda paddle, n=name: getattr(paddle.nn, n)(SIZE, UNITS),
        )
    return cases


def main(folder: Path, options: list[str]) -> None:
    """Make the models: options are names of cases."""
    import onnx
    import paddle

    cases = _cases()
    exporter = f"paddle2onnx {importlib.metadata.version('paddle2onnx')}, paddle {paddle.__version__}"

    def make(name: str) -> None:
        what, build = cases[name]

        class Network(paddle.nn.Layer):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.layer = build(paddle)
                self.is_cell, self.join = "cell" in name, paddle.stack

            def forward(self, x: Any) -> Any:
                # Paddle compiles this function anew, without the names around it.
                if not self.is_cell:
                    return self.layer(x)[0]
                steps, state = [], None
                for each in x.unbind(1):
                    y, state = self.layer(each, state)
                    steps.append(y)
                return self.join(steps, 1)

        paddle.seed(0)
        network = Network()
        network.eval()
        steps = STEPS if "cell" in name else None

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [network(paddle.to_tensor(arrays[0])).numpy()]

        feeds = [[draw((None, steps, SIZE), batch, length, batch)] for batch, length in ((2, 7), (3, 5))]
        with tempfile.TemporaryDirectory() as temporary:
            path = str(Path(temporary) / "model")
            paddle.onnx.export(
                network, path, [paddle.static.InputSpec([None, steps, SIZE], name="x")], opset_version=13
            )
            made = onnx.load(path + ".onnx")
        record(folder, f"paddle_{name}", made, exporter, what, run, feeds)

    make_all({name: lambda name=name: make(name) for name in options or cases})  # type: ignore[misc]
