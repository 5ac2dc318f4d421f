"""A runtime for MLServer, which speaks the Open Inference Protocol over HTTP and gRPC.

`rnnrt serve` starts one. In a model-settings.json of one's own it is named so::

    {"name": "tagger", "implementation": "rnnrt.serving.mlserver.RnnrtRuntime",
     "parameters": {"uri": "tagger.onnx", "extra": {"max_batch_size": 32, "threads": 2}}}

with "parallel_workers" 0 in settings.json, since states of sequences and counters live in one process. Pieces of a
sequence come with the request's parameters sequence_id, sequence_start and sequence_end.
"""

from __future__ import annotations

import asyncio

import numpy as np
from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, ResponseOutput

from rnnrt.errors import RnnrtError, StateError
from rnnrt.models import load
from rnnrt.serving import prometheus
from rnnrt.serving.batcher import Batcher
from rnnrt.serving.errors import DeadlineError, QueueFullError, status_of
from rnnrt.serving.launch import loads
from rnnrt.serving.options import Options
from rnnrt.serving.protocol import Wanted, arrays_of, datatype_of, output_names, tensors_of, wanted
from rnnrt.serving.sequences import Sequences, infer_rows


class RnnrtRuntime(MLModel):  # type: ignore[misc]
    """One model, with the options of `rnnrt.serving.options.Options` under "extra"."""

    async def load(self) -> bool:
        """Read the file that the settings name, and start its batcher."""
        try:
            await self._load()
        except RnnrtError as error:
            loads.append(error)
            raise
        loads.append(None)
        return True

    async def _load(self) -> None:
        parameters = self._settings.parameters
        if parameters is None or not parameters.uri:
            raise RnnrtError(f"model {self.name!r}: its settings name no file; give parameters.uri")
        options = Options.of(parameters.extra or {})
        self._model = await asyncio.to_thread(load, parameters.uri, options.threads, constants=options.constants)
        self._inputs, self._outputs = self._model.inputs, self._model.outputs
        self.inputs, self.outputs = (
            [
                MetadataTensor(
                    name=info.name,
                    datatype=datatype_of(info.dtype),
                    shape=[-1 if d is None else d for d in info.shape or ()],
                )
                for info in infos
            ]
            for infos in (self._inputs, self._outputs)
        )
        self._settings.platform = "rnnrt"
        self._batcher: Batcher | None = None
        self._sequences: Sequences | None = None
        self._reason, self._waiting, self._most = "", 0, options.max_queue
        self._alone = asyncio.Lock()
        try:
            self._batcher = await asyncio.to_thread(Batcher, self._model, **options.for_batcher())
        except StateError as error:
            self._reason = str(error)
        if self._batcher is not None and self._batcher.mode == "single":
            self._reason = self._batcher.reason
            self._batcher.close()
            self._batcher = None
        if self._batcher is not None:
            self._reason = self._batcher.reason
            if self._batcher.mode == "stepped":
                await asyncio.to_thread(self._batcher.warm_up)
                self._sequences = Sequences(self._batcher, options.sequence_idle_seconds, options.max_sequences)
            sequences = self._sequences
            prometheus.watch(self.name, self._batcher.metrics, lambda: 0 if sequences is None else len(sequences))

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request.

        Raises
        ------
        MLServerError
            With the HTTP status of the reason.
        """
        try:
            asked = wanted(payload)
            names = output_names(payload, self._outputs)
            results = await self._run(arrays_of(payload, self._inputs), asked)
            tensors = tensors_of(names, results)
        except RnnrtError as error:
            raise MLServerError(str(error), status_of(error)) from None
        outputs = [ResponseOutput(**tensor) for tensor in tensors]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    async def unload(self) -> bool:
        """Answer what has been taken, and stop."""
        prometheus.forget(self.name)
        if getattr(self, "_batcher", None) is not None:
            assert self._batcher is not None
            await self._batcher.aclose()
        return True

    async def _run(self, arrays: dict[str, np.ndarray], asked: Wanted) -> dict[str, np.ndarray]:
        names = [info.name for info in self._outputs]
        if asked.sequence is not None and self._sequences is None:
            raise StateError(f"model {self.name!r} takes whole sequences only: {self._reason}")
        batcher = self._batcher
        if batcher is None:
            return dict(zip(names, await self._run_alone(arrays, asked.deadline), strict=True))
        stacked = await infer_rows(batcher, self._sequences, arrays, asked)
        return dict(zip(names, stacked, strict=True))

    async def _run_alone(self, arrays: dict[str, np.ndarray], deadline: float | None) -> list[np.ndarray]:
        """Of models that share no batches: one request after the other."""
        if self._waiting >= self._most:
            raise QueueFullError(f"{self._waiting} requests wait already and max_queue={self._most}; try again later")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._alone.acquire(), deadline)
        except asyncio.TimeoutError:
            raise DeadlineError("the deadline passed before the answer was there") from None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.to_thread(self._model.run, None, arrays)
        finally:
            self._alone.release()
