"""Inputs of models: Input and InputLayer."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers.base import Layer, TensorShape
from rnnrt.layers.symbolic import KerasTensor, Record


class InputLayer(Layer):
    """A model's input.

    Parameters
    ----------
    shape : tuple, optional
        Without the batch; None for free extents.
    batch_size : int, optional
    dtype : str, optional
        float32 unless told; also float64, int32, int64 or bool.
    batch_shape : tuple, optional
        The shape with the batch first, in the place of the two others.
    name : str, optional
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> None:
        shape = options.pop("input_shape", shape)
        batch_shape = options.pop("batch_input_shape", batch_shape)
        super().__init__(name=name, **options)
        if sparse or ragged or input_tensor is not None or optional:
            raise self.unsupported("is sparse, ragged, optional or made of a tensor", "use dense inputs")
        if batch_shape is None:
            if shape is None:
                raise self.unsupported("has no shape", "give shape=..., the extents without the batch")
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
        if any(d is not None and (not isinstance(d, (int, np.integer)) or d < 0) for d in batch_shape):
            raise self.unsupported(f"shape {tuple(batch_shape)}", "give integers, and None for free extents")
        self.batch_shape: TensorShape = tuple(None if d is None else int(d) for d in batch_shape)
        kind = "float32" if dtype is None else str(dtype)
        if kind not in ("float32", "float64", "int32", "int64", "bool"):
            raise self.unsupported(f"dtype {kind!r}", "use float32, float64, int32, int64 or bool")
        self.input_dtype = np.dtype(kind)

    def tensor(self) -> KerasTensor:
        """The symbolic tensor that stands for the input."""
        record = Record(self, (), {})
        record.outputs.append(KerasTensor(self.batch_shape, self.input_dtype.name, record))
        self.calls_recorded.append(record)
        return record.outputs[0]

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.input_dtype.name,
            "sparse": False,
            "ragged": False,
            "name": self.name,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> KerasTensor:
    """A symbolic tensor that stands for an input of a model; the parameters are those of `InputLayer`."""
    layer = InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name)
    return layer.tensor()
