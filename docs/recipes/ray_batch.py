"""Score a Parquet data set of sequences with Ray Data.

python ray_batch.py MODEL IN OUT COLUMN [ACTORS]: COLUMN holds the sequences, as lists of lists of numbers.
"""

import sys

import ray

from rnnrt.ray import Predictor


def scored(
    data: ray.data.Dataset, actors: int, batch_size: int = 1024, predictor: type = Predictor, **arguments: object
) -> ray.data.Dataset:
    """The data set with the outputs of a model as further columns; `arguments` are those of `Predictor`."""
    return data.map_batches(
        predictor,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",  # columns that the model does not read stay as they are, and outputs are lists
        batch_size=batch_size,  # rows among which those of about one length are looked for
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),  # fewer than processors: reading needs some
        num_cpus=1,  # an actor runs on one thread, unless threads=... says otherwise
        udf_modifying_row_count=False,
    )


def main() -> None:
    """Read, score, write."""
    model, source, target, column = sys.argv[1:5]
    ray.init(ignore_reinit_error=True)
    actors = int(sys.argv[5]) if len(sys.argv) > 5 else max(1, int(ray.cluster_resources()["CPU"]) - 1)
    data = ray.data.read_parquet(source)
    scored(data, actors, model=model, inputs=column).write_parquet(target)


if __name__ == "__main__":
    main()
