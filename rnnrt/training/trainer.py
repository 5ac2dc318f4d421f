"""Steps of training: parameters in one array, gradients in another, and a program for each shape of a batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.losses import BinaryCrossentropy, Loss
from rnnrt.optimizers import Optimizer, Segment
from rnnrt.plan import Target
from rnnrt.runtime.session import checked_input
from rnnrt.training.objective import Objective
from rnnrt.training.program import LossTerm, Program, StepGraph, ValueAndGradient
from rnnrt.training.training_graph import TrainingGraph

MAX_PROGRAMS = 32
"""Programs kept, one for each kind of step and shape of a batch; the least recently used goes first."""

ALIGNMENT = 16
"""Elements at which variables begin in the flat array."""


class Trainer:
    """Trains a model's variables.

    Parameters
    ----------
    graphs : dict of bool to TrainingGraph
        What runs in training (True) and what evaluates (False), over the same variables.
    objective : Objective
    optimizer : Optimizer
    seed : int
        Where the random numbers of dropout start.
    threads : int
    carries_all : bool
        The graphs carry the states of all recurrent layers.

    Attributes
    ----------
    parameters, gradients : ndarray (n,)
        All trainable variables and their gradients; `segments` says which lies where.

    Raises
    ------
    RnnrtError
        Variables are of several dtypes.
    """

    def __init__(
        self,
        graphs: Mapping[bool, TrainingGraph],
        objective: Objective,
        optimizer: Optimizer,
        seed: int,
        threads: int,
        carries_all: bool = False,
    ) -> None:
        self.carries_all = carries_all
        self.graphs, self.objective, self.optimizer = dict(graphs), objective, optimizer
        self.threads = threads
        self.random = np.array([seed, 0], np.int64)
        self._target = Target.detect()
        self._programs: OrderedDict[tuple[Any, ...], Program] = OrderedDict()
        self._batch: tuple[Sequence[Any], Sequence[Any] | None] = ((), None)
        self._states: dict[str, np.ndarray] = {}
        graph = self.graphs[True]
        self.trained = [graph.variables[name] for name in graph.trainable]
        self._lay_out()

    def _lay_out(self) -> None:
        dtypes = {v.value.dtype for v in self.trained}
        if len(dtypes) > 1:
            names = {v.value.dtype.name: v.path for v in self.trained}
            raise RnnrtError(f"trainable variables are of several dtypes, {names}; build the layers with one dtype")
        start, segments = 0, []
        for k, variable in enumerate(self.trained):
            size = variable.value.size
            segments.append(Segment(variable.path or f"variable_{k}", start, start + size))
            start += -(-size // ALIGNMENT) * ALIGNMENT
        dtype = dtypes.pop() if dtypes else np.dtype(np.float32)
        self.segments = tuple(segments)
        self.parameters, self.gradients = np.zeros(start, dtype), np.zeros(start, dtype)
        self._gradient_of: dict[int, np.ndarray] = {}
        self._settings: list[tuple[np.ndarray, Any, Any, Any]] = []
        for variable, segment in zip(self.trained, self.segments, strict=True):
            inside = slice(segment.start, segment.stop)
            variable.move_to(self.parameters[inside].reshape(variable.shape))
            gradient = self.gradients[inside].reshape(variable.shape)
            self._gradient_of[id(variable)] = gradient
            if variable.regularizer is not None or variable.constraint is not None:
                self._settings.append((gradient, variable, variable.regularizer, variable.constraint))
        self.optimizer.build(self.parameters, self.segments)
        # Other variables are read where they are, so that they must stay there.
        settled: set[int] = set()
        for graph in self.graphs.values():
            for variable in graph.variables.values():
                if id(variable) not in self._gradient_of and id(variable) not in settled:
                    variable.move_to(np.array(variable.value))
                    settled.add(id(variable))

    def train(self, xs: Sequence[Any], ys: Sequence[Any], weights: Sequence[Any] | None = None) -> None:
        """One step: the gradients of the loss, and an update; `objective` takes in the batch.

        Parameters
        ----------
        xs, ys : sequence of array
            Inputs and targets in the model's order.
        weights : sequence of (array or None), optional
            For each output the weights of its losses.

        Raises
        ------
        ShapeError, RnnrtError
            The data does not fit the model or its losses.
        """
        penalties = self._penalties()
        self._run(True, xs, ys, weights, penalties)
        self.regularize()
        self.optimizer.apply(self.gradients, self.parameters)
        for _, variable, _, constraint in self._settings:
            if constraint is not None:
                variable.value[...] = constraint(variable.value)
        self.random[1] += 1
        for variable in self.trained:
            variable.mark_changed()

    def test(self, xs: Sequence[Any], ys: Sequence[Any], weights: Sequence[Any] | None = None) -> None:
        """The losses of a batch, without an update; `objective` takes it in. Parameters and errors as of `train`."""
        self._run(False, xs, ys, weights, self._penalties())

    def advance(self, xs: Sequence[Any]) -> None:
        """Let layers take in a piece of a sequence whose outputs do not matter: only what they carry moves on."""
        graph = self.graphs[True]
        arrays = self._inputs(graph, xs)
        self.run(self.program(True, arrays, losses=False), graph, arrays, (), None)
        self.random[1] += 1

    def regularize(self) -> None:
        """Add the gradients of the regularizers."""
        for gradient, variable, regularizer, _ in self._settings:
            if regularizer is not None:
                gradient += regularizer.gradient(variable.value).astype(gradient.dtype, copy=False)

    def _penalties(self) -> float:
        return sum(float(r(variable.value)) for _, variable, r, _ in self._settings if r is not None)

    def _run(
        self, training: bool, xs: Sequence[Any], ys: Sequence[Any], weights: Sequence[Any] | None, penalties: float
    ) -> None:
        graph, objective = self.graphs[training], self.objective
        objective.check(ys)
        arrays = self._inputs(graph, xs)
        program = self.program(training, arrays)
        losses, results = self.run(program, graph, arrays, ys, weights)
        total = penalties + sum(objective.weights[k] * v for k, v in zip(objective.trained, losses, strict=True))
        total += sum(float(results[name]) for name in graph.losses)
        predictions = [results[name] for name in graph.outputs]
        masks = [None if name is None else results[name] for name in graph.masks]
        objective.update(total, losses, ys, predictions, weights, masks)

    def run(
        self,
        program: Program,
        graph: TrainingGraph,
        arrays: list[np.ndarray],
        ys: Sequence[Any],
        weights: Sequence[Any] | None,
    ) -> tuple[list[float], dict[str, np.ndarray]]:
        """The losses by output and the results of a program; what layers keep from batch to batch moves on."""
        self._batch = ys, weights
        try:
            losses, results = program.run(arrays)
        finally:
            self._batch = (), None
        for name, variable in graph.updates.items():
            variable.assign(results[name])
        for slot in graph.states:
            after = results[slot.output]
            self._states[_state_key(slot, len(after))][...] = after
        return losses, results

    def _inputs(self, graph: TrainingGraph, xs: Sequence[Any]) -> list[np.ndarray]:
        if len(xs) != len(graph.data):
            raise ShapeError(f"{len(xs)} inputs were given, the model takes {len(graph.data)}: {list(graph.data)}")
        arrays = [checked_input(value, x) for value, x in zip(graph.graph.inputs, xs, strict=False)]
        if not len(arrays[0]):
            raise ShapeError("the batch is empty; give at least one row")
        return arrays

    def program(
        self, training: bool, arrays: Sequence[np.ndarray], watched: bool = False, losses: bool = True
    ) -> Program:
        """The program of a step for inputs of these shapes; without losses it is the forward pass alone."""
        key = (training, watched, losses, *(a.shape for a in arrays))
        found = self._programs.get(key)
        if found is None:
            graph = self.graphs[training]
            shapes = {name: array.shape for name, array in zip(graph.data, arrays, strict=True)}
            step = self._step(graph, len(arrays[0]), (training or watched) and losses, watched)
            if not losses:
                step = replace(step, losses=(), added=())
            found = self._programs[key] = Program(step, shapes, self._target, self.threads)
            while len(self._programs) > MAX_PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return found

    def _step(self, graph: TrainingGraph, rows: int, backward: bool, watched: bool) -> StepGraph:
        objective = self.objective
        terms = [self._term(graph, k) for k in objective.trained]
        bound = {name: variable.value for name, variable in graph.variables.items()}
        bound.update({slot.input: self._state(slot, rows) for slot in graph.states})
        if graph.random_state is not None:
            bound[graph.random_state] = self.random
        gradients = {}
        if backward:
            trained = {id(v) for v in self.trained}
            wanted = [(name, v) for name, v in graph.variables.items() if id(v) in trained]
            gradients = {name: self._gradient_of[id(variable)] for name, variable in wanted}
        return StepGraph(graph.graph, terms, graph.losses, gradients, bound, watched)

    def _term(self, graph: TrainingGraph, k: int) -> LossTerm:
        loss, weight = self.objective.losses[k], self.objective.weights[k]
        assert loss is not None

        def function_of(chosen: Loss) -> ValueAndGradient:
            def function(
                prediction: np.ndarray, mask: np.ndarray | None, wants_gradient: bool
            ) -> tuple[float, np.ndarray | None]:
                ys, weights = self._batch
                sample_weight = None if weights is None else weights[k]
                if not wants_gradient:
                    return chosen(ys[k], prediction, sample_weight, mask), None
                value, gradient = chosen.value_and_gradient(ys[k], prediction, sample_weight, mask)
                return value, gradient if weight == 1 else gradient * gradient.dtype.type(weight)

            return function

        on_logits = loss.with_logits()
        activation = "Sigmoid" if isinstance(loss, BinaryCrossentropy) else "Softmax"
        return LossTerm(
            graph.outputs[k],
            function_of(loss),
            graph.masks[k] or "",
            activation,
            None if on_logits is None else function_of(on_logits),
        )

    def _state(self, slot: Any, rows: int) -> np.ndarray:
        """The array of a state; it stays where it is, for programs read it there."""
        key = _state_key(slot, rows)
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = np.zeros((rows, slot.units), slot.dtype)
        if len(found) != rows:
            raise StateError(
                f"{slot.layer.label()}: keeps the states of {len(found)} rows, the batch has {rows}; "
                "give batches of one size, or call reset_states()"
            )
        return found

    def reset_memory(self) -> None:
        """What layers carry from piece to piece of a sequence becomes zero; stateful layers keep theirs."""
        kept = {slot.input for slot in self.graphs[True].states if slot.layer.stateful}
        for key, array in self._states.items():
            if key not in kept:
                array.fill(0)

    def reset_states(self) -> None:
        """Stateful layers begin anew, with batches of any size."""
        self._states.clear()
        self._programs.clear()

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a training needs to go on as if it had never stopped: arrays by name, and what JSON can say."""
        arrays = {f"variable/{k}": variable.value.copy() for k, variable in enumerate(self._all_variables())}
        arrays.update({f"optimizer/{name}": array for name, array in self.optimizer.state().items()})
        arrays.update({f"state/{name}": array.copy() for name, array in self._states.items()})
        arrays["random"] = self.random.copy()
        metrics, meta = self.objective.state()
        arrays.update(metrics)
        return arrays, {"shapes": [list(v.shape) for v in self._all_variables()], "metrics": meta}

    def load_state(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises
        ------
        StateError
            It belongs to another model.
        """
        variables = self._all_variables()
        if list(meta["shapes"]) != [list(v.shape) for v in variables]:
            raise StateError(
                "the checkpoint holds weights of other shapes; make the model as it was, or delete the checkpoint"
            )
        for k, variable in enumerate(variables):
            variable.assign(arrays[f"variable/{k}"])
        own = "optimizer/"
        self.optimizer.load_state({k.removeprefix(own): a for k, a in arrays.items() if k.startswith(own)})
        self.reset_states()
        for name, array in arrays.items():
            if name.startswith("state/"):
                self._states[name.removeprefix("state/")] = np.array(array)
        self.random[...] = arrays["random"]
        self.objective.load_state(arrays, meta["metrics"])

    def _all_variables(self) -> list[Any]:
        return list({id(v): v for graph in self.graphs.values() for v in graph.variables.values()}.values())


def _state_key(slot: Any, rows: int) -> str:
    """What holds a state: stateful layers have one; others, which begin each batch anew, one for each size of batch."""
    return slot.input if slot.layer.stateful else f"{slot.input}:{rows}"
