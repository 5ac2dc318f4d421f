"""INDEX.md: what each file is, how its recurrence is written, and whether onnxruntime agrees with its framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lift_corpus.record import MADE

RECURRENT = ("LSTM", "GRU", "RNN")
HEAD = """# Recurrences as exporters write them

NAME.npz holds in_NAME and out_K as the original framework computed them, and b_in_NAME and b_out_K of a second call
(another batch and length) where the file allows it. "free" lists inputs with free axes as declared.

| file | network | exporter | opset | written as | free | onnxruntime |
|---|---|---|---|---|---|---|
"""


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and all graphs within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node or inner.output:
                    yield from graphs(inner)


def written_as(model: Any) -> str:
    """The nodes that carry a recurrence, and how many nodes of other kinds there are."""
    every = [node for graph in (model.graph, *model.functions) for g in graphs(graph) for node in g.node]
    found = Counter(node.op_type for node in every if node.op_type in ("Loop", "Scan", "If", *RECURRENT))
    named = ", ".join(f"{n} {op}" for op, n in sorted(found.items()))
    if any(op in found for op in ("Loop", "Scan")):
        return f"{named}; {len(every)} nodes"
    if any(op in found for op in RECURRENT):
        return f"{named} (an operator after all); {len(every)} nodes"
    return f"straight line of {len(every)} nodes" + (f", {named}" if named else "")


def free_axes(model: Any) -> str:
    """Inputs with axes that have no declared size."""
    weights = {t.name for t in model.graph.initializer}
    shown = []
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in weights and not all(d.HasField("dim_value") for d in dims):
            sizes = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in dims]
            shown.append(f"{value.name} ({', '.join(sizes)})")
    return "; ".join(shown)[:160] or "none"


def verdict(path: Path) -> str:
    """What onnxruntime says about the recorded calls: the largest difference, or its complaint."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    arrays = np.load(path.with_suffix(".npz"))
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        words = []
        for prefix in ("", "b_"):
            feeds = {k[len(prefix) + 3 :]: arrays[k] for k in arrays if k.startswith(prefix + "in_")}
            if not feeds:
                continue
            worst = 0.0
            for k, got in enumerate(session.run(None, feeds)):
                wanted = arrays[f"{prefix}out_{k}"]
                if got.shape != wanted.shape:
                    return f"NO: output {k} has shape {got.shape}, not {wanted.shape}"
                worst = max(worst, float(np.abs(got.astype(np.float64) - wanted).max(initial=0)))
            words.append(f"{'agrees' if worst < 2e-5 else 'DIFFERS'} ({worst:.0e})")
        return ", ".join(words)
    except Exception as error:
        return "refuses: " + str(error).replace("\n", " ").replace("|", "/")[:120]


def main(folder: Path, options: list[str]) -> None:
    """Write the index of a folder."""
    import onnx

    lines = {}
    for line in (folder / MADE).read_text().splitlines():
        name, exporter, what = line.split("\t")
        lines[name] = (exporter, what)
    rows = []
    for name, (exporter, what) in sorted(lines.items()):
        path = folder / f"{name}.onnx"
        if path.exists():
            model = onnx.load(path)
            opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), "-")
            cells = (name, what, exporter, opset, written_as(model), free_axes(model), verdict(path))
            rows.append("| " + " | ".join(str(cell) for cell in cells) + " |\n")
    (folder / "INDEX.md").write_text(HEAD + "".join(rows))
    print(f"{len(rows)} files, {sum('agrees' in row and 'DIFFERS' not in row for row in rows)} agree")
