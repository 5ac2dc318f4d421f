"""tf.keras models through keras2onnx (1.7 with TensorFlow 2.2)."""

from __future__ import annotations

from pathlib import Path

from lift_corpus.keras_cases import CASES
from lift_corpus.keras_feeds import build, call, feeds_of, fits
from lift_corpus.record import make_all, record


def main(folder: Path, options: list[str]) -> None:
    """Make the models: options are a prefix of the names, the opset, and names of cases."""
    import keras2onnx
    import tensorflow as tf

    prefix, number, *names = options
    exporter = f"keras2onnx {keras2onnx.__version__}, TensorFlow {tf.__version__}"

    def make(name: str) -> None:
        model = build(tf.keras, name)
        feeds = [arrays for arrays in feeds_of(model, padded=True) if fits(model, arrays)]
        made = keras2onnx.convert_keras(model, model.name, target_opset=int(number))
        record(folder, f"{prefix}_{name}", made, exporter, CASES[name][0], lambda arrays: call(model, arrays), feeds)

    make_all({name: lambda name=name: make(name) for name in names or CASES})  # type: ignore[misc]
