"""How a model of the corpus is stored. Runs under Python 3.7 too, for the exporters that need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MADE = "made.tsv"


def draw(shape: Sequence[int | None], batch: int, steps: int, seed: int, classes: int | None = None) -> np.ndarray:
    """An input: the first free axis is the batch, the others are steps.

    Parameters
    ----------
    shape : sequence of int or None
        The declared shape; None for a free axis.
    batch, steps : int
        What the free axes become.
    seed : int
        Of the random numbers.
    classes : int, optional
        Draw int32 tokens below this number instead of float32 values.

    Returns
    -------
    ndarray
        Values in -1 ... 1, or tokens.
    """
    rng = np.random.RandomState(seed)
    sizes = [(batch if axis == 0 else steps) if size is None else int(size) for axis, size in enumerate(shape)]
    if classes is not None:
        return rng.randint(1, classes, sizes).astype(np.int32)
    return rng.uniform(-1, 1, sizes).astype(np.float32)


def randomize(weights: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Values for weights, biases among them, that are large enough for a wrong gate order to show."""
    rng = np.random.RandomState(seed)
    return [rng.uniform(-0.6, 0.6, np.shape(w)).astype(np.asarray(w).dtype) for w in weights]


def accepts(model: Any, arrays: Sequence[np.ndarray]) -> bool:
    """Whether an ONNX model declares inputs of these shapes."""
    weights = {t.name for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != len(arrays):
        raise ValueError(f"the file has inputs {[v.name for v in inputs]}, but {len(arrays)} arrays were recorded")
    for value, array in zip(inputs, arrays):  # noqa: B905 - strict= came with Python 3.10
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and len(dims) != array.ndim:
            return False
        if any(d.HasField("dim_value") and d.dim_value != n for d, n in zip(dims, array.shape)):  # noqa: B905
            return False
    return True


def record(
    folder: Path,
    name: str,
    model: Any,
    exporter: str,
    what: str,
    run: Callable[[list[np.ndarray]], list[np.ndarray]],
    feeds: Sequence[list[np.ndarray]],
    given: Sequence[str] = (),
) -> None:
    """Store a model with the outputs that its own framework gives.

    Parameters
    ----------
    folder : Path
        Gets NAME.onnx, NAME.npz and a line in made.tsv.
    name : str
        Of the files, without ending.
    model : onnx.ModelProto
        What the exporter wrote.
    exporter : str
        Packages and versions.
    what : str
        The network, in a few words.
    run : callable
        The original network: arrays of a call -> arrays in the order of the file's outputs.
    feeds : sequence of list of ndarray
        One or two calls; the second is kept where the file leaves the axes free that differ.
    given : sequence of str, optional
        Names of the arrays of a call in the file; otherwise they are in the order of the file's inputs.

    Raises
    ------
    ValueError
        If the file does not take the first call, or the number of outputs differs.
    """
    weights = {t.name for t in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in weights]
    stored: dict[str, Any] = {}
    for prefix, arrays in zip(("", "b_"), feeds):  # noqa: B905
        ordered = [arrays[given.index(n)] for n in names] if given else arrays
        if not accepts(model, ordered):
            if not prefix:
                raise ValueError(f"{name}: the file refuses inputs of {[a.shape for a in ordered]}")
            continue
        outputs = run(list(arrays))
        if len(outputs) != len(model.graph.output):
            raise ValueError(f"{name}: {len(outputs)} outputs recorded, the file has {len(model.graph.output)}")
        stored.update({f"{prefix}in_{n}": a for n, a in zip(names, ordered)})  # noqa: B905
        stored.update({f"{prefix}out_{k}": np.asarray(a) for k, a in enumerate(outputs)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    np.savez(str(folder / f"{name}.npz"), **stored)
    with open(str(folder / MADE), "a") as made:
        made.write(f"{name}\t{exporter}\t{what}\n")


def make_all(cases: Mapping[str, Callable[[], None]]) -> None:
    """Make case after case; one that its exporter refuses is named and left out."""
    refused = 0
    for name, make in cases.items():
        try:
            make()
        except Exception as error:
            refused += 1
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300])
    print(f"{len(cases) - refused} models, {refused} refused")
