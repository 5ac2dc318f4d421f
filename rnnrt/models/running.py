"""Running a model: a face over a graph and the session that runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError, RnnrtError, ShapeError
from rnnrt.formats.container import Vector, write_container
from rnnrt.ir import Graph, Value
from rnnrt.layers.variable import Changes
from rnnrt.models.streams import Streaming
from rnnrt.runtime import NodeInfo, Session, describe
from rnnrt.samples import suitable_inputs


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a model: `shape` holds None for a free axis, and is None when the rank is unknown.

    Of a model with layers, it can be given to layers and to `Model` where these take symbolic tensors.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...] | None
    make_symbol: Callable[[], Any] | None = field(default=None, repr=False, compare=False)


def described(value: Value) -> TensorInfo:
    """A value of a graph as users see it."""
    shape = None if value.shape is None else tuple(d if isinstance(d, int) else None for d in value.shape)
    return TensorInfo(value.name, value.dtype, shape)


class Running(Streaming):
    """What a model does without training: it runs.

    Subclasses say what the graph is, and when it has changed.

    Parameters
    ----------
    threads : int, optional
        How many threads a run may use; by default RNNRT_NUM_THREADS, or every processor available.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._seen = -1
        self._now: tuple[Graph, Session] | None = None
        self._names: list[str] = []
        self._sources = {}

    def build_graph(self) -> Graph:
        """The graph with the weights as they are now."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def _refreshed(self) -> tuple[Graph, Session]:
        """The graph and its session, made anew when weights have changed."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def _other_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call with something else than one array for each input."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def _take(self, graph: Graph) -> tuple[Graph, Session]:
        self._now = (graph, Session(graph, threads=self._threads))
        self._sources = {}
        self._names = [v.name for v in graph.inputs]
        return self._now

    @property
    def graph(self) -> Graph:
        """The graph that runs, with the weights as they are now."""
        return self._refreshed()[0]

    @property
    def _session(self) -> Session:
        return self._refreshed()[1]

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What the model takes, in order."""
        return tuple(described(v) for v in self.graph.inputs)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """What the model gives, in order."""
        return tuple(described(v) for v in self.graph.outputs)

    @property
    def _input_names(self) -> list[str]:
        self._refreshed()
        return self._names

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arrays given in the order of `inputs`, or by input name.

        Called with symbolic tensors, the model becomes part of another one, as in Keras.

        Returns
        -------
        ndarray or tuple of ndarray
            One array for a model with one output.
        """
        for x in args:
            if type(x) is not np.ndarray:
                return self._other_call(args, kwargs)
        if kwargs:
            return self._other_call(args, kwargs)
        return self._run_arrays(args, kwargs)

    def _run_arrays(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        now = self._now
        if now is None or self._seen != Changes.count:
            self._see(args)
            now = self._refreshed()
        if kwargs or len(args) != len(self._names):
            results = self.run(None, self._named(args, kwargs))
        else:
            results = now[1].run(list(args))
        return results[0] if len(results) == 1 else tuple(results)

    def _see(self, args: Sequence[Any]) -> None:
        """What there is to learn from the first arrays."""

    def _named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if len(args) > len(self.inputs):
            raise ShapeError(f"the model takes {len(self.inputs)} inputs, got {len(args)}")
        feeds = dict(zip(self._input_names, args, strict=False))
        for name, value in kwargs.items():
            if name in feeds:
                raise ShapeError(f"input {name!r} was given twice")
            feeds[name] = value
        return feeds

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[np.ndarray]:
        """Onnxruntime's calling convention.

        Parameters
        ----------
        output_names : sequence of str or None
            Which outputs, in which order; None for all.
        feeds : mapping of str to array_like
            Every input by name.

        Raises
        ------
        ShapeError
            An input is missing, unknown, or of a wrong shape or dtype; an output is unknown.
        RnnrtError
            The memory does not suffice, or a value lies outside an operator's domain, such as an index out of range.
        """
        try:
            arrays = [feeds[name] for name in self._input_names]
        except KeyError:
            raise self._mismatch(feeds) from None
        if len(arrays) != len(feeds):
            raise self._mismatch(feeds)
        results = self._session.run(arrays)
        if output_names is None:
            return results
        order = {info.name: i for i, info in enumerate(self.outputs)}
        unknown = [name for name in output_names if name not in order]
        if unknown:
            raise ShapeError(f"unknown outputs {unknown}; the model gives {list(order)}")
        return [results[order[name]] for name in output_names]

    def _mismatch(self, feeds: Mapping[str, Any]) -> ShapeError:
        names = self._input_names
        missing = [name for name in names if name not in feeds]
        unknown = [name for name in feeds if name not in names]
        return ShapeError(
            "inputs do not match:"
            + (f" missing {missing};" if missing else "")
            + (f" unknown {unknown};" if unknown else "")
            + f" the model takes {names}"
        )

    def profile(self, *args: Any, runs: int = 100) -> list[tuple[str, str, float]]:
        """Where the time of a call goes.

        Parameters
        ----------
        *args : array_like
            The inputs, in the order of `inputs`.
        runs : int
            How many calls to take the mean of.

        Returns
        -------
        list of (str, str, float)
            For each instruction of the plan, in order: its node, its kernel ("numpy" for a fallback), and mean seconds.
        """
        if len(args) != len(self.inputs):
            raise ShapeError(f"the model takes {len(self.inputs)} inputs, got {len(args)}")
        return self._session.profile(list(args), runs)

    @property
    def isa(self) -> str:
        """The instruction set that plans are made for."""
        return self._session.target.isa

    def describe(self, given: Mapping[str, Any]) -> list[NodeInfo]:
        """The nodes that run for these inputs, with their operations and whether a kernel runs them.

        Parameters
        ----------
        given : mapping of str to tuple of int or ndarray
            Every input's shape, or an array of that shape; with arrays the branches that their values decide are taken.
        """
        return describe(self._session, given)

    def save(
        self,
        path: str | os.PathLike[str],
        sample: Mapping[str, Any] | None = None,
        *,
        overwrite: bool = True,
        batch_size: int | None = None,
    ) -> None:
        """Write the model with its weights as they are now, whole or not at all; the ending of the path says how.

        Parameters
        ----------
        path : path-like
            .rnnrt: rnnrt's own container, with recorded calls for `rnnrt verify`. .onnx: for onnxruntime and others,
            recurrent layers as single nodes. .keras: for Keras 3, with what only training reads.
        sample : mapping of str to array_like, optional
            Inputs whose call a .rnnrt file records; by default two calls with made-up inputs.
        overwrite : bool
            Whether a file that is there may be replaced.
        batch_size : int, optional
            The batch size that a .keras file declares, which stateful layers need.

        Raises
        ------
        ModelFormatError
            The path ends in something else, or is taken and may not be overwritten.
        UnsupportedModelError
            The format cannot say what the model does; every reason is listed.
        RnnrtError
            onnx or h5py is needed and not installed.
        OSError
            The file cannot be written; what was there before is left as it was.
        """
        file = os.fspath(path)
        ending = os.path.splitext(file)[1]
        if not overwrite and os.path.exists(file):
            raise ModelFormatError(f"{file}: is there already; give overwrite=True to replace it")
        if ending == ".rnnrt":
            calls = self._made_up() if sample is None else [{name: np.asarray(x) for name, x in sample.items()}]
            names = [o.name for o in self.outputs]
            vectors = [Vector(feeds, dict(zip(names, self.run(None, feeds), strict=True))) for feeds in calls]
            write_container(path, self.graph, vectors)
        elif ending == ".onnx":
            from rnnrt import __version__
            from rnnrt.formats.onnx_export import write_onnx

            write_onnx(path, self.graph, producer_version=__version__)
        elif ending == ".keras":
            self._write_keras(path, batch_size)
        else:
            raise ModelFormatError(f"{file}: models are saved as .rnnrt, .onnx or .keras; give a path that ends so")

    def _write_keras(self, path: str | os.PathLike[str], batch_size: int | None) -> None:
        """Write a .keras file."""
        raise NotImplementedError(type(self).__name__)  # abstract

    def _made_up(self) -> list[dict[str, np.ndarray]]:
        """Inputs for recorded calls; none where nothing made up suits the network."""
        try:
            return [
                suitable_inputs(self.graph, lambda feeds: self.run(None, feeds), extent, extent, seed)
                for seed, extent in enumerate((1, 3))
            ]
        except RnnrtError:
            return []
