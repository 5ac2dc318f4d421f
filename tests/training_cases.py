"""What Keras was asked for tests/data/training, and what rnnrt is asked in the tests: arguments and inputs.

Names of classes only, so that the script that asks Keras needs no rnnrt. Streams of RandomState never change.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

VARIABLES = [("layer/kernel", 0, 12), ("layer/bias", 12, 15), ("other", 15, 20)]
SHAPES = [(4, 3), (3,), (5,)]
RECORDED_STEPS = (1, 2, 3, 10, 20)

Case = tuple[str, dict[str, Any]]
SCHEDULE = ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 15, "alpha": 0.05})

OPTIMIZERS: dict[str, Case] = {
    "sgd": ("SGD", {}),
    "sgd_momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    "sgd_schedule": ("SGD", {"learning_rate": SCHEDULE, "momentum": 0.5}),
    "sgd_clipnorm": ("SGD", {"learning_rate": 0.1, "clipnorm": 1.5}),
    "sgd_clipvalue": ("SGD", {"learning_rate": 0.1, "clipvalue": 0.4}),
    "sgd_global_clipnorm": ("SGD", {"learning_rate": 0.1, "global_clipnorm": 3.0}),
    "sgd_decay": ("SGD", {"learning_rate": 0.1, "weight_decay": 0.02}),
    "sgd_ema": ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 4}),
    "sgd_accumulation": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "gradient_accumulation_steps": 3}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.01}),
    "rmsprop_momentum": ("RMSprop", {"learning_rate": 0.01, "rho": 0.8, "momentum": 0.9, "epsilon": 1e-4}),
    "rmsprop_centered": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.3, "centered": True}),
    "adagrad": ("Adagrad", {"learning_rate": 0.1}),
    "adagrad_initial": ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    "adadelta": ("Adadelta", {"learning_rate": 1.0}),
    "adam": ("Adam", {"learning_rate": 0.02}),
    "adam_betas": ("Adam", {"learning_rate": 0.02, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}),
    "adam_amsgrad": ("Adam", {"learning_rate": 0.02, "beta_2": 0.8, "amsgrad": True, "global_clipnorm": 2.0}),
    "adam_accumulation": (
        "Adam",
        {
            "learning_rate": SCHEDULE,
            "gradient_accumulation_steps": 2,
            "clipnorm": 0.7,
            "weight_decay": 0.01,
            "use_ema": True,
            "ema_momentum": 0.7,
            "ema_overwrite_frequency": 3,
        },
    ),
    "adamw": ("AdamW", {"learning_rate": 0.02}),
    "adamw_excluded": ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.5, "exclude": ["bias"]}),
    "adamax": ("Adamax", {"learning_rate": 0.02}),
    "nadam": ("Nadam", {"learning_rate": 0.02}),
    "nadam_accumulation": ("Nadam", {"learning_rate": 0.02, "gradient_accumulation_steps": 2, "clipvalue": 0.5}),
}


def start() -> np.ndarray:
    """Weights before the first step."""
    return np.random.RandomState(7).standard_normal(20)


def gradient(step: int) -> np.ndarray:
    """The gradient of a step, from 1."""
    return np.random.RandomState(100 + step).standard_normal(20) + 0.3


SCHEDULE_STEPS = (0, 1, 2, 5, 9, 10, 11, 15, 20, 29, 30, 31, 70, 1000)
SCHEDULES: dict[str, Case] = {
    "exponential": ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9}),
    "exponential_stairs": (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9, "staircase": True},
    ),
    "piecewise": ("PiecewiseConstantDecay", {"boundaries": [5, 10, 30], "values": [1.0, 0.5, 0.25, 0.1]}),
    "polynomial": ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "power": 2.0}),
    "polynomial_cycle": (
        "PolynomialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 10, "end_learning_rate": 0.01, "power": 0.5, "cycle": True},
    ),
    "inverse": ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    "inverse_stairs": (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": True},
    ),
    "cosine": SCHEDULE,
    "cosine_warmup": (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 20, "warmup_target": 0.3, "warmup_steps": 10, "alpha": 0.1},
    ),
    "restarts": ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10}),
    "restarts_equal": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.0, "m_mul": 0.9, "alpha": 0.01},
    ),
    "restarts_more": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.5, "m_mul": 0.8},
    ),
}

# Class, arguments, and the kind of labels and predictions.
Asked = tuple[str, dict[str, Any], str]
LOSSES: dict[str, Asked] = {
    "mse": ("MeanSquaredError", {}, "real"),
    "mae": ("MeanAbsoluteError", {}, "real"),
    "mape": ("MeanAbsolutePercentageError", {}, "real"),
    "msle": ("MeanSquaredLogarithmicError", {}, "positive"),
    "huber": ("Huber", {}, "real"),
    "huber_delta": ("Huber", {"delta": 0.4}, "real"),
    "log_cosh": ("LogCosh", {}, "real"),
    "cosine": ("CosineSimilarity", {}, "real"),
    "cosine_axis": ("CosineSimilarity", {"axis": -2}, "real_axis"),
    "hinge": ("Hinge", {}, "sign"),
    "hinge_01": ("Hinge", {}, "bits_real"),
    "squared_hinge": ("SquaredHinge", {}, "sign"),
    "categorical_hinge": ("CategoricalHinge", {}, "one_hot_real"),
    "kld": ("KLDivergence", {}, "distribution"),
    "poisson": ("Poisson", {}, "positive"),
    "bce": ("BinaryCrossentropy", {}, "bits"),
    "bce_smooth": ("BinaryCrossentropy", {"label_smoothing": 0.2}, "bits"),
    "bce_logits": ("BinaryCrossentropy", {"from_logits": True}, "bits_real"),
    "bce_axis": ("BinaryCrossentropy", {"from_logits": True, "axis": 1}, "bits_real_axis"),
    "cce": ("CategoricalCrossentropy", {}, "one_hot"),
    "cce_soft": ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "distribution"),
    "cce_logits": ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one_hot_real"),
    "scce": ("SparseCategoricalCrossentropy", {}, "sparse"),
    "scce_logits": ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_real"),
    "scce_ignore": ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2}, "sparse_real"),
    "scce_ignore_probabilities": ("SparseCategoricalCrossentropy", {"ignore_class": -1}, "sparse_minus"),
}
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None)


def inputs(kind: str, seed: int = 0, shape: tuple[int, ...] = (4, 3, 5)) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of a kind, float64 and int64; losses of the default shape are (4, 3)."""
    rng = np.random.RandomState(seed)
    if kind.endswith("_axis"):
        y_true, y_pred = inputs(kind.removesuffix("_axis"), seed, (shape[0], shape[2], shape[1]))
        return y_true, y_pred
    classes = rng.randint(0, shape[-1], shape[:-1])
    real = 1.5 * rng.standard_normal(shape)
    chances = np.exp(real) / np.exp(real).sum(-1, keepdims=True)
    bits = rng.randint(0, 2, shape)
    one_hot = np.eye(shape[-1])[classes]
    soft = rng.random_sample(shape) + 0.1
    return {
        "real": lambda: (rng.standard_normal(shape), real),
        "positive": lambda: (soft * 3, np.exp(real)),
        "sign": lambda: (2.0 * bits - 1, real),
        "bits": lambda: (bits.astype(float), 1 / (1 + np.exp(-2 * real))),
        "bits_real": lambda: (bits.astype(float), real),
        "one_hot": lambda: (one_hot, chances * 1.3),
        "one_hot_real": lambda: (one_hot, real),
        "distribution": lambda: (soft / soft.sum(-1, keepdims=True), chances),
        "sparse": lambda: (classes, chances),
        "sparse_minus": lambda: (np.where(rng.random_sample(classes.shape) < 0.4, -1, classes), chances),
        "sparse_real": lambda: (classes, real),
        "equal": lambda: (bits.astype(float), rng.randint(0, 2, shape).astype(float)),
    }[kind]()


