"""Types of the compiled streaming step; the words are in src_pyx/rnnrt/_kernels/stepper.pyx."""

from collections.abc import Sequence
from typing import Any, Final, final

import numpy as np

from rnnrt._kernels.program import Executor

MAX_OUTPUTS: Final[int]

class BusyError(RuntimeError): ...

@final
class Stepper:
    states: list[np.ndarray]
    def __init__(
        self,
        executor: Executor,
        x: tuple[np.dtype, tuple[int, ...]],
        outputs: Sequence[tuple[np.dtype, tuple[int, ...]]],
        states: list[np.ndarray],
    ) -> None: ...
    def set_states(self, states: list[np.ndarray]) -> None: ...
    def acquire(self) -> None: ...
    def release(self) -> None: ...
    def step(self, x: Any) -> Any: ...
    def step_into(self, x: Any, out: tuple[Any, ...]) -> Any: ...
