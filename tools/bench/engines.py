"""The same layer in rnnrt and in its peers: each engine turns a cell into a function from X to Y."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from cells import GATES, Cell

Run = Callable[[np.ndarray], np.ndarray]


STATES = {"LSTM": ("h", "c"), "GRU": ("h",)}


def onnx_layer(cell: Cell, states: bool = False) -> bytes:
    """An ONNX file of one recurrent node: X -> Y (T, 1, B, H).

    With `states`, those are inputs named h0 and c0 and outputs named h1 and c1; otherwise they start from zero.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = cell.weights()
    attrs = {"hidden_size": cell.H, **({"linear_before_reset": 1} if cell.kind == "GRU" else {})}
    names = STATES[cell.kind] if states else ()
    node = helper.make_node(
        cell.kind,
        ["X", "W", "R", "B", *(["", *(f"{n}0" for n in names)] if names else [])],
        ["Y", *(f"{n}1" for n in names)],
        **attrs,
    )
    info, f32 = helper.make_tensor_value_info, TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "layer",
        [info("X", f32, ["T", "B", cell.I]), *(info(f"{n}0", f32, [1, "B", cell.H]) for n in names)],
        [info("Y", f32, ["T", 1, "B", cell.H]), *(info(f"{n}1", f32, [1, "B", cell.H]) for n in names)],
        [numpy_helper.from_array(a, k) for k, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def rnnrt_model(cell: Cell, threads: int) -> Any:
    """The layer as a model of rnnrt, from the IR."""
    from rnnrt.ir import Graph, Node, Value
    from rnnrt.models import Model

    f32 = np.dtype("float32")
    attrs = {"hidden_size": cell.H, **({"linear_before_reset": 1} if cell.kind == "GRU" else {})}
    graph = Graph(
        (Value("X", f32, ("T", "B", cell.I)),),
        (Value("Y", f32, ("T", 1, "B", cell.H)),),
        (Node(cell.kind, ("X", "W", "R", "B"), ("Y",), attrs),),
        cell.weights(),
    )
    return Model.from_graph(graph, threads=threads)


def rnnrt_engine(cell: Cell, threads: int) -> Run:
    """A call of rnnrt."""
    model = rnnrt_model(cell, threads)
    return lambda x: model.run(None, {"X": x})[0]


def onnxruntime_session(model: str | bytes, threads: int) -> Any:
    """A session of onnxruntime's CPU provider."""
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnxruntime_engine(cell: Cell, threads: int) -> Run:
    """Onnxruntime's CPU provider."""
    session = onnxruntime_session(onnx_layer(cell), threads)
    return lambda x: session.run(["Y"], {"X": x})[0]


def torch_engine(cell: Cell, threads: int) -> Run:
    """Torch under inference_mode; its gates come in another order."""
    import torch

    gates = GATES[cell.kind]
    order = (0, 2, 3, 1) if cell.kind == "LSTM" else (1, 0, 2)
    weights = cell.weights()

    def reorder(array: np.ndarray) -> torch.Tensor:
        blocks = array.reshape(gates, cell.H, -1)[list(order)]
        return torch.from_numpy(np.ascontiguousarray(blocks.reshape(gates * cell.H, *array.shape[1:])))

    layer = (torch.nn.LSTM if cell.kind == "LSTM" else torch.nn.GRU)(cell.I, cell.H)
    bias = weights["B"][0].reshape(2, -1)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(reorder(weights["W"][0]))
        layer.weight_hh_l0.copy_(reorder(weights["R"][0]))
        layer.bias_ih_l0.copy_(reorder(bias[0]))
        layer.bias_hh_l0.copy_(reorder(bias[1]))
    layer.eval()

    def run(x: np.ndarray) -> np.ndarray:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return layer(torch.from_numpy(x))[0].numpy()[:, None]

    return run


def openvino_engine(cell: Cell, threads: int) -> Run:
    """openvino, latency hint, float32."""
    import openvino as ov

    model = ov.Core().read_model(onnx_layer(cell))
    model.reshape({"X": [cell.T, cell.B, cell.I]})
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    request = ov.compile_model(model, "CPU", config).create_infer_request()
    return lambda x: request.infer([x])[0].copy()


ENGINES = {
    "rnnrt": rnnrt_engine,
    "onnxruntime": onnxruntime_engine,
    "torch": torch_engine,
    "openvino": openvino_engine,
}


def installed(name: str) -> bool:
    """Whether the engine can be imported here."""
    return importlib.util.find_spec(name) is not None
