"""Serve sequences that arrive piece by piece with Ray Serve: `serve run ray_serve:app`, or python ray_serve.py MODEL.

The model's path comes from the environment variable MODEL, or from the command line.
"""

import os
import sys

from rnnrt.ray import serve as sessions

NAME = "tagger"


def made(model: str, shards: int = 2, cpus: float = 1) -> object:
    """The application: `shards` processes that keep sequences and a router before them, with `cpus` processors each."""
    return sessions.application(
        model,
        shards,
        name=NAME,
        max_sequences=4096,  # of each shard; more are refused with status 429
        sequence_idle_seconds=300.0,  # then a sequence is dropped
        shard_options={"ray_actor_options": {"num_cpus": cpus}, "graceful_shutdown_timeout_s": 10.0},
        router_options={"ray_actor_options": {"num_cpus": cpus}},
    )


def main() -> None:
    """Serve at http://127.0.0.1:8000/v2/models/tagger until Ctrl-C."""
    from ray import serve

    serve.run(made(sys.argv[1]), route_prefix=f"/v2/models/{NAME}", blocking=True)


if __name__ == "__main__":
    main()
elif "MODEL" in os.environ:
    app = made(os.environ["MODEL"])
