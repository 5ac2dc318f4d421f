"""A few small models of a corpus for tests/data/lift, without the paths of source files that exporters note down."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lift_corpus import make_index
from lift_corpus.record import MADE

CHOSEN = (
    "tf2onnx_k3_gru_seq tf2onnx_k3_gru_reset_before_last tf2onnx_k3_simple_rnn_seq tf2onnx_k3_gru_masked "
    "tf2onnx_k3_lstm_masked tf2onnx_k3_gru_state tf2onnx_k3_gru_backwards tf2onnx_k3_rnn_cells "
    "tf2onnx_k3_cell_peephole tf2onnx_k3_lstm_unroll_last tf2onnx_tfkeras_gru_reset_before_stateful "
    "tf2onnx163_gru_seq tf2onnx163_op8_simple_rnn_seq k3jax_lstm_last k3torch_lstm_last jax2onnx_fori_gru "
    "torch_scripted_loop_fused torch_traced_loop_lstm torch_dynamo_loop_gru_mix torch_dynamo_scan "
    "torch_dynamo_lstm_cell torch_traced_gru_packed torch_traced_lstm_flipped torch_dynamo_plain_gru_cell "
    "torch_scripted_loop_lstm torch_scripted_grown_gru_step"
).split()


def without_sources(model: Any) -> Any:
    """The same model, without notes on where nodes and values came from."""

    def clear(graph: Any) -> None:
        for each in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
            each.ClearField("doc_string")
            each.ClearField("metadata_props")
        for node in graph.node:
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    if inner.node or inner.output:
                        clear(inner)

    clear(model.graph)
    return model


def main(folder: Path, options: list[str]) -> None:
    """Copy the models from a corpus into the folder that `options` names, and index them."""
    import onnx

    target = Path(options[0])
    target.mkdir(parents=True, exist_ok=True)
    lines = {line.split("\t")[0]: line for line in (folder / MADE).read_text().splitlines()}
    for name in CHOSEN:
        model = without_sources(onnx.load(folder / f"{name}.onnx"))
        (target / f"{name}.onnx").write_bytes(model.SerializeToString())
        shutil.copy(folder / f"{name}.npz", target)
    (target / MADE).write_text("".join(lines[name] + "\n" for name in CHOSEN))
    make_index.main(target, [])
    (target / MADE).unlink()
