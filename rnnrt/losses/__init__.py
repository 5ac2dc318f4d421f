"""Keras's losses, with their gradients.

A loss object takes labels, predictions, weights and a mask, and gives one number; `value_and_gradient` gives the
gradient for the predictions with it. The functions give the losses of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import RnnrtError
from rnnrt.losses.base import Loss
from rnnrt.losses.ctc import CTC
from rnnrt.losses.functions import (
    LOSS_OF,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    cosine_similarity,
    ctc,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from rnnrt.losses.probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
)
from rnnrt.losses.regression import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    SquaredHinge,
)
from rnnrt.registry import Registry

__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "resolve",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]


class LossFunctionWrapper(Loss):
    """A function ``fn(y_true, y_pred, **arguments)`` of the losses of samples, as a loss.

    Only a function of this module has a gradient; to train with another, write a `Loss` with `call` and `gradient`.
    """

    def __init__(
        self,
        fn: Callable[..., np.ndarray],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: DTypeLike | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn, self.arguments = fn, arguments
        self._twin = LOSS_OF[fn](**arguments) if fn in LOSS_OF else None

    def call(self, y_true: Any, y_pred: Any) -> np.ndarray:
        return np.asarray(self.fn(y_true, y_pred, **self.arguments))

    def call_and_gradient(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        return self._twin.call_and_gradient(y_true, y_pred) if self._twin else super().call_and_gradient(y_true, y_pred)

    def gradient(self, y_true: Any, y_pred: Any) -> np.ndarray:
        return self._twin.gradient(y_true, y_pred) if self._twin else super().gradient(y_true, y_pred)

    def label_mask(self, y_true: Any, y_pred: Any) -> np.ndarray | None:
        return self._twin.label_mask(y_true, y_pred) if self._twin else None

    def spread(self, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return self._twin.spread(weights, gradient) if self._twin else super().spread(weights, gradient)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"fn": serialize(self.fn)} | self.arguments

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LossFunctionWrapper:
        """Make an object from what `get_config` gave; its function must be one of this module."""
        return cls(**(dict(config) | {"fn": deserialize(config["fn"])}))


_REGISTRY = Registry(
    "losses",
    (LossFunctionWrapper, *LOSS_OF.values()),
    {function.__name__: function for function in LOSS_OF}
    | {
        "bce": binary_crossentropy,
        "BCE": binary_crossentropy,
        "kld": kl_divergence,
        "KLD": kl_divergence,
        "logcosh": log_cosh,
        "mae": mean_absolute_error,
        "MAE": mean_absolute_error,
        "mape": mean_absolute_percentage_error,
        "MAPE": mean_absolute_percentage_error,
        "mse": mean_squared_error,
        "MSE": mean_squared_error,
        "msle": mean_squared_logarithmic_error,
        "MSLE": mean_squared_logarithmic_error,
    },
    snake=False,
)


def serialize(loss: Any) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`."""
    return _REGISTRY.serialize(loss)


def deserialize(name: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss or function that a name or a dictionary describes."""
    return _REGISTRY.deserialize(name, custom_objects)


def get(identifier: Any) -> Any:
    """A loss from a name ("mse", "CategoricalCrossentropy"), a dictionary, a class, a function or a loss.

    As in Keras, names in snake case and short names give functions; `resolve` gives losses always.
    """
    return _REGISTRY.get(identifier)


def resolve(identifier: Any, y_true_shape: Sequence[int | None] = (), y_pred_shape: Sequence[int | None] = ()) -> Loss:
    """The loss that ``compile(loss=identifier)`` means: an object with values and gradients.

    Parameters
    ----------
    identifier : str, dict, function or Loss
        What `get` takes, or "crossentropy" or "ce", for the crossentropy that suits the shapes.
    y_true_shape, y_pred_shape : sequence of int or None
        Needed for "crossentropy" alone.

    Raises
    ------
    RnnrtError
        The identifier is unknown.
    """
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        if not y_true_shape or not y_pred_shape:
            raise RnnrtError(f"the loss {identifier!r} depends on the shapes of y_true and y_pred; give them")
        n_true, n_pred = y_true_shape[-1], y_pred_shape[-1]
        if n_pred == 1:
            return BinaryCrossentropy(name=identifier)
        if len(y_true_shape) < len(y_pred_shape) or n_true == 1:
            return SparseCategoricalCrossentropy(name=identifier)
        return CategoricalCrossentropy(name=identifier)
    found = get(identifier)
    if isinstance(found, Loss):
        return found
    if found is None:
        raise RnnrtError("no loss is given; name one, for example 'mse' or 'sparse_categorical_crossentropy'")
    name = identifier if isinstance(identifier, str) else getattr(found, "__name__", None)
    # Every built-in takes its arguments by name, so the class of a function has its defaults.
    return LOSS_OF[found](name=name) if found in LOSS_OF else LossFunctionWrapper(found, name=name)
