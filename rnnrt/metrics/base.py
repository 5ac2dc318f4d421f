"""What a metric is, and means over samples. State is kept in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrt.errors import ShapeError
from rnnrt.losses.reduction import apply_mask, squeeze_or_expand_to_same_rank
from rnnrt.numerics import divide_no_nan
from rnnrt.registry import Configurable, auto_name

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]


class Metric(Configurable):
    """Base of metrics: subclasses define `update_state`, `result` and `reset_state`.

    Parameters
    ----------
    dtype : str, optional
        Kept for configurations; "float32" unless given.
    name : str, optional
        Under which results are reported.
    """

    takes_mask: ClassVar[bool] = False
    """Whether `update_state` takes a mask; Keras's other metrics count masked values too."""

    def __init__(self, dtype: str | None = None, name: str | None = None) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.dtype = "float32" if dtype is None else str(np.dtype(dtype))

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in one batch: y_true, y_pred and, if given, sample_weight."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state(y_true, y_pred, sample_weight=None)")

    def result(self) -> Any:
        """The metric of all batches since the last reset: a float, or an array where the metric is many."""
        raise NotImplementedError(f"{type(self).__name__} must define result()")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} must define reset_state()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _samplewise(
    values: ArrayLike, sample_weight: ArrayLike | None, reduce: Callable[..., Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weighted values of samples, and their weights: other axes are reduced as Keras 3 does."""
    x = np.asarray(values, np.float64)
    weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weights is not None:
        x, weights = squeeze_or_expand_to_same_rank(x, weights)
        if x.ndim > weights.ndim:
            x = reduce(x, axis=tuple(range(weights.ndim, x.ndim)))
        try:
            weights = np.broadcast_to(weights, x.shape)
        except ValueError:
            raise ShapeError(
                f"sample_weight of shape {weights.shape} does not fit values of shape {np.shape(values)}; "
                f"give one weight for each sample, or for each value"
            ) from None
        x = x * weights
        if weights.ndim > 1:
            weights = reduce(weights, axis=tuple(range(1, weights.ndim)))
    if x.ndim > 1:
        x = reduce(x, axis=tuple(range(1, x.ndim)))
    return x, weights


class Sum(Metric):
    """The weighted sum of values."""

    def __init__(self, name: str | None = "sum", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        self.reset_state()

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        self.total += float(np.sum(_samplewise(values, sample_weight, np.sum)[0]))

    def result(self) -> float:
        return self.total

    def reset_state(self) -> None:
        self.total = 0.0


class _Average(Metric):
    """A total and the count that it is divided by."""

    def __init__(self, name: str | None, dtype: str | None) -> None:
        super().__init__(dtype, name)
        self.reset_state()

    def add(self, values: ArrayLike, sample_weight: ArrayLike | None) -> None:
        """Take in the values of a batch."""
        x, weights = _samplewise(values, sample_weight, np.mean)
        self.total += float(np.sum(x))
        self.count += len(x) if weights is None and x.ndim else 1.0 if weights is None else float(np.sum(weights))

    def result(self) -> float:
        return float(divide_no_nan(self.total, self.count))

    def reset_state(self) -> None:
        self.total, self.count = 0.0, 0.0


class Mean(_Average):
    """The weighted mean of values; 0 where nothing has weight."""

    def __init__(self, name: str | None = "mean", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        self.add(values, sample_weight)


class MeanMetricWrapper(_Average):
    """The weighted mean of a function ``fn(y_true, y_pred, **arguments)`` over samples."""

    takes_mask = True

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **arguments: Any
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), dtype)
        self.fn, self.arguments = fn, arguments

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> None:
        """Take in one batch.

        Parameters
        ----------
        y_true, y_pred : array
        sample_weight : array, optional
            One for each sample, or for each value of the function.
        mask : array of bool, optional
            True where a value counts.
        """
        self.add(self.fn(y_true, y_pred, **self.arguments), apply_mask(sample_weight, mask))

    def get_config(self) -> dict[str, Any]:
        from rnnrt.metrics import serialize

        return super().get_config() | {"fn": serialize(self.fn)} | self.arguments

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an object from what `get_config` gave; a function in it must be one of this module."""
        from rnnrt.metrics import deserialize

        if "fn" not in config:
            return super().from_config(config)
        return cls(**(dict(config) | {"fn": deserialize(config["fn"])}))
