"""PyTorch's recurrent modules, cells and hand-written loops through both of its exporters."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lift_corpus import torch_cells as cells
from lift_corpus import torch_networks as networks
from lift_corpus.record import make_all, record

SIZE, UNITS = 4, 5
TRACED, SCRIPTED, DYNAMO, PLAIN = "traced", "scripted", "dynamo", "dynamo_plain"
SEQUENCE = {"x": ("batch", "time", SIZE)}
TIME_MAJOR = {"x": ("time", "batch", SIZE)}
FIXED = {"x": ("batch", 6, SIZE)}
RAGGED = {"x": ("batch", "time", SIZE), "lengths": ("batch",)}
CELL = {"x": ("batch", SIZE), "h": ("batch", UNITS), "c": ("batch", UNITS)}
CELL_OF_ONE = {"x": ("batch", SIZE), "h": ("batch", UNITS)}
REAL = {"batch": (2, 3), "time": (7, 5)}
"""Sizes of named axes in both calls."""


def _cases() -> dict[str, tuple[str, Callable[[], Any], dict[str, tuple[str | int, ...]], str]]:
    cases: dict[str, tuple[str, Callable[[], Any], dict[str, tuple[str | int, ...]], str]] = {}
    both, every = f"{TRACED} {DYNAMO}", f"{TRACED} {DYNAMO} {PLAIN}"

    def add(name: str, what: str, build: Callable[[], Any], inputs: dict[str, Any], how: str = both) -> None:
        cases[name] = (what, build, inputs, how)

    for kind in ("LSTM", "GRU", "RNN"):
        low = kind.lower()
        states = ("h", "c") if kind == "LSTM" else ("h",)
        for layers in (1, 2):
            for bidirectional in (False, True):
                for batch_first in (True, False):
                    name = f"{low}_{layers}{'_bi' * bidirectional}{'_tm' * (not batch_first)}"
                    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first}
                    what = f"nn.{kind}, {layers} layers{', bidirectional' * bidirectional}"
                    x = SEQUENCE if batch_first else TIME_MAJOR
                    plain = every if layers == 1 else both
                    add(name, what, lambda k=kind, o=options: networks.Recurrent(k, **o), x, plain)
                    fixed = {"x": tuple(6 if n == "time" else n for n in x["x"])}
                    add(
                        f"{name}_fixed",
                        f"{what}, T=6",
                        lambda k=kind, o=options: networks.Recurrent(k, **o),
                        fixed,
                        DYNAMO,
                    )
                    given = dict.fromkeys(states, (layers * (1 + bidirectional), "batch", UNITS))
                    add(
                        f"{name}_state",
                        f"{what}, states in and out",
                        lambda k=kind, o=options: networks.Recurrent(k, states=True, **o),
                        {**x, **given},
                    )
                    add(
                        f"{name}_state_fixed",
                        f"{what}, states in and out, T=6",
                        lambda k=kind, o=options: networks.Recurrent(k, states=True, **o),
                        {**fixed, **given},
                        DYNAMO,
                    )
        step = (
            (lambda k=kind: cells.Step(cells.TorchCell(k)))
            if kind == "LSTM"
            else (lambda k=kind: cells.StepOfOne(cells.TorchCell(k)))
        )
        add(f"{low}_cell", f"nn.{kind}Cell, one step", step, CELL if kind == "LSTM" else CELL_OF_ONE, every)
        for is_sorted in (True, False):
            add(
                f"{low}_packed{'_sorted' * is_sorted}",
                f"packed sequences through nn.{kind}, enforce_sorted={is_sorted}",
                lambda k=kind, s=is_sorted: networks.Packed(k, s),
                RAGGED,
            )
        add(
            f"{low}_packed_bi",
            f"packed sequences through bidirectional nn.{kind}",
            lambda k=kind: networks.Packed(k, False, bidirectional=True),
            RAGGED,
        )
        add(
            f"{low}_packed_last",
            f"packed sequences through nn.{kind}, last state",
            lambda k=kind: networks.Packed(k, False, last=True),
            RAGGED,
        )
        add(
            f"{low}_packed_by_hand",
            f"batch sorted by hand, packed, nn.{kind}, put back",
            lambda k=kind: networks.SortedPacked(k),
            RAGGED,
        )
        add(f"{low}_flipped", f"two nn.{kind}, one over torch.flip", lambda k=kind: networks.Flipped(k), SEQUENCE)
        for how in ("slice", "state", "lengths"):
            add(
                f"{low}_last_{how}",
                f"nn.{kind}, last step by {how}",
                lambda k=kind, h=how: networks.LastStep(k, h),
                RAGGED if how == "lengths" else SEQUENCE,
            )
    add("rnn_relu", "nn.RNN, relu", lambda: networks.Recurrent("RNN", nonlinearity="relu", batch_first=True), SEQUENCE)
    add(
        "rnn_relu_fixed",
        "nn.RNN, relu, T=6",
        lambda: networks.Recurrent("RNN", nonlinearity="relu", batch_first=True),
        FIXED,
        DYNAMO,
    )
    add(
        "lstm_no_bias",
        "nn.LSTM without bias",
        lambda: networks.Recurrent("LSTM", bias=False, batch_first=True),
        SEQUENCE,
    )
    add(
        "lstm_projected",
        "nn.LSTM with proj_size=3: no ONNX operator says this",
        lambda: networks.Recurrent("LSTM", proj_size=3, batch_first=True),
        FIXED,
    )
    add(
        "voice_step",
        "convolution, LSTMCell, Linear; state (2, B, H) in and out",
        networks.VoiceStep,
        {"x": ("batch", 32), "state": (2, "batch", UNITS)},
        every,
    )
    add(
        "speech_chunk",
        "Linear, LSTM over 4 frames, log_softmax; states in and out",
        networks.SpeechChunk,
        {"x": ("batch", 4, 7), "h": ("batch", UNITS), "c": ("batch", UNITS)},
        every,
    )
    loops = f"{every} {SCRIPTED}"
    add("two_cells", "LSTMCell and GRUCell in one loop, T=6", networks.TwoCells, FIXED, every)
    add(
        "feedback",
        "LSTMCell and GRUCell, the output is the next input; T=6",
        lambda: networks.TwoCells(True),
        FIXED,
        every,
    )
    add("scan", "a GRU step in torch's scan", networks.Scanned, TIME_MAJOR, DYNAMO)
    written: dict[str, tuple[str, Callable[[], Any]]] = {
        "lstm": ("nn.LSTMCell", lambda: cells.TorchCell("LSTM")),
        "gru": ("nn.GRUCell", lambda: cells.TorchCell("GRU")),
        "rnn": ("nn.RNNCell", lambda: cells.TorchCell("RNN")),
        "separate": ("LSTM, a Linear for each gate", cells.SeparateGates),
        "peepholes": ("LSTM, a Linear for each gate, peepholes", lambda: cells.SeparateGates(peepholes=True)),
        "coupled": ("LSTM with i = 1 - f", lambda: cells.SeparateGates(coupled=True)),
        "fused": ("LSTM, one Linear over cat([x, h]), chunk", cells.FusedLSTM),
        "normalized": ("LSTM with LayerNorm: no ONNX operator says this", lambda: cells.FusedLSTM(True)),
        "gru_mix": ("GRU, (1-z)*n + z*h, reset after", cells.HandGRU),
        "gru_step": ("GRU, n + z*(h-n), reset after", lambda: cells.HandGRU("step")),
        "gru_swapped": ("GRU, z*n + (1-z)*h, reset after", lambda: cells.HandGRU("swapped")),
        "gru_before": ("GRU, (1-z)*n + z*h, reset before", lambda: cells.HandGRU("mix", "before")),
        "elman": ("tanh of one Linear over cat([x, h])", cells.Elman),
        "elman_relu": ("relu of one Linear over cat([x, h])", lambda: cells.Elman("relu")),
        "independent": ("h times a vector: no ONNX operator says this", lambda: cells.Elman("independent")),
    }  # fmt: skip
    state = {"h": ("batch", UNITS), "c": ("batch", UNITS)}
    for name, (what, cell) in written.items():
        add(f"loop_{name}", f"loop: {what}; all steps, T=6", lambda c=cell: cells.Unroll(c()), FIXED, loops)
        add(f"last_{name}", f"loop: {what}; last step, T=6", lambda c=cell: cells.UnrollLast(c()), FIXED, both)
    for name in ("lstm", "gru", "fused", "gru_step"):
        what, cell = written[name]
        add(
            f"grown_{name}",
            f"loop backwards in time: {what}; states in and out, grown by cat; T=6",
            lambda c=cell: cells.UnrollInto(c()),
            {"x": (6, "batch", SIZE), **state},
            loops,
        )
    return cases


CASES = _cases()


def arrays(inputs: dict[str, tuple[str | int, ...]], which: int, falling: bool) -> list[np.ndarray]:
    """Inputs of one of both calls; packing asks for lengths that fall, unless it sorts itself."""
    rng = np.random.default_rng(which)
    made = []
    for name, sizes in inputs.items():
        shape = [REAL[n][which] if isinstance(n, str) else n for n in sizes]
        if name == "lengths":
            longest = REAL["time"][which]
            lengths = [longest, 4, 2] if falling else [4, longest, 2]
            made.append(np.array(lengths[: shape[0]], np.int64))
        else:
            made.append(rng.uniform(-1, 1, shape).astype(np.float32))
    return made


def export(
    module: Any,
    inputs: dict[str, Any],
    first: list[np.ndarray],
    how: str,
    opset: int,
    free: tuple[str, ...],
    outputs: int,
) -> Any:
    """An ONNX model in which the axes named in `free` have no fixed size."""
    import onnx
    import torch

    example = tuple(torch.from_numpy(a) for a in first)
    names = [f"y{k}" if k else "y" for k in range(outputs)]
    axes = {n: {a: s for a, s in enumerate(sizes) if isinstance(s, str) and s in free} for n, sizes in inputs.items()}
    common: dict[str, Any] = {"input_names": list(inputs), "output_names": names, "opset_version": opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how in (TRACED, SCRIPTED):
            target = torch.jit.script(module) if how == SCRIPTED else module
            stream = io.BytesIO()
            torch.onnx.export(target, example, stream, dynamo=False, dynamic_axes=axes, **common)
            return onnx.load_from_string(stream.getvalue())
        dims = tuple(dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in axes.values())
        star = (dims[0], dims[1:]) if takes_a_list(module) and len(dims) > 1 else dims
        program = torch.onnx.export(
            module, example, dynamo=True, dynamic_shapes=star, optimize=how == DYNAMO, verbose=False, **common
        )
        return program.model_proto


def takes_a_list(module: Any) -> bool:
    """Whether forward has *arguments, which torch.export nests one deeper."""
    return bool(type(module).forward.__code__.co_flags & 0x04)


def main(folder: Path, options: list[str]) -> None:
    """Make the models: options are names of cases; ``opset=N`` changes the TorchScript exporter's opset of 17."""
    import onnxscript
    import torch

    chosen = [o for o in options if "=" not in o] or list(CASES)
    opset = next((int(o.split("=")[1]) for o in options if o.startswith("opset=")), None)
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)

    def make(name: str, how: str) -> None:
        what, build, inputs, _ = CASES[name]
        torch.manual_seed(0)
        module = build().eval()

        def run(given: list[np.ndarray]) -> list[np.ndarray]:
            with torch.no_grad():
                y = module(*(torch.from_numpy(a) for a in given))
            return [t.numpy() for t in (y if isinstance(y, tuple) else (y,))]

        calls = [arrays(inputs, which, name.endswith("_sorted")) for which in (0, 1)]
        count = len(run(calls[0]))
        number = opset or (17 if how in (TRACED, SCRIPTED) else 18)
        problem = None
        for free in (("batch", "time"), ("batch",), ()):
            try:
                model = export(module, inputs, calls[0], how, number, free, count)
                break
            except Exception as error:
                problem = problem or error.__cause__ or error
        else:
            raise problem or RuntimeError(name)
        exporter = f"torch {torch.__version__} {how}" + (
            f", onnxscript {onnxscript.__version__}" if "dyn" in how else ""
        )
        suffix = f"_op{opset}" if opset else ""
        record(folder, f"torch_{how}{suffix}_{name}", model, exporter, what, run, calls)
        if problem is not None:
            print(f"{name} {how}: free {free} only: {str(problem).splitlines()[0][:150]}")

    make_all({
        f"{name} {how}": lambda name=name, how=how: make(name, how)  # type: ignore[misc]
        for name in chosen
        for how in CASES[name][3].split()
        if opset is None or how in (TRACED, SCRIPTED)
    })  # fmt: skip
