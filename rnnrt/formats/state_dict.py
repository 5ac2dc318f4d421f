"""A torch state_dict: tensors by name, taken one after the other by the layers that need them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.formats import kind_of
from rnnrt.formats.json_files import float_array, read_document, state_dict_in
from rnnrt.formats.safetensors import Entry, SafetensorsFile, open_safetensors

_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float32", "BF16": "float32"}
_SHOWN = 20
Shape = Sequence[int | None]


class StateDict:
    """Tensors by name. What does not fit is collected in `problems`, so that `finish` can name all of it at once.

    Parameters
    ----------
    label : str
        The file, as messages name it.
    entries : mapping of str to Entry
    fetch : callable
        Gives the array of a name.
    prefix : str, optional
        What every name begins with, such as "model."; None to find it out by `settle`.
    ignore : iterable of str
        Patterns, as of file names, of tensors that nothing needs.
    shared : mapping of str to str
        Names that are not in the file, and the tensors that stand for them.
    """

    def __init__(
        self,
        label: str,
        entries: Mapping[str, Entry],
        fetch: Callable[[str], np.ndarray],
        prefix: str | None = None,
        ignore: Iterable[str] = (),
        shared: Mapping[str, str] | None = None,
    ) -> None:
        self.label, self.entries, self._fetch = label, dict(entries), fetch
        self.prefix = prefix
        patterns = [ignore] if isinstance(ignore, str) else list(ignore)
        self._ignored = {n for n in entries if any(fnmatchcase(n, p) for p in patterns)}
        self._shared = dict(shared or {})
        self._taken: set[str] = set()
        self.missing: list[str] = []
        self.problems: list[str] = []

    @property
    def dtype(self) -> str:
        """What the layers compute in: float64 where all tensors of floats are, else float32."""
        kinds = {e.dtype for e in self.entries.values()} & set(_FLOATS)
        return "float64" if kinds == {"F64"} else "float32"

    def settle(self, names: Iterable[str]) -> None:
        """Find the prefix where it was not told: one that all tensors have, and without which none of `names` fits."""
        if self.prefix is not None:
            return
        self.prefix = ""
        wanted = [f"{name}." for name in names if name]
        files = [n for n in self.entries if n not in self._ignored]
        if not wanted or any(n.startswith(w) for n in [*files, *self._shared] for w in wanted):
            return
        found = ""
        for parts in zip(*(n.split(".")[:-1] for n in files), strict=False):
            if len(set(parts)) > 1:
                return
            found += f"{parts[0]}."
            if any(n.startswith(found + w) for n in files for w in wanted):
                self.prefix = found
                return

    def _place(self, name: str) -> str:
        """The name in the file; a name of shared tensors leads to the one that was kept."""
        full = (self.prefix or "") + name
        if full in self.entries:
            return full
        return self._shared.get(full, self._shared.get(name, full))

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return self._place(name) in self.entries

    def take(self, name: str, shape: Shape, required: bool = True) -> np.ndarray | None:
        """A tensor of floats as float32 or float64; None where it is missing, or has another shape or dtype.

        `shape` holds None for any extent.
        """
        full = self._place(name)
        if full not in self.entries:
            if required:
                self.missing.append(full)
            return None
        self._taken.add(full)
        entry = self.entries[full]
        if entry.dtype not in _FLOATS:
            self.problems.append(f"{full} is {entry}; a weight has to be of floats, F32 say")
            return None
        if len(shape) != len(entry.shape) or any(w not in (None, d) for w, d in zip(shape, entry.shape, strict=False)):
            wish = ", ".join("any" if d is None else str(d) for d in shape)
            self.problems.append(f"{full} has shape {entry.shape}; it has to be ({wish})")
            return None
        if 0 in entry.shape:
            self.problems.append(f"{full} is empty: {entry.shape}")
            return None
        return np.asarray(self._fetch(full), _FLOATS[entry.dtype])

    def rank(self, name: str) -> int:
        """How many axes a tensor has; 0 where there is none."""
        entry = self.entries.get(self._place(name))
        return 0 if entry is None else len(entry.shape)

    def skip(self, name: str) -> None:
        """Take note of a tensor that changes no result."""
        self._taken.add(self._place(name))

    def finish(self, strict: bool = True) -> None:
        """Check that every tensor was found and, if `strict`, that none was left.

        Raises
        ------
        ModelFormatError
            With everything that does not fit.
        """
        left = [n for n in self.entries if n not in self._taken and n not in self._ignored] if strict else []
        if not (left or self.missing or self.problems):
            return
        lines = [*self.problems]
        if self.missing:
            lines.append(f"missing: {listed(self.missing)}")
        if left:
            shown = [f"{n} {self.entries[n].shape}" for n in left]
            lines.append(f"in the file, but no layer needs it: {listed(shown)}")
        advice = "correct the layers; tensors that nothing needs can be named in ignore=[...]"
        if self.missing and left:
            advice += ", and what stands before the layers' names in prefix=..."
        raise ModelFormatError(f"{self.label}: its tensors are not those of the layers:{bullets(lines)}\n{advice}")


def listed(names: Sequence[str]) -> str:
    """Names in one line, the first of them where there are many."""
    rest = len(names) - _SHOWN
    return ", ".join(n[:80] for n in names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def bullets(lines: Iterable[str]) -> str:
    """Lines of their own."""
    return "".join(f"\n  - {line}" for line in lines)


def read_state_dict(
    path: str | os.PathLike[str],
    prefix: str | None = None,
    ignore: Iterable[str] = (),
    shared: Mapping[str, str] | None = None,
) -> StateDict:
    """The tensors in a .safetensors file, or in a state_dict that was written as JSON.

    Raises
    ------
    ModelFormatError
        The file is missing, damaged, or of another kind.
    """
    kind = kind_of(path)
    label = os.fspath(path)
    if kind == "json":
        tensors = state_dict_in(read_document(path), label)
        arrays = {name: float_array(value, f"{label}: {name[:80]!r}") for name, value in tensors.items()}
        entries = {name: Entry("F32", a.shape) for name, a in arrays.items()}
        return StateDict(label, entries, arrays.__getitem__, prefix, ignore, shared)
    if kind != "container":
        raise ModelFormatError(f"{label}: holds no state_dict; layers=... is for .safetensors, load it without")
    file = open_safetensors(path)
    if any(key in file.metadata for key in OWN):
        raise ModelFormatError(f"{label}: was written by rnnrt and holds no state_dict; load it without layers=...")
    # save_model of the safetensors package keeps one of several equal tensors, and says in the metadata which.
    dropped = {k: v for k, v in file.metadata.items() if k not in file.entries and v in file.entries}
    return StateDict(label, file.entries, lambda n: file.arrays([n])[n], prefix, ignore, {**dropped, **(shared or {})})


OWN = {"rnnrt": "model", "rnnrt_checkpoint": "checkpoint"}
"""The keys in the metadata of files that rnnrt writes."""


def explain(file: SafetensorsFile) -> str:
    """What a safetensors file without a graph holds, and how to load it."""
    if "rnnrt_checkpoint" in file.metadata:
        return f"{file.path}: is a checkpoint of a training, without a graph; give it to fit or to load_weights"
    if any("/" in name for name in file.entries):
        return (
            f"{file.path}: is a safetensors file without a graph, with weights as model.save_weights names them; "
            "build the model and call its load_weights"
        )
    return describe(f"{file.path}: is a safetensors file without a graph", file.path.name, file.entries)


def describe(start: str, name: str, entries: Mapping[str, Entry]) -> str:
    """The layers that a state_dict seems to hold, and the call that loads them."""
    if not entries:
        return f"{start}: it holds no tensors; give the .onnx, .keras, .h5 or .rnnrt file of the network"
    groups: dict[str, dict[str, Entry]] = {}
    for full, entry in entries.items():
        layer, _, own = full.rpartition(".")
        groups.setdefault(layer, {})[own] = entry
    guesses = {layer: _guess(own) for layer, own in groups.items()}
    lines = []
    for layer, held in groups.items():
        tensors = ", ".join(f"{k} {e}" for k, e in held.items())
        lines.append(f"{layer[:80]!r}, perhaps {guesses[layer]}: {tensors[:300]}")
    shown = lines[:_SHOWN] + [f"and {len(lines) - _SHOWN} more"] * (len(lines) > _SHOWN)
    made = ", ".join(f'{_class(guess)}("{layer[:80]}")' for layer, guess in list(guesses.items())[:_SHOWN])
    classes = ", ".join(sorted({_class(g) for g in guesses.values()}))
    return (
        f"{start}; it holds tensors alone, as a state_dict of torch does:{bullets(shown)}\n"
        "name its layers in the order in which they run, those without weights too, and say what tensors do not, such "
        "as batch_first=True:\n"
        f"  from rnnrt.torch import {classes}\n"
        f'  rnnrt.load("{name}", layers=[{made}])\n'
        "or give the .onnx, .keras, .h5 or .rnnrt file of the network"
    )


_BY_GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}


def _guess(own: Mapping[str, Entry]) -> str:
    """What layer has such tensors, in words that begin with its class."""
    if "weight_ih_l0" in own and "weight_hh_l0" in own:
        rows, hidden = own["weight_ih_l0"].shape[:1], own["weight_hh_l0"].shape[-1:]
        gates = 4 if "weight_hr_l0" in own else rows[0] // hidden[0] if rows and hidden and hidden[0] else 0
        count = sum(f"weight_ih_l{k}" in own for k in range(len(own)))
        way = ", bidirectional" if "weight_ih_l0_reverse" in own else ""
        return f"{_BY_GATES.get(gates, 'RNN')}, {count} layer{'s' * (count > 1)}{way}"
    if "running_mean" in own:
        return "BatchNorm1d"
    rank = len(own["weight"].shape) if "weight" in own else 0
    if rank == 2:
        return "Linear" if "bias" in own else "Linear or Embedding"
    return {1: "LayerNorm", 3: "Conv1d"}.get(rank, "a layer that rnnrt does not know")


def _class(guess: str) -> str:
    first = guess.replace(",", " ").split()[0]
    return "..." if first == "a" else first
