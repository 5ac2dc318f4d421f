"""What tests share: one-node graphs, every instruction set, and the published files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt._kernels import program
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops.evaluate import evaluate
from rnnrt.plan import Target
from rnnrt.runtime import Session

ISAS = program.available_isas()
"""Instruction sets that this processor runs; tests of kernels go through all of them."""


def shared_dir(*parts: str) -> Path:
    """A folder of the published files, or a skip where they are absent."""
    root = Path(os.environ.get("RNNRT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} of the published files is absent; set RNNRT_SHARED to their folder")
    return path


def one_node(
    op: str, inputs: Sequence[np.ndarray | None], n_outputs: int = 1, constant: Sequence[int] = (), **attrs: Any
) -> tuple[Graph, dict[str, np.ndarray]]:
    """A graph of one node, and feeds for it. Inputs whose positions are in `constant` become constants."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    arrays = {name: np.asarray(x) for name, x in zip(names, inputs, strict=True) if name}
    fixed = {f"x{i}" for i in constant}
    values = tuple(Value(name, a.dtype, a.shape) for name, a in arrays.items() if name not in fixed)
    node = Node(op, tuple(names), tuple(f"y{k}" for k in range(n_outputs)), attrs, "node")
    outputs = tuple(Value(f"y{k}", np.dtype("float32")) for k in range(n_outputs))
    constants = {name: a for name, a in arrays.items() if name in fixed}
    return Graph(values, outputs, (node,), constants), {v.name: arrays[v.name] for v in values}


def compiled(graph: Graph, feeds: Mapping[str, Any], isa: str, native: bool = True) -> list[np.ndarray]:
    """Run a graph through its plan for `isa`; with `native`, every node must have a kernel."""
    session = Session(graph, Target(isa, program.VECTOR_BYTES[isa]))
    if native:
        _, plan = session.plan_for({name: np.shape(x) for name, x in feeds.items()})
        assert plan is not None, "shapes depend on data"
        assert not plan.hosted, f"no kernel for {plan.hosted}"
    return session.run([feeds[v.name] for v in graph.inputs])


def oracle(graph: Graph, feeds: Mapping[str, Any]) -> list[np.ndarray]:
    """The references in float64."""
    return evaluate(graph, feeds, dtype=np.float64)


def assert_close(got: np.ndarray, want: np.ndarray, rtol: float = 2e-5, what: str = "") -> None:
    """Equal shapes, and differences within `rtol` of the larger of 1 and the largest expected magnitude."""
    assert np.shape(got) == np.shape(want), f"{what}: shape {np.shape(got)}, expected {np.shape(want)}"
    if np.size(want) == 0:
        return
    scale = max(1.0, float(np.max(np.abs(np.where(np.isfinite(want), want, 0)))))
    np.testing.assert_allclose(got, want, rtol=0, atol=rtol * scale, err_msg=what)
