"""What the forms of networks in JSON have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import rnnrt.layers as own
from rnnrt.errors import ModelFormatError, UnsupportedModelError
from rnnrt.layers import Network
from rnnrt.layers.symbolic import KerasTensor

LARGEST = 1 << 24
"""No extent of a network is larger."""

NOTES = frozenset(
    "author esr input_batch metadata model_name name output_batch sample_rate samplerate training_info version".split()
)
"""Keys that change no result."""


class JsonModel:
    """What the forms share: checked values, and reasons against what is not known.

    Class attributes
    ----------------
    keys : the keys of the document that the form gives a meaning.

    Parameters
    ----------
    document : mapping
    label : str
        The file, as messages name it.
    """

    keys: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, document: Mapping[str, Any], label: str) -> None:
        self.document, self.label = document, label
        self.reasons: list[str] = []
        self.unknown(document, self.keys | NOTES, "the file")

    def network(self) -> Network:
        """The network, with its weights."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def unknown(self, values: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
        """Note keys that are not understood."""
        for key in sorted(set(values) - known):
            what = f"{str(key)[:40]!r} = {str(values[key])[:40]}"
            self.reasons.append(f"{where}: has {what}, which rnnrt does not know; leave it out if it changes nothing")

    def error(self, what: str) -> ModelFormatError:
        """The error of something that is not as the format has it."""
        return ModelFormatError(f"{self.label}: {what}; export the model again")

    def whole(self, value: Any, what: str, least: int = 1) -> int:
        """A checked integer."""
        if isinstance(value, list) and len(value) == 1:
            (value,) = value
        if type(value) is not int or not least <= value <= LARGEST:
            raise self.error(f"{what} is {str(value)[:40]!r}, not an integer of at least {least}")
        return value

    def number(self, value: Any, what: str) -> float:
        """A checked number."""
        if type(value) not in (int, float) or not abs(value) < 1e6:
            raise self.error(f"{what} is {str(value)[:40]!r}, not a number")
        return float(value)

    def refuse(self) -> None:
        """Raise what was found against the model."""
        if self.reasons:
            raise UnsupportedModelError(self.label, self.reasons)

    def with_skip(self, x: KerasTensor, y: KerasTensor, skip: int, name: str = "skip") -> KerasTensor:
        """The first `skip` channels of the input, added to the output."""
        if skip == 0:
            return y
        width, units = x.shape[-1] or 0, y.shape[-1] or 0
        if skip > width or (skip != units and skip != 1) or x.ndim != y.ndim:
            raise self.error(f"a skip connection of {skip} channels from {x.shape[1:]} to {y.shape[1:]} does not fit")
        return own.Add(name=name)([y, x if skip == width else x[:, :, :skip]])
