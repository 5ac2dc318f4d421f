"""Models that go to other processes: their layers' configuration or their graph, and their weights; never code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnrt.errors import UnsupportedModelError
from rnnrt.ir import Graph
from rnnrt.layers import RNN, Network

if TYPE_CHECKING:
    from rnnrt.models.model import Model


class Pickled:
    """What `Model` takes from here: pickles.

    A model's copy in another process has its layers or its graph, its weights and its number of threads. It is not
    compiled, and its stateful layers begin with zeros. pickle, which the copy comes through, can run code:
    load only pickles of your own processes, and keep models in files by `save`.
    """

    network: Network | None
    legacy: bool
    metadata: dict[str, str]
    name: Any
    built: Any
    get_weights: Any
    to_json: Any
    build_graph: Callable[[], Graph]
    _threads: int | None

    def __reduce__(self) -> tuple[Any, ...]:
        from rnnrt.models.model import Model
        from rnnrt.models.sequential import Sequential

        if self.network is None:
            return graph_model, (self._sendable(self.build_graph()), self._threads)
        if type(self) not in (Model, Sequential):
            reason = f"is of class {type(self).__name__}, whose code is not sent; save it as .rnnrt and send the path"
            raise UnsupportedModelError(str(self.name), [f"model {self.name!r}: {reason}"], task="pickled")
        weights = self.get_weights() if self.built else None
        return equal_model, (self.to_json(), *meanings(self), self._threads, weights)

    def _sendable(self, graph: Graph) -> Graph:
        if any(node.op == "Python" for g in (graph, *graph.subgraphs()) for node in g.nodes):
            reason = f"model {self.name!r}: holds a Python function, whose code is not sent"
            raise UnsupportedModelError(str(self.name), [f"{reason}; use operators in its place"], task="pickled")
        return graph


def meanings(model: Any) -> tuple[bool, dict[str, str], list[str]]:
    """What a configuration does not say of a model: `legacy`, its metadata, and `old_masking` of recurrent layers."""
    masking = [part.old_masking for part in model.network.walk() if isinstance(part, RNN)]
    return model.legacy, dict(model.metadata), masking


def equal_model(
    config: str,
    legacy: bool,
    metadata: Mapping[str, str],
    old_masking: Sequence[str],
    threads: int | None = None,
    weights: Sequence[np.ndarray] | None = None,
) -> Model:
    """A model of the same layers.

    Parameters
    ----------
    config : str
        What `to_json` gave.
    legacy, metadata, old_masking
        What `meanings` gave.
    threads : int, optional
    weights : sequence of ndarray, optional
        By default new ones.
    """
    from rnnrt.models.loading import model_of

    model = model_of(json.loads(config), threads, legacy)
    assert model.network is not None
    for layer, old in zip((p for p in model.network.walk() if isinstance(p, RNN)), old_masking, strict=True):
        layer.old_masking = old
    model.metadata = dict(metadata)
    model.mark_changed()
    if weights is not None:
        model.set_weights(weights)
    return model


def graph_model(graph: Graph, threads: int | None) -> Model:
    """A model of a graph."""
    from rnnrt.models.model import Model

    return Model.from_graph(graph, threads)