def weightings(shape: tuple[int, int] = (4, 3), seed: int = 1) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
    """Pairs of sample_weight and mask for losses of that shape."""
    rng = np.random.RandomState(seed)
    full, rows = rng.random_sample(shape), rng.random_sample((shape[0], 1))
    mask = rng.random_sample(shape) < 0.7
    return [
        (None, None),
        (full, None),
        (rows, None),
        (None, mask),
        (full, mask),
        (full[..., None], None),
        (None, mask & False),
        (np.float64(0.5), None),
    ]


def metric_weightings(arguments: dict[str, Any]) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
    """Pairs of sample_weight and mask for the batches of a metric."""
    pairs = weightings()
    if "ignore_class" in arguments:
        # Keras on PyTorch needs weights of the mask's shape here.
        return [*pairs[:2], *pairs[3:5]]
    return [*pairs[:5], (np.array([0.5, 1.0, 2.0, 0.0]), None)]


# Shapes of labels and predictions that differ by an axis of extent 1.
SQUEEZED = [((4,), (4, 1)), ((4, 1), (4,)), ((4, 3), (4, 3, 1)), ((4, 3, 1), (4, 3)), ((4, 1), (4, 1)), ((4,), (4,))]

METRICS: dict[str, Asked] = {
    "accuracy": ("Accuracy", {}, "equal"),
    "binary_accuracy": ("BinaryAccuracy", {}, "bits"),
    "binary_accuracy_threshold": ("BinaryAccuracy", {"threshold": 0.7}, "bits"),
    "categorical_accuracy": ("CategoricalAccuracy", {}, "one_hot"),
    "sparse_categorical_accuracy": ("SparseCategoricalAccuracy", {}, "sparse"),
    "top_k": ("TopKCategoricalAccuracy", {"k": 2}, "one_hot"),
    "sparse_top_k": ("SparseTopKCategoricalAccuracy", {"k": 3}, "sparse"),
    "mse": ("MeanSquaredError", {}, "real"),
    "mae": ("MeanAbsoluteError", {}, "real"),
    "mape": ("MeanAbsolutePercentageError", {}, "real"),
    "msle": ("MeanSquaredLogarithmicError", {}, "positive"),
    "rmse": ("RootMeanSquaredError", {}, "real"),
    "log_cosh": ("LogCoshError", {}, "real"),
    "cosine": ("CosineSimilarity", {}, "real"),
    "hinge": ("Hinge", {}, "sign"),
    "squared_hinge": ("SquaredHinge", {}, "sign"),
    "categorical_hinge": ("CategoricalHinge", {}, "one_hot_real"),
    "kld": ("KLDivergence", {}, "distribution"),
    "poisson": ("Poisson", {}, "positive"),
    "bce": ("BinaryCrossentropy", {"label_smoothing": 0.1}, "bits"),
    "cce": ("CategoricalCrossentropy", {"from_logits": True}, "one_hot_real"),
    "scce": ("SparseCategoricalCrossentropy", {}, "sparse"),
    "scce_ignore": ("SparseCategoricalCrossentropy", {"ignore_class": 2}, "sparse"),
}
# These take (samples, columns), or look at all predictions alike, and know no mask.
TABLES: dict[str, Asked] = {
    "precision": ("Precision", {}, "bits"),
    "precision_thresholds": ("Precision", {"thresholds": [0.2, 0.9, 0.5]}, "bits"),
    "precision_even": ("Precision", {"thresholds": [0.0, 0.5, 1.0]}, "bits"),
    "precision_top_k": ("Precision", {"top_k": 2}, "bits"),
    "precision_class": ("Precision", {"class_id": 1, "thresholds": 0.4}, "bits"),
    "recall": ("Recall", {}, "bits"),
    "recall_top_k_class": ("Recall", {"top_k": 3, "class_id": 2}, "bits"),
    "true_positives": ("TruePositives", {}, "bits"),
    "false_positives": ("FalsePositives", {"thresholds": [0.1, 0.6]}, "bits"),
    "true_negatives": ("TrueNegatives", {}, "bits"),
    "false_negatives": ("FalseNegatives", {}, "bits"),
    "auc": ("AUC", {}, "bits"),
    "auc_few": ("AUC", {"num_thresholds": 7, "summation_method": "minoring"}, "bits"),
    "auc_major": ("AUC", {"num_thresholds": 7, "summation_method": "majoring", "curve": "PR"}, "bits"),
    "auc_pr": ("AUC", {"curve": "PR"}, "bits"),
    "auc_logits": ("AUC", {"from_logits": True, "thresholds": [0.3, 0.1, 0.8]}, "bits_real"),
    "auc_multi": ("AUC", {"multi_label": True, "curve": "PR"}, "bits"),
    "auc_multi_weights": ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.5, 0.0, 1.0]}, "bits"),
    "f1": ("F1Score", {}, "one_hot"),
    "f1_macro": ("F1Score", {"average": "macro", "threshold": 0.3}, "bits"),
    "f1_weighted": ("F1Score", {"average": "weighted"}, "one_hot"),
    "fbeta_micro": ("FBetaScore", {"average": "micro", "beta": 2.0}, "one_hot"),
    "r2": ("R2Score", {}, "real"),
    "r2_columns": ("R2Score", {"class_aggregation": None}, "real"),
    "r2_adjusted": ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, "real"),
}

