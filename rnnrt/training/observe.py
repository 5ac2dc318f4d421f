"""A step of training seen from outside: what it would find and do, with nothing changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrt.training.program import WatchedNode
from rnnrt.training.trainer import Trainer


def observe(
    trainer: Trainer, xs: Sequence[Any], ys: Sequence[Any], weights: Sequence[Any] | None = None
) -> tuple[Sequence[WatchedNode], dict[str, np.ndarray], float, np.ndarray]:
    """What a step of training would find on its way back. Layers with states begin with zeros.

    Parameters and errors are as of `Trainer.train`.

    Returns
    -------
    nodes : sequence of WatchedNode
        The recurrent nodes that gradients pass.
    results : dict of str to ndarray
        What the program gave, by name.
    loss : float
    gradients : ndarray (n,)
        Of all trainable variables, regularizers included, laid out as `trainer.segments` says.
    """
    graph, objective = trainer.graphs[True], trainer.objective
    objective.check(ys)
    arrays = trainer._inputs(graph, xs)
    kept, states = trainer.gradients.copy(), trainer._states
    trainer._states = {}
    try:
        program = trainer.program(True, arrays, watched=True)
        trainer._batch = ys, weights
        trainer.gradients.fill(0)
        losses, results = program.run(arrays)
        trainer.regularize()
        gradients = trainer.gradients.copy()
    finally:
        trainer._batch, trainer._states = ((), None), states
        np.copyto(trainer.gradients, kept)
        if graph.states:  # such a program reads states that are no longer there
            trainer._programs = OrderedDict((key, p) for key, p in trainer._programs.items() if not key[1])
    total = trainer._penalties() + sum(objective.weights[k] * v for k, v in zip(objective.trained, losses, strict=True))
    total += sum(float(results[name]) for name in graph.losses)
    return program.watched, results, float(total), gradients


def updated(trainer: Trainer, gradients: np.ndarray) -> np.ndarray:
    """What the parameters (n,) would be after an update with these gradients (n,)."""
    optimizer, parameters = trainer.optimizer, trainer.parameters.copy()
    state = optimizer.state()
    try:
        # Where gradients are accumulated, one of so many calls is an update.
        for _ in range(optimizer.calls_per_update):
            optimizer.apply(gradients, parameters)
    finally:
        optimizer.load_state(state)
    for variable, segment in zip(trainer.trained, trainer.segments, strict=True):
        if variable.constraint is not None:
            inside = parameters[segment.start : segment.stop].reshape(variable.shape)
            inside[...] = variable.constraint(inside)
    return parameters
