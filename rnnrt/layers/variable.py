"""Variables: the arrays of a layer, which training changes and which graphs are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.errors import ShapeError

if TYPE_CHECKING:
    from rnnrt.layers.weights import Weights


class Changes:
    """Counts what changes, so that one comparison tells that nothing has.

    Attributes
    ----------
    count : int
        Changes of the values of variables.
    structure : int
        Variables that were made, and those that were frozen or freed.
    """

    count: int = 0
    structure: int = 0


class Variable:
    """An array with a name, of fixed shape and dtype.

    Parameters
    ----------
    value : ndarray
        Kept without a copy; it is copied before the first change.
    name : str
        What its layer calls it, such as "kernel".
    trainable : bool
        False for what gradients do not move, such as moving averages.
    path : str
        Names of the layers around it, and its own: "lstm/lstm_cell/kernel". Empty until it is known.
    owner : Weights, optional
        The layer that holds it, which knows its regularizer and its constraint.

    Attributes
    ----------
    version : int
        Grows with every change.
    """

    def __init__(
        self, value: np.ndarray, name: str, trainable: bool = True, path: str = "", owner: Weights | None = None
    ) -> None:
        self._array = np.asarray(value)
        self._borrowed, self._pinned = True, False
        self.name, self.path, self.trainable, self.owner = name, path, bool(trainable), owner
        self.version = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents."""
        return self._array.shape

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self._array.dtype.name

    @property
    def value(self) -> np.ndarray:
        """The array itself, to be read only."""
        return self._array

    @property
    def regularizer(self) -> Any:
        """What adds to the loss for the size of the weights, or None."""
        return None if self.owner is None else self.owner.setting(self.name, "regularizer")

    @property
    def constraint(self) -> Any:
        """What maps the weights back after an update, or None."""
        return None if self.owner is None else self.owner.setting(self.name, "constraint")

    def numpy(self) -> np.ndarray:
        """A copy of the array."""
        return self._array.copy()

    def assign(self, value: Any) -> None:
        """Change all elements.

        Raises
        ------
        ShapeError
            The new value has another shape.
        """
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ShapeError(
                f"variable {self.path or self.name!r} has shape {self.shape}, the new value {array.shape}; "
                "give an array of that shape"
            )
        if self._borrowed:
            self._array = np.array(array, self._array.dtype)
            self._borrowed = False
        else:
            self._array[...] = array
        self.mark_changed()

    def mark_changed(self) -> None:
        """Tell the models that hold this variable that somebody has written to its memory."""
        self.version += 1
        Changes.count += 1

    def snapshot(self) -> np.ndarray:
        """An array of the present values that later changes leave alone; no copy where none is needed."""
        if self._pinned:
            return self._array.copy()
        self._borrowed = True
        return self._array

    def move_to(self, memory: np.ndarray) -> None:
        """Keep the values in `memory` from now on, an array of the same shape and dtype, and change them there.

        Raises
        ------
        ShapeError
            The memory has another shape or dtype.
        """
        if memory.shape != self.shape or memory.dtype != self._array.dtype:
            raise ShapeError(
                f"variable {self.path or self.name!r} is {self.dtype} {self.shape}, the memory {memory.dtype} "
                f"{memory.shape}; give memory of the same kind"
            )
        memory[...] = self._array
        self._array, self._borrowed, self._pinned = memory, False, True

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype)

    def __repr__(self) -> str:
        return f"<Variable path={self.path or self.name}, shape={self.shape}, dtype={self.dtype}>"
