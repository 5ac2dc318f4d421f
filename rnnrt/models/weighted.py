"""What weights a model has, and their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.layers.variable import Variable


class Weighted:
    """What `Model` takes from here: its weights."""

    name: Any
    built: Any
    _holder: Any

    @property
    def trainable(self) -> bool:
        """Whether training moves the weights; to set it sets it for all layers."""
        return self._holder.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._holder.trainable = value

    @property
    def weights(self) -> list[Variable]:
        """All variables, each once, in Keras's order."""
        return self._holder.weights

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self._holder.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those of `weights` that training moves."""
        return self._holder.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those of `weights` that training leaves alone."""
        return self._holder.non_trainable_weights

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all arrays, in the order of `weights`."""
        return self._holder.get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign all arrays, in the order of `weights`.

        Raises
        ------
        ShapeError
            There are more or fewer, or one has another shape; then nothing is changed.
        """
        self._holder.set_weights(weights)

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        if not self.built:
            raise RnnrtError(f"model {self.name!r}: is not built; call it, or build(input_shape)")
        return self._holder.count_params()

    def save_weights(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone: a .weights.h5 file as Keras 3 has it, or .safetensors.

        Raises
        ------
        ModelFormatError
            The path ends in something else, or the file is there and `overwrite` is False.
        """
        from rnnrt.models.weight_files import save_weights

        save_weights(self, path, overwrite)

    def load_weights(self, path: str | os.PathLike[str], skip_mismatch: bool = False, *, by_name: bool = False) -> None:
        """Assign the weights in a file that `save_weights`, here or in Keras 1, 2 or 3, has written.

        Weights of other forms are converted as Keras does it: those of Keras 1, of a Theano backend, and between the
        layers for cuDNN and the plain ones.

        Parameters
        ----------
        path : path-like
            A file of weights, or a whole model in HDF5.
        skip_mismatch : bool
            With `by_name`: leave layers as they are whose arrays in the file do not fit.
        by_name : bool
            Fill the layers whose names the file has, and leave the others. Otherwise every layer is filled: after its
            name where file and model have the same names, and else in the order of the layers. Files of Keras 3 hold
            no names and always go by the order.

        Raises
        ------
        ModelFormatError
            The file is missing, damaged, or holds other weights than the model's.
        """
        from rnnrt.models.weight_files import load_weights

        load_weights(self, path, skip_mismatch, by_name)
