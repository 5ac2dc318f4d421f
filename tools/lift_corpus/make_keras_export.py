"""Keras 3's own ``model.export(format="onnx")``, with each of its backends."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from pathlib import Path

from lift_corpus.keras_cases import CASES
from lift_corpus.record import make_all, record


def main(folder: Path, options: list[str]) -> None:
    """Make the models: options are the backend and names of cases."""
    backend, *names = options
    os.environ["KERAS_BACKEND"] = backend
    import keras
    import onnx

    from lift_corpus.keras_feeds import build, call, feeds_of, fits, shape_of, with_fixed_length

    tools = {"tensorflow": ("tensorflow", "tf2onnx"), "torch": ("torch", "onnxscript"), "jax": ("jax", "tf2onnx")}
    versions = " ".join(f"{p} {importlib.metadata.version(p)}" for p in tools[backend])

    def make(name: str) -> None:
        model = build(keras, name)
        suffix = ""
        if backend != "tensorflow" and any(None in shape_of(x)[1:] for x in model.inputs):
            # These backends write the loop out for one length; with a free one they take it to be 1.
            model, suffix = with_fixed_length(keras, model), "_t6"
        feeds = [arrays for arrays in feeds_of(model) if fits(model, arrays)]
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "model.onnx"
            model(feeds[0] if len(feeds[0]) > 1 else feeds[0][0])  # export wants a model that was called
            model.export(str(path), format="onnx", verbose=False)
            made = onnx.load(path)
        what = CASES[name][0].replace("free T", "T=6") if suffix else CASES[name][0]
        exporter = f"Keras {keras.__version__} model.export, {versions}"
        record(folder, f"k3{backend}_{name}{suffix}", made, exporter, what, lambda arrays: call(model, arrays), feeds)

    make_all({name: lambda name=name: make(name) for name in names or CASES})  # type: ignore[misc]
