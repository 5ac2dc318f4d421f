"""What an optimizer is: clipping, weight decay, averages and accumulation around one algorithm's update.

All weights lie in one flat array and their gradients in another. An update walks both in blocks that stay in the first
cache, with scratch made once, so that an element is read from memory and written back once however many operations
an algorithm has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.optimizers.blocks import Block, Segment, check_segments, cut, gradient_scales
from rnnrt.optimizers.options import Settings, state_faults
from rnnrt.optimizers.schedules import LearningRateSchedule
from rnnrt.registry import Configurable, auto_name

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Optimizer"]

LearningRate = float | LearningRateSchedule | Callable[[], float]


class Optimizer(Configurable):
    """Base of optimizers: a subclass has `slots`, `prepare` and `update`.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or function without arguments
    weight_decay : float, optional
        Before an update each weight loses this share of itself, times the learning rate.
    clipnorm, global_clipnorm, clipvalue : float, optional
        At most one: a bound on the Euclidean norm of each variable's gradient, on that of all gradients together,
        or on each element's magnitude.
    use_ema : bool
        Whether to keep an average of the weights, moved by ``1 - ema_momentum`` towards them at each call.
    ema_momentum : float
        From 0 to 1.
    ema_overwrite_frequency : int, optional
        After every so many iterations the weights become their average.
    loss_scale_factor : None
        Refused otherwise: it serves float16, which rnnrt does not train in.
    gradient_accumulation_steps : int, optional
        2 or more: only every so many calls update, by the mean of the gradients since.
    name : str, optional

    Raises
    ------
    RnnrtError
        An argument is unknown, or out of its range.

    Notes
    -----
    The formulas are those of Keras 3. Scalars that depend on the iteration are computed in float64.
    """

    scratch: ClassVar[int] = 2
    """How many blocks of scratch `update` gets."""

    def __init__(self, learning_rate: LearningRate = 0.001, **options: Any) -> None:
        kind = type(self).__name__
        self.name = options.pop("name", None) or auto_name(kind)
        self._settings = Settings.read(kind, options)
        self._steps: int = self._settings.gradient_accumulation_steps or 1
        self._learning_rate = self._checked_rate(learning_rate)
        self._calls = 0
        self._undecayed: tuple[frozenset[str], re.Pattern[str] | None] = (frozenset(), None)
        self._segments: tuple[Segment, ...] | None = None
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)
        self._slots: dict[str, np.ndarray] = {}
        self._blocks: tuple[Block, ...] = ()

    def slots(self) -> dict[str, float]:
        """The arrays that `update` keeps beside the weights, and what they hold at first."""
        return {}

    def prepare(self, step: int, learning_rate: float) -> tuple[float, ...]:
        """Numbers that an update needs and that are the same for all weights.

        Parameters
        ----------
        step : int
            The number of this update, from 1.
        learning_rate : float
        """
        return (learning_rate,)

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        slots: tuple[np.ndarray, ...],
        scratch: tuple[np.ndarray, ...],
        numbers: tuple[float, ...],
    ) -> None:
        """Update one block in place.

        Parameters
        ----------
        p, g : array (n,)
            Weights and gradients; g is not to be written.
        slots : tuple of array (n,)
            In the order of `slots`.
        scratch : tuple of array (n,)
        numbers : tuple of float
            What `prepare` gave.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(p, g, slots, scratch, numbers)")

    def _checked_rate(self, rate: Any) -> LearningRate:
        if isinstance(rate, LearningRateSchedule) or callable(rate):
            return rate
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not math.isfinite(rate):
            raise RnnrtError(
                f"{type(self).__name__}: learning_rate must be a finite number, a LearningRateSchedule or a function; "
                f"it is {rate!r}"
            )
        return float(rate)

    @property
    def learning_rate(self) -> float:
        """The rate of the next update. A number may be set, unless a schedule gives it."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self._calls)
        return float(rate()) if callable(rate) else rate

    @learning_rate.setter
    def learning_rate(self, rate: LearningRate) -> None:
        if isinstance(self._learning_rate, LearningRateSchedule) and not callable(rate):
            raise RnnrtError(
                f"{self.name}: its learning rate follows the schedule {type(self._learning_rate).__name__}; to set it, "
                f"make the optimizer with a number"
            )
        self._learning_rate = self._checked_rate(rate)

    @property
    def iterations(self) -> int:
        """How many updates there have been."""
        return self._calls // self._steps

    @property
    def calls_per_update(self) -> int:
        """How many calls of `apply` make one update: more than 1 where gradients are accumulated."""
        return self._steps

    @property
    def built(self) -> bool:
        """Whether `build` has been called."""
        return self._segments is not None

    def exclude_from_weight_decay(
        self, var_list: Iterable[Segment | str] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Say which variables weight decay spares; to be called before `build`.

        Parameters
        ----------
        var_list : iterable of Segment or str
            Variables, or their full names.
        var_names : iterable of str
            Regular expressions; a variable is spared in whose name one is found.
        """
        if self.built:
            raise StateError(f"{self.name}: exclude_from_weight_decay must be called before the optimizer is built")
        exact = frozenset(v.name if isinstance(v, Segment) else v for v in var_list or ())
        patterns = list(var_names or ())
        self._undecayed = exact, re.compile("|".join(patterns)) if patterns else None

    def _decays(self, segment: Segment) -> bool:
        exact, pattern = self._undecayed
        return segment.name not in exact and not (pattern and pattern.search(segment.name))

    def build(self, parameters: np.ndarray, segments: Sequence[Segment]) -> None:
        """Make the arrays that go with these weights. A second call must name the same variables.

        Parameters
        ----------
        parameters : array (n,), float32 or float64
        segments : sequence of Segment
            The variables, in order; elements between them are padding.

        Raises
        ------
        ShapeError
            The array is not flat, or segments overlap or leave it.
        StateError
            The optimizer was built for other variables.
        """
        segments = tuple(segments)
        if self._segments is not None:
            if segments != self._segments or parameters.shape != self._shape or parameters.dtype != self._dtype:
                raise StateError(f"{self.name} was built for other variables; make a new optimizer for a new model")
            return
        check_segments(parameters, segments)
        self._shape, self._dtype, self._segments = parameters.shape, parameters.dtype, segments
        self._slots = {name: np.full(self._shape, value, self._dtype) for name, value in self.slots().items()}
        if self._settings.use_ema:
            self._slots["average"] = np.zeros(self._shape, self._dtype)
        if self._steps > 1:
            self._slots["gradient_accumulator"] = np.zeros(self._shape, self._dtype)
        decays = [self._settings.weight_decay is not None and self._decays(s) for s in segments]
        self._blocks = cut(parameters.size, segments, decays, bool(self._settings.clipnorm))
        size = max((b.stop - b.start for b in self._blocks), default=0)
        # One for the clipped gradient, and the algorithm's own.
        self._work = tuple(np.empty(size, self._dtype) for _ in range(1 + self.scratch))

    def apply(self, gradients: np.ndarray, parameters: np.ndarray) -> None:
        """Update the weights in place, or add up gradients until it is time to.

        Parameters
        ----------
        gradients : array (n,)
            Not changed.
        parameters : array (n,)
            As `build` got it.

        Raises
        ------
        StateError
            The optimizer is not built.
        ShapeError
            An array differs from that of `build` in size or dtype.
        """
        if self._segments is None:
            raise StateError(f"{self.name} is not built; call build(parameters, segments) first")
        for what, array in (("parameters", parameters), ("gradients", gradients)):
            if array.shape != self._shape or array.dtype != self._dtype or not array.flags.c_contiguous:
                raise ShapeError(
                    f"{self.name} was built for contiguous {self._dtype} arrays of shape {self._shape}; {what} is "
                    f"{array.dtype} of shape {array.shape}"
                )
        settings = self._settings
        due = (self._calls + 1) % self._steps == 0
        if self._steps > 1:
            total = self._slots["gradient_accumulator"]
            np.add(total, gradients, out=total)
            if due:
                np.divide(total, self._steps, out=total)
                gradients = total
        if due:
            # What overflows shows in the loss; Keras does not warn either.
            with np.errstate(all="ignore"):
                self._apply_blocks(gradients, parameters, self._segments)
            if self._steps > 1:
                gradients.fill(0)
        if settings.use_ema:
            average, momentum = self._slots["average"], settings.ema_momentum if self.iterations else 0.0
            every = settings.ema_overwrite_frequency
            overwrite = bool(every) and (self.iterations + 1) % (every or 1) == 0
            for block in self._blocks:
                a, p = average[block.start : block.stop], parameters[block.start : block.stop]
                work = self._work[0][: p.size]
                np.multiply(p, 1 - momentum, out=work)
                np.multiply(a, momentum, out=a)
                np.add(a, work, out=a)
                if overwrite:
                    np.copyto(p, a)
        self._calls += 1

    def _apply_blocks(self, gradients: np.ndarray, parameters: np.ndarray, segments: tuple[Segment, ...]) -> None:
        rate = self.learning_rate
        scales = gradient_scales(gradients, segments, self._settings.clipnorm, self._settings.global_clipnorm)
        numbers = self.prepare(self.iterations + 1, rate)
        keep = 1 - (self._settings.weight_decay or 0.0) * rate
        bound = self._settings.clipvalue
        slots = [self._slots[name] for name in self.slots()]
        for block in self._blocks:
            inside = slice(block.start, block.stop)
            p, g = parameters[inside], gradients[inside]
            clipped, *rest = (work[: p.size] for work in self._work)
            for start, stop in block.decayed:
                np.multiply(p[start:stop], keep, out=p[start:stop])
            if bound:
                np.clip(g, -bound, bound, out=clipped)
                g = clipped
            elif scales is not None:
                for start, stop, segment in block.parts:
                    np.multiply(g[start:stop], scales[segment], out=clipped[start:stop])
                g = clipped
            self.update(p, g, tuple(slot[inside] for slot in slots), tuple(rest), numbers)

    def finalize_variable_values(self, parameters: np.ndarray) -> None:
        """With `use_ema`, make the weights their average: the last step of a training."""
        if self._settings.use_ema and self.built:
            np.copyto(parameters, self._slots["average"])

    def numbers(self) -> dict[str, float]:
        """Single numbers that belong to the state of an algorithm."""
        return {}

    def set_numbers(self, numbers: Mapping[str, float]) -> None:
        """Take back what `numbers` gave."""

    def state(self) -> dict[str, np.ndarray]:
        """All that a training needs to go on as if it had never stopped: copies, by name.

        Returns
        -------
        dict of str to array
            ``iterations`` counts calls of `apply`; arrays of the weights' shape have Keras's names.
        """
        if not self.built:
            raise StateError(f"{self.name} is not built and has no state yet")
        state = {"iterations": np.array(self._calls, np.int64)}
        if isinstance(self._learning_rate, float):
            state["learning_rate"] = np.array(self._learning_rate)
        state.update({name: np.array(value) for name, value in self.numbers().items()})
        return state | {name: slot.copy() for name, slot in self._slots.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what `state` gave, of an optimizer with the same arguments built for the same weights.

        Raises
        ------
        StateError
            An array is missing, too many, or of another shape or dtype; nothing has changed then.
        """
        own = self.state()
        wrong = state_faults(own, state)
        if wrong:
            raise StateError(f"this is no state of {self.name}: it " + "; ".join(wrong))
        self._calls = int(state["iterations"])
        if isinstance(self._learning_rate, float):
            self._learning_rate = float(state["learning_rate"])
        self.set_numbers({name: float(state[name]) for name in self.numbers()})
        for name, slot in self._slots.items():
            np.copyto(slot, state[name])

    def get_config(self) -> dict[str, Any]:
        rate: Any = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            from rnnrt.optimizers import schedules

            rate = schedules.serialize(rate)
        elif callable(rate):
            raise RnnrtError(f"{self.name}: its learning rate is a function, which cannot be saved; use a schedule")
        return {"name": self.name, "learning_rate": rate} | vars(self._settings)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an optimizer from what `get_config` gave; its state is new."""
        rate = config.get("learning_rate")
        if isinstance(rate, Mapping):
            from rnnrt.optimizers import schedules

            config = {**config, "learning_rate": schedules.deserialize(rate)}
        return super().from_config(config)
