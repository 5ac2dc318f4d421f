"""What all graphs of one ONNX model share while it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnrt.formats.onnx_external import DataFolder
from rnnrt.formats.onnx_sequences import Sequence_
from rnnrt.formats.onnx_types import Specs

OLDEST_OPSET = 7


def domain_name(domain: str) -> str:
    """A domain under one name; ONNX's own has two."""
    return "" if domain == "ai.onnx" else domain


def opset_versions(imports: Any) -> dict[str, int]:
    """Versions by domain, of the `opset_import` of a model or function."""
    return {domain_name(o.domain): int(o.version) for o in imports}


@dataclass
class ModelScope:
    """What all graphs of one model share. Names become unique over all of them, as the IR wants it.

    Parameters
    ----------
    source : str
        How messages name the model.
    folder : DataFolder
    kinds : type
        onnx.AttributeProto.
    functions : mapping of (str, str, str) to onnx.FunctionProto
        By domain, name and overload.
    used : set of str
        Names of the IR that are taken.
    packed : dict of str to str
        Element types of those constants of 4-bit and 2-bit integers.
    sequences : dict of str to tuple
        Values that are sequences of tensors: what they hold.
    specs : dict of str to TensorSpec
        Types of values as far as `GraphReader.spec_of` had to find them, and all constants.
    ranks : dict of str to int
        How many axes values have by declaration.
    """

    source: str
    folder: DataFolder
    kinds: Any
    functions: Mapping[tuple[str, str, str], Any]
    used: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    copies: dict[str, int] = field(default_factory=dict)
    packed: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, Sequence_] = field(default_factory=dict)
    specs: Specs = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    unfolded: int = 0

    def unique(self, name: str) -> str:
        """`name`, or a variation of it where it is taken; marks it as taken."""
        found, k = name, self.copies.get(name, 0)
        while found in self.used:
            k += 1
            found = f"{name}__{k}"
        self.copies[name] = k
        self.used.add(found)
        return found
