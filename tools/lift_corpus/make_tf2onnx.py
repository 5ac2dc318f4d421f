"""Keras models through tf2onnx; the current one, and old ones down to 1.5 with TensorFlow 1."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from lift_corpus.keras_cases import CASES
from lift_corpus.keras_feeds import build, call, feeds_of, fits, shape_of
from lift_corpus.record import make_all, record


def convert(model: Any, opset: int) -> Any:
    """The ONNX model of a Keras 2 or 3 model under TensorFlow 2."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(shape_of(x), x.dtype, name=x.name.split(":")[0]) for x in model.inputs]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def function(*inputs: Any) -> Any:
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    if hasattr(tf2onnx.convert, "from_function"):
        return tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)[0]
    raise RuntimeError(f"tf2onnx {tf2onnx.__version__} cannot be called for TensorFlow 2")


def convert_frozen(model: Any, k: Any, opset: int) -> Any:
    """The ONNX model of a Keras model under TensorFlow 1, by its frozen graph."""
    import tensorflow as tf
    import tf2onnx

    session = k.backend.get_session()
    outputs = [y.name for y in model.outputs]
    constant = tf.compat.v1.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), [name.split(":")[0] for name in outputs]
    )
    inputs = [x.name for x in model.inputs]
    with tf.Graph().as_default():  # the optimizer reads the default graph's variables, of which there must be none
        optimized = tf2onnx.tfonnx.tf_optimize(inputs, outputs, constant, True)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(optimized, name="")
    with tf.compat.v1.Session(graph=graph):
        onnx_graph = tf2onnx.tfonnx.process_tf_graph(graph, opset=opset, input_names=inputs, output_names=outputs)
    return tf2onnx.optimizer.optimize_graph(onnx_graph).make_model("tf2onnx")


def main(folder: Path, options: list[str]) -> None:
    """Make the models: options are the module that is Keras, a prefix of the names, the opset, and names of cases."""
    module, prefix, number, *names = options
    opset = int(number)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf
    import tf2onnx

    k = tf.keras if module == "tf.keras" else importlib.import_module(module)
    first = tf.__version__.startswith("1.")
    version = getattr(k, "__version__", "")
    exporter = f"tf2onnx {tf2onnx.__version__}, TensorFlow {tf.__version__}, {module} {version}"

    def make(name: str) -> None:
        model = build(k, name)
        feeds = [arrays for arrays in feeds_of(model) if fits(model, arrays)]
        made = convert_frozen(model, k, opset) if first else convert(model, opset)
        given = [x.name for x in model.inputs] if first else []
        record(
            folder, f"{prefix}_{name}", made, exporter, CASES[name][0], lambda arrays: call(model, arrays), feeds, given
        )

    make_all({name: lambda name=name: make(name) for name in names or CASES})  # type: ignore[misc]
