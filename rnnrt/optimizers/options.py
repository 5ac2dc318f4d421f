"""The arguments that every optimizer has beside its own, and whether a saved state fits an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.errors import RnnrtError

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    class Options(TypedDict, total=False):
        """As `Optimizer` describes them."""

        weight_decay: float | None
        clipnorm: float | None
        clipvalue: float | None
        global_clipnorm: float | None
        use_ema: bool
        ema_momentum: float
        ema_overwrite_frequency: int | None
        loss_scale_factor: float | None
        gradient_accumulation_steps: int | None
        name: str | None


__all__ = ["Settings", "state_faults"]


@dataclass(frozen=True)
class Settings:
    """These arguments, checked, without the name."""

    weight_decay: float | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    clipvalue: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    loss_scale_factor: float | None = None
    gradient_accumulation_steps: int | None = None

    @classmethod
    def read(cls, kind: str, options: dict[str, Any]) -> Settings:
        """Check the arguments of an optimizer of that kind; raise `RnnrtError` for what is unknown or out of range."""
        known = cls.__dataclass_fields__
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise RnnrtError(f"{kind} takes no argument {', '.join(map(repr, unknown))}; it takes {', '.join(known)}")
        clips = {n: v for n in ("clipnorm", "clipvalue", "global_clipnorm") if (v := options.get(n)) is not None}
        if len(clips) > 1:
            raise RnnrtError(f"{kind}: of clipnorm, clipvalue and global_clipnorm give one; it got {clips}")
        for name, value in clips.items():
            if not value >= 0:
                raise RnnrtError(f"{kind}: {name} must be 0 or more; it is {value!r}")
        self = cls(**options)
        if self.loss_scale_factor is not None:
            raise RnnrtError(
                f"{kind}: loss_scale_factor must be None: it serves float16, which rnnrt does not train in"
            )
        if self.weight_decay is not None and not self.weight_decay >= 0:
            raise RnnrtError(f"{kind}: weight_decay must be 0 or more; it is {self.weight_decay!r}")
        steps = self.gradient_accumulation_steps
        if steps and not (isinstance(steps, int) and steps >= 2):
            raise RnnrtError(f"{kind}: gradient_accumulation_steps must be an int of 2 or more; it is {steps!r}")
        every = self.ema_overwrite_frequency
        if self.use_ema and not 0 <= self.ema_momentum <= 1:
            raise RnnrtError(f"{kind}: ema_momentum must be from 0 to 1; it is {self.ema_momentum!r}")
        if self.use_ema and every and not (isinstance(every, int) and every >= 1):
            raise RnnrtError(f"{kind}: ema_overwrite_frequency must be an int of 1 or more; it is {every!r}")
        return self


def state_faults(own: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> list[str]:
    """What keeps a given state from taking the place of an optimizer's own, in words."""
    faults = [f"lacks {name}" for name in own if name not in given]
    for name, value in given.items():
        array = np.asarray(value)
        if name not in own:
            faults.append(f"has {name}, which the optimizer does not")
        elif array.shape != own[name].shape or array.dtype != own[name].dtype:
            faults.append(f"holds {name} as {array.dtype} {array.shape}, not {own[name].dtype} {own[name].shape}")
    return faults
