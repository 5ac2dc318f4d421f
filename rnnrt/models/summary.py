"""The table of a model's layers, as Keras's summary shows it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rnnrt.errors import RnnrtError
from rnnrt.layers import Network
from rnnrt.layers.operations import Operation
from rnnrt.layers.symbolic import KerasTensor
from rnnrt.layers.weights import Weights
from rnnrt.models.graph_layers import NodeLayer

if TYPE_CHECKING:
    from rnnrt.layers.variable import Variable
    from rnnrt.models.model import Model


def summarise(
    model: Model,
    line_length: int | None,
    positions: Any,
    print_fn: Callable[[str], Any] | None,
    expand_nested: bool,
    show_trainable: bool,
    layer_range: Sequence[str] | None,
) -> None:
    """Print a model's layers, their outputs' shapes, and how many numbers they hold."""
    if positions is not None:
        raise RnnrtError("summary takes no positions; give line_length")
    from rich.console import Console
    from rich.table import Table

    if model.network is not None and model.network.inputs:
        model.network.create()
    connected = model.network is not None and not model.network.sequential and _is_branched(model.network)
    table = Table(show_lines=True, min_width=76)
    table.add_column("Layer (type)", overflow="fold")
    table.add_column("Output Shape", overflow="fold")
    table.add_column("Param #", justify="right")
    if connected:
        table.add_column("Connected to", overflow="fold")
    if show_trainable:
        table.add_column("Trainable")
    for layer, depth in _in_range(_rows(model, expand_nested), layer_range):
        row = ["  " * depth + f"{layer.name} ({_kind(layer)})", _shape(layer), f"{layer.count_params():,}"]
        row += [_sources(layer)] if connected else []
        row += [("Y" if layer.trainable else "N") if layer.weights else "-"] if show_trainable else []
        table.add_row(*row)
    stream = io.StringIO()
    console = Console(file=stream, width=line_length or 98, force_terminal=False)
    console.print(f'Model: "{model.name}"', highlight=False)
    console.print(table)
    groups = (
        ("Total", model.weights),
        ("Trainable", model.trainable_weights),
        ("Non-trainable", model.non_trainable_weights),
    )
    for what, variables in groups:
        count = sum(v.value.size for v in variables)
        console.print(f" {what} params: {count:,} ({_memory(variables)})", highlight=False)
    (print_fn or print)(stream.getvalue().rstrip("\n"))


def _rows(model: Model, expand: bool, depth: int = 0) -> Iterator[tuple[Weights, int]]:
    for child in model.layers:
        network = getattr(child, "network", None)
        yield (network if network is not None else child), depth
        if network is not None and expand:
            yield from _rows(child, expand, depth + 1)


def _in_range(rows: Iterator[tuple[Weights, int]], names: Sequence[str] | None) -> list[tuple[Weights, int]]:
    found = list(rows)
    if names is None:
        return found
    at = [[layer.name for layer, _ in found].index(n) if n in [r.name for r, _ in found] else -1 for n in names]
    if len(at) != 2 or -1 in at:
        raise RnnrtError(f"layer_range={list(names)} must name the first and the last layer to show")
    return found[at[0] : at[1] + 1]


def _kind(layer: Weights) -> str:
    if isinstance(layer, Network):
        return "Sequential" if layer.sequential else "Functional"
    if isinstance(layer, Operation):
        return layer.kind
    return layer.op if isinstance(layer, NodeLayer) else type(layer).__name__


def _calls(layer: Weights) -> list[Any]:
    return list(getattr(layer, "calls_recorded", []))


def _shape(layer: Weights) -> str:
    records = _calls(layer)
    outputs: list[KerasTensor] = records[0].outputs if records else []
    if not outputs and isinstance(layer, Network) and layer.symbols is not None:
        outputs = layer.symbols[1]
    if not outputs:
        return "?"
    shapes = [str(y.shape) for y in outputs]
    return shapes[0] if len(shapes) == 1 else "[" + ", ".join(shapes) + "]"


def _sources(layer: Weights) -> str:
    found = [f"{x.record.layer.name}[{_number(x)}][{x.index}]" for r in _calls(layer) for x in r.inputs]
    return ", ".join(found) if found else "-"


def _number(x: KerasTensor) -> int:
    records = x.record.layer.calls_recorded
    return next((k for k, r in enumerate(records) if r is x.record), 0)


def _is_branched(network: Network) -> bool:
    """Whether it is more than one layer after another."""
    counts = [len(layer.calls_recorded) for layer in network.layers]
    several = any(len(r.inputs) > 1 or len(r.outputs) > 1 for layer in network.layers for r in layer.calls_recorded)
    return several or len(network.inputs) > 1 or len(network.outputs) > 1 or any(n > 1 for n in counts)


def _memory(variables: Sequence[Variable]) -> str:
    size = float(sum(v.value.nbytes for v in variables))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.2f} {unit}"
