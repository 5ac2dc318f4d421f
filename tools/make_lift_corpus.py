"""Export models whose recurrence is not an LSTM, GRU or RNN node, with the outputs of the framework they came from.

``python tools/make_lift_corpus.py FOLDER MAKER [OPTIONS...]``; makers are the modules of tools/lift_corpus, each needs
the packages it exports with. They run under the Python that the exporter needs (3.7 and newer):

- ``tf2onnx MODULE PREFIX OPSET [CASES...]``: MODULE is keras, tf_keras or tf.keras
- ``keras_export BACKEND [CASES...]``: Keras 3's own ``model.export``; BACKEND is tensorflow, torch or jax
- ``torch [CASES...]``, ``keras2onnx [CASES...]``, ``paddle``, ``jax2onnx``
- ``index``: run every file in onnxruntime, and write INDEX.md
- ``selection TARGET``: copy a few small ones to another folder

A model is NAME.onnx and NAME.npz, which holds in_NAME and out_K, and b_in_NAME and b_out_K of a second call with
another batch and length where the file allows it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

MAKERS = ("tf2onnx", "keras_export", "torch", "keras2onnx", "paddle", "jax2onnx", "index", "selection")


def main(arguments: list[str]) -> None:
    """Run one maker."""
    if len(arguments) < 2 or arguments[1] not in MAKERS:
        raise SystemExit(__doc__)
    folder, maker, *options = arguments
    importlib.import_module(f"lift_corpus.make_{maker}").main(Path(folder), options)


if __name__ == "__main__":
    main(sys.argv[1:])
