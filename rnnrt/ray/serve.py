"""Sessions behind Ray Serve: all pieces of a sequence go to the replica that keeps its state.

Serve spreads requests over the replicas of a deployment as it likes, and its multiplexing prefers a replica without
promising it. So each *shard* is a deployment of its own with one replica, and a router, which keeps nothing and may have
several replicas, sends a sequence to the shard that its name's hash gives.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.models import Model, TensorInfo, load
from rnnrt.serving import Batcher, Sequences
from rnnrt.serving.errors import status_of
from rnnrt.serving.options import Options
from rnnrt.serving.protocol import arrays_of, output_names, tensors_of, wanted
from rnnrt.serving.sequences import gathered


def application(
    model: str | os.PathLike[str] | Model,
    shards: int = 2,
    *,
    routers: int = 1,
    max_ongoing_requests: int = 256,
    shard_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """An application for `ray.serve.run`.

    Over HTTP it speaks the Open Inference Protocol's JSON: a POST of a request, with the parameters sequence_id,
    sequence_start and sequence_end for pieces of a sequence. Within Ray, `handle.infer.remote` is `Router.infer`.

    Parameters
    ----------
    model : path-like or Model
        A path is read by each shard, and so has to be there on each machine; a `Model` is sent to them. It has to be
        one that `Batcher` steps.
    shards : int
        How many processes keep sequences. With another number than before, sequences belong to other shards.
    routers : int
        How many replicas hand requests on.
    max_ongoing_requests : int
        The most requests at a time, of each shard and router.
    shard_options : mapping of str to value, optional
        What `serve.deployment` takes, for the shards: ``{"ray_actor_options": {"num_cpus": 2}}``, say.
    **options
        Those of `rnnrt.serving.options.Options`, `max_sequences` say; `threads` is 1 unless told.

    Returns
    -------
    ray.serve.Application

    Raises
    ------
    RnnrtError
        Ray Serve is not installed, or an option is not known.
    """
    try:
        from ray import serve
    except ImportError:
        raise RnnrtError('rnnrt.ray.serve needs Ray Serve: pip install "rnnrt[ray]"') from None
    for name, value in (("shards", shards), ("routers", routers), ("max_ongoing_requests", max_ongoing_requests)):
        if not isinstance(value, int) or value < 1:
            raise RnnrtError(f"{name}={value!r} must be a whole number above 0")
    fixed = sorted({"num_replicas", "autoscaling_config", "name"} & set(shard_options or {}))
    if fixed:
        raise RnnrtError(f"shard_options may not have {fixed}: a shard is one replica; say how many with shards=...")
    options = {"threads": 1, **options}
    Options.of(options)
    shard = serve.deployment(Shard, max_ongoing_requests=max_ongoing_requests, **dict(shard_options or {}))
    parts = [shard.options(name=f"shard-{k}", num_replicas=1).bind(model, options) for k in range(shards)]
    router = serve.deployment(Router, max_ongoing_requests=max_ongoing_requests, num_replicas=routers)
    return router.bind(*parts)


def shard_of(sequence_id: int | str, shards: int) -> int:
    """Which of `shards` keeps a sequence: the same in every process, and 1 is another sequence than "1"."""
    name = f"{type(sequence_id).__name__}:{sequence_id}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") % shards


class Shard:
    """A model with the sequences that its process keeps; the class of a deployment with one replica."""

    def __init__(self, model: str | os.PathLike[str] | Model, options: Mapping[str, Any]) -> None:
        known = Options.of(options)
        if not isinstance(model, Model):
            model = load(model, known.threads, constants=known.constants)
        self._inputs, self._outputs = tuple(model.inputs), tuple(model.outputs)
        self._batcher = Batcher(model, **known.for_batcher())
        if self._batcher.mode != "stepped":
            self._batcher.close()
            raise StateError(f"the network takes whole sequences only, so that it has no sessions: {self._batcher.reason}")
        self._batcher.warm_up()
        self._sequences = Sequences(self._batcher, known.sequence_idle_seconds, known.max_sequences)

    async def describe(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int, tuple[int | None, ...]]:
        """Inputs and outputs as arguments of `TensorInfo`, and where inputs and outputs have their batch."""
        infos = [
            [{"name": i.name, "dtype": i.dtype, "shape": i.shape} for i in side]
            for side in (self._inputs, self._outputs)
        ]
        return infos[0], infos[1], self._batcher.batch_axis, self._batcher.output_axes

    async def infer(
        self, sequence_id: int | str | None, rows: Sequence[np.ndarray], start: bool, end: bool, deadline: float | None
    ) -> list[Any]:
        """As `Sequences.infer`; with sequence_id None each row is a whole sequence."""
        if sequence_id is None:
            return await gathered([partial(self._batcher.submit, row, deadline) for row in rows])
        return await self._sequences.infer(sequence_id, rows, start, end, deadline)

    async def check_health(self) -> None:
        """Whether requests are taken; Serve asks from time to time, and restarts the shard otherwise."""
        if not self._batcher.is_alive:
            raise StateError("the batcher has ended")
