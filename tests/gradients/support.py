"""Gradients against central differences in float64, and the compiled backward pass against the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.ir import Graph, Value
from rnnrt.ops import TensorSpec
from rnnrt.ops.evaluate import evaluate
from rnnrt.passes import specialise
from rnnrt.training.backward import differentiate
from tests.support import ISAS, assert_close, compiled

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Joint:
    """A graph with its backward pass: inputs are the graph's and a seed for each output, outputs the gradients.

    `gradients` names them; values that nothing depends on are absent.
    """

    graph: Graph
    seeds: dict[str, str]
    gradients: dict[str, str]


def as_dtype(arrays: Feeds, dtype: Any) -> dict[str, np.ndarray]:
    """The arrays with floating point ones in another type."""
    return {k: a.astype(dtype) if (a := np.asarray(v)).dtype.kind == "f" else a for k, v in arrays.items()}


def joint_graph(graph: Graph, feeds: Feeds, wanted: Sequence[str], outputs: Sequence[str], dtype: Any) -> Joint:
    """The backward pass of a graph for the shapes of `feeds`, its floating point values in `dtype`."""
    feeds = as_dtype(feeds, dtype)
    graph = graph.replace(
        inputs=tuple(Value(v.name, feeds[v.name].dtype, feeds[v.name].shape) for v in graph.inputs),
        constants=as_dtype(graph.constants, dtype),
        outputs=tuple(Value(name, np.dtype(dtype)) for name in outputs),
    )
    graph, specs = specialise(graph, {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs})
    seeds = {name: f"seed/{name}" for name in outputs}
    back = differentiate(graph, specs, seeds, wanted)
    given = tuple(Value(seed, specs[name].dtype, specs[name].shape) for name, seed in seeds.items())
    for node in back.nodes:
        for name in node.inputs:
            assert not name or name in specs or name in back.constants or name.startswith(("seed/", "gradient/"))
    return Joint(
        graph.replace(
            inputs=(*graph.inputs, *given),
            outputs=tuple(Value(name, np.dtype(dtype)) for name in back.gradients.values()),
            nodes=back.nodes,
            constants={**graph.constants, **back.constants},
        ),
        seeds,
        dict(back.gradients),
    )


def differences(graph: Graph, feeds: Feeds, name: str, outputs: Sequence[str], seeds: Feeds, eps: float) -> np.ndarray:
    """Central differences, element by element, of the sum of all outputs times their seeds."""
    graph = graph.replace(outputs=tuple(Value(output, np.dtype(np.float64)) for output in outputs))

    def functional(x: np.ndarray) -> float:
        values = evaluate(graph, {**feeds, name: x}, dtype=np.float64)
        return float(sum(np.sum(y * seeds[output]) for y, output in zip(values, outputs, strict=True)))

    x = np.asarray(feeds[name])
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        high, low = x.copy(), x.copy()
        high[place] += eps
        low[place] -= eps
        found[place] = (functional(high) - functional(low)) / (high[place] - low[place])
    return found


def check_gradients(
    graph: Graph,
    feeds: Mapping[str, Any],
    wanted: Sequence[str],
    outputs: Sequence[str],
    eps: float = 1e-6,
    rtol: float = 1e-6,
    isas: Sequence[str] = tuple(ISAS),
    rtol32: float = 2e-5,
    native: bool = False,
) -> dict[str, np.ndarray]:
    """Check the backward pass of a graph in every way there is.

    In float64 the references' gradients are compared with central differences of a random linear functional of the
    outputs, for each element of each wanted value. Then the forward and backward nodes are compiled together, in
    float32 and float64, for each instruction set, and compared with the references.

    Parameters
    ----------
    graph : Graph
        Its wanted values must be inputs.
    feeds : mapping of str to array_like
        Every input, away from kinks by more than `eps`.
    wanted, outputs : sequence of str
        Inputs whose gradients are checked; floating point values of the graph that the functional reads.
    eps, rtol
        Step and tolerance of the differences; the tolerance is relative to the larger of 1 and the largest gradient.
    isas : sequence of str
        Instruction sets to compile for.
    rtol32 : float
        Tolerance of the compiled gradients in float32; float64 has 1e-11.
    native : bool
        Whether every node of the joint graph must have a kernel.

    Returns
    -------
    dict
        The gradients in float64, zeros for values that nothing depends on.
    """
    feeds = as_dtype({k: np.asarray(v) for k, v in feeds.items()}, np.float64)
    joint = joint_graph(graph, feeds, wanted, outputs, np.float64)
    rng = np.random.default_rng(1234)
    shapes = {v.name: v.shape for v in joint.graph.inputs}
    seeds = {seed: rng.uniform(0.5, 1.5, shapes[seed]) * rng.choice([-1, 1], shapes[seed])  # type: ignore[arg-type]
             for seed in joint.seeds.values()}  # fmt: skip
    given = {**feeds, **seeds}
    found = dict(zip(joint.gradients, evaluate(joint.graph, given, dtype=np.float64), strict=True))
    by_output = {name: seeds[seed] for name, seed in joint.seeds.items()}
    for name in wanted:
        numeric = differences(graph, feeds, name, outputs, by_output, eps)
        analytic = found.setdefault(name, np.zeros(numeric.shape))
        assert analytic.dtype == np.float64
        assert_close(analytic, numeric, rtol, f"gradient of {name}")
    for dtype, tolerance in ((np.float32, rtol32), (np.float64, 1e-11)):
        typed = joint_graph(graph, feeds, wanted, outputs, dtype)
        assert list(typed.gradients) == list(joint.gradients)
        arrays = as_dtype(given, dtype)
        want = evaluate(typed.graph, arrays, dtype=np.float64)
        for isa in isas if typed.gradients else ():
            got = compiled(typed.graph, arrays, isa, native)
            for name, mine, theirs in zip(typed.gradients, got, want, strict=True):
                assert mine.dtype == dtype
                assert_close(mine, theirs, tolerance, f"compiled gradient of {name}, {isa}, {np.dtype(dtype)}")
    return found
