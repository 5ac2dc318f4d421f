"""Recurrences written by hand in PyTorch; the loops can be scripted as well as traced."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIZE, UNITS = 4, 5


class SeparateGates(nn.Module):
    """LSTM with a Linear for each gate and each of x and h; optionally with peepholes, or one gate for two."""

    def __init__(self, peepholes: bool = False, coupled: bool = False) -> None:
        super().__init__()
        self.xi, self.xf, self.xg, self.xo = (nn.Linear(SIZE, UNITS) for _ in range(4))
        self.hi, self.hf, self.hg, self.ho = (nn.Linear(UNITS, UNITS, bias=False) for _ in range(4))
        scale = 1.0 if peepholes else 0.0
        self.pi, self.pf, self.po = (nn.Parameter(scale * torch.randn(UNITS)) for _ in range(3))
        self.peepholes, self.coupled = peepholes, coupled

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o = self.xi(x) + self.hi(h), self.xf(x) + self.hf(h), self.xo(x) + self.ho(h)
        if self.peepholes:
            i, f = i + self.pi * c, f + self.pf * c
        f = torch.sigmoid(f)
        i = 1 - f if self.coupled else torch.sigmoid(i)
        c = f * c + i * torch.tanh(self.xg(x) + self.hg(h))
        if self.peepholes:
            o = o + self.po * c
        return torch.sigmoid(o) * torch.tanh(c), c


class FusedLSTM(nn.Module):
    """LSTM with one Linear over x and h together, cut by chunk; optionally with LayerNorm before the gates."""

    def __init__(self, normalized: bool = False) -> None:
        super().__init__()
        self.gates = nn.Linear(SIZE + UNITS, 4 * UNITS)
        self.norm = nn.LayerNorm(4 * UNITS) if normalized else nn.Identity()

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.norm(self.gates(torch.cat([x, h], dim=1))).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class HandGRU(nn.Module):
    """GRU; c is carried along unused, so that all cells are called alike.

    form: "mix" is (1-z)*n + z*h, "step" is n + z*(h-n), "swapped" is z*n + (1-z)*h. reset: "after" the product with
    h, or "before" it, by one Linear over r*h and x together.
    """

    def __init__(self, form: str = "mix", reset: str = "after") -> None:
        super().__init__()
        self.rz = nn.Linear(SIZE + UNITS, 2 * UNITS)
        self.xn, self.hn = nn.Linear(SIZE, UNITS), nn.Linear(UNITS, UNITS)
        self.both = nn.Linear(SIZE + UNITS, UNITS)
        self.form, self.reset = form, reset

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        r, z = torch.sigmoid(self.rz(torch.cat([x, h], dim=1))).chunk(2, dim=1)
        if self.reset == "after":
            n = torch.tanh(self.xn(x) + r * self.hn(h))
        else:
            n = torch.tanh(self.both(torch.cat([r * h, x], dim=1)))
        if self.form == "mix":
            h = (1 - z) * n + z * h
        elif self.form == "step":
            h = n + z * (h - n)
        else:
            h = z * n + (1 - z) * h
        return h, c


class Elman(nn.Module):
    """tanh or relu of one Linear over x and h; or of a product of h with a vector ("independent")."""

    def __init__(self, kind: str = "tanh") -> None:
        super().__init__()
        self.product = nn.Linear(SIZE + UNITS, UNITS)
        self.own = nn.Parameter(torch.rand(UNITS))
        self.kind = kind

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == "independent":
            return torch.tanh(self.product(torch.cat([x, torch.zeros_like(h)], dim=1)) + self.own * h), c
        y = self.product(torch.cat([x, h], dim=1))
        return torch.relu(y) if self.kind == "relu" else torch.tanh(y), c


class TorchCell(nn.Module):
    """nn.LSTMCell, nn.GRUCell or nn.RNNCell, called as the cells above."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.lstm = kind == "LSTM"
        self.cell = nn.GRUCell(SIZE, UNITS) if kind == "GRU" else nn.RNNCell(SIZE, UNITS)
        self.long = nn.LSTMCell(SIZE, UNITS)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if self.lstm:
            return self.long(x, (h, c))
        return self.cell(x, h), c


# TorchScript reads no global numbers, hence 5 for UNITS in what is scripted.


class Unroll(nn.Module):
    """A cell over x (B, T, SIZE), collected in a list: outputs (B, T, UNITS) and the last h."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.zeros(x.size(0), 5, dtype=x.dtype)
        c = torch.zeros(x.size(0), 5, dtype=x.dtype)
        steps: list[Tensor] = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], h, c)
            steps.append(h)
        return torch.stack(steps, dim=1), h


class UnrollLast(nn.Module):
    """A cell over x (B, T, SIZE), of which only the last h is used, with a Linear on it."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(UNITS, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(0), 5, dtype=x.dtype)
        c = torch.zeros(x.size(0), 5, dtype=x.dtype)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], h, c)
        return self.head(h)


class UnrollInto(nn.Module):
    """A cell over time-major x (T, B, SIZE), backwards in time, from given states; the list grows by cat."""

    def __init__(self, cell: nn.Module, backwards: bool = True) -> None:
        super().__init__()
        self.cell, self.backwards = cell, backwards

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = torch.zeros(0, x.size(1), 5, dtype=x.dtype)
        for t in range(x.size(0)):
            step = x[x.size(0) - 1 - t] if self.backwards else x[t]
            h, c = self.cell(step, h, c)
            out = torch.cat([out, h.unsqueeze(0)], dim=0)
        return out, h, c


class Step(nn.Module):
    """One step of a cell with its states as inputs and outputs."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.cell(x, h, c)


class StepOfOne(nn.Module):
    """One step of a cell that has one state."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.cell(x, h, h)[0]
