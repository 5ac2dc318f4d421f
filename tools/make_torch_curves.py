"""Record the losses of PyTorch over 20 updates with Adam, into tests/data/training/torch_curves.npz.

Needs PyTorch: ``python tools/make_torch_curves.py``. For each kind of layer there are initial weights in Keras's
layouts, and the losses that PyTorch's own modules and Adam give from them, in float32 and in float64; see
tools/torch_network.py for what is done about PyTorch's second bias and the place of its epsilon.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from initial_weights import initial_weights  # noqa: E402
from torch_network import MODULES, Adam, Network  # noqa: E402

STEPS, FEATURES, CLASSES, BATCH = 11, 5, 4, 18
UNITS = (24, 17)
LEARNING_RATE = 0.01
UPDATES = 20
BATCHES = 4


def curve(kind: str, weights: list[np.ndarray], x: np.ndarray, labels: np.ndarray, dtype: type) -> np.ndarray:
    """The loss before each update; batch k % BATCHES is the k-th."""
    network = Network(kind, [w.astype(dtype) for w in weights])
    optimizer = Adam(network, LEARNING_RATE)
    losses = []
    for k in range(UPDATES):
        inputs, targets = torch.from_numpy(x[k % BATCHES].astype(dtype)), torch.from_numpy(labels[k % BATCHES])
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((BATCHES, BATCH, STEPS, FEATURES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, (BATCHES, BATCH))
    arrays = {"x": x, "labels": labels.astype(np.int8), "learning_rate": np.array(LEARNING_RATE)}
    for kind in MODULES:
        weights = initial_weights(kind, FEATURES, UNITS, CLASSES, rng)
        arrays.update({f"{kind}/weight/{k}": weight for k, weight in enumerate(weights)})
        for dtype in (np.float32, np.float64):
            arrays[f"{kind}/losses/{np.dtype(dtype).name}"] = curve(kind, weights, x, labels, dtype)
    path = ROOT / "tests" / "data" / "training" / "torch_curves.npz"
    np.savez_compressed(path, **arrays)
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
