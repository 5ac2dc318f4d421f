"""Networks around PyTorch's recurrent modules, as people write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SIZE, UNITS = 4, 5


class Recurrent(nn.Module):
    """nn.LSTM, nn.GRU or nn.RNN; with `states`, h0 (and c0) come in and go out."""

    def __init__(self, kind: str, states: bool = False, **options: Any) -> None:
        super().__init__()
        self.states = states
        self.layer = getattr(nn, kind)(SIZE, UNITS, **options)

    def forward(self, x: Tensor, *given: Tensor) -> Any:
        if not self.states:
            return self.layer(x)[0]
        y, state = self.layer(x, given if len(given) > 1 else given[0])
        return (y, *state) if isinstance(state, tuple) else (y, state)


class Packed(nn.Module):
    """A padded batch with lengths, packed, run and padded again; also the final states."""

    def __init__(self, kind: str, is_sorted: bool, last: bool = False, **options: Any) -> None:
        super().__init__()
        self.layer, self.is_sorted, self.last = (
            getattr(nn, kind)(SIZE, UNITS, batch_first=True, **options),
            is_sorted,
            last,
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=self.is_sorted)
        y, state = self.layer(packed)
        h = state[0] if isinstance(state, tuple) else state
        if self.last:
            return h[-1]
        return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], h


class SortedPacked(nn.Module):
    """The batch sorted by hand, packed, run, padded, and put back in order."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(SIZE, UNITS, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        ordered, order = torch.sort(lengths, descending=True)
        packed = pack_padded_sequence(x[order], ordered, batch_first=True)
        y = pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0]
        return y[torch.argsort(order)]


class Flipped(nn.Module):
    """Both directions by two layers, the second over the reversed sequence."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.there, self.back = (getattr(nn, kind)(SIZE, UNITS, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        back = self.back(torch.flip(x, [1]))[0]
        return torch.cat([self.there(x)[0], torch.flip(back, [1])], dim=-1)


class LastStep(nn.Module):
    """A classifier on one step: "slice" takes y[:, -1], "state" h[-1], "lengths" the step that lengths name."""

    def __init__(self, kind: str, how: str, **options: Any) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(SIZE, UNITS, batch_first=True, **options)
        self.how, self.head = how, nn.Linear(UNITS, 3)

    def forward(self, x: Tensor, *lengths: Tensor) -> Tensor:
        y, state = self.layer(x)
        if self.how == "slice":
            return self.head(y[:, -1])
        if self.how == "state":
            return self.head((state[0] if isinstance(state, tuple) else state)[-1])
        index = (lengths[0] - 1).view(-1, 1, 1).expand(-1, 1, y.shape[2])
        return self.head(y.gather(1, index).squeeze(1))


class VoiceStep(nn.Module):
    """One frame of a voice detector: convolution, LSTMCell, Linear; both states in one tensor (2, B, UNITS)."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, SIZE, 8, stride=8)
        self.cell, self.head = nn.LSTMCell(SIZE, UNITS), nn.Linear(UNITS, 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.relu(self.filters(x.unsqueeze(1))).mean(2)
        h, c = self.cell(features, (state[0], state[1]))
        return torch.sigmoid(self.head(h)), torch.stack([h, c])


class SpeechChunk(nn.Module):
    """A few frames of a speech model: Linear, relu, LSTM, Linear; states in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(7, SIZE), nn.Linear(UNITS, 6)
        self.layer = nn.LSTM(SIZE, UNITS, batch_first=True)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.layer(torch.clamp(self.before(x), 0, 20), (h.unsqueeze(0), c.unsqueeze(0)))
        return torch.log_softmax(self.after(y), dim=-1), h[0], c[0]


class TwoCells(nn.Module):
    """Two LSTM cells, one after the other in one loop; `feedback` gives the output to the next step as input."""

    def __init__(self, feedback: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(SIZE, UNITS), nn.GRUCell(UNITS, 7)
        self.head, self.feedback = nn.Linear(7, SIZE), feedback

    def forward(self, x: Tensor) -> Tensor:
        h, c = torch.zeros(x.size(0), 5, dtype=x.dtype), torch.zeros(x.size(0), 5, dtype=x.dtype)
        g = torch.zeros(x.size(0), 7, dtype=x.dtype)
        steps: list[Tensor] = []
        step = x[:, 0]
        for t in range(x.size(1)):
            if not self.feedback:
                step = x[:, t]
            h, c = self.first(step, (h, c))
            g = self.second(h, g)
            step = self.head(g)
            steps.append(step)
        return torch.stack(steps, dim=1)


class Scanned(nn.Module):
    """A GRU step given to torch's scan, over time-major x (T, B, SIZE)."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(SIZE, 3 * UNITS), nn.Linear(UNITS, 3 * UNITS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        from torch._higher_order_ops.scan import scan

        def step(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            (xr, xz, xn), (hr, hz, hn) = self.x(x).chunk(3, dim=1), self.h(h).chunk(3, dim=1)
            z = torch.sigmoid(xz + hz)
            h = z * h + (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
            return h, h.clone()

        h, y = scan(step, torch.zeros(x.size(1), UNITS), x, dim=0)
        return y, h
