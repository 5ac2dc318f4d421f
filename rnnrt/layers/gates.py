"""Gate orders: the only place that knows how frameworks order the gates of a recurrent layer.

The IR follows ONNX: LSTM i o f c, GRU z r h. Keras has LSTM i f c o and GRU z r h, torch LSTM i f g o and GRU r z n.
G gates, H hidden units, I inputs.
"""

from __future__ import annotations

import numpy as np

from rnnrt.errors import ShapeError, UnsupportedModelError

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


def gate_positions(op: str, source: str) -> tuple[int, ...]:
    """Where in weights of that source the IR's gates are, in the IR's order."""
    return tuple(ORDERS[source][op].index(gate) for gate in IR_ORDER[op])


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


def torch_weights(
    op: str,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None = None,
    bias_hh: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Weights of one direction of torch's LSTM, GRU or RNN in the layouts of Keras's layer, GRU with reset_after.

    Parameters
    ----------
    op : {"LSTM", "GRU", "RNN"}
    weight_ih : ndarray (G*H, I)
    weight_hh : ndarray (G*H, H)
    bias_ih, bias_hh : ndarray (G*H,), optional
        Both or neither.

    Returns
    -------
    kernel (I, G*H), recurrent kernel (H, G*H), and bias: None, (2, 3*H) for GRU and else (G*H,)
    """
    kernel, recurrent = (permute_gates(w, op, "torch", "keras").T for w in (weight_ih, weight_hh))
    if bias_ih is None or bias_hh is None:
        return kernel, recurrent, None
    rows = permute_gates(np.stack([bias_ih, bias_hh]), op, "torch", "keras", axis=1)
    return kernel, recurrent, rows if op == "GRU" else rows[0] + rows[1]


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


def plain_to_cudnn(
    op: str, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The way back from `cudnn_weights`; the bias of an LSTM becomes that of its inputs."""
    gates = len(IR_ORDER[op])
    kernels = [np.ascontiguousarray(k.T).reshape(k.shape) for k in np.split(kernel, gates, axis=1)]
    recurrents = [r.T for r in np.split(recurrent, gates, axis=1)]
    rows = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return np.concatenate(kernels, axis=1), np.concatenate(recurrents, axis=1), rows.reshape(-1)


UPDATE_GATES = ("keep", "new")
RESET_GATES = ("keep", "drop")
MIRRORED = ("sigmoid", "hard_sigmoid")
"""Activations f with f(-a) = 1 - f(a)."""


def fold_gru_convention(
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    update_gate: str = "keep",
    reset_gate: str = "keep",
    recurrent_activation: str | None = "sigmoid",
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """GRU weights of another convention as those of h_t = z h_{t-1} + (1 - z) n with n = g(x W + r h_{t-1} R).

    Texts differ in what a gate that is 1 stands for. As 1 - f(a) = f(-a) for the activations of gates, a gate of the
    opposite meaning is the same gate with the signs of its weights and biases turned; nothing is rounded.

    Parameters
    ----------
    kernel : ndarray (I, 3*H)
        In Keras's layout and order of gates: update, reset, new.
    recurrent_kernel : ndarray (H, 3*H)
    bias : ndarray (3*H,) or (2, 3*H), optional
        Two rows are the input's and the recurrent bias (reset_after).
    update_gate : {"keep", "new"}
        What an update gate z weighs: "keep" the state that was, h_t = z h_{t-1} + (1 - z) n, as Keras, ONNX, PyTorch
        and Cho et al. (2014) have it; "new" the candidate, h_t = (1 - z) h_{t-1} + z n, as Chung et al. (2014) have it.
    reset_gate : {"keep", "drop"}
        What a reset gate r lets the candidate see: "keep" r h_{t-1}; "drop" (1 - r) h_{t-1}. With reset_after the
        same holds for the recurrent product in the place of the state.
    recurrent_activation : {"sigmoid", "hard_sigmoid"}
        The activation of both gates.

    Returns
    -------
    kernel, recurrent_kernel, bias
        In the layouts given; the arguments are not changed.

    Raises
    ------
    UnsupportedModelError
        A gate has the opposite meaning and an activation without 1 - f(a) = f(-a).
    ShapeError
        An argument is none of its choices, or the arrays do not fit together.
    """
    for name, value, choices in (
        ("update_gate", update_gate, UPDATE_GATES),
        ("reset_gate", reset_gate, RESET_GATES),
    ):
        if value not in choices:
            raise ShapeError(f"GRU weights: {name}={value!r} is none of {list(choices)}")
    units = np.shape(recurrent_kernel)[0] if np.ndim(recurrent_kernel) == 2 else 0
    shapes = [np.shape(a) for a in (kernel, recurrent_kernel) if np.ndim(a) == 2 and np.shape(a)[1] == 3 * units]
    if len(shapes) != 2 or (bias is not None and np.shape(bias) not in ((3 * units,), (2, 3 * units))):
        found = [np.shape(kernel), np.shape(recurrent_kernel), None if bias is None else np.shape(bias)]
        raise ShapeError(
            f"GRU weights: kernel, recurrent_kernel and bias of shapes {found} do not fit; "
            "give (I, 3*H), (H, 3*H) and (3*H,) or (2, 3*H)"
        )
    signs = np.ones(3)
    signs[0] = -1 if update_gate == "new" else 1
    signs[1] = -1 if reset_gate == "drop" else 1
    if np.any(signs < 0) and recurrent_activation not in MIRRORED:
        raise UnsupportedModelError(
            "GRU weights",
            [
                f"update_gate={update_gate!r}, reset_gate={reset_gate!r} with "
                f"recurrent_activation={recurrent_activation!r}: "
                f"signs can stand for the other convention only where 1 - f(a) = f(-a): {list(MIRRORED)}"
            ],
        )
    row = np.repeat(signs, units)

    def fold(array: np.ndarray) -> np.ndarray:
        given = np.asarray(array)
        return given * row.astype(given.dtype)

    return fold(kernel), fold(recurrent_kernel), None if bias is None else fold(bias)
