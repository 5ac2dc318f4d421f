"""Metrics against what Keras gave, and what is refused."""

import json
import math

import numpy as np
import pytest

from rnnrt import metrics
from rnnrt.errors import RnnrtError, ShapeError
from tests.training_cases import METRICS, TABLES, inputs, metric_weightings, reference

CLOSE = {"rtol": 2e-6, "atol": 1e-9}


def results(metric, name):
    _, arguments, kind = METRICS[name]
    for k, (weights, mask) in enumerate(metric_weightings(arguments)):
        y_true, y_pred = inputs(kind, k)
        if metric.takes_mask:
            metric.update_state(y_true, y_pred, weights, mask)
        else:
            metric.update_state(y_true, y_pred, weights)
        yield metric.result()


def tables(metric, name):
    for k, weights in enumerate((None, np.linspace(0, 1, 8))):
        y_true, y_pred = inputs(TABLES[name][2], k, (8, 5))
        metric.update_state(y_true, y_pred, weights)
        yield metric.result()


@pytest.mark.parametrize(
    ("prefix", "name"), [*(("metric", name) for name in METRICS), *(("table", name) for name in TABLES)]
)
def test_results_are_those_of_keras(prefix, name):
    cases, walk = (TABLES, tables) if prefix == "table" else (METRICS, results)
    kind, arguments, _ = cases[name]
    metric = getattr(metrics, kind)(**arguments)
    want = reference()[f"{prefix}/{name}"]
    got = np.concatenate([np.ravel(r) for r in walk(metric, name)])
    np.testing.assert_allclose(got, want, **CLOSE)
    metric.reset_state()
    np.testing.assert_array_equal(np.concatenate([np.ravel(r) for r in walk(metric, name)]), got)
    saved = json.loads(json.dumps(metrics.serialize(metric)))
    assert saved["module"] == "keras.metrics"
    again = metrics.deserialize(saved)
    np.testing.assert_array_equal(np.concatenate([np.ravel(r) for r in walk(again, name)]), got)


def test_mean_and_sum():
    mean, total = metrics.Mean(), metrics.Sum()
    for values, weights in (([1, 3, 5, 7], None), ([1, 3, 5, 7], [1, 1, 0, 0]), (np.float64(4), None)):
        mean.update_state(values, weights)
        total.update_state(values, weights)
    assert math.isclose(mean.result(), (16 + 4 + 4) / (4 + 2 + 1))
    assert total.result() == 24
    mean.reset_state()
    assert mean.result() == 0
    assert metrics.Mean()(np.array([[1.0, 2], [3, 4]]), [1, 0]) == 1.5


@pytest.mark.parametrize(
    ("true_shape", "pred_shape", "kind"),
    [
        ((8, 1), (8, 1), "BinaryAccuracy"),
        ((8,), (8, 1), "BinaryAccuracy"),
        ((8,), (8, 5), "SparseCategoricalAccuracy"),
        ((8, 1), (8, 5), "SparseCategoricalAccuracy"),
        ((8, 3), (8, 3, 5), "SparseCategoricalAccuracy"),
        ((8, 5), (8, 5), "CategoricalAccuracy"),
    ],
)
def test_accuracy_follows_shapes(true_shape, pred_shape, kind):
    found = metrics.resolve_accuracy(None, true_shape, pred_shape)
    assert type(found).__name__ == kind
    assert found.name == "accuracy"
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 2, true_shape).astype(float), rng.random(pred_shape)
    late = metrics.resolve("acc")
    assert late.name == "acc"
    assert late.result() == 0
    assert late(y_true, y_pred) == found(y_true, y_pred)
    late.reset_state()
    assert late.result() == 0


def test_names():
    assert isinstance(metrics.get("mse"), metrics.MeanSquaredError)
    assert isinstance(metrics.get("categorical_crossentropy"), metrics.CategoricalCrossentropy)
    assert isinstance(metrics.get("Accuracy"), metrics.Accuracy)
    assert isinstance(metrics.get("accuracy"), metrics.AccuracyOfShapes)
    assert metrics.get(None) is None
    assert metrics.resolve("mse").name == "mse"
    assert metrics.resolve(metrics.Recall(name="found")).name == "found"
    assert metrics.Recall().get_config()["dtype"] == "float32"
    y_true, y_pred = inputs("real")
    wrapped = metrics.resolve(metrics.mean_squared_error)
    assert wrapped.name == "mean_squared_error"
    again = metrics.get(metrics.serialize(wrapped))
    assert again.fn is metrics.mean_squared_error
    assert math.isclose(wrapped(y_true, y_pred), np.mean((y_true - y_pred) ** 2))


def test_ties_at_the_edge_of_top_k_are_hits():
    y_pred = np.array([[0.2, 0.2, 0.2, 0.4]])
    assert metrics.sparse_top_k_categorical_accuracy([0], y_pred, 2) == [1]
    assert metrics.sparse_top_k_categorical_accuracy([0], y_pred, 1) == [0]
    assert metrics.sparse_top_k_categorical_accuracy([3], np.array([[1, 3, 2]]), 2, from_sorted_ids=True) == [1]


def test_nan_is_not_above_a_threshold():
    precision = metrics.Precision()
    assert precision([1, 1, 0], [0.9, np.nan, 0.8]) == 0.5


def test_area_under_a_perfect_and_a_useless_curve():
    assert math.isclose(metrics.AUC()([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9]), 1)
    assert math.isclose(metrics.AUC()([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]), 0.5)
    assert metrics.AUC(multi_label=True).result() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.get("accurate"), "did you mean one of.*accuracy"),
        (lambda: metrics.resolve(None), "None is no metric"),
        (lambda: metrics.Precision(thresholds=[0.5, 2]), "thresholds must lie from 0 to 1"),
        (lambda: metrics.AUC(curve="PRGAIN"), "curve must be ROC or PR"),
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds must be 2 or more"),
        (lambda: metrics.AUC(num_labels=3), "num_labels goes with multi_label"),
        (lambda: metrics.F1Score(average="mean"), "average must be None, micro, macro or weighted"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors must be 0 or more"),
        (lambda: metrics.TopKCategoricalAccuracy(9)(np.eye(3), np.eye(3)), "top 9 of 3 classes"),
        (lambda: metrics.deserialize({"class_name": "AUC", "config": {"kurve": 1}}), "AUC takes no argument 'kurve'"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(RnnrtError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.Accuracy()(np.ones(3), np.ones(4)),
        lambda: metrics.CategoricalAccuracy()(np.ones(3), np.eye(3)),
        lambda: metrics.SparseCategoricalAccuracy()(np.ones(4), np.eye(3)),
        lambda: metrics.Precision()(np.ones(3), np.ones(4)),
        lambda: metrics.Precision(class_id=7)(np.eye(3), np.eye(3)),
        lambda: metrics.Precision()(np.eye(3), np.eye(3), np.ones(4)),
        lambda: metrics.F1Score()(np.ones(3), np.ones(3)),
        lambda: metrics.R2Score()(np.eye(3), np.eye(3), np.ones(4)),
        lambda: metrics.RootMeanSquaredError()(np.ones((3, 1)), np.eye(3)),
        lambda: metrics.MeanSquaredError()(np.eye(3), np.eye(3), np.ones(4)),
        lambda: metrics.AUC(multi_label=True)(np.ones(3), np.ones(3)),
    ],
)
def test_shapes_that_do_not_fit(call):
    with pytest.raises(ShapeError, match="shape"):
        call()
