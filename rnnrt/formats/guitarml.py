"""JSON models of Automated-GuitarAmpModelling, as NeuralPi and Proteus play them: a state_dict, and what it belongs to.

"SimpleRNN" is a recurrent layer "rec" and a Linear "lin", and the first `skip` channels of the input are added to what
they give. "RecNet" is several of these, "layers.block_1" and so on, each with a skip connection of all its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rnnrt.formats.json_files import float_array, state_dict_in
from rnnrt.formats.json_model import JsonModel
from rnnrt.formats.safetensors import Entry
from rnnrt.formats.state_dict import StateDict
from rnnrt.formats.torch_layers import Flow, Linear, TorchLayer
from rnnrt.formats.torch_network import flow_of
from rnnrt.formats.torch_recurrent import GRU, LSTM, RNN, Recurrent
from rnnrt.layers import Network
from rnnrt.layers.symbolic import KerasTensor
from rnnrt.layers.trace import network_between

_UNITS: dict[str, type[Recurrent]] = {"GRU": GRU, "LSTM": LSTM, "RNN": RNN}
_DATA = {"model", "skip", "input_size", "output_size", "unit_type", "num_layers", "hidden_size", "bias_fl"}
_BLOCK = {"block_type", "layer_name", "input_size", "output_size", "hidden_size", "num_layers", "skip", "bias_fl"}


@dataclass(frozen=True, eq=False)
class _Block(TorchLayer):
    """A recurrent layer, a Linear of `outputs` units, and a skip connection that `join` makes."""

    needs_arrays: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = False
    rec: Recurrent
    lin: Linear
    outputs: int
    has_bias: bool
    join: Callable[[KerasTensor, KerasTensor], KerasTensor]

    def read(self, state: StateDict) -> Any:
        made = self.rec.read(state), self.lin.read(state)
        found = len(made[1].get("kernel", [[]])[0])
        if made[1] and (found != self.outputs or ("bias" in made[1]) != self.has_bias):
            state.problems.append(
                f"{self.lin.label()}: has {found} outputs and {'a' if 'bias' in made[1] else 'no'} bias; "
                f"the file says output_size={self.outputs}, bias_fl={self.has_bias}"
            )
        return made

    def input_shape(self, made: Any, has_time: bool) -> tuple[int | None, ...]:
        return self.rec.input_shape(made[0], has_time)

    def build(self, made: Any, flow: Flow, name: str, known: dict[int, Any]) -> None:
        before = flow.x
        for part, content in zip((self.rec, self.lin), made, strict=True):
            part.build(content, flow, part.layer_name(0), known)
        flow.x = self.join(before, flow.x)


class GuitarModel(JsonModel):
    """A document with `model_data` and `state_dict`."""

    keys = frozenset({"model_data", "state_dict", "blocks", "layers"})

    def network(self) -> Network:
        data = self.document["model_data"]
        if not isinstance(data, dict):
            raise self.error(f"model_data is {str(data)[:40]!r}, not an object")
        kind = data.get("model")
        self.unknown(data, _DATA, "model_data")
        blocks, skip = [], 0
        if kind == "SimpleRNN":
            blocks = [self._block(data, data.get("unit_type"), "", self.whole(data.get("skip", 1), "skip", 0))]
        elif kind == "RecNet":
            blocks, skip = self._blocks(), self.whole(data.get("skip", 0), "skip", 0)
        else:
            self.reasons.append(f"model_data: model {str(kind)[:40]!r}; rnnrt knows 'SimpleRNN' and 'RecNet'")
        self.refuse()
        tensors = state_dict_in(self.document, self.label)
        arrays = {n: float_array(v, f"{self.label}: {n[:80]!r}") for n, v in tensors.items()}
        entries = {n: Entry("F32", a.shape) for n, a in arrays.items()}
        flow = flow_of(blocks, StateDict(self.label, entries, arrays.__getitem__, ""))
        y = self.with_skip(flow.inputs[0], flow.x, skip, "skip")
        return network_between(flow.inputs, [y], Path(self.label).stem)

    def _blocks(self) -> list[_Block]:
        rows = self.document.get("blocks", self.document.get("layers"))
        if not isinstance(rows, dict) or not rows or sorted(rows) != sorted(str(k) for k in range(len(rows))):
            raise self.error(f"blocks is {str(rows)[:40]!r}, not blocks by number")
        found = []
        for k in range(len(rows)):
            row = rows[str(k)]
            if not isinstance(row, dict):
                raise self.error(f"block {k} is {str(row)[:40]!r}, not an object")
            self.unknown(row, _BLOCK, f"block {k}")
            # its skip connection is of all outputs, whatever number says that there is one
            has_skip = self.whole(row.get("skip", 1), f"block {k}: skip", 0) > 0
            skip = self.whole(row.get("output_size"), f"block {k}: output_size") if has_skip else 0
            found.append(self._block(row, row.get("block_type", row.get("layer_name")), f"layers.block_{k + 1}.", skip))
        return found

    def _block(self, data: Mapping[str, Any], unit: Any, prefix: str, skip: int) -> _Block:
        if not isinstance(unit, str) or unit not in _UNITS:
            self.reasons.append(f"unit_type {str(unit)[:40]!r}; rnnrt knows {', '.join(_UNITS)}")
            unit = "LSTM"
        sizes = {
            key: self.whole(data.get(key, default), key)
            for key, default in (("input_size", None), ("hidden_size", None), ("num_layers", 1))
        }
        rec = _UNITS[unit](f"{prefix}rec", batch_first=True, bidirectional=False, **sizes)  # type: ignore[arg-type]
        name = f"{prefix}skip"

        def join(x: KerasTensor, y: KerasTensor) -> KerasTensor:
            return self.with_skip(x, y, skip, name)

        outputs = self.whole(data.get("output_size"), "output_size")
        has_bias = data.get("bias_fl", True)
        if not isinstance(has_bias, bool):
            raise self.error(f"bias_fl is {str(has_bias)[:40]!r}, not true or false")
        return _Block(rec, Linear(f"{prefix}lin"), outputs, has_bias, join)
