"""Arrays in the form in which another version, backend or processor kept them: those that the layers here have.

Keras 1 keeps an array for each gate, and kernels along time with a second axis in space; Theano's convolutions turn
their kernels round; the layers for cuDNN have layouts of their own. Keras itself converts in the same places
(`preprocess_weights_for_loading`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.layers import Layer
from rnnrt.layers.cells import Cell, GRUCell
from rnnrt.layers.conv import Conv1D
from rnnrt.layers.cudnn import CuDNNGRUCell, CuDNNLSTMCell
from rnnrt.layers.gates import ORDERS, cudnn_weights, plain_to_cudnn

KERAS_1_GATES = {"LSTM": "icfo", "GRU": "zrh"}
"""The order in which Keras 1 keeps the arrays of the gates."""


def adapted(parts: Sequence[tuple[Layer, str]], arrays: list[np.ndarray], backend: str, label: str) -> list[np.ndarray]:
    """Arrays of a file in the number and the layouts that layers have.

    Parameters
    ----------
    parts : sequence of (Layer, str)
        The weights that the arrays are for, in the order of the file.
    arrays : list of ndarray
    backend : str
        What computed when the file was written: "theano", "tensorflow", ..., or "" where it does not tell.
    label : str
        How messages name the layer.

    Raises
    ------
    ModelFormatError
        The number of arrays fits no form that is known, or weights of a GRU are of the other kind.
    """
    left = list(arrays)
    found: list[np.ndarray] = []
    k = 0
    while k < len(parts):
        layer, name = parts[k]
        if isinstance(layer, Cell) and name == "kernel":
            count = sum(part is layer for part, _ in parts[k : k + 3])
            found += _cell_arrays(layer, left, count, label)
            k += count
            continue
        if not left:
            break
        array = left.pop(0)
        if isinstance(layer, Conv1D) and name == "kernel":
            array = _kernel(layer, array, backend)
        found.append(array)
        k += 1
    if left or len(found) != len(parts):
        needed = [f"{part.name}/{name}" for part, name in parts]
        raise ModelFormatError(f"{label} has {len(arrays)} arrays, its configuration needs {needed}")
    return found


def _cell_arrays(cell: Cell, left: list[np.ndarray], count: int, label: str) -> list[np.ndarray]:
    """Take the arrays of a cell from the front of those that are left."""
    split = cell.gates > 1 and len(left) >= 3 * cell.gates and left[0].ndim == 2 and left[0].shape[1] == cell.units
    if split:
        own = [left.pop(0) for _ in range(3 * cell.gates)]
        have = KERAS_1_GATES[cell.op]
        order = [have.index(gate) for gate in ORDERS["keras"][cell.op]]
        try:
            return [np.concatenate([own[3 * g + k] for g in order], axis=-1) for k in range(3)]
        except ValueError as error:
            raise ModelFormatError(f"{label}: the arrays of its gates do not fit together: {error}") from None
    own = [left.pop(0) for _ in range(min(count, len(left)))]
    return _for_cudnn_or_not(cell, own, label) if len(own) == 3 else own


def _for_cudnn_or_not(cell: Cell, arrays: list[np.ndarray], label: str) -> list[np.ndarray]:
    """Kernel, recurrent kernel and bias in the layout of the cell, told by the shape of the bias."""
    if cell.op == "RNN":
        return arrays
    width, bias = cell.gates * cell.units, arrays[2]
    from_cudnn = bias.shape == (2 * width,)
    wants = isinstance(cell, (CuDNNLSTMCell, CuDNNGRUCell))
    if from_cudnn == wants or arrays[0].ndim != 2 or arrays[0].shape[1] != width or arrays[1].shape[1:] != (width,):
        return arrays
    if isinstance(cell, GRUCell) and bias.shape == (width,):
        raise ModelFormatError(
            f"{label}: holds weights of GRU(reset_after=False), which no layer for cuDNN can have; use GRU"
        )
    if isinstance(cell, GRUCell) and from_cudnn and not cell.reset_after:
        raise ModelFormatError(
            f"{label}: holds weights of CuDNNGRU, which GRU(reset_after=False) cannot have; use GRU(reset_after=True)"
        )
    convert = cudnn_weights if from_cudnn else plain_to_cudnn
    return list(convert(cell.op, *arrays))


def _kernel(layer: Conv1D, array: np.ndarray, backend: str) -> np.ndarray:
    """The kernel (kernel_size, C, filters) of a convolution."""
    if array.ndim == 4:
        steps, filters = layer.kernel_size[0], layer.filters
        if array.shape[:2] != (steps, 1) or array.shape[3] != filters:  # Keras 1.1 and older
            array = array.transpose(2, 3, 1, 0)
        if array.shape[1] == 1:
            array = array[:, 0]
    return array[::-1] if backend == "theano" else array
