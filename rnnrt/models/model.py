"""The model: Keras's face over a network, and over graphs that come without one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, UnsupportedModelError
from rnnrt.ir import Graph
from rnnrt.layers import Network
from rnnrt.layers.called import Called, shapes_of
from rnnrt.layers.graphs import StateSlot, TrainingGraph, inference_graph, training_graph
from rnnrt.layers.symbolic import resolved, tensors_in
from rnnrt.layers.trace import network_between
from rnnrt.layers.variable import Changes, Variable
from rnnrt.layers.weights import Weights
from rnnrt.models.graph_layers import GraphLayers
from rnnrt.models.pickling import Pickled
from rnnrt.models.predict import Prediction
from rnnrt.models.running import Running
from rnnrt.models.structure import Structure
from rnnrt.models.training import Training
from rnnrt.models.weighted import Weighted
from rnnrt.registry import auto_name
from rnnrt.runtime import Session


class Model(Training, Structure, Weighted, Prediction, Pickled, Running):
    """A network that runs, and can be trained.

    Parameters
    ----------
    inputs, outputs : symbolic tensor, or a list or dict of them
        What `Input` and calls of layers give; the model is what lies between them.
    name : str, optional
    trainable : bool
        False freezes all weights.
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.

    Attributes
    ----------
    inputs, outputs : tuple of TensorInfo
        In the file's order. What is symbolic is in `input` and `output`.
    network : Network or None
        The layers and their calls; None for a graph that came without them, an .onnx file's say.

    Examples
    --------
    >>> x = rnnrt.Input(shape=(None, 8))
    >>> y = layers.Dense(1)(layers.LSTM(32)(x))
    >>> model = Model(x, y)

    A class of its own says in `call` what its layers do:

    >>> class Tagger(Model):
    ...     def __init__(self, units):
    ...         super().__init__()
    ...         self.words, self.memory = layers.Embedding(1000, 32), layers.LSTM(units)
    ...     def call(self, inputs):
    ...         return self.memory(self.words(inputs))
    """

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
        *,
        threads: int | None = None,
    ) -> None:
        if isinstance(inputs, Graph):
            raise RnnrtError("a model of a graph is made by Model.from_graph(graph)")
        if inputs is None and outputs is None and type(self).call is not Model.call:
            self._begin(None, None, threads)
            name = name or auto_name(type(self).__name__)
            self.network = Called(self, frozenset(vars(self)), name=name, trainable=trainable)
            self.network.face = self
            return
        if inputs is None or outputs is None:
            raise RnnrtError("a model needs inputs=... and outputs=..., symbolic tensors as Input and layers give them")
        given, results = (tensors_in(resolved(_in_order(value))) for value in (inputs, outputs))
        if not given or not results:
            kinds = f"{type(inputs).__name__} and {type(outputs).__name__}"
            raise RnnrtError(f"inputs and outputs must be symbolic tensors, as Input and layers give them; got {kinds}")
        network = network_between(given, results, name or auto_name("Functional"))
        if not trainable:
            network.trainable = False
        self._begin(network, None, threads)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """What a model of a class of its own computes of symbolic tensors; `training` need not be a parameter."""
        raise RnnrtError(f"model {self.name!r}: is made of inputs and outputs; call the model itself")

    def _see(self, args: Sequence[Any]) -> None:
        if isinstance(self.network, Called) and not self.network.inputs and args:
            given = args[0] if len(args) == 1 else list(args)
            self.network.expect(*shapes_of(given))
            self.network.create()

    def _begin(self, network: Network | None, graph: Graph | None, threads: int | None) -> None:
        Running.__init__(self, threads)
        self.network = network
        self.legacy = False
        self.metadata: dict[str, str] = {}
        self._source = graph
        self._graph_layers: GraphLayers | None = None
        self._stamp: tuple[int, ...] = ()
        self._states: dict[str, np.ndarray] = {}
        self._compiled, self._trainer, self.history = None, None, None
        self._trained = -1, []
        self._initial_epoch = self._initial_batch = None
        self._running_batches = self._resumed_batches = None
        self.stop_training = False
        self._carrying: tuple[Session, tuple[StateSlot, ...]] | None = None
        if network is not None:
            network.face = self

    @classmethod
    def from_graph(cls, graph: Graph, threads: int | None = None) -> Model:
        """A model of a graph in the IR's canonical form, as `rnnrt.formats` reads it.

        Raises
        ------
        UnsupportedModelError, ModelFormatError, ShapeError
            The graph cannot be run.
        """
        model = cls.__new__(cls)
        model._begin(None, graph, threads)
        model._refreshed()
        return model

    @classmethod
    def from_network(
        cls,
        network: Network,
        threads: int | None = None,
        legacy: bool = False,
        metadata: Mapping[str, str] | None = None,
        graph: Graph | None = None,
    ) -> Model:
        """A model of layers wired up already.

        Parameters
        ----------
        network : Network
        threads : int, optional
        legacy : bool
            Keep the meanings of Keras 1 and 2.
        metadata : mapping of str to str, optional
            Goes into the graph.
        graph : Graph, optional
            The network's graph, when it has been built already.
        """
        if network.sequential and cls is Model:
            from rnnrt.models.sequential import Sequential

            return Sequential.from_network(network, threads, legacy, metadata, graph)
        model = cls.__new__(cls)
        model._begin(network, None, threads)
        model.legacy, model.metadata = legacy, dict(metadata or {})
        if graph is not None:
            model._take(graph)
            model._stamp = tuple(v.version for v in network.weights)
        return model

    def build_graph(self) -> Graph:
        """The graph with the weights as they are now."""
        if self.network is None:
            assert self._source is not None
            return self._source if self._graph_layers is None else self._graph_layers.graph()
        self._ready()
        return inference_graph(self.network, self.legacy, self.metadata)[0]

    def _ready(self) -> Network:
        """The network with all its weights."""
        network = self.network
        assert network is not None
        if not network.built:
            network.create()
        return network

    def _refreshed(self) -> tuple[Graph, Session]:
        if self._now is None or self._seen != Changes.count:
            count = Changes.count
            stamp = tuple(v.version for v in self._weights_so_far())
            if self._now is None or stamp != self._stamp:
                self._now, self._carrying = None, None
                self._take(self.build_graph())
                stamp = tuple(v.version for v in self._weights_so_far())
            self._seen, self._stamp = count, stamp
        assert self._now is not None
        return self._now

    def _weights_so_far(self) -> list[Variable]:
        holder = self.network if self.network is not None else self._graph_layers
        return [] if holder is None else holder.weights

    def mark_changed(self) -> None:
        """Tell the model that its structure or its weights' memory has changed behind its back."""
        self._now, self._carrying = None, None
        Changes.count += 1

    def _other_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = resolved(args), resolved(kwargs)
        if tensors_in((args, kwargs)):
            if self.network is None:
                raise UnsupportedModelError(self.name, [f"model {self.name!r}: came without layers; call it on arrays"])
            return self.network(*args, **kwargs)
        self._see(args)
        if "training" in kwargs and "training" not in self._input_names and kwargs.pop("training"):
            raise RnnrtError(f"model {self.name!r}: is called with training=True; it trains by fit alone")
        if kwargs.get("mask", 0) is None and "mask" not in self._input_names:
            kwargs.pop("mask")
        if len(args) == 1 and isinstance(args[0], Mapping):
            return self._run_arrays((), {**args[0], **kwargs})
        if len(args) == 1 and isinstance(args[0], (list, tuple)) and len(self._input_names) > 1:
            args = tuple(args[0])
        return self._run_arrays(args, kwargs)

    def _write_keras(self, path: str | os.PathLike[str], batch_size: int | None) -> None:
        from rnnrt.formats.keras_export import write_keras

        if self.network is None:
            reason = f"model {self.name!r}: came without Keras layers, as a graph; save it as .onnx or .rnnrt"
            raise UnsupportedModelError(str(path), [reason], task="saved")
        made_by = self.metadata.get("keras_version", "3")
        write_keras(path, self._ready(), made_by=made_by, batch_size=batch_size)

    @property
    def _holder(self) -> Weights:
        if self.network is not None:
            return self.network
        if self._graph_layers is None:
            assert self._source is not None
            self._graph_layers = GraphLayers(self._source)
        return self._graph_layers

    def training_graph(self, training: bool, carry_all: bool = False) -> TrainingGraph:
        """What a trainer differentiates, or with `training` False what it evaluates with the same variables.

        With `carry_all` every recurrent layer carries its state from batch to batch, as stateful ones do.
        """
        if self.network is not None:
            return training_graph(self._ready(), training, self.legacy, carry_all)
        if carry_all:
            reason = (
                f"model {self.name!r}: came without layers, so that its states cannot be carried from piece to piece"
            )
            raise UnsupportedModelError(self.name, [f"{reason}; train it on whole sequences, without bptt_steps"])
        holder = self._holder
        assert isinstance(holder, GraphLayers)
        return holder.training_graph()

    def get_config(self) -> dict[str, Any]:
        """The layers and their calls, in Keras 3's form."""
        return self._needs_network("has no configuration").get_config()

    def to_json(self, **options: Any) -> str:
        """The configuration as text; `options` are those of `json.dumps`."""
        return json.dumps(self._needs_network("has no configuration").as_spec(), **options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """A model of that configuration, with new weights."""
        from rnnrt.models.loading import model_of

        kind = "Sequential" if "input_layers" not in config else "Functional"
        return model_of({"class_name": kind, "config": config})

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of parameters."""
        from rnnrt.models.summary import summarise

        summarise(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _in_order(value: Any) -> Any:
    """A dict's values in the order of its keys, as Keras has it."""
    return [value[key] for key in sorted(value)] if isinstance(value, Mapping) else value
