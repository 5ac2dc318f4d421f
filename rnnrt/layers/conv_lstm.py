"""ConvLSTM: an LSTM whose products are convolutions. B batch, T steps, S axes of space, C channels, F filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rnnrt.layers import activations
from rnnrt.layers.base import Extent, GraphBuilder, Layer, Tensor, TensorShape
from rnnrt.layers.conv import turned
from rnnrt.layers.core import positive
from rnnrt.layers.recurrent import flatten
from rnnrt.layers.spatial import Spatial, extents

_SHARED = (
    "kernel_initializer", "recurrent_initializer", "bias_initializer", "unit_forget_bias", "kernel_regularizer",
    "recurrent_regularizer", "bias_regularizer", "kernel_constraint", "recurrent_constraint", "bias_constraint",
)  # fmt: skip


class ConvLSTMCell(Spatial):
    """The weights of a ConvLSTM: kernel (*k, C, 4 F), recurrent kernel (*k, F, 4 F), bias (4 F,); gates i f c o."""

    stems: ClassVar[dict[str, str]] = {"recurrent_kernel": "recurrent"}

    def __init__(self, owner: ConvLSTM) -> None:
        super().__init__(dtype=owner.dtype.name, trainable=owner.trainable)
        self.space = owner.space  # type: ignore[misc]
        self.kernel_size, self.filters, self.use_bias = owner.kernel_size, owner.filters, owner.use_bias
        for key in _SHARED:
            setattr(self, key, getattr(owner, key))

    def weight_names(self) -> tuple[str, ...]:
        return ("kernel", "recurrent_kernel") + ("bias",) * self.use_bias

    def initial(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        array = super().initial(name, shape)
        if name == "bias" and getattr(self, "unit_forget_bias", False):
            array[self.filters : 2 * self.filters] = 1.0
        return array

    def tensors(self, b: GraphBuilder, channels: Extent) -> tuple[Tensor, Tensor, Tensor | None]:
        """Kernel (4 F, C, *k), recurrent kernel (4 F, F, *k) and bias."""
        wide = 4 * self.filters
        kernel = b.variable(self, "kernel", (*self.kernel_size, channels, wide))
        recurrent = b.variable(self, "recurrent_kernel", (*self.kernel_size, self.filters, wide))
        bias = b.variable(self, "bias", (wide,)) if self.use_bias else None
        return turned(b, kernel), turned(b, recurrent), bias


class ConvLSTM(Spatial):
    """An LSTM over (B, T, *S, C) whose products are convolutions (Shi et al., 2015).

    Gives (B, *S, F), or (B, T, *S, F) with `return_sequences`; with `return_state` the last h and c follow.

    The convolutions of the inputs are one for all steps. Where the number of steps is declared the recurrence is laid
    out step by step, and can be trained; where it is free it is a loop, which can not.
    """

    arguments = (
        "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask", "filters",
        "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation", "recurrent_activation",
        "use_bias", *_SHARED, "dropout", "recurrent_dropout", "seed",
    )  # fmt: skip

    activation: str | None
    recurrent_activation: str | None

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        time_major: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.check_padding(padding)
        self.check_format(data_format)
        self.filters, self.use_bias = positive(self, "filters", filters), bool(use_bias)
        self.kernel_size = extents(self, "kernel_size", kernel_size)
        self.strides = extents(self, "strides", strides)
        self.dilation_rate = extents(self, "dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise self.unsupported(f"strides={strides}, dilation_rate={dilation_rate}", "leave one of them at 1")
        self.dropout, self.recurrent_dropout = (min(1.0, max(0.0, float(d))) for d in (dropout, recurrent_dropout))
        for key, name in (("activation", activation), ("recurrent_activation", recurrent_activation)):
            if not isinstance(name, (str, type(None))) or not activations.is_known(name):
                raise self.unsupported(f"{key}={name!r}", "use one of Keras's own")
        if time_major:
            raise self.unsupported("time_major=True", "save the model with time_major=False")
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.keep(locals())
        self.cell = ConvLSTMCell(self)

    def sublayers(self) -> dict[str, Layer | list[Layer]]:
        return {"cell": self.cell}

    def emit(
        self, b: GraphBuilder, inputs: Any, initial_state: Any = None, mask: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        given = flatten(inputs)
        x, states, masks = given[0], [*given[1:], *flatten(initial_state)], flatten(mask)
        x = x.with_mask(masks[0]) if masks else x
        counts = masks[0] if masks else None if states and not b.legacy else x.mask
        if x.rank != self.space + 3 or len(states) not in (0, 2):
            what = f"is called with shapes {[t.shape for t in (x, *states)]}"
            raise self.unsupported(what, f"give a sequence of {self.space + 3} axes, and no or two states")
        if self.stateful:
            b.stateful.append(self.name)
            if b.carry and not b.create:
                raise self.unsupported("stateful=True in training", "hand its states on by initial_state")
        turn = self._turned(x.rank)
        inner = b.transpose(b.cast(x, self.dtype).with_mask(None), turn) if turn else x.with_mask(None)
        start = [self._inwards(b, b.cast(s, self.dtype)) for s in states]
        with b.nested(*[self.cell.name] * b.variables):
            kernel, recurrent, bias = self.cell.tensors(b, inner.shape[2])
        gates = self._of_inputs(b, inner, kernel, bias)
        zeros = self._zeros(b, gates)
        start = [zeros, *(start or [zeros, zeros])]
        counts = None if counts is None else b.cast(counts, np.dtype(bool))
        outputs, last, finals = self._walk(b, gates, recurrent, start, counts)
        result = outputs.with_mask(x.mask) if self.return_sequences else last
        return [result, *(self._outwards(b, s) for s in finals)] if self.return_state else result

    def _turned(self, rank: int) -> tuple[int, ...]:
        return () if self.channels_first else (0, 1, rank - 1, *range(2, rank - 1))

    def _inwards(self, b: GraphBuilder, state: Tensor) -> Tensor:
        if state.rank != self.space + 2:
            raise self.unsupported(f"an initial state has shape {state.shape}", f"it needs {self.space + 2} axes")
        return state if self.channels_first else b.transpose(state, (0, state.rank - 1, *range(1, state.rank - 1)))

    def _outwards(self, b: GraphBuilder, y: Tensor) -> Tensor:
        """A result (B, F, *S), or (B, T, F, *S), in the layer's format."""
        lead = y.rank - self.space - 1
        return y if self.channels_first else b.transpose(y, (*range(lead), *range(lead + 1, y.rank), lead))

    def _of_inputs(self, b: GraphBuilder, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """What the inputs (B, T, C, *S) add to the gates: (B, T, 4 F, *S')."""
        if None in x.shape[2:]:
            raise self.unsupported(f"its input has shape {x.shape}", "declare its extents in space, and its channels")
        if not b.training or not 0 < self.dropout < 1:
            return self._convolved(b, x, kernel, bias, 4 * self.filters)
        dims = b.dims_of(x)
        kernels, biases = self._quarters(b, kernel, 0), self._quarters(b, bias, 0) if bias else [None] * 4
        parts = []
        for part, own in zip(kernels, biases, strict=True):
            drop = b.random("dropout", [dims[0], 1, *dims[2:]], (x.shape[0], 1, *x.shape[2:]), x.dtype, self.dropout)
            parts.append(self._convolved(b, b.op("Mul", [x, drop], x.shape), part, own, self.filters))
        return b.op("Concat", parts, (*parts[0].shape[:2], 4 * self.filters, *parts[0].shape[3:]), axis=2)

    def _convolved(self, b: GraphBuilder, x: Tensor, kernel: Tensor, bias: Tensor | None, channels: int) -> Tensor:
        dims = b.dims_of(x)
        flat = b.reshape(x, [-1, *dims[2:]], (None, *x.shape[2:]))
        attrs, places = self.window(flat, self.kernel_size, self.strides, self.dilation_rate)
        operands = [flat, kernel] if bias is None else [flat, kernel, bias]
        y = b.op("Conv", operands, (None, channels, *places), **attrs)
        rest = [channels, *(d or 0 for d in places)]
        return b.reshape(y, [*dims[:2], *rest], (*x.shape[:2], channels, *places))

    def _quarters(self, b: GraphBuilder, x: Tensor, axis: int) -> list[Tensor]:
        """The four gates along an axis."""
        shape = (*x.shape[:axis], self.filters, *x.shape[axis + 1 :])
        width = self.filters
        return [
            b.op("Slice", [x, b.ints(k * width), b.ints((k + 1) * width), b.ints(axis), b.ints(1)], shape)
            for k in range(4)
        ]

    def _zeros(self, b: GraphBuilder, gates: Tensor) -> Tensor:
        shape: TensorShape = (gates.shape[0], self.filters, *gates.shape[3:])
        batch = Tensor(b.extent(gates, 0), (1,), np.dtype(np.int64))
        target = b.op("Concat", [batch, b.ints(*(d or 0 for d in shape[1:]))], (len(shape),), axis=0)
        return b.op("Expand", [b.constant(np.zeros((), self.dtype), "zero"), target], shape, self.dtype)

    def _walk(
        self, b: GraphBuilder, gates: Tensor, recurrent: Tensor, start: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Outputs in the order in which steps are walked, in the layer's format, the last one, and h and c.

        `start` is what stands for the output before the first step, and h and c.
        """
        step = _Step(self, b, gates, recurrent)
        count = gates.shape[1]
        if count is None:
            return self._loop(b, gates, step, start, mask)
        previous, h, c = start
        outputs = []
        for t in reversed(range(count)) if self.go_backwards else range(count):
            shown = None if mask is None else b.take(mask, t, 1)
            previous, h, c = step(b.take(gates, t, 1), h, c, previous, shown)
            outputs.append(previous)
        last = self._outwards(b, previous)
        if not self.return_sequences:
            return last, last, [h, c]
        shape = (previous.shape[0], count, *previous.shape[1:])
        joined = b.op("Concat", [b.unsqueeze(y, 1) for y in outputs], shape, axis=1)
        return self._outwards(b, joined), last, [h, c]

    def _loop(
        self, b: GraphBuilder, gates: Tensor, step: _Step, start: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        shape = start[0].shape
        sequences = [gates] if mask is None else [gates, mask]
        with b.body("step") as body:
            inside = [body.input(x.shape, x.dtype) for x in start]
            now = [body.input((x.shape[0], *x.shape[2:]), x.dtype) for x in sequences]
            results = step(now[0], inside[1], inside[2], inside[0], now[1] if mask is not None else None)
            body.finish([*results, results[0]])
        backwards = (int(self.go_backwards),) * len(sequences)
        names = b.node(
            "Scan", [x.name for x in [*start, *sequences]], 4, body=body.graph, num_scan_inputs=len(sequences),
            scan_input_axes=(1,) * len(sequences), scan_input_directions=backwards, scan_output_axes=(1,),
        )  # fmt: skip
        last, h, c = (Tensor(name, shape, self.dtype) for name in names[:3])
        whole = Tensor(names[3], (shape[0], None, *shape[1:]), self.dtype)
        return self._outwards(b, whole), self._outwards(b, last), [h, c]


class _Step:
    """One step of a ConvLSTM, with the random numbers that all steps share."""

    def __init__(self, layer: ConvLSTM, b: GraphBuilder, gates: Tensor, recurrent: Tensor) -> None:
        self.layer, self.b = layer, b
        self.kernels, self.drops = [recurrent], list[Tensor]()
        if b.training and 0 < layer.recurrent_dropout < 1:
            self.kernels = layer._quarters(b, recurrent, 0)
            shape = (gates.shape[0], layer.filters, *gates.shape[3:])
            dims: list[int | str] = [b.extent(gates, 0), *(d or 0 for d in shape[1:])]
            self.drops = [b.random("dropout", dims, shape, gates.dtype, layer.recurrent_dropout) for _ in range(4)]

    def __call__(
        self, x: Tensor, h: Tensor, c: Tensor, previous: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The output, h and c after a step whose inputs give `x` (B, 4 F, *S); a masked step changes nothing."""
        b, layer = self.b, self.layer
        drops: list[Tensor | None] = [*self.drops] or [None]
        parts = [self._product(k, h, drop) for k, drop in zip(self.kernels, drops, strict=True)]
        whole = parts[0] if len(parts) == 1 else b.op("Concat", parts, x.shape, axis=1)
        i, f, g, o = layer._quarters(b, b.op("Add", [x, whole], x.shape), 1)
        i, f, o = (activations.apply(b, v, layer.recurrent_activation) for v in (i, f, o))
        g = activations.apply(b, g, layer.activation)
        new = b.op("Add", [b.op("Mul", [f, c], c.shape), b.op("Mul", [i, g], c.shape)], c.shape)
        y = b.op("Mul", [o, activations.apply(b, new, layer.activation)], c.shape)
        if mask is None:
            return y, y, new
        while mask.rank < y.rank:
            mask = b.unsqueeze(mask, mask.rank)
        other: Tensor | str = b.scalar(0.0, y.dtype) if layer.zero_output_for_mask else previous
        shown, h, c = (
            b.op("Where", [mask, now, before], y.shape, y.dtype) for now, before in ((y, other), (y, h), (new, c))
        )
        return shown, h, c

    def _product(self, kernel: Tensor, h: Tensor, drop: Tensor | None) -> Tensor:
        b, layer = self.b, self.layer
        h = h if drop is None else b.op("Mul", [h, drop], h.shape)
        shape = (h.shape[0], kernel.shape[0], *h.shape[2:])
        return b.op("Conv", [h, kernel], shape, kernel_shape=layer.kernel_size, auto_pad="SAME_UPPER")


class ConvLSTM1D(ConvLSTM):
    """A ConvLSTM over sequences of rows (B, T, S, C)."""


class ConvLSTM2D(ConvLSTM):
    """A ConvLSTM over sequences of images (B, T, S1, S2, C)."""

    space = 2


class ConvLSTM3D(ConvLSTM):
    """A ConvLSTM over sequences of volumes (B, T, S1, S2, S3, C)."""

    space = 3
