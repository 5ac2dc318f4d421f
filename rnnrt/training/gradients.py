"""Reports on gradients: how they fare on their way back through time, and what an update would do."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError
from rnnrt.ops import get_operator
from rnnrt.training.observe import observe, updated
from rnnrt.training.plots import plot_gradient_report
from rnnrt.training.program import WatchedNode
from rnnrt.training.recurrent_flow import Flow, flows
from rnnrt.training.trainer import Trainer
from rnnrt.training.verdicts import DEPTH_LOG10, advise, advise_on_updates, horizon, judge, log10


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """A recurrent layer, or one direction of it.

    Attributes
    ----------
    name : str
        The layer's; a node with two directions gives ``name/forward`` and ``name/backward``.
    kind : {"LSTM", "GRU", "SimpleRNN"}
    backwards : bool
        Whether it walks from the last step to the first, so that gradients go from the first to the last.
    step_norms : ndarray (T,)
        By time step, the mean over the rows of the batch of the 2-norm of dL/dh_t.
    carry : ndarray (L,)
        Of a gradient for the last state, the share that is left k steps back; 1 at k = 0. Masked steps do not count.
        Where each step has a loss of its own this shows what `step_norms` hides.
    log10_ratio : float
        The logarithm of the last of `carry`; -inf where nothing is left.
    horizon : int
        How many steps back at least 1 % is left.
    gates : dict of str to float
        By gate, the share of its values within 5 % of the bounds of its activation.
    gate_means : dict of str to float
    radius : float or None
        The spectral radius of the recurrent weights of a SimpleRNN.
    verdict : {"healthy", "vanishing", "exploding"}
        `rnnrt.training.verdicts` documents the thresholds.
    reason : str
        What the verdict follows from.
    advice : tuple of str
        What to change.
    """

    name: str
    kind: str
    backwards: bool
    step_norms: np.ndarray
    carry: np.ndarray
    log10_ratio: float
    horizon: int
    gates: Mapping[str, float]
    gate_means: Mapping[str, float]
    radius: float | None
    verdict: str
    reason: str
    advice: tuple[str, ...]


@dataclass(frozen=True)
class VariableGradients:
    """A variable and its next update.

    Attributes
    ----------
    name : str
    shape : tuple of int
    weight_norm, gradient_norm, update_norm : float
        2-norms of the values, of the gradient before any clipping, and of what the optimizer would add.
    update_ratio : float
        `update_norm` relative to `weight_norm`; NaN for weights of zeros.
    """

    name: str
    shape: tuple[int, ...]
    weight_norm: float
    gradient_norm: float
    update_norm: float
    update_ratio: float


@dataclass(frozen=True)
class GradientReport:
    """What `Model.gradient_report` gives; print it to read it.

    Attributes
    ----------
    loss : float
        Of the batch, in training mode.
    gradient_norm : float
        The 2-norm of all gradients together.
    layers : tuple of LayerGradients
        The recurrent layers that gradients pass, from the input on.
    variables : tuple of VariableGradients
        All trainable ones.
    advice : tuple of str
        About the updates.
    """

    loss: float
    gradient_norm: float
    layers: tuple[LayerGradients, ...]
    variables: tuple[VariableGradients, ...]
    advice: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The worst of the layers': exploding, vanishing or healthy."""
        found = {layer.verdict for layer in self.layers}
        if not math.isfinite(self.gradient_norm):
            return "exploding"
        return next((word for word in ("exploding", "vanishing") if word in found), "healthy")

    def layer(self, name: str) -> LayerGradients:
        """The layer of that name.

        Raises
        ------
        RnnrtError
            There is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise RnnrtError(f"the report has no layer {name!r}; it has {[layer.name for layer in self.layers]}")

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it; numbers that are not finite are None."""
        found: dict[str, Any] = _plain({**dataclasses.asdict(self), "verdict": self.verdict})
        return found

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the norms of dL/dh_t over the steps, and the gates, into a PNG.

        Raises
        ------
        ShapeError
            No recurrent layer is in the report.
        RnnrtError
            matplotlib is not installed.
        """
        plot_gradient_report(self, path)

    def __str__(self) -> str:
        from rnnrt.training.report_text import report_text

        return report_text(self)


def make_report(
    trainer: Trainer, xs: Sequence[Any], ys: Sequence[Any], weights: Sequence[Any] | None = None
) -> GradientReport:
    """Look at one step of training without taking it.

    Dropout is active, with the masks that the next step would have. Layers with states begin with zeros.

    Parameters
    ----------
    trainer : Trainer
    xs, ys : sequence of array
        Inputs and targets in the model's order.
    weights : sequence of (array or None), optional
        For each output the weights of its losses.

    Raises
    ------
    ShapeError, RnnrtError
        The data does not fit the model or its losses.
    """
    nodes, results, loss, gradients = observe(trainer, xs, ys, weights)
    variables = _variables(trainer, gradients)
    matrices = {v.name: v.update_ratio for v in variables if len(v.shape) > 1}
    with np.errstate(all="ignore"):
        total = float(np.linalg.norm(gradients.astype(np.float64)))
    layers = _layers(nodes, results, len(xs[0]), _clips(trainer))
    return GradientReport(loss, total, layers, variables, advise_on_updates(matrices))


def _clips(trainer: Trainer) -> bool:
    config = vars(trainer.optimizer._settings)
    return any(config[key] for key in ("clipnorm", "global_clipnorm", "clipvalue"))


def _variables(trainer: Trainer, gradients: np.ndarray) -> tuple[VariableGradients, ...]:
    now, after = trainer.parameters.astype(np.float64), updated(trainer, gradients).astype(np.float64)
    found = []
    with np.errstate(all="ignore"):
        for variable, segment in zip(trainer.trained, trainer.segments, strict=True):
            inside = slice(segment.start, segment.stop)
            parts = now[inside], gradients[inside].astype(np.float64), after[inside] - now[inside]
            weight, gradient, update = (float(np.linalg.norm(part)) for part in parts)
            ratio = update / weight if weight else math.nan
            found.append(VariableGradients(segment.name, variable.shape, weight, gradient, update, ratio))
    return tuple(found)


def _layers(
    nodes: Sequence[WatchedNode], results: Mapping[str, np.ndarray], rows: int, clipped: bool
) -> tuple[LayerGradients, ...]:
    parts: list[tuple[str, str, np.ndarray, Flow]] = []
    for watched, name in zip(nodes, _names(nodes), strict=True):
        node, gradient = watched.node, results[watched.gradient]
        operands = {key: results[o] if isinstance(o, str) else o for key, o in watched.operands.items()}
        kind = "SimpleRNN" if node.op == "RNN" else node.op
        for d, flow in enumerate(flows(node, operands, gradient)):
            suffix = ("/forward", "/backward")[d] if node.attrs.get("direction") == "bidirectional" else ""
            parts.append((name + suffix, kind, _step_norms(watched, gradient, d), flow))
    peaks = [float(norms.max(initial=0)) for _, _, norms, _ in parts]
    largest = max((peak for peak in peaks if math.isfinite(peak)), default=0.0)
    return tuple(_layer(*part, rows, largest, clipped) for part in parts)


def _layer(
    name: str, kind: str, norms: np.ndarray, flow: Flow, rows: int, largest: float, clipped: bool
) -> LayerGradients:
    verdict, reason = judge(norms, flow.carry, rows, largest)
    ratio = log10(float(flow.carry[-1])) if len(flow.carry) else 0.0
    deep = bool(norms.max(initial=0) < largest * 10**DEPTH_LOG10)
    advice = advise(verdict, kind, flow.carry, flow.saturated, flow.means, flow.radius, clipped, deep)
    return LayerGradients(
        name, kind, flow.backwards, norms, flow.carry, ratio, max(horizon(flow.carry), 0), flow.saturated, flow.means,
        flow.radius, verdict, reason, advice,
    )  # fmt: skip


def _step_norms(watched: WatchedNode, gradient: np.ndarray, d: int) -> np.ndarray:
    """The mean norm (T,) of direction `d` of a gradient shaped as Y."""
    batch_first = bool(get_operator(watched.node.op).attr(watched.node, "layout"))
    own = gradient[:, :, d].swapaxes(0, 1) if batch_first else gradient[:, d]
    with np.errstate(all="ignore"):
        norms: np.ndarray = np.linalg.norm(own.astype(np.float64), axis=2).mean(1)
    return norms


def _names(nodes: Sequence[WatchedNode]) -> list[str]:
    """Names of layers: those of nodes without the operator, and without the cell that a layer makes itself."""
    found: list[str] = []
    for k, watched in enumerate(nodes):
        node = watched.node
        parts = (node.name or f"{node.op}_{k}").split("/")
        if len(parts) > 1 and re.fullmatch(rf"{node.op}(_\d+)?", parts[-1]):
            parts.pop()
        made_by_layer = len(parts) > 1 and not parts[-2].startswith("stacked_rnn_cells")
        if made_by_layer and re.fullmatch(r"(lstm|gru|simple_rnn)_cell(_\d+)?", parts[-1]):
            parts.pop()
        name, count = "/".join(parts), 1
        while name in found:
            count += 1
            name = f"{'/'.join(parts)} ({count})"
        found.append(name)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
