"""What `compile` was given, for each output: a loss with its weight, and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt import losses as losses_module
from rnnrt import metrics as metrics_module
from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses import Loss
from rnnrt.metrics import Metric
from rnnrt.metrics.accuracy import AccuracyOfShapes, resolve_accuracy


def per_output(what: str, given: Any, names: Sequence[str]) -> list[Any]:
    """What belongs to each output: `given` is one thing for all, a list in their order, or a dict by their names.

    Raises
    ------
    RnnrtError
        A list of another length, or a name that no output has.
    """
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise RnnrtError(f"{what} names {unknown}, which are no outputs of the model; they are {list(names)}")
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise RnnrtError(f"{what} has {len(given)} entries, the model has {len(names)} outputs: {list(names)}")
        return list(given)
    return [given for _ in names]


class Objective:
    """The losses and metrics of a compiled model.

    Parameters
    ----------
    outputs : sequence of str
        Names of the model's outputs.
    loss, metrics, weighted_metrics, loss_weights
        What `Model.compile` takes.
    shapes : sequence of (tuple, tuple), optional
        For each output the shapes of its targets and predictions: what loss="crossentropy" means depends on them.

    Attributes
    ----------
    last : float
        The loss of the last batch.
    """

    def __init__(
        self,
        outputs: Sequence[str],
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        loss_weights: Any = None,
        shapes: Sequence[tuple[Any, Any]] = (),
    ) -> None:
        self.outputs = list(outputs)
        if len(self.outputs) == 1 and isinstance(loss, (list, tuple)) and len(loss) == 1:
            loss = loss[0]
        self.losses: list[Loss | None] = [
            None if item is None else losses_module.resolve(item, *shapes)
            for item, shapes in zip(
                per_output("loss", loss, self.outputs), shapes or [((), ())] * len(outputs), strict=True
            )
        ]
        weights = per_output("loss_weights", loss_weights, self.outputs)
        self.weights = [1.0 if w is None else float(w) for w in weights]
        known = shapes or [((), ())] * len(self.outputs)
        self.metrics, self.weighted = (
            [_metrics(m, *pair) for m, pair in zip(self._by_output(what, given), known, strict=True)]
            for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics))
        )
        self.total = metrics_module.Mean(name="loss")
        self.last = 0.0
        self.parts = [metrics_module.Mean(name=f"{name}_loss") for name in self.outputs] if len(outputs) > 1 else []
        if not any(self.losses) and loss is not None:
            raise RnnrtError("no output has a loss; give compile(loss=...) a loss for at least one")

    def _by_output(self, what: str, given: Any) -> list[Any]:
        nested = isinstance(given, (list, tuple)) and any(isinstance(m, (list, tuple)) for m in given)
        if isinstance(given, Mapping) or nested:
            return per_output(what, given, self.outputs)
        if len(self.outputs) > 1 and given:
            if isinstance(given, (list, tuple)) and len(given) != len(self.outputs):
                raise RnnrtError(
                    f"{what} is a list of {len(given)} for {len(self.outputs)} outputs; give one list for each output, "
                    f"or a dict by output: {self.outputs}"
                )
            return per_output(what, given, self.outputs)
        return [given for _ in self.outputs]

    @property
    def trained(self) -> list[int]:
        """Positions of the outputs that have a loss."""
        return [k for k, loss in enumerate(self.losses) if loss is not None]

    def check(self, targets: Sequence[Any]) -> None:
        """Raise unless there is a target for each output.

        Raises
        ------
        ShapeError
            Targets are missing, or there are more of them than outputs.
        """
        if not self.trained:
            raise RnnrtError("the model was compiled without a loss; give compile(loss=...) one")
        if len(targets) != len(self.outputs):
            what = f"{len(targets)} targets were given" if len(targets) else "y is missing"
            raise ShapeError(f"{what}; the model has {len(self.outputs)} outputs: {self.outputs}")

    def update(
        self,
        total: float,
        losses: Sequence[float],
        targets: Sequence[Any],
        predictions: Sequence[np.ndarray],
        weights: Sequence[Any] | None,
        masks: Sequence[np.ndarray | None],
    ) -> None:
        """Take in a batch."""
        rows = len(predictions[0])
        self.last = total
        self.total.update_state(total, sample_weight=rows)
        if self.parts:
            for k, value in zip(self.trained, losses, strict=True):
                self.parts[k].update_state(value, sample_weight=rows)
        for k, (y_true, y_pred, mask) in enumerate(zip(targets, predictions, masks, strict=True)):
            weight = None if weights is None else weights[k]
            for metric in self.metrics[k]:
                _update(metric, y_true, y_pred, None, mask)
            for metric in self.weighted[k]:
                _update(metric, y_true, y_pred, weight, mask)

    def result(self) -> dict[str, float]:
        """All numbers so far, by the names that logs have."""
        found = {"loss": float(self.total.result())}
        for k in self.trained if self.parts else []:
            found[self.parts[k].name] = float(self.parts[k].result())
        for name, metrics in zip(self.outputs, self._all_metrics(), strict=True):
            for metric in metrics:
                key = f"{name}_{metric.name}" if len(self.outputs) > 1 else metric.name
                while key in found:
                    key += "_1"
                value = metric.result()
                found[key] = float(value) if np.ndim(value) == 0 else value
        return found

    def reset(self) -> None:
        """Forget all batches."""
        for metric in self.everything():
            metric.reset_state()

    def state(self) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """What the batches so far have left: arrays by name, and numbers for each metric."""
        arrays: dict[str, np.ndarray] = {}
        numbers: list[dict[str, Any]] = []
        for k, metric in enumerate(self.everything()):
            numbers.append({key: v for key, v in vars(metric).items() if type(v) in (int, float)})
            arrays.update({f"metric/{k}/{key}": v for key, v in vars(metric).items() if isinstance(v, np.ndarray)})
        return arrays, numbers

    def load_state(self, arrays: Mapping[str, np.ndarray], numbers: Sequence[Mapping[str, Any]]) -> None:
        """Go on where `state` was taken."""
        for k, (metric, values) in enumerate(zip(self.everything(), numbers, strict=True)):
            vars(metric).update(values)
            for key in vars(metric):
                if f"metric/{k}/{key}" in arrays:
                    setattr(metric, key, np.array(arrays[f"metric/{k}/{key}"]))

    def everything(self) -> list[Metric]:
        """All metrics: the loss, its parts, and those of each output."""
        return [self.total, *self.parts, *(m for metrics in self._all_metrics() for m in metrics)]

    def _all_metrics(self) -> list[list[Metric]]:
        return [[*plain, *weighted] for plain, weighted in zip(self.metrics, self.weighted, strict=True)]


def _metrics(given: Any, target: Sequence[Any], prediction: Sequence[Any]) -> list[Metric]:
    if given is None:
        return []
    items = given if isinstance(given, (list, tuple)) else [given]
    found = [metrics_module.resolve(item) for item in items if item is not None]
    return [
        resolve_accuracy(None, target, prediction, m.name) if isinstance(m, AccuracyOfShapes) and prediction else m
        for m in found
    ]


def _update(metric: Metric, y_true: Any, y_pred: np.ndarray, weight: Any, mask: np.ndarray | None) -> None:
    if mask is not None and metric.takes_mask:
        metric.update_state(y_true, y_pred, sample_weight=weight, mask=mask)
    else:
        metric.update_state(y_true, y_pred, sample_weight=weight)
