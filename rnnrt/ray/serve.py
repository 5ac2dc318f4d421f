"""Sessions behind Ray Serve: all pieces of a sequence go to the replica that keeps its state.

Serve spreads requests over the replicas of a deployment as it likes, and its multiplexing prefers a replica without
promising it. So each *shard* is a deployment of its own with one replica, and a router, which keeps nothing and may
have several replicas, sends a sequence to the shard that its name's hash gives.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.models import Model, load
from rnnrt.serving import Batcher, Sequences
from rnnrt.serving.errors import status_of
from rnnrt.serving.options import Options
from rnnrt.serving.protocol import arrays_of, datatype_of, output_names, tensors_of, wanted
from rnnrt.serving.sequences import infer_rows


def application(
    model: str | os.PathLike[str] | Model,
    shards: int = 2,
    *,
    name: str = "model",
    routers: int = 1,
    max_ongoing_requests: int = 256,
    shard_options: Mapping[str, Any] | None = None,
    router_options: Mapping[str, Any] | None = None,
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
    name : str
        The model's, for answers. Clients of the protocol want the application at /v2/models/NAME.
    routers : int
        How many replicas hand requests on.
    max_ongoing_requests : int
        The most requests at a time, of each shard and router.
    shard_options, router_options : mapping of str to value, optional
        What `serve.deployment` takes, for the shards and for the router: ``{"ray_actor_options": {"num_cpus": 2}}``,
        say. By default each replica reserves one processor.
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
    for what, value in (("shards", shards), ("routers", routers), ("max_ongoing_requests", max_ongoing_requests)):
        if not isinstance(value, int) or value < 1:
            raise RnnrtError(f"{what}={value!r} must be a whole number above 0")
    fixed = sorted({"num_replicas", "autoscaling_config", "name"} & set(shard_options or {}))
    if fixed:
        raise RnnrtError(f"shard_options may not have {fixed}: a shard is one replica; say how many with shards=...")
    options = {"threads": 1, **options}
    Options.of(options)
    shard = serve.deployment(Shard, max_ongoing_requests=max_ongoing_requests, **dict(shard_options or {}))
    parts = [shard.options(name=f"shard-{k}", num_replicas=1).bind(model, options) for k in range(shards)]
    router = serve.deployment(
        Router, max_ongoing_requests=max_ongoing_requests, num_replicas=routers, **dict(router_options or {})
    )
    return router.bind(name, *parts)


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
        self._inputs, self._outputs = model.inputs, model.outputs
        self._batcher = Batcher(model, **known.for_batcher())
        if self._batcher.mode != "stepped":
            self._batcher.close()
            reason = self._batcher.reason
            raise StateError(f"the network takes whole sequences only, so that it has no sessions: {reason}")
        self._batcher.warm_up()
        self._sequences = Sequences(self._batcher, known.sequence_idle_seconds, known.max_sequences)

    async def infer(self, x: Any, sequence_id: int | str | None, start: bool, end: bool, deadline: float | None) -> Any:
        """As `Router.infer`."""
        if sequence_id is None:
            return await self._batcher.infer(x, deadline)
        return (await self._sequences.infer(sequence_id, [x], start, end, deadline))[0]

    async def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The HTTP status of a request of the protocol, and its answer."""
        try:
            given = as_request(request)
            asked, names = wanted(given), output_names(given, self._outputs)
            arrays = arrays_of(given, self._inputs)
            results = await infer_rows(self._batcher, self._sequences, arrays, asked)
            tensors = tensors_of(names, dict(zip([o.name for o in self._outputs], results, strict=True)))
        except RnnrtError as error:
            return status_of(error), {"error": str(error)}
        answer: dict[str, Any] = {"model_name": "", "outputs": tensors}
        if "id" in request:
            answer["id"] = request["id"]
        return 200, answer

    async def describe(self) -> dict[str, Any]:
        """The model's inputs and outputs, as the protocol says them."""
        inputs, outputs = (
            [
                {
                    "name": info.name,
                    "datatype": datatype_of(info.dtype),
                    "shape": [-1 if d is None else d for d in info.shape or ()],
                }
                for info in infos
            ]
            for infos in (self._inputs, self._outputs)
        )
        return {"platform": "rnnrt", "inputs": inputs, "outputs": outputs}


