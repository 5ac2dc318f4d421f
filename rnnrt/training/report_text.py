"""A report on gradients as text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnrt.training.gradients import GradientReport, LayerGradients

WIDTH = 110


def report_text(report: GradientReport) -> str:
    """Tables of the layers, their gates and the variables, and the advice."""
    head = f"gradients are {report.verdict}: loss {report.loss:.4g}, norm of all gradients {report.gradient_norm:.2e}"
    return "\n".join([head, *_layers(report), *_gates(report), *_variables(report), *_advice(report)])


def _layers(report: GradientReport) -> list[str]:
    if not report.layers:
        return ["", "no gradient passes a recurrent layer"]
    rows = []
    for layer in report.layers:
        # What is computed first is seen at the end of the way back.
        early, late = (-1, 0) if layer.backwards else (0, -1)
        norms = [f"{layer.step_norms[k]:.1e}" if len(layer.step_norms) else "-" for k in (early, late)]
        rows.append([layer.name, layer.kind, str(len(layer.step_norms)), *norms, _left(layer), _reach(layer)])
        rows[-1].append(layer.verdict)
    heads = ["layer", "kind", "steps", "dL/dh first", "dL/dh last", "carried", "reach", "verdict"]
    return ["", *_table(heads, rows, "llrrrrrl")]


def _left(layer: LayerGradients) -> str:
    return f"{layer.carry[-1]:.1e}" if len(layer.carry) else "-"


def _reach(layer: LayerGradients) -> str:
    return f"{layer.horizon} of {max(len(layer.carry) - 1, 0)}"


def _gates(report: GradientReport) -> list[str]:
    rows = [[layer.name, ", ".join(_gate(layer, gate) for gate in layer.gate_means)] for layer in report.layers]
    return ["", *_table(["layer", "gates: mean (saturated)"], rows, "ll")] if rows else []


def _gate(layer: LayerGradients, gate: str) -> str:
    share = f" ({layer.gates[gate]:.0%})" if gate in layer.gates else ""
    return f"{gate} {layer.gate_means[gate]:.2g}{share}"


def _variables(report: GradientReport) -> list[str]:
    rows = [
        [
            v.name,
            "x".join(map(str, v.shape)),
            *(f"{norm:.2e}" for norm in (v.weight_norm, v.gradient_norm, v.update_norm)),
            "-" if math.isnan(v.update_ratio) else f"{v.update_ratio:.1e}",
        ]
        for v in report.variables
    ]
    heads = ["variable", "shape", "weights", "gradient", "update", "update/weights"]
    return ["", *_table(heads, rows, "llrrrr")] if rows else []


def _advice(report: GradientReport) -> list[str]:
    found: list[str] = []
    for layer in report.layers:
        if layer.advice:
            found += ["", f"{layer.name}: {layer.verdict}, {layer.reason}", *_bullets(layer.advice)]
    return found + (["", "updates:", *_bullets(report.advice)] if report.advice else [])


def _bullets(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, initial_indent="- ", subsequent_indent="  ")]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        parts = zip(cells, widths, align, strict=True)
        return "  ".join(c.rjust(w) if a == "r" else c.ljust(w) for c, w, a in parts).rstrip()

    return [line(heads), "  ".join("-" * w for w in widths), *map(line, rows)]
