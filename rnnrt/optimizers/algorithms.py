"""Gradient descent and the methods that scale each element by its own past gradients. Formulas are those of Keras 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.optimizers.base import LearningRate, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rnnrt.optimizers.options import Options

__all__ = ["SGD", "Adadelta", "Adagrad", "RMSprop"]

Arrays = tuple[np.ndarray, ...]


class SGD(Optimizer):
    """Gradient descent, with momentum: ``v = momentum v - lr g; p += v``.

    Parameters
    ----------
    learning_rate : float, schedule or function
    momentum : float
        From 0 to 1.
    nesterov : bool
        Whether to take the step from where momentum leads: ``p += momentum v - lr g``.
    **options
        Those of `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 <= momentum <= 1:
            raise RnnrtError(f"SGD: momentum must be from 0 to 1; it is {momentum!r}")
        self.momentum, self.nesterov = momentum, nesterov

    def slots(self) -> dict[str, float]:
        return {"momentum": 0.0} if self.momentum else {}

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (lr,), (step, ahead) = numbers, scratch
        np.multiply(g, lr, out=step)
        if not slots:
            np.subtract(p, step, out=p)
            return
        (v,) = slots
        np.multiply(v, self.momentum, out=v)
        np.subtract(v, step, out=v)
        if self.nesterov:
            np.multiply(v, self.momentum, out=ahead)
            np.subtract(ahead, step, out=step)
            np.add(p, step, out=p)
        else:
            np.add(p, v, out=p)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """``v = rho v + (1 - rho) g²; p -= lr g / sqrt(v + epsilon)``.

    Parameters
    ----------
    learning_rate : float, schedule or function
    rho : float
        How long squares of gradients are remembered.
    momentum : float
        ``m = momentum m + increment; p -= m``, unless 0.
    epsilon : float
    centered : bool
        Whether to subtract the square of the mean gradient from v.
    **options
        Those of `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def slots(self) -> dict[str, float]:
        more = {"momentum": 0.0} if self.momentum > 0 else {}
        return {"velocity": 0.0} | more | ({"average_gradient": 0.0} if self.centered else {})

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (lr,), (a, b), v, rho = numbers, scratch, slots[0], self.rho
        np.square(g, out=a)
        np.multiply(a, 1 - rho, out=a)
        np.multiply(v, rho, out=v)
        np.add(v, a, out=v)
        if self.centered:
            mean = slots[-1]
            np.multiply(g, 1 - rho, out=a)
            np.multiply(mean, rho, out=mean)
            np.add(mean, a, out=mean)
            np.square(mean, out=a)
            np.subtract(v, a, out=a)
            np.add(a, self.epsilon, out=a)
        else:
            np.add(v, self.epsilon, out=a)
        np.sqrt(a, out=a)
        np.multiply(g, lr, out=b)
        np.divide(b, a, out=a)
        if self.momentum > 0:
            m = slots[1]
            np.multiply(m, self.momentum, out=m)
            np.add(m, a, out=m)
            a = m
        np.subtract(p, a, out=p)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adagrad(Optimizer):
    """``s += g²; p -= lr g / sqrt(s + epsilon)``; s starts from `initial_accumulator_value`."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def slots(self) -> dict[str, float]:
        return {"accumulator": self.initial_accumulator_value}

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (lr,), (a, b), (total,) = numbers, scratch, slots
        np.square(g, out=a)
        np.add(total, a, out=total)
        np.add(total, self.epsilon, out=a)
        np.sqrt(a, out=a)
        np.multiply(g, lr, out=b)
        np.divide(b, a, out=a)
        np.subtract(p, a, out=p)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """``s = rho s + (1 - rho) g²; d = g rms(x) / rms(s); x = rho x + (1 - rho) d²; p -= lr d``.

    ``rms(x)`` is ``sqrt(x + epsilon)``.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho, self.epsilon = rho, epsilon

    def slots(self) -> dict[str, float]:
        return {"accumulated_grad": 0.0, "accumulated_delta_var": 0.0}

    def update(self, p: np.ndarray, g: np.ndarray, slots: Arrays, scratch: Arrays, numbers: tuple[float, ...]) -> None:
        (lr,), (a, b), (s, x), rho = numbers, scratch, slots, self.rho
        np.square(g, out=a)
        np.multiply(a, 1 - rho, out=a)
        np.multiply(s, rho, out=s)
        np.add(s, a, out=s)
        np.add(s, self.epsilon, out=a)
        np.sqrt(a, out=a)
        np.add(x, self.epsilon, out=b)
        np.sqrt(b, out=b)
        np.multiply(b, g, out=b)
        np.divide(b, a, out=b)
        np.square(b, out=a)
        np.multiply(a, 1 - rho, out=a)
        np.multiply(x, rho, out=x)
        np.add(x, a, out=x)
        np.multiply(b, lr, out=b)
        np.subtract(p, b, out=p)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rho": self.rho, "epsilon": self.epsilon}
