"""What a served model can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rnnrt.errors import RnnrtError


@dataclass(frozen=True)
class Options:
    """Options of a served model, as they stand under "extra" in its settings.

    Attributes
    ----------
    threads : int or None
        As for `rnnrt.load`.
    constants : dict of str to value
        As for `rnnrt.load`.
    max_batch_size, max_delay_ms, max_queue, max_steps
        As for `Batcher`.
    sequence_idle_seconds : float
        A sequence without a request for so long is dropped.
    max_sequences : int
        The most sequences at a time.
    """

    threads: int | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    max_batch_size: int = 64
    max_delay_ms: float = 2.0
    max_queue: int = 1024
    max_steps: int = 16
    sequence_idle_seconds: float = 300.0
    max_sequences: int = 4096

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Options by name.

        Raises
        ------
        RnnrtError
            A name is not known.
        """
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise RnnrtError(f"options {unknown} are not known; those of a served model are {known}")
        return cls(**given)

    def for_batcher(self) -> dict[str, Any]:
        """The arguments of `Batcher`."""
        names = ("max_batch_size", "max_delay_ms", "max_queue", "max_steps")
        return {name: getattr(self, name) for name in names}