REGULARIZERS: dict[str, Case] = {
    "l1": ("L1", {"l1": 0.03}),
    "l2": ("L2", {}),
    "l1_l2": ("L1L2", {"l1": 0.1, "l2": 0.2}),
    "rows": ("OrthogonalRegularizer", {"factor": 0.3}),
    "columns": ("OrthogonalRegularizer", {"mode": "columns"}),
}
CONSTRAINTS: dict[str, Case] = {
    "non_neg": ("NonNeg", {}),
    "unit_norm": ("UnitNorm", {}),
    "unit_norm_rows": ("UnitNorm", {"axis": 1}),
    "max_norm": ("MaxNorm", {"max_value": 1.2}),
    "min_max_norm": ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.0, "rate": 0.6}),
    "all_axes": ("UnitNorm", {"axis": [0, 1]}),
}


def weight() -> np.ndarray:
    """A weight (4, 3) for regularizers and constraints."""
    return np.random.RandomState(3).standard_normal((4, 3))


def ctc_inputs() -> tuple[np.ndarray, np.ndarray]:
    """Labels (5, 4) of all lengths, some repeated, and logits (5, 7, 6)."""
    labels = np.array([[1, 2, 3, 4], [2, 2, 2, 0], [5, 0, 0, 0], [0, 0, 0, 0], [3, 3, 1, 1]])
    return labels, 2 * np.random.RandomState(5).standard_normal((5, 7, 6))


@cache
def reference() -> dict[str, np.ndarray]:
    """What Keras gave, by name."""
    path = Path(__file__).parent / "data" / "training" / "keras_reference.npz"
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