class Router:
    """Hands requests to the shards; the class of the deployment that the outside talks to.

    Parameters
    ----------
    name : str
        The model's, for answers.
    *shards : DeploymentHandle
    """

    def __init__(self, name: str, *shards: Any) -> None:
        self._name, self._shards = name, shards
        self._turns = itertools.cycle(range(len(shards)))

    def _shard(self, sequence_id: int | str | None) -> Any:
        """Whoever keeps the sequence; what is none may go to any."""
        return self._shards[next(self._turns) if sequence_id is None else shard_of(sequence_id, len(self._shards))]

    async def infer(
        self,
        x: Any,
        sequence_id: int | str | None = None,
        start: bool = False,
        end: bool = False,
        deadline: float | None = None,
    ) -> Any:
        """Run a whole sequence, or the next piece of one.

        Parameters
        ----------
        x : array_like
            (T, ...): the model's input without its batch axis.
        sequence_id : int or str, optional
            Which sequence this is a piece of; by default it is a whole one.
        start : bool
            Begin at the initial states, anew if the sequence is known.
        end : bool
            Forget the sequence afterwards.
        deadline : float, optional
            Seconds from now.

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs without batch axis.

        Raises
        ------
        UnknownSequenceError
            There is no such sequence, or not any more: it has ended, was idle for too long, or its shard was started
            anew.
        RnnrtError
            As `Sequences.infer` and `Batcher.submit`.
        """
        if sequence_id is None and (start or end):
            raise ShapeError("start and end need a sequence_id")
        if isinstance(sequence_id, bool) or not isinstance(sequence_id, (int, str, type(None))):
            raise ShapeError(f"sequence_id={sequence_id!r} must be a whole number or a text")
        return await _unwrapped(self._shard(sequence_id).infer.remote(x, sequence_id, start, end, deadline))

    async def __call__(self, request: Any) -> Any:
        """Answer a request over HTTP: `request` and the result are Starlette's."""
        from starlette.responses import JSONResponse

        status, answer = await self._respond(request)
        return JSONResponse(answer, status)

    async def _respond(self, request: Any) -> tuple[int, dict[str, Any]]:
        path = request.url.path.removeprefix(request.scope.get("root_path", "")).strip("/")
        try:
            if request.method == "GET" and path == "":
                return 200, {"name": self._name, **await _unwrapped(self._shard(None).describe.remote())}
            if request.method == "GET" and path == "ready":
                return 200, {"name": self._name, "ready": True}
            if request.method != "POST" or path != "infer":
                return 404, {"error": f"{request.method} {path!r}: there is GET /, GET /ready and POST /infer"}
            payload = json.loads(await request.body())
            sequence_id = wanted(as_request(payload)).sequence
            status, answer = await _unwrapped(self._shard(sequence_id).answer.remote(payload))
            return status, {**answer, "model_name": self._name} if status == 200 else answer
        except RnnrtError as error:
            return status_of(error), {"error": str(error)}
        except ValueError as error:
            return 400, {"error": f"the request is not JSON: {error}"}
        except _ray_errors() as error:
            why = "does not answer; sequences that it kept are lost when it has been started anew"
            return 503, {"error": f"the shard {why} ({type(error).__name__})"}


def as_request(payload: Any) -> SimpleNamespace:
    """A request of the protocol, from JSON, with its fields as attributes.

    Raises
    ------
    ShapeError
        A field is missing, unknown or of a wrong kind.
    """
    fields = _checked(payload, "the request", {"inputs": list}, {"id": str, "outputs": list, "parameters": dict})
    inputs = [
        _checked(x, "an input", {"name": str, "datatype": str, "shape": list, "data": list}, {"parameters": dict})
        for x in fields["inputs"]
    ]
    outputs = [_checked(y, "an output", {"name": str}, {"parameters": dict}) for y in fields["outputs"] or []]
    for item in inputs:
        if not all(isinstance(d, int) and not isinstance(d, bool) for d in item["shape"]):
            raise ShapeError(f"input {item['name']!r}: shape {item['shape']} must be whole numbers")
    made = [[SimpleNamespace(**item) for item in side] for side in (inputs, outputs)]
    return SimpleNamespace(inputs=made[0], outputs=made[1], parameters=fields["parameters"])


def _checked(value: Any, what: str, needed: Mapping[str, type], allowed: Mapping[str, type]) -> dict[str, Any]:
    """The fields of an object; those that are absent are None, and parameters are attributes."""
    if not isinstance(value, dict):
        raise ShapeError(f"{what} must be a JSON object, got {type(value).__name__}")
    kinds = {**needed, **allowed}
    unknown, missing = sorted(set(value) - set(kinds)), sorted(set(needed) - set(value))
    if unknown or missing:
        raise ShapeError(f"{what} lacks {missing} and has unknown {unknown}; its fields are {sorted(kinds)}")
    for name, field in value.items():
        if not isinstance(field, kinds[name]):
            raise ShapeError(f"{what}: {name} must be {kinds[name].__name__}, got {type(field).__name__}")
    found: dict[str, Any] = {name: value.get(name) for name in kinds}
    parameters = found["parameters"]
    found["parameters"] = None if parameters is None else SimpleNamespace(**parameters)
    return found


async def _unwrapped(answer: Any) -> Any:
    """What a shard gives; its errors as they were raised there."""
    from ray.exceptions import RayTaskError

    try:
        return await answer
    except RayTaskError as error:
        if isinstance(error.cause, RnnrtError):
            raise error.cause from None
        raise


def _ray_errors() -> tuple[type[Exception], ...]:
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    return RayError, RayServeException
