"""Bidirectional and TimeDistributed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrt.layers.base import GraphBuilder, Layer, Tensor
from rnnrt.layers.recurrent import RNN, recur, restored, split_call

MERGE_MODES = ("concat", "sum", "mul", "ave", None)


class Bidirectional(Layer):
    """A recurrent layer forwards and another backwards, both over the same steps.

    Parameters
    ----------
    layer : RNN
        The forward layer.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        None gives both outputs.
    backward_layer : RNN, optional
        Walks the other way; with its own weights. By default it is made from the configuration of `layer`.
    """

    arguments = ("layer", "merge_mode", "backward_layer")

    def __init__(
        self,
        layer: RNN,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: RNN | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if merge_mode not in MERGE_MODES:
            raise self.unsupported(f"merge_mode={merge_mode!r}", f"use one of {MERGE_MODES}")
        if weights is not None:
            raise self.unsupported("is given weights", "call set_weights when it is built")
        if isinstance(layer, RNN) and backward_layer is None:
            config = layer.get_config()
            config["go_backwards"] = not layer.go_backwards
            config["name"] = "backward_" + layer.name.removeprefix("forward_").removeprefix("backward_")
            backward_layer = type(layer).from_config(config)
        for inner in (layer, backward_layer):
            if not isinstance(inner, RNN):
                raise self.unsupported(f"wraps a {type(inner).__name__}", "wrap LSTM, GRU, SimpleRNN or RNN")
            # Keras forces this on both layers.
            inner.zero_output_for_mask = inner.return_sequences
        assert backward_layer is not None
        layer.name = "forward_" + layer.name.removeprefix("forward_")
        self.forward_layer, self.backward_layer, self.merge_mode = layer, backward_layer, merge_mode
        if layer.go_backwards == backward_layer.go_backwards:
            raise self.unsupported("both layers walk the same way", "give one go_backwards=True")
        if layer.return_sequences != backward_layer.return_sequences:
            raise self.unsupported("return_sequences differs between its layers", "make them equal")
        if layer.time_major != backward_layer.time_major:
            raise self.unsupported("time_major differs between its layers", "make them equal")

    @property
    def layer(self) -> RNN:
        """Keras's name of the forward layer."""
        return self.forward_layer

    @property
    def time_major(self) -> bool:
        """Whether sequences have the time first."""
        return self.forward_layer.time_major

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}

    def emit(
        self, b: GraphBuilder, inputs: Any, initial_state: Any = None, mask: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        forward, backward = self.forward_layer, self.backward_layer
        x, states, mask = split_call(self, b, inputs, initial_state, mask)
        half = len(states) // 2
        held = forward.old_masking == "hold" and mask is not None and states
        if self._is_one_operator() and not b.variables and not (b.carry and forward.stateful) and not held:
            merged, finals = self._fused(b, x, states, mask)
        else:
            with b.nested(forward.name):
                y1, last1, finals1 = forward.run(b, x, states[:half], mask)
            with b.nested(backward.name):
                y2, last2, finals2 = backward.run(b, x, states[half:], mask)
            forward.regularize(b, y1 if forward.return_sequences else last1)
            backward.regularize(b, y2 if forward.return_sequences else last2)
            if forward.return_sequences and forward.go_backwards:
                # Keras turns the second layer's output round, whichever that is.
                y1, y2 = b.flip(y1, 1), b.flip(y2, 1)
            pair = [y1, y2] if forward.return_sequences else [last1, last2]
            merged, finals = self._merge_pair(b, pair), [*finals1, *finals2]
        result = [restored(b, self, y).with_mask(x.mask) if forward.return_sequences else y for y in merged]
        if forward.return_state:
            return [*result, *finals]
        return result if len(result) > 1 else result[0]

    def _is_one_operator(self) -> bool:
        first, second = self.forward_layer, self.backward_layer
        if len(first.cells) > 1 or len(second.cells) > 1 or first.go_backwards:
            return False
        a, c = first.cells[0], second.cells[0]
        return a.op == c.op and a.units == c.units and a.ir_attributes() == c.ir_attributes()

    def _fused(
        self, b: GraphBuilder, x: Tensor, states: list[Tensor], mask: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        layer = self.forward_layer
        cells = [layer.cells[0], self.backward_layer.cells[0]]
        if layer.stateful:
            b.stateful.append(self.name)
        if states and len(states) != 2 * cells[0].state_count:
            raise self.unsupported(f"is called with {len(states)} initial states", f"it has {2 * cells[0].state_count}")
        zero = layer.zeroes_masked(b)
        y, last = recur(b, self, cells, x, states, mask, "bidirectional", zero)
        finals = [b.take(s, d, 1) for d in (0, 1) for s in last] if layer.return_state else []
        if layer.return_sequences:
            return self._merge_axis(b, y, 2), finals
        if mask is not None and states:
            ends = [b.take(b.take(y, -1 if d == 0 else 0, 1), d, 1) for d in (0, 1)]
            return self._merge_pair(b, ends), finals
        return self._merge_axis(b, last[0], 1), finals

    def _merge_axis(self, b: GraphBuilder, y: Tensor, axis: int) -> list[Tensor]:
        """Merge the two directions that lie along `axis`, the last but one."""
        units = y.shape[-1]
        if self.merge_mode == "concat":
            assert units is not None
            dims = [0] * axis + [2 * units]
            return [b.reshape(y, dims, (*y.shape[:axis], 2 * units))]
        return self._merge_pair(b, [b.take(y, d, axis) for d in (0, 1)])

    def _merge_pair(self, b: GraphBuilder, pair: list[Tensor]) -> list[Tensor]:
        if self.merge_mode is None:
            return pair
        first, second = pair
        if self.merge_mode == "concat":
            width = (first.shape[-1] or 0) + (second.shape[-1] or 0)
            return [b.op("Concat", pair, (*first.shape[:-1], width), axis=first.rank - 1)]
        merged = b.op("Mul" if self.merge_mode == "mul" else "Add", pair, first.shape)
        if self.merge_mode == "ave":
            merged = b.op("Mul", [merged, b.scalar(0.5, merged.dtype)], merged.shape)
        return [merged]


class TimeDistributed(Layer):
    """A layer applied to every step of (B, T, ...)."""

    arguments = ("layer",)
    supports_masking = True

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        layer = getattr(layer, "network", layer)  # of a model
        self.layer = layer
        if not isinstance(layer, Layer):
            raise self.unsupported(f"wraps {layer!r}", "wrap a layer")

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"layer": self.layer}

    def emit(self, b: GraphBuilder, inputs: Any, mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = inputs
        if not isinstance(x, Tensor) or x.rank < 3:
            raise self.unsupported("needs one input with a batch, a time and more axes", "reshape its input")
        mask = mask or x.mask
        if self.layer.is_stepwise():
            result = self.layer.apply(b, x.with_mask(None))
            return result.with_mask(result.mask if b.legacy and result.mask else mask)
        steps = x.shape[1]
        lead: list[int | str] = [-1, steps] if steps is not None else [b.extent(x, 0), b.extent(x, 1)]
        inner_dims: list[int | str] = [d if d is not None else b.extent(x, k) for k, d in enumerate(x.shape) if k > 1]
        inner = b.reshape(x, [-1, *inner_dims], (None, *x.shape[2:]))
        if mask is not None and mask.rank > 2:
            inner = inner.with_mask(b.reshape(mask, [-1, *inner_dims[: mask.rank - 2]], (None, *mask.shape[2:])))
        elif mask is not None and isinstance(self.layer, (RNN, Bidirectional)):
            raise self.unsupported("hands a mask over its steps to a recurrent layer", "drop the mask before it")
        outputs = self.layer.apply(b, inner)
        if not isinstance(outputs, Tensor):
            raise self.unsupported("its layer has several outputs", "wrap a layer of one output")
        rest: list[int | str] = [
            d if d is not None else b.extent(outputs, k + 1) for k, d in enumerate(outputs.shape[1:])
        ]
        if any(isinstance(d, str) for d in rest):
            lead = [b.extent(x, 0), b.extent(x, 1)]
        result = b.reshape(outputs, [*lead, *rest], (x.shape[0], steps, *outputs.shape[1:]))
        return result.with_mask(self._mask_after(b, outputs, mask, lead) if b.legacy else mask)

    def _mask_after(
        self, b: GraphBuilder, outputs: Tensor, mask: Tensor | None, lead: list[int | str]
    ) -> Tensor | None:
        """Keras 2: the mask that the layer gives each step, or that of the steps which have anything to count."""
        if outputs.mask is None:
            if mask is None or mask.rank == 2:
                return mask
            counted = b.reduce("ReduceMax", b.cast(mask, np.dtype(np.int32)), range(2, mask.rank))
            return b.cast(counted, np.dtype(bool))
        inner = outputs.mask
        rest = [d if d is not None else b.extent(inner, k + 1) for k, d in enumerate(inner.shape[1:])]
        shape = (None, lead[1] if isinstance(lead[1], int) else None, *inner.shape[1:])
        return b.reshape(inner, [*lead, *rest], shape)
