"""Score a Parquet data set of sequences with Spark.

spark-submit spark.py MODEL IN OUT COLUMN: COLUMN holds the sequences, as arrays of arrays of numbers.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.types import ArrayType, DataType, FloatType, StructField, StructType

from rnnrt.ray import Predictor

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def scored(data: DataFrame, results: list[StructField], **arguments: Any) -> DataFrame:
    """The data with the outputs of a model as further columns: for sequences of any lengths.

    `results` are the types of the outputs' columns; `arguments` are those of `Predictor`.
    """

    def run(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        predictor = Predictor(**arguments)  # once for each partition
        for batch in batches:
            yield predictor(batch)

    return data.mapInArrow(run, StructType([*data.schema.fields, *results]))


def score_of(
    steps: int, features: int, result: DataType, batch_size: int = 1024, **arguments: Any
) -> Callable[..., Column]:
    """A function of columns, for sequences that all have `steps` steps: an array column of steps * features numbers.

    The model has one output; `arguments` are those of `Predictor`, without columns.
    """

    def make() -> Callable[["np.ndarray"], "np.ndarray"]:
        predictor = Predictor(inputs="x", outputs="score", keep=[], **arguments)  # kept by Spark's Python worker
        return lambda x: predictor({"x": x})["score"]

    return predict_batch_udf(make, return_type=result, batch_size=batch_size, input_tensor_shapes=[[steps, features]])


def main() -> None:
    """Read, score, write."""
    model, source, target, column = sys.argv[1:5]
    spark = SparkSession.builder.appName("rnnrt").getOrCreate()
    result = StructField("score", ArrayType(FloatType()))
    data = spark.read.parquet(source)
    scored(data, [result], model=model, inputs=column, outputs="score").write.parquet(target)


if __name__ == "__main__":
    main()
