"""Streams of models: their states go to files, and the weights are shared."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from rnnrt.errors import ModelFormatError, StateError
from rnnrt.formats.files import replacing
from rnnrt.formats.safetensors import open_safetensors
from rnnrt.ir import Graph
from rnnrt.runtime import Pool, Session, Source, Stream

_KEY = "rnnrt_stream"
_REVISION = 1


class FiledStream(Stream):
    """A `Stream` that can write its state to a file and go on from one."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state, not the weights, as a safetensors file, whole or not at all.

        Raises
        ------
        StateError
            Another thread uses the stream at this moment, or it is closed.
        OSError
            The file cannot be written; what was there before is left as it was.
        """
        from safetensors.numpy import save

        arrays = self.state
        note = json.dumps({"revision": _REVISION, "batch_size": self.batch_size, "states": list(arrays)})
        data = save(arrays, {_KEY: note})
        with replacing(path) as file:
            file.write(data)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from the state that `save` wrote, of a stream of the same network and batch size.

        Raises
        ------
        ModelFormatError
            The file is missing, damaged, or holds something else.
        StateError, ShapeError
            It is of another network or batch size; the state is as before.
        """
        file = open_safetensors(path, "file of a stream's state", "save the stream again")
        note: Any = None
        if _KEY in file.metadata:
            try:
                note = json.loads(file.metadata[_KEY])
            except (ValueError, RecursionError):
                note = None
        if not isinstance(note, dict) or not isinstance(note.get("revision"), int):
            raise ModelFormatError(f"{file.path}: holds no state of a stream; give a file that Stream.save wrote")
        if note["revision"] > _REVISION:
            raise ModelFormatError(
                f"{file.path}: is of revision {note['revision']}, this version reads up to {_REVISION}; upgrade rnnrt"
            )
        arrays = file.arrays()
        if note.get("batch_size") != self.batch_size:
            raise StateError(
                f"{file.path}: is of batch_size={note.get('batch_size')!r}, the stream of {self.batch_size}; "
                "make the stream with the same batch size"
            )
        self.state = arrays


class StreamPool(Pool):
    """Many live streams of one model, of which any are stepped together as one batch.

    Parameters
    ----------
    model : Model
    capacity, idle_timeout, max_streams, initial_state, clock
        As for `Pool`.
    dtype, states
        As for `Model.stream`.

    Raises
    ------
    StateError, ShapeError
        As `Pool` and `Model.stream`.

    Examples
    --------
    >>> pool = StreamPool(model, capacity=1000, idle_timeout=60)
    >>> ada, bob = pool.open("ada"), pool.open("bob")
    >>> y = pool.step([bob, ada], x)  # x (2, features): bob's step, then ada's
    """

    def __init__(
        self,
        model: Streaming,
        capacity: int = 256,
        idle_timeout: float | None = None,
        max_streams: int | None = None,
        *,
        dtype: Any = None,
        states: Mapping[str, str] | None = None,
        initial_state: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        source = model.shared_source(dtype, states)
        super().__init__(source, capacity, idle_timeout, max_streams, initial_state=initial_state, clock=clock)


class Streaming:
    """What `Running` takes from here: its streams."""

    _threads: int | None
    _refreshed: Callable[[], tuple[Graph, Session]]
    _sources: dict[tuple[Any, ...], Source]

    def stream(
        self,
        batch_size: int = 1,
        dtype: Any = None,
        states: Mapping[str, str] | None = None,
        initial_state: Mapping[str, Any] | None = None,
    ) -> FiledStream:
        """A stream of `batch_size` sequences, fed piece by piece; it owns its state, and shares the weights.

        Parameters
        ----------
        batch_size : int
        dtype : dtype-like, optional
            "float32" or "float64" to compute in; by default what the network has.
        states : mapping of str to str, optional
            States that the network takes as inputs and gives as outputs: output by input. By default they are found,
            as `rnnrt inspect` shows; {} says that there are none.
        initial_state : mapping of str to array_like, optional
            What the stream begins with, by state; zeros, or what the network says, for others.

        Raises
        ------
        StateError
            The network cannot be streamed, because it reads the sequence backwards, say; the message names the node.
        ShapeError
            An initial state does not fit, or the dtype is another one.
        """
        return FiledStream(self.shared_source(dtype, states), batch_size, initial_state=initial_state)

    def stream_pool(
        self, capacity: int = 256, idle_timeout: float | None = None, max_streams: int | None = None, **options: Any
    ) -> StreamPool:
        """Many live streams, one copy of the weights, and one batched step over any of them: see `StreamPool`."""
        return StreamPool(self, capacity, idle_timeout, max_streams, **options)

    def shared_source(self, dtype: Any, states: Mapping[str, str] | None) -> Source:
        """What streams of this dtype and these states share."""
        graph, session = self._refreshed()
        key = (None if dtype is None else str(dtype), None if states is None else tuple(sorted(states.items())))
        if key not in self._sources:
            packs = session.packs if dtype is None else None
            self._sources[key] = Source(graph, None, self._threads, dtype=dtype, states=states, packs=packs)
        return self._sources[key]
