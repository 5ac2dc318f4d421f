"""What a trainer needs to know of a graph."""

from __future__ import annotations

from typing import Any, Protocol

from rnnrt.ir import Graph


class TrainingGraph(Protocol):
    """What a model hands over to be trained: see `rnnrt.layers.graphs.TrainingGraph`."""

    graph: Graph
    data: tuple[str, ...]
    variables: dict[str, Any]
    trainable: tuple[str, ...]
    outputs: tuple[str, ...]
    masks: tuple[str | None, ...]
    updates: dict[str, Any]
    states: tuple[Any, ...]
    losses: tuple[str, ...]
    random_state: str | None
