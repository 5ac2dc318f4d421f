"""Gate orders: the only place that knows how frameworks order the gates of a recurrent layer.

The IR follows ONNX: LSTM i o f c, GRU z r h. Keras has LSTM i f c o and GRU z r h, torch LSTM i f g o and GRU r z n.
G gates, H hidden units, I inputs.
"""

from __future__ import annotations

import numpy as np

IR_ORDER = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
ORDERS = {
    "onnx": IR_ORDER,
    "keras": {"LSTM": "ifco", "GRU": "zrh", "RNN": "h"},
    "torch": {"LSTM": "ifco", "GRU": "rzh", "RNN": "h"},
}
"""Order of the gates by framework and operator; torch's g is c, its n is h."""


def permute_gates(array: np.ndarray, op: str, source: str, target: str = "onnx", axis: int = 0) -> np.ndarray:
    """Reorder the gate blocks of one axis.

    Parameters
    ----------
    array : ndarray
        Its extent along `axis` is the number of gates times the hidden size.
    op : {"LSTM", "GRU", "RNN"}
    source, target : {"onnx", "keras", "torch"}
        The order the array has, and the one it gets.
    axis : int
        The axis that holds the gates.
    """
    have, want = ORDERS[source][op], ORDERS[target][op]
    if have == want:
        return array
    blocks = np.split(array, len(have), axis=axis)
    return np.concatenate([blocks[have.index(gate)] for gate in want], axis=axis)


def keras_weights(
    op: str, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Weights of one direction of a Keras layer in the IR's layouts.

    Parameters
    ----------
    op : {"LSTM", "GRU", "RNN"}
    kernel : ndarray (I, G*H)
    recurrent : ndarray (H, G*H)
    bias : ndarray (G*H,) or (2, G*H), optional
        Two rows are the input's and the recurrent bias (GRU with reset_after).

    Returns
    -------
    W (G*H, I), R (G*H, H), B (2*G*H,) or None
    """
    W = permute_gates(kernel.T, op, "keras")
    R = permute_gates(recurrent.T, op, "keras")
    if bias is None:
        return W, R, None
    rows = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return W, R, permute_gates(rows, op, "keras", axis=1).reshape(-1)


def ir_weights_to_keras(
    op: str, W: np.ndarray, R: np.ndarray, B: np.ndarray | None, two_rows: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The way back from `keras_weights`; without `two_rows` both biases are added up."""
    kernel = permute_gates(W, op, "onnx", "keras").T
    recurrent = permute_gates(R, op, "onnx", "keras").T
    if B is None:
        return kernel, recurrent, None
    rows = permute_gates(B.reshape(2, -1), op, "onnx", "keras", axis=1)
    return kernel, recurrent, rows if two_rows else rows[0] + rows[1]


def cudnn_weights(
    op: str, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of CuDNNLSTM or CuDNNGRU in the layouts of Keras's LSTM, or GRU with reset_after.

    Per gate the cuDNN layers keep kernels as cuDNN does, row by row of the transposed matrix; `bias` is (2*G*H,).
    """
    gates = len(IR_ORDER[op])
    inputs = kernel.shape[0]
    kernels = [np.ascontiguousarray(k).reshape(-1, inputs).T for k in np.split(kernel, gates, axis=1)]
    recurrents = [r.T for r in np.split(recurrent, gates, axis=1)]
    rows = bias.reshape(2, -1)
    return (
        np.concatenate(kernels, axis=1),
        np.concatenate(recurrents, axis=1),
        rows if op == "GRU" else rows[0] + rows[1],
    )
