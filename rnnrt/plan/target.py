"""The instruction set a plan is made for, and the packed weights that plans share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnrt._kernels import program
from rnnrt.errors import RnnrtError

_FORCE = "RNNRT_ISA"


@dataclass(frozen=True, slots=True)
class Target:
    """An instruction set: `isa` ("base", "avx2" or "avx512") and its register width in bytes."""

    isa: str
    vector_bytes: int

    @classmethod
    def detect(cls) -> Target:
        """The widest instruction set of this processor, or the one that RNNRT_ISA forces.

        Raises
        ------
        RnnrtError
            RNNRT_ISA names one that this processor cannot run.
        """
        available = program.available_isas()
        isa = os.environ.get(_FORCE) or available[-1]
        if isa not in available:
            names = ", ".join(available)
            raise RnnrtError(f"{_FORCE}={isa}: this processor runs {names}; unset it or choose one of these")
        return cls(isa, program.VECTOR_BYTES[isa])


class PackCache:
    """Packed forms of constants, made once and shared by every plan of a model. Safe to use from many threads."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def get(self, array: np.ndarray, layout: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """`make()` for this array and layout, aligned to 64 bytes; called at most once."""
        key = (id(array), layout)
        with self._lock:
            if key not in self._entries:
                # The source is kept beside its packed form, so that its id stays its own.
                self._entries[key] = (array, _aligned(make()))
            return self._entries[key][1]


def _aligned(array: np.ndarray) -> np.ndarray:
    out = program.aligned_empty(array.nbytes).view(array.dtype).reshape(array.shape)
    out[...] = array
    return out
