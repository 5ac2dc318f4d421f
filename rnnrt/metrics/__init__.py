"""Keras's metrics. State is kept in float64, results are floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnrt.errors import RnnrtError
from rnnrt.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
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
from rnnrt.metrics.accuracy import (
    Accuracy,
    AccuracyOfShapes,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    resolve_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from rnnrt.metrics.auc import AUC
from rnnrt.metrics.base import Mean, MeanMetricWrapper, Metric, Sum
from rnnrt.metrics.confusion import FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives
from rnnrt.metrics.of_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    cosine_similarity,
)
from rnnrt.metrics.scores import F1Score, FBetaScore, R2Score
from rnnrt.registry import Registry

__all__ = [
    "AUC",
    "Accuracy",
    "AccuracyOfShapes",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "accuracy",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
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
    "resolve_accuracy",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

_REGISTRY = Registry(
    "metrics",
    (
        Accuracy,
        BinaryAccuracy,
        CategoricalAccuracy,
        SparseCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
        TopKCategoricalAccuracy,
        AUC,
        Mean,
        Sum,
        FalseNegatives,
        FalsePositives,
        Precision,
        Recall,
        TrueNegatives,
        TruePositives,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        CategoricalHinge,
        CosineSimilarity,
        Hinge,
        KLDivergence,
        LogCoshError,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredError,
        MeanSquaredLogarithmicError,
        Poisson,
        RootMeanSquaredError,
        SparseCategoricalCrossentropy,
        SquaredHinge,
        F1Score,
        FBetaScore,
        R2Score,
    ),
    {
        "AccuracyOfShapes": AccuracyOfShapes,
        "MeanMetricWrapper": MeanMetricWrapper,
        "acc": AccuracyOfShapes,
        "accuracy": AccuracyOfShapes,
        "bce": BinaryCrossentropy,
        "BCE": BinaryCrossentropy,
        "mse": MeanSquaredError,
        "MSE": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "MAE": MeanAbsoluteError,
        "mape": MeanAbsolutePercentageError,
        "MAPE": MeanAbsolutePercentageError,
        "msle": MeanSquaredLogarithmicError,
        "MSLE": MeanSquaredLogarithmicError,
    },
)


def serialize(metric: Any) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`; the state is not in it."""
    return _REGISTRY.serialize(metric)


def deserialize(config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that a name or a dictionary describes."""
    if isinstance(config, Mapping) and config.get("class_name") == "function":
        # In snake case most names mean a class, but here a function is asked for.
        name = config.get("config")
        custom_objects = {str(name): globals()[str(name)]} if name in __all__ else custom_objects
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """A metric from a name, a dictionary, a class, a function or a metric; None stays None.

    "accuracy" and "acc" give a metric that the first batch's shapes make one of the accuracies; see
    `resolve_accuracy`.
    """
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc") and identifier != "Accuracy":
        return AccuracyOfShapes(identifier)
    if isinstance(identifier, Metric):
        return identifier
    return _REGISTRY.get(identifier)


def resolve(identifier: Any) -> Metric:
    """The metric that an entry of ``compile(metrics=[...])`` means, under the name that Keras reports it by.

    Parameters
    ----------
    identifier : str, dict, function or Metric
        What `get` takes. A string is the name itself; a function gets its mean taken.

    Raises
    ------
    RnnrtError
        The identifier is unknown.
    """
    found = get(identifier)
    if found is None:
        raise RnnrtError("None is no metric; name one, for example 'accuracy' or 'mae'")
    metric = found if isinstance(found, Metric) else MeanMetricWrapper(found)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
