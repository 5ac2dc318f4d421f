"""Back through time: references against central differences, kernels against references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt._kernels import program
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.activations import ACTIVATIONS, SLOPES
from rnnrt.ops.evaluate import evaluate
from rnnrt.ops.recurrent_backward import GIVEN
from rnnrt.passes import specialise
from rnnrt.plan import Target
from rnnrt.runtime import Session
from rnnrt.training.backward import differentiate
from tests.support import ISAS, assert_close

BOUNDED = "Sigmoid Tanh Softsign ScaledTanh".split()
SMOOTH = [*BOUNDED, *"Swish Softplus Gelu GeluTanh Mish LogSigmoid".split()]
COUNTS = {"LSTM": 3, "GRU": 2, "RNN": 1}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def case(
    op: str, rng: np.random.Generator, sizes: tuple[int, int, int, int], **options: Any
) -> tuple[Graph, dict[str, np.ndarray]]:
    """A graph whose outputs are all results of one recurrent node, and float64 feeds for it."""
    T, B, inputs, H = sizes
    direction = options.get("direction", "forward")
    D, G, layout = 2 if direction == "bidirectional" else 1, GATES[op], int(options.get("batch_first", False))
    keras = options.get("keras", False)
    state = (B, D, H) if layout else (D, B, H)
    feeds: dict[str, np.ndarray] = {
        "X": rng.normal(size=(B, T, inputs) if layout else (T, B, inputs)),
        "W": rng.normal(size=(inputs, G * H) if keras else (D, G * H, inputs)) * 0.3,
        "R": rng.normal(size=(H, G * H) if keras else (D, G * H, H)) * 0.3,
    }
    if options.get("bias", True):
        rows = options.get("rows", 2)
        feeds["B"] = rng.normal(size=((2, G * H) if rows == 2 else (G * H,)) if keras else (D, 2 * G * H)) * 0.3
    if options.get("lengths"):
        feeds["sequence_lens"] = rng.integers(0, T + 1, B).astype(np.int32)
    if options.get("states"):
        feeds["initial_h"] = rng.normal(size=state)
        if op == "LSTM":
            feeds["initial_c"] = rng.normal(size=state)
    if options.get("peepholes") and op == "LSTM":
        feeds["P"] = rng.normal(size=(D, 3 * H)) * 0.3
    if options.get("mask"):
        feeds["mask"] = rng.random((T, B)) < 0.7
    if options.get("drop"):
        feeds["recurrent_mask"] = (rng.random((D, B, H)) < 0.7) / 0.7
    operator: Any = get_operator(op)
    attrs: dict[str, Any] = {"direction": direction, "hidden_size": H, "layout": layout}
    attrs.update(
        {
            key: options[key]
            for key in ("clip", "zero_output_for_mask", "linear_before_reset", "input_forget")
            if key in options
        }
    )
    if options.get("activations"):
        attrs["activations"] = tuple(options["activations"] * D)
    if keras:
        attrs["weight_layout"] = "keras"
    if options.get("gate_order"):
        attrs["gate_order"] = options["gate_order"]
    node = Node(op, tuple(key if key in feeds else "" for key in operator.operands), operator.results, attrs, "node")
    inputs = tuple(Value(key, array.dtype, array.shape) for key, array in feeds.items())
    outputs = tuple(Value(name, np.dtype(np.float64)) for name in operator.results)
    return Graph(inputs, outputs, (node,)), feeds


def with_backward(graph: Graph, feeds: dict[str, np.ndarray], wants_dh: bool = False) -> tuple[Graph, list[str]]:
    """The graph with seeds d<result> as further inputs and the gradients of all operands as outputs."""
    specs = {key: TensorSpec(array.dtype, array.shape) for key, array in feeds.items()}
    folded, types = specialise(graph, specs)
    seeds = {value.name: f"seed_{value.name}" for value in graph.outputs}
    wanted = [key for key in GIVEN if key in feeds]
    backward = differentiate(folded, types, seeds, wanted)
    nodes = list(backward.nodes)
    names = [backward.gradients[key] for key in wanted]
    if wants_dh:
        last = nodes[-1]
        nodes[-1] = Node(last.op, last.inputs, (*last.outputs[:-1], "dH"), last.attrs, last.name)
        names.append("dH")
    seed_values = tuple(Value(seeds[v.name], types[v.name].dtype, types[v.name].shape) for v in graph.outputs)
    outputs = tuple(Value(name, np.dtype(np.float32)) for name in [v.name for v in graph.outputs] + names)
    joint = Graph((*graph.inputs, *seed_values), outputs, tuple(nodes), dict(backward.constants))
    return joint, [*wanted, *(["dH"] if wants_dh else [])]


def seeds_for(graph: Graph, feeds: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    results = evaluate(graph, feeds)
    return {f"seed_{v.name}": rng.normal(size=y.shape) for v, y in zip(graph.outputs, results, strict=True)}


options = st.fixed_dictionaries(
    {
        "direction": st.sampled_from(["forward", "reverse", "bidirectional"]),
        "bias": st.booleans(),
        "lengths": st.booleans(),
        "states": st.booleans(),
        "peepholes": st.booleans(),
        "mask": st.booleans(),
        "drop": st.booleans(),
        "batch_first": st.booleans(),
        "clip": st.sampled_from([0.0, 0.0, 0.8]),
        "zero_output_for_mask": st.sampled_from([0, 1]),
        "variant": st.booleans(),
        "default": st.booleans(),
        "keras": st.booleans(),
        "rows": st.sampled_from([1, 2]),
    }
)


def drawn(op: str, chosen: dict[str, Any], data: st.DataObject, names: Sequence[str] = SMOOTH) -> dict[str, Any]:
    """The options of a node that exist for the operator."""
    found = {key: value for key, value in chosen.items() if key not in ("variant", "default")}
    if chosen["keras"]:
        found["direction"] = "reverse" if chosen["direction"] == "reverse" else "forward"
        found["gate_order"] = tuple(data.draw(st.permutations(range(GATES[op]))))
        if op == "GRU" and chosen["variant"]:
            found["rows"] = 2
    if op == "LSTM" and chosen["variant"]:
        found["input_forget"] = 1
    if op == "GRU":
        found["linear_before_reset"] = int(chosen["variant"])
    if not chosen["default"]:
        found["activations"] = [data.draw(st.sampled_from(names)) for _ in range(COUNTS[op])]
    return found


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@settings(max_examples=40, deadline=None)
@given(data=st.data(), chosen=options, seed=st.integers(0, 2**32 - 1))
def test_reference_equals_central_differences(op: str, data: st.DataObject, chosen: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = tuple(data.draw(st.integers(1, most)) for most in (4, 3, 3, 3))
    graph, feeds = case(op, rng, sizes, **drawn(op, chosen, data))
    seeds = seeds_for(graph, feeds, rng)
    joint, wanted = with_backward(graph, feeds)
    found = evaluate(joint, {**feeds, **seeds})[len(graph.outputs) :]
    width = 1e-6
    for key, gradient in zip(wanted, found, strict=True):
        assert gradient.shape == feeds[key].shape
        for _ in range(3):
            at = tuple(int(rng.integers(0, n)) for n in feeds[key].shape)
            values = []
            for step in (width, -width):
                moved = {**feeds, key: feeds[key].copy()}
                moved[key][at] += step
                parts = [y * s for y, s in zip(evaluate(graph, moved), seeds.values(), strict=True)]
                values.append(sum(float(part.sum()) for part in parts))
                size = sum(float(np.abs(part).sum()) for part in parts)
            expected = (values[0] - values[1]) / (2 * width)
            # The difference of two sums is known to no more digits than the sums themselves.
            close = 2e-6 + 1e-9 * size
            assert gradient[at] == pytest.approx(expected, rel=2e-4 if chosen["clip"] else 1e-5, abs=close), (
                key,
                at,
                size,
            )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@settings(max_examples=40, deadline=None)
@given(data=st.data(), chosen=options, seed=st.integers(0, 2**32 - 1), threads=st.sampled_from([1, 2]))
def test_kernels_equal_references(
    op: str, isa: str, data: st.DataObject, chosen: dict[str, Any], seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = (
        data.draw(st.integers(1, 5)),
        data.draw(st.sampled_from([1, 2, 5, 6, 7, 13])),
        data.draw(st.sampled_from([1, 3, 15, 16, 17, 33])),
        data.draw(st.sampled_from([1, 3, 7, 8, 9, 15, 16, 17, 33])),
    )
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    # Unbounded gates grow until float32 has too few digits left.
    options = drawn(op, chosen, data, SMOOTH if dtype == np.float64 else BOUNDED)
    graph, feeds = case(op, rng, sizes, **options)
    seeds = seeds_for(graph, feeds, rng)
    joint, wanted = with_backward(graph, feeds, wants_dh=True)
    want = evaluate(joint, {**feeds, **seeds})
    arrays = {
        key: array.astype(dtype) if array.dtype == np.float64 else array for key, array in {**feeds, **seeds}.items()
    }
    typed = joint.replace(inputs=tuple(Value(v.name, arrays[v.name].dtype, v.shape) for v in joint.inputs))
    session = Session(typed, Target(isa, program.VECTOR_BYTES[isa]), threads=threads)
    _, plan = session.plan_for({key: array.shape for key, array in arrays.items()})
    assert plan is not None
    assert not plan.hosted
    got = session.run([arrays[v.name] for v in typed.inputs])
    names = [*(v.name for v in graph.outputs), *wanted]
    for name, a, b in zip(names, got, want, strict=True):
        assert_close(a, b, rtol=2e-4 if dtype == np.float32 else 1e-10, what=name)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_slopes_are_derivatives(name: str) -> None:
    x = np.concatenate([np.linspace(-8, 8, 201) + 0.01234, [0.3, -0.3]])
    step = 1e-6
    expected = (ACTIVATIONS[name](x + step, 0.7, 0.4) - ACTIVATIONS[name](x - step, 0.7, 0.4)) / (2 * step)
    np.testing.assert_allclose(SLOPES[name](x, 0.7, 0.4), expected, atol=1e-6, rtol=1e-6)
