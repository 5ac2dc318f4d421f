"""Recurrent layers and a Dense layer in PyTorch, from weights in Keras's layouts, trained as Keras trains them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rnnrt.layers.gates import permute_gates

MODULES = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}
OPERATORS = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}


class Network(torch.nn.Module):
    """Recurrent layers one after the other, then Dense on the last step: x (B, T, I) -> logits (B, classes).

    PyTorch gives every layer two biases. A GRU's are the two rows of Keras's bias (reset_after). LSTM and SimpleRNN
    have one bias in Keras: here the recurrent one is zero and takes no part in training, for an optimizer like Adam
    would move the sum of two biases twice as far as one.

    Parameters
    ----------
    kind : {"LSTM", "GRU", "SimpleRNN"}
    weights : sequence of ndarray
        kernel (I, G*H), recurrent kernel (H, G*H) and bias (G*H,), a GRU's (2, 3*H), of each layer in turn; then the
        Dense layer's kernel and bias. Their dtype is the network's.
    """

    def __init__(self, kind: str, weights: Sequence[np.ndarray]) -> None:
        super().__init__()
        *recurrent, kernel, bias = weights
        self.recurrent = torch.nn.ModuleList(
            self._layer(kind, *recurrent[k : k + 3]) for k in range(0, len(recurrent), 3)
        )
        self.dense = torch.nn.Linear(*kernel.shape, dtype=torch.from_numpy(kernel).dtype)
        _copy(self.dense.weight, kernel.T)
        _copy(self.dense.bias, bias)

    @staticmethod
    def _layer(kind: str, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> torch.nn.Module:
        inputs, units = len(kernel), len(recurrent)
        layer = MODULES[kind](inputs, units, batch_first=True, dtype=torch.from_numpy(kernel).dtype)
        rows = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
        for name, array in (("ih", kernel), ("hh", recurrent)):
            _copy(getattr(layer, f"weight_{name}_l0"), permute_gates(array.T, OPERATORS[kind], "keras", "torch"))
        for name, row in zip(("ih", "hh"), rows, strict=True):
            _copy(getattr(layer, f"bias_{name}_l0"), permute_gates(row, OPERATORS[kind], "keras", "torch"))
        layer.bias_hh_l0.requires_grad_(bias.ndim == 2)
        return layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.recurrent:
            x, _ = layer(x)
        return self.dense(x[:, -1])


class Adam(torch.optim.Adam):
    """PyTorch's Adam with the epsilon where Keras has it.

    PyTorch adds epsilon to sqrt(v / (1 - beta_2^t)), Keras to sqrt(v); the updates are the same if PyTorch's is divided
    by sqrt(1 - beta_2^t).
    """

    def __init__(self, network: torch.nn.Module, learning_rate: float = 0.001, epsilon: float = 1e-7) -> None:
        super().__init__([p for p in network.parameters() if p.requires_grad], lr=learning_rate)
        self._epsilon, self._steps = epsilon, 0

    def step(self, closure: None = None) -> None:
        """One update."""
        self._steps += 1
        for group in self.param_groups:
            group["eps"] = self._epsilon / (1 - group["betas"][1] ** self._steps) ** 0.5
        super().step(closure)


def _copy(parameter: torch.Tensor, array: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
