"""The recipe for Spark, on this machine, beside float64 written out."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest

import rnnrt
from rnnrt.layers import LSTM, Dense
from rnnrt.models import Model
from tests.ray.support import ROOT, recipe
from tests.serving.support import network, sequences, written_out

pytest.importorskip("pyspark")
pytest.importorskip("pyarrow")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java", allow_module_level=True)


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", str(ROOT), prepend=":")
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        made = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.memory", "1g")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "8")
            .getOrCreate()
        )
        yield made
        made.stop()


def test_sequences_of_any_length_from_parquet_to_parquet(spark, tmp_path):
    from pyspark.sql.types import ArrayType, FloatType, StructField

    xs = sequences(*(1 + 5 * i % 17 for i in range(40)))
    frames = ArrayType(ArrayType(FloatType()))
    rows = [(i, x.tolist()) for i, x in enumerate(xs)]
    spark.createDataFrame(rows, "id long, seq array<array<float>>").repartition(3).write.parquet(f"{tmp_path}/in")
    results = [StructField("products", frames), StructField("state", ArrayType(FloatType()))]
    data = spark.read.parquet(f"{tmp_path}/in")
    made = recipe("spark").scored(data, results, model=network(), inputs={"seq": "x"})
    made.write.parquet(f"{tmp_path}/out")
    found = spark.read.parquet(f"{tmp_path}/out").collect()
    assert sorted(row["id"] for row in found) == list(range(40))
    for row in found:
        products, state = written_out(xs[row["id"]])
        np.testing.assert_allclose(row["products"], products, atol=1e-5)
        np.testing.assert_allclose(row["state"], state, atol=1e-5)


def test_sequences_of_one_length_by_predict_batch_udf(spark, tmp_path):
    from pyspark.sql.types import ArrayType, FloatType

    x = rnnrt.Input((6, 2), name="x")
    model = Model(x, Dense(3, name="y")(LSTM(5)(x)))
    model.save(tmp_path / "m.rnnrt")
    xs = np.random.default_rng(1).standard_normal((20, 6, 2)).astype(np.float32)
    data = spark.createDataFrame([(i, x.ravel().tolist()) for i, x in enumerate(xs)], "id long, seq array<float>")
    score = recipe("spark").score_of(6, 2, ArrayType(FloatType()), 7, model=str(tmp_path / "m.rnnrt"))
    found = data.repartition(2).withColumn("score", score("seq")).collect()
    got = np.array([row["score"] for row in sorted(found, key=lambda row: row["id"])])
    np.testing.assert_allclose(got, lstm_and_dense(xs, model), atol=1e-5)


def lstm_and_dense(xs, model):
    """Keras's gates in the order i f c o, in float64."""
    W, R, b, D, d = (w.astype(np.float64) for w in model.get_weights())
    h = c = np.zeros((len(xs), 5))
    for x in np.moveaxis(xs.astype(np.float64), 1, 0):
        i, f, g, o = np.split(x @ W + h @ R + b, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return h @ D + d
