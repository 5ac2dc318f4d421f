"""Adam and its relatives: Kingma and Ba, 2014, in the form that Keras 3 gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.optimizers.base import LearningRate, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rnnrt.optimizers.options import Options

__all__ = ["Adam", "AdamW", "Adamax", "Nadam"]

Arrays = tuple[np.ndarray, ...]


def _approach(x: np.ndarray, target: np.ndarray, share: float, scratch: np.ndarray) -> None:
    """``x += (target - x) share``; target may be the scratch."""
    np.subtract(target, x, out=scratch)
    np.multiply(scratch, share, out=scratch)
    np.add(x, scratch, out=x)


class _Moments(Optimizer):
    """The arguments that all have."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise RnnrtError(f"{type(self).__name__}: {name} must be at least 0 and below 1; it is {value!r}")
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adam(_Moments):
    """``p -= a m / (sqrt(v) + epsilon)`` with ``a = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)``.

    m and v are running means of gradients and of their squares.

    Parameters
    ----------
    learning_rate : float, schedule or function
    beta_1, beta_2 : float
        How long gradients, and their squares, are remembered.
    epsilon : float
        Added to the root, before the correction for the first steps: "epsilon hat" of the paper.
    amsgrad : bool
        Whether to use the largest v so far.
    **options
        Those of `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        self.amsgrad = amsgrad

    def slots(self) -> dict[str, float]:
        return {"momentum": 0.0, "velocity": 0.0} | ({"velocity_hat": 0.0} if self.amsgrad else {})

    def prepare(self, step: int, learning_rate: float) -> tuple[float, ...]:
        return (learning_rate * math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step),)

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (alpha,), (a, b), (m, v) = numbers, scratch, slots[:2]
        _approach(m, g, 1 - self.beta_1, a)
        np.square(g, out=a)
        _approach(v, a, 1 - self.beta_2, a)
        if self.amsgrad:
            v = np.maximum(slots[2], v, out=slots[2])
        np.sqrt(v, out=a)
        np.add(a, self.epsilon, out=a)
        np.multiply(m, alpha, out=b)
        np.divide(b, a, out=a)
        np.subtract(p, a, out=p)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"amsgrad": self.amsgrad}


class AdamW(Adam):
    """`Adam` with weight decay (Loshchilov and Hutter, 2019) unless told otherwise."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        if weight_decay is None:
            raise RnnrtError("AdamW: weight_decay must be a number; for none, use Adam")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)


class Adamax(_Moments):
    """``p -= lr m / ((1 - beta_1^t) (u + epsilon))``: u is the largest gradient, shrunk by `beta_2` each step."""

    def slots(self) -> dict[str, float]:
        return {"momentum": 0.0, "norm": 0.0}

    def prepare(self, step: int, learning_rate: float) -> tuple[float, ...]:
        return (learning_rate / (1 - self.beta_1**step),)

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (rate,), (a, b), (m, u) = numbers, scratch, slots
        _approach(m, g, 1 - self.beta_1, a)
        np.multiply(u, self.beta_2, out=u)
        np.abs(g, out=a)
        np.maximum(u, a, out=u)
        np.add(u, self.epsilon, out=a)
        np.multiply(m, rate, out=b)
        np.divide(b, a, out=b)
        np.subtract(p, b, out=p)


class Nadam(_Moments):
    """Adam with Nesterov's momentum (Dozat, 2016); momentum grows as ``u_t = beta_1 (1 - 0.96^t / 2)``.

    ``p -= lr m' / (sqrt(v / (1 - beta_2^t)) + epsilon)`` with
    ``m' = u_{t+1} m / (1 - u_1 ... u_{t+1}) + (1 - u_t) g / (1 - u_1 ... u_t)``.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        self._u_product = 1.0

    def slots(self) -> dict[str, float]:
        return {"momentum": 0.0, "velocity": 0.0}

    def prepare(self, step: int, learning_rate: float) -> tuple[float, ...]:
        u_now = self.beta_1 * (1 - 0.5 * 0.96**step)
        u_next = self.beta_1 * (1 - 0.5 * 0.96 ** (step + 1))
        self._u_product *= u_now
        return (
            learning_rate * u_next / (1 - self._u_product * u_next),
            learning_rate * (1 - u_now) / (1 - self._u_product),
            1 / math.sqrt(1 - self.beta_2**step),
        )

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (of_mean, of_gradient, correction), (a, b), (m, v) = numbers, scratch, slots
        _approach(m, g, 1 - self.beta_1, a)
        np.square(g, out=a)
        _approach(v, a, 1 - self.beta_2, a)
        np.multiply(m, of_mean, out=a)
        np.multiply(g, of_gradient, out=b)
        np.add(a, b, out=a)
        np.sqrt(v, out=b)
        np.multiply(b, correction, out=b)
        np.add(b, self.epsilon, out=b)
        np.divide(a, b, out=a)
        np.subtract(p, a, out=p)

    def numbers(self) -> dict[str, float]:
        return {"u_product": self._u_product}

    def set_numbers(self, numbers: Mapping[str, float]) -> None:
        self._u_product = numbers["u_product"]
