"""Reasons of a refusal taken apart: where, what, and what to do instead."""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTED = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_LABEL = re.compile(
    rf"(?:\w+ )?(?:node|layer|value|input|output|initializer|tensor|attribute) {_QUOTED}(?:, attribute {_QUOTED})?"
)
_OPERATOR = re.compile(r"operator (\w+)")

_INSTEAD: tuple[tuple[str, str], ...] = (
    (r"Quantize|QLinear|Integer|DequantizeLinear|MatMulNBits", "give the float model, from before it was quantised"),
    (r"Sequence|Optional", "export it with tensors alone: stack a list along a new axis"),
    (r"String|TfIdf|LabelEncoder|Regex|Tokenizer", "prepare text before the network, and feed numbers"),
    (r"DFT|STFT|MelWeightMatrix|\w+Window", "compute spectra before the network, by numpy.fft say, and feed them"),
    (r"Random|Bernoulli|Multinomial", "draw random numbers outside the network, and feed them as an input"),
    (r"Optimizer|Adam|Momentum|Adagrad|Gradient", "export the network for inference"),
)
_ELSE = (
    "cut the model before it with onnx.utils.extract_model and run the rest yourself, or export it with operators "
    "that rnnrt has (docs/importing.md)"
)


@dataclass(frozen=True)
class Reason:
    """Why something cannot be done.

    Attributes
    ----------
    place : str
        The node or layer, with the path to it; "model" where it is the whole.
    what : str
    workaround : str
        What to do instead.
    """

    place: str
    what: str
    workaround: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}; {self.workaround}"


def reason_of(text: str, otherwise: str = "") -> Reason:
    """A reason as errors have it, ``place: what; what to do``, in parts.

    Parameters
    ----------
    text : str
    otherwise : str
        The workaround where the text has none; by default one that suits the operator.
    """
    place, rest = _place(text)
    cut = _outside(rest, "; ")
    what, do = (rest, "") if cut < 0 else (rest[:cut], rest[cut + 2 :])
    return Reason(place, what.strip(), do.strip() or otherwise or _instead(what))


def _place(text: str) -> tuple[str, str]:
    """The labels that a reason begins with, and the rest."""
    places = []
    while (found := _LABEL.match(text)) is not None:
        places.append(found[0])
        text = text[found.end() :]
        if not text.startswith(": "):
            break
        text = text[2:]
    if places:
        return ", ".join(places), text.strip()
    cut = _outside(text, ": ")
    if 0 < cut <= 60 and cut < (_outside(text, "; ") + 1 or len(text)):
        return text[:cut], text[cut + 2 :]
    return "model", text


def _outside(text: str, mark: str) -> int:
    """Where `mark` first stands outside of quotes and brackets; -1 where it does not."""
    hidden = re.sub(rf"{_QUOTED}|\([^()]*\)|\[[^\[\]]*\]|`[^`]*`", lambda m: "_" * len(m[0]), text)
    return hidden.find(mark)


def _instead(what: str) -> str:
    operator = _OPERATOR.search(what)
    for pattern, do in _INSTEAD if operator else ():
        if operator is not None and re.match(rf"\w*(?:{pattern})", operator[1]):
            return do
    return _ELSE
