"""Keras's learning rate schedules: the rate as a function of how many batches there have been."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from rnnrt.errors import RnnrtError
from rnnrt.registry import Configurable, Registry

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule(Configurable):
    """Base of schedules: overwrite ``__call__`` and `get_config`."""

    def __call__(self, step: SupportsFloat) -> float:
        """The rate after `step` batches."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")


def _positive(steps: float, name: str, who: object) -> float:
    if not steps > 0:
        raise RnnrtError(f"{type(who).__name__}: {name} must be more than 0; it is {steps!r}")
    return steps


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; in whole powers with `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_rate = initial_learning_rate, decay_rate
        self.decay_steps = _positive(decay_steps, "decay_steps", self)
        self.staircase, self.name = staircase, name

    def _periods(self, step: SupportsFloat) -> float:
        periods = float(step) / self.decay_steps
        return math.floor(periods) if self.staircase else periods

    def __call__(self, step: SupportsFloat) -> float:
        return float(self.initial_learning_rate * self.decay_rate ** self._periods(step))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(ExponentialDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``; in whole periods with `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: SupportsFloat) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[k]`` where k boundaries are less than `step`."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1 or not boundaries:
            raise RnnrtError(
                f"PiecewiseConstantDecay needs one value more than boundaries, and a boundary; it got "
                f"{len(values)} values and {len(boundaries)} boundaries"
            )
        if list(boundaries) != sorted(boundaries):
            raise RnnrtError(f"PiecewiseConstantDecay: boundaries must not fall; they are {list(boundaries)}")
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: SupportsFloat) -> float:
        return float(self.values[sum(float(step) > boundary for boundary in self.boundaries)])

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """From `initial_learning_rate` to `end_learning_rate` as ``(1 - step / decay_steps) ** power``.

    With `cycle` the rate, once at its end, rises to what a decay over twice (three times, ...) the steps has there.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps", self)
        self.power, self.cycle, self.name = power, cycle, name

    def __call__(self, step: SupportsFloat) -> float:
        now, length = float(step), float(self.decay_steps)
        if self.cycle:
            length *= max(1, math.ceil(now / length))
        now = min(now, length)
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * (1 - now / length) ** self.power + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine from `initial_learning_rate` to `alpha` times it over `decay_steps`.

    With `warmup_target` the rate first rises to it in a straight line over `warmup_steps`, and decays from there.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.decay_steps = _positive(decay_steps, "decay_steps", self)
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: SupportsFloat) -> float:
        now, top = float(step), self.initial_learning_rate
        if self.warmup_target is not None:
            if now < self.warmup_steps:
                return top + (self.warmup_target - top) * now / self.warmup_steps
            now, top = now - self.warmup_steps, self.warmup_target
        cosine = 0.5 * (1 + math.cos(math.pi * min(now, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * cosine + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine after another (Loshchilov and Hutter, 2017).

    Each is `t_mul` times as long as the one before and starts `m_mul` times as high.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.first_decay_steps = _positive(first_decay_steps, "first_decay_steps", self)
        self.t_mul, self.m_mul = _positive(t_mul, "t_mul", self), m_mul

    def __call__(self, step: SupportsFloat) -> float:
        done = float(step) / self.first_decay_steps
        if self.t_mul == 1:
            restarts = math.floor(done)
            fraction = done - restarts
        else:
            left = 1 - done * (1 - self.t_mul)
            if left <= 0:
                raise RnnrtError(
                    f"CosineDecayRestarts: with t_mul={self.t_mul} the decays end before step {float(step):g}; "
                    f"use a t_mul of 1 or more"
                )
            restarts = math.floor(math.log(left) / math.log(self.t_mul))
            before = (1 - self.t_mul**restarts) / (1 - self.t_mul)
            fraction = (done - before) / self.t_mul**restarts
        cosine = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * fraction))
        return float(self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


_REGISTRY = Registry(
    "optimizers.schedules",
    (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    ),
    snake=False,
)


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`."""
    return _REGISTRY.serialize(learning_rate_schedule)


def deserialize(config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule that a dictionary describes."""
    return _REGISTRY.deserialize(config, custom_objects)
