"""Types of the compiled executor; the words are in src_pyx/rnnrt/_kernels/program.pyx."""

from collections.abc import Callable, Sequence
from typing import Any, Final, final

import numpy as np

ALIGNMENT: Final[int]
DTYPES: Final[tuple[str, ...]]
VECTOR_BYTES: Final[dict[str, int]]

class KernelError(RuntimeError):
    instruction: int
    def __init__(self, instruction: int, message: str) -> None: ...

def available_isas() -> tuple[str, ...]: ...
def has_kernel(isa: str, name: str) -> bool: ...
def aligned_empty(size: int) -> np.ndarray: ...

@final
class Executor:
    threads: int
    output_specs: tuple[tuple[np.dtype, tuple[int, ...]], ...]
    def __init__(
        self,
        isa: str,
        tensors: Sequence[tuple[np.dtype, tuple[int, ...], str, Any]],
        instructions: Sequence[
            tuple[
                str,
                str | Callable[[list[np.ndarray | None]], list[Any]] | None,
                Sequence[int],
                Sequence[int],
                Sequence[int],
                Sequence[float],
                int,
                int,
            ]
        ],
        arena_bytes: int,
        inputs: Sequence[tuple[np.dtype, tuple[int, ...]]],
        outputs: Sequence[tuple[np.dtype, tuple[int, ...]]],
    ) -> None: ...
    def run(self, inputs: list[Any]) -> list[np.ndarray] | None: ...
    def profile(self, inputs: list[Any], runs: int) -> list[float] | None: ...
