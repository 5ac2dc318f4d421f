"""Formulas that losses, metrics, regularizers and constraints share."""

from __future__ import annotations

import numpy as np

__all__ = ["EPSILON", "divide_no_nan", "log_softmax", "normalize", "normalize_gradient", "sigmoid"]

EPSILON = 1e-7
"""Keras's epsilon: probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm."""


def divide_no_nan(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """``a / b``, and 0 where b is 0; float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """``x - log(sum(exp(x)))`` along `axis`, without overflow."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _inverse_norm(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    norm = np.sqrt(np.sum(np.square(x), axis=axis, keepdims=True))
    return 1 / np.maximum(norm, EPSILON), norm > EPSILON


def normalize(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """``x`` over its Euclidean norm along `axis`, or over EPSILON where the norm is less."""
    return x * _inverse_norm(x, axis)[0]


def normalize_gradient(x: np.ndarray, gradient: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of `normalize` for x, from that for its result."""
    inverse, moves = _inverse_norm(x, axis)
    unit = x * inverse
    along = np.where(moves, np.sum(gradient * unit, axis=axis, keepdims=True), 0)
    return (gradient - along * unit) * inverse
