"""What is tried: seeds, and the changes that make a case of one."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fuzz.byte_mutations import mutate_bytes
from fuzz.container_mutations import mutate_container
from fuzz.json_mutations import mutate_json_file
from fuzz.keras_mutations import mutate_keras
from fuzz.onnx_mutations import mutate_onnx

ENDINGS = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".rnnrt": "container", ".json": "json"}
_MUTATORS: dict[str, Callable[[bytes, random.Random, Sequence[str]], bytes]] = {
    "onnx": mutate_onnx,
    "keras": mutate_keras,
    "container": mutate_container,
    "json": mutate_json_file,
}
_MAX_STEPS = 4


@dataclass(frozen=True)
class Seed:
    """A sound file: its kind, where it is from, a name, and its bytes. Cases are shared out evenly over the origins."""

    kind: str
    origin: str
    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Case:
    """A seed and the changes to it: each a mutator ("bytes", or the seed's kind) and what its draws start from."""

    seed: Seed
    steps: tuple[tuple[str, int], ...]

    def without(self, step: int) -> Case:
        """The case without one of its changes."""
        return replace(self, steps=self.steps[:step] + self.steps[step + 1 :])


def draw_case(seeds: Sequence[Seed], rng: random.Random) -> Case:
    """A case: some changes aware of the format, then perhaps some of bytes."""
    groups = sorted({(seed.kind, seed.origin) for seed in seeds})
    kind, origin = groups[rng.randrange(len(groups))]
    alike = [seed for seed in seeds if (seed.kind, seed.origin) == (kind, origin)]
    seed = alike[rng.randrange(len(alike))]
    aware = 0 if rng.random() < 0.1 else 1 + min(int(rng.expovariate(1.0)), _MAX_STEPS - 1)
    raw = 1 + rng.randrange(2) if not aware or rng.random() < 0.08 else 0
    steps = [kind] * aware + ["bytes"] * raw
    return Case(seed, tuple((name, rng.getrandbits(32)) for name in steps))


def build(case: Case, others: Sequence[bytes] = ()) -> bytes:
    """The bytes of a case. A change that its mutator cannot make of what the changes before left is skipped."""
    data = case.seed.data
    for name, number in case.steps:
        rng = random.Random(number)
        if name == "bytes":
            data = mutate_bytes(data, rng, others)
            continue
        try:
            data = _MUTATORS[name](data, rng, words(name))
        except Exception:  # the mutators' libraries refuse what is too broken; the data stay as they were
            continue
    return data


@functools.cache
def words(kind: str) -> tuple[str, ...]:
    """Names that mean something in files of a kind."""
    from rnnrt.layers import LAYERS
    from rnnrt.layers.operations import OPERATIONS
    from rnnrt.ops import operator_names

    if kind == "json":
        return ("dense", "lstm", "gru", "conv1d", "time-distributed-dense", "LSTM", "GRU", "tanh", "softmax", "relu")
    if kind == "keras":
        return (*LAYERS, *OPERATIONS, "Sequential", "Functional", "tanh", "softmax", "hard_sigmoid", "mask", "Lambda")
    return tuple(operator_names(internal=kind == "container"))


def seeds_below(folders: Iterable[Path], largest: int) -> list[Seed]:
    """Every model file of at most `largest` bytes below some folders, in the order of their paths.

    Of .json files only those that rnnrt reads, for many are something else.
    """
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            fits = path.suffix in ENDINGS and path.is_file() and path.stat().st_size <= largest
            if fits and (path.suffix != ".json" or _is_read(path)):
                found.append(Seed(ENDINGS[path.suffix], "file", str(path.relative_to(folder)), path.read_bytes()))
    return found


def _is_read(path: Path) -> bool:
    from rnnrt import RnnrtError
    from rnnrt.formats import read_model

    try:
        read_model(path)
    except RnnrtError:
        return False
    return True


def containers_of(seeds: Iterable[Seed], folder: Path) -> list[Seed]:
    """Containers written of what seeds hold; those that rnnrt refuses are left out."""
    import rnnrt
    from rnnrt.formats import read_model
    from rnnrt.formats.container import write_container

    made = []
    for seed in seeds:
        source, target = folder / "seed", folder / "seed.rnnrt"
        source.write_bytes(seed.data)
        try:
            write_container(target, read_model(source))
        except rnnrt.RnnrtError:
            continue
        made.append(Seed("container", "written", f"{seed.name}.rnnrt", target.read_bytes()))
    return made


def node_cases() -> list[Seed]:
    """ONNX's own cases of single operators: as they are, with all inputs constant, and with all but the first."""
    from onnx.backend.test.case.node import collect_testcases

    from rnnrt.ops import is_readable

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = sorted(collect_testcases(), key=lambda c: c.name)
    for case in cases:
        if case.model is None or not all(is_readable(node.op_type) for node in case.model.graph.node):
            continue
        found.append(Seed("onnx", "operator", f"{case.name}.onnx", case.model.SerializeToString()))
        arrays = case.data_sets[0][0]
        for first in (0, 1):
            if bound := _bound(case.model, arrays, first):
                found.append(Seed("onnx", "operator", f"{case.name}.{first}.onnx", bound))
    return found


def _bound(model: Any, arrays: Sequence[Any], first: int) -> bytes | None:
    """A model whose inputs from `first` on are constants, or None where there is none of them."""
    import numpy as np
    from onnx import numpy_helper

    changed = type(model).FromString(model.SerializeToString())
    values = [(info.name, array) for info, array in zip(changed.graph.input, arrays, strict=False)][first:]
    if not values or not all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for _, a in values):
        return None
    changed.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values)
    kept = [info for info in changed.graph.input if info.name not in {name for name, _ in values}]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    return changed.SerializeToString()
